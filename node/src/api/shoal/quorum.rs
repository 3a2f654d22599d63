//! The quorum: who votes, who leads, and how an operator changes that.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use shoal_api::RaftId;
use shoal_api::member::MemberStatus;
use shoal_master::{Answer, MasterInfo, Request};

use super::{Call, Outcome, listing, refusal, unexpected};
use crate::api::Api;
use crate::api::reply::{self, Reply};
use crate::authorize::{Action, Object};
use crate::cli::{Client, Failure};
use crate::limits;

/// The header of a request that another master passed on.
const PASSED_ON: &str = "shoal-passed-on";

/// The leading master, as this one knows it.
pub fn leader(api: &Api) -> Reply {
    let leadership = api.board.leadership();
    let term = leadership.as_ref().map(|leadership| leadership.term.0);
    let leader = leadership.and_then(|leadership| leadership.leader);
    let masters = api.board.masters();
    let info = leader.and_then(|raft| masters.iter().find(|info| info.raft == raft));
    match info {
        Some(info) => reply::json(
            StatusCode::OK,
            &json!({
                "id": info.node.to_string(),
                "name": info.name.as_str(),
                "http": info.http.to_string(),
                "peer": info.peer.to_string(),
                "term": term,
                "pid": info.pid,
                "raft_id": info.raft.to_string(),
            }),
        ),
        None => reply::problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "no leader is known",
            "",
            "an election takes about a second; without a majority of the masters there is none",
        ),
    }
}

/// The body of a request about one master.
#[derive(Debug, Deserialize)]
struct Which {
    #[serde(default)]
    master: Option<String>,
}

impl Call<'_> {
    pub(super) async fn quorum(&self) -> Outcome {
        let view = self.view().await?;
        let membership = &view.membership;
        let masters = self.api.board.masters();
        let members = self.api.board.members();
        let all = membership
            .voters
            .iter()
            .chain(&membership.outgoing)
            .chain(&membership.learners)
            .chain(&membership.learners_next);
        let mut ids: Vec<RaftId> = all.copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let rows: Vec<Value> = ids
            .into_iter()
            .map(|raft| {
                let info = masters.iter().find(|info| info.raft == raft);
                let member = members
                    .iter()
                    .find(|m| info.is_some_and(|i| i.node == m.id));
                let status = member.map_or(MemberStatus::Failed, |member| member.status);
                let role = if view.leader == Some(raft) {
                    "leader"
                } else {
                    "follower"
                };
                let progress = view.progress.iter().find(|peer| peer.id == raft);
                let missing = view.missing.iter().find(|(id, _)| *id == raft);
                let missing = missing.map(|(_, missing)| missing.as_secs());
                json!({
                    "raft_id": raft.to_string(),
                    "id": info.map(|info| info.node.to_string()),
                    "name": info.map(|info| info.name.as_str()),
                    "role": role,
                    "voter": membership.voters.contains(&raft),
                    "peer": info.map(|info| info.peer.to_string()),
                    "http": info.map(|info| info.http.to_string()),
                    "status": status.as_str(),
                    "matched": progress.map(|peer| peer.matched.0),
                    "answers": progress.map(|peer| peer.active),
                    "missing_seconds": missing,
                })
            })
            .collect();
        let identity = view.state.charter.identity();
        let document = json!({
            "cluster": identity.map(|identity| identity.cluster.to_string()),
            "incarnation": identity.map(|identity| identity.incarnation.0),
            "masters": rows,
            "term": view.term.0,
            "index": view.index.0,
            "leader": view.leader.map(|raft| raft.to_string()),
            "replace_dead_seconds": view.replace_dead.as_secs(),
        });
        Ok(listing(&view, &document))
    }

    pub(super) async fn quorum_remove(&self) -> Outcome {
        let which: Which = self.json()?;
        let raft = self.named(which)?;
        self.may(Action::ChangeQuorum, &Object::Master(Some(raft)))?;
        self.as_leader("/shoal/v1/quorum/remove", Request::RemoveMaster(raft))
            .await
    }

    pub(super) async fn quorum_promote(&self) -> Outcome {
        let which: Which = self.json()?;
        let raft = self.named(which)?;
        self.may(Action::ChangeQuorum, &Object::Master(Some(raft)))?;
        self.as_leader("/shoal/v1/quorum/promote", Request::PromoteMaster(raft))
            .await
    }

    /// The master that the body must name.
    fn named(&self, which: Which) -> Result<RaftId, Box<Reply>> {
        match which.master {
            Some(name) => self.find_master(&name),
            None => Err(Box::new(reply::problem(
                StatusCode::BAD_REQUEST,
                "the body names no master",
                "",
                r#"{"master": NAME} with a name or a Raft id"#,
            ))),
        }
    }

    pub(super) async fn quorum_transfer(&self) -> Outcome {
        let which: Which = self.json()?;
        let raft = match which.master {
            Some(name) => Some(self.find_master(&name)?),
            None => None,
        };
        self.may(Action::ChangeQuorum, &Object::Master(raft))?;
        let voters = self
            .api
            .board
            .leadership()
            .map(|now| now.membership.voters.len());
        if voters == Some(1) {
            return Err(Box::new(reply::problem(
                StatusCode::CONFLICT,
                "the only master cannot hand leadership over",
                "",
                "start more masters first",
            )));
        }
        self.as_leader(
            "/shoal/v1/quorum/transfer",
            Request::TransferLeadership(raft),
        )
        .await
    }

    /// A master by name or voter id.
    fn find_master(&self, name: &str) -> Result<RaftId, Box<Reply>> {
        let masters = self.api.board.masters();
        let named =
            |info: &&MasterInfo| info.name.as_str() == name || info.raft.to_string() == name;
        if let Some(info) = masters.iter().find(named) {
            return Ok(info.raft);
        }
        // One that never wrote its name into the ledger may still vote.
        let leadership = self.api.board.leadership();
        let known = leadership.is_some_and(|leadership| {
            let membership = &leadership.membership;
            let all = membership.voters.iter().chain(&membership.learners);
            all.into_iter().any(|raft| raft.to_string() == name)
        });
        match name.parse() {
            Ok(number) if known => Ok(RaftId(number)),
            Ok(_) | Err(_) => Err(Box::new(reply::problem(
                StatusCode::NOT_FOUND,
                format!("no master '{name}' is in the quorum"),
                "",
                "`shoal quorum list` shows names and Raft ids",
            ))),
        }
    }

    /// Asks the machine if it leads, else the leader's API.
    async fn as_leader(&self, path: &'static str, request: Request) -> Outcome {
        let leadership = self.api.board.leadership();
        let leading = leadership
            .as_ref()
            .is_some_and(|leadership| leadership.leading);
        let leader = leadership.and_then(|leadership| leadership.leader);
        if !leading && !self.headers.contains_key(PASSED_ON) {
            let masters = self.api.board.masters();
            if let Some(info) = masters.iter().find(|info| Some(info.raft) == leader) {
                return self.pass_on(info.http.to_string(), path).await;
            }
        }
        let transfer = matches!(request, Request::TransferLeadership(_));
        match self.master.ask(request).await {
            Answer::Done => {
                let leader = match transfer {
                    true => self.next_leader(leader).await,
                    false => leader,
                };
                let masters = self.api.board.masters();
                let info = masters.iter().find(|info| Some(info.raft) == leader);
                let document = json!({ "leader": info.map(|info| info.name.as_str()) });
                Ok(reply::json(StatusCode::OK, &document))
            }
            Answer::Refused(refused) => Err(Box::new(refusal(&refused))),
            Answer::State(_) | Answer::RunCreated(_) | Answer::File(_) => {
                Err(Box::new(unexpected()))
            }
        }
    }

    /// Who leads once somebody else than before does; a transfer is done a moment before that shows.
    async fn next_leader(&self, before: Option<RaftId>) -> Option<RaftId> {
        for _ in 0..limits::TRANSFER_LOOKS {
            let leader = self.api.board.leadership().and_then(|now| now.leader);
            if leader.is_some() && leader != before {
                return leader;
            }
            tokio::time::sleep(limits::TRANSFER_LOOK).await;
        }
        before
    }

    async fn pass_on(&self, to: String, path: &'static str) -> Outcome {
        let body = self.body.to_vec();
        let asked = tokio::task::spawn_blocking(move || -> Result<_, Failure> {
            Client::new(&to)?.pass_on(path, PASSED_ON, &body)
        });
        match asked.await.expect("asking does not panic") {
            Ok(answer) => {
                let status = StatusCode::from_u16(answer.status);
                let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
                Ok(reply::whole(status, "application/json", answer.body))
            }
            Err(failure) => Err(Box::new(reply::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "the leader cannot be reached",
                failure.error,
                failure.hint,
            ))),
        }
    }
}
