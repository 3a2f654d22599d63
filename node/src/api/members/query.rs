//! Queries: asked, and answered with all that came back, as soon as nothing more can come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shoal_api::member::{Member, MemberStatus};
use shoal_api::{Name, NodeId};
use shoal_membership::{
    EventName, Filter, QueryEnd, QueryError, QueryOptions, QueryRequest, Reply as Returned,
};

use super::change::event_name;
use super::{Call, Outcome, bad, ended, payload, put_payload};
use crate::api::reply::{self, Reply};
use crate::gossip;
use crate::limits;

/// A query that every node acknowledges and none answers.
const PING: &str = "_shoal_ping";

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ask {
    name: String,
    payload: Option<String>,
    payload_base64: Option<String>,
    nodes: Vec<String>,
    tags: BTreeMap<String, String>,
    timeout_seconds: Option<f64>,
    relay: u8,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ping {
    timeout_seconds: Option<f64>,
}

/// What came back.
#[derive(Default)]
struct Gathered {
    acks: Vec<Returned>,
    answers: Vec<Returned>,
    end: Option<QueryEnd>,
}

impl Call<'_> {
    /// Asks, and gathers until all that are meant have acknowledged and answered, or time is over.
    pub async fn ask(&self) -> Outcome {
        let ask: Ask = self.json()?;
        let name = event_name(&ask.name)?;
        let payload = payload(ask.payload, ask.payload_base64)?;
        let nodes: Result<Vec<_>, _> = ask.nodes.iter().map(|name| Name::new(name)).collect();
        let nodes = nodes.map_err(|error| bad(error.to_string(), ""))?;
        let tags: Vec<(Arc<str>, Arc<str>)> = (ask.tags.iter())
            .map(|(key, value)| (Arc::from(key.as_str()), Arc::from(value.as_str())))
            .collect();
        let filter =
            Filter::new(nodes.clone(), &tags).map_err(|error| bad(error.to_string(), ""))?;
        let options = QueryOptions {
            nodes,
            tags,
            acks: true,
            timeout: timeout(ask.timeout_seconds)?,
            relay: ask.relay,
        };
        let request = QueryRequest::new(name, payload, options).map_err(|error| refused(&error))?;
        let meant = alive(&self.gossip.members(), |member| filter.matches(member));
        let gathered = self.gather(request, &meant, true).await?;
        let answers: Vec<Value> = gathered.answers.iter().map(answer_row).collect();
        let document = json!({
            "asked": meant.len(),
            "acks": names(&gathered.acks),
            "answers": answers,
        });
        Ok(reply::json(StatusCode::OK, &document))
    }

    /// Asks all members for a sign of life, and says who gave none.
    pub async fn reachability(&self) -> Outcome {
        let ping: Ping = self.json()?;
        let options = QueryOptions {
            acks: true,
            timeout: timeout(ping.timeout_seconds)?,
            ..QueryOptions::default()
        };
        let name = EventName::new(PING).expect("it is a name");
        let request = QueryRequest::new(name, bytes::Bytes::new(), options)
            .map_err(|error| refused(&error))?;
        let members = self.gossip.members();
        let meant = alive(&members, |_| true);
        let gathered = self.gather(request, &meant, false).await?;
        let heard: BTreeSet<NodeId> = gathered.acks.iter().map(|reply| reply.node).collect();
        let silent = members
            .iter()
            .filter(|member| meant.contains(&member.id) && !heard.contains(&member.id));
        let silent: Vec<Value> = silent.map(super::row).collect();
        let document = json!({
            "asked": meant.len(),
            "acks": names(&gathered.acks),
            "silent": silent,
        });
        Ok(reply::json(StatusCode::OK, &document))
    }

    async fn gather(
        &self,
        request: QueryRequest,
        meant: &BTreeSet<NodeId>,
        answers: bool,
    ) -> Result<Gathered, Box<Reply>> {
        let asked = self.gossip.ask(request).await;
        let mut replies = asked.map_err(|error| ended(&error))?;
        let mut gathered = Gathered::default();
        let mut waited: BTreeSet<(NodeId, bool)> =
            meant.iter().map(|node| (*node, false)).collect();
        if answers {
            waited.extend(meant.iter().map(|node| (*node, true)));
        }
        while !waited.is_empty() {
            match replies.recv().await {
                Some(gossip::Returned::Reply(reply)) => {
                    let is_answer = reply.answer.is_some();
                    waited.remove(&(reply.node, is_answer));
                    match is_answer {
                        true => gathered.answers.push(reply),
                        false => gathered.acks.push(reply),
                    }
                }
                Some(gossip::Returned::End(end)) => {
                    gathered.end = Some(end);
                    break;
                }
                None => break,
            }
        }
        match gathered.end {
            Some(QueryEnd::TooMany) => Err(Box::new(reply::problem(
                StatusCode::TOO_MANY_REQUESTS,
                "too many queries of this node wait for answers",
                "",
                "ask again in a moment",
            ))),
            Some(QueryEnd::Leaving) => Err(ended(&gossip::Ended)),
            Some(QueryEnd::Deadline) | None => Ok(gathered),
        }
    }
}

fn alive(members: &[Member], wanted: impl Fn(&Member) -> bool) -> BTreeSet<NodeId> {
    let alive = members
        .iter()
        .filter(|member| member.status == MemberStatus::Alive && wanted(member));
    alive.map(|member| member.id).collect()
}

fn names(replies: &[Returned]) -> Vec<String> {
    let mut names: Vec<String> = replies.iter().map(name_of).collect();
    names.sort();
    names
}

/// The name, or the id of one whose name is not known.
fn name_of(reply: &Returned) -> String {
    let name = reply.name.as_ref().map(|name| name.as_str().to_owned());
    name.unwrap_or_else(|| reply.node.to_string())
}

fn answer_row(reply: &Returned) -> Value {
    let mut row = Map::new();
    row.insert("name".to_owned(), name_of(reply).into());
    row.insert("id".to_owned(), reply.node.to_string().into());
    put_payload(&mut row, reply.answer.as_deref().unwrap_or_default());
    Value::Object(row)
}

fn timeout(seconds: Option<f64>) -> Result<Option<Duration>, Box<Reply>> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() && timeout <= limits::QUERY_TIMEOUT => Ok(Some(timeout)),
        Ok(_) | Err(_) => Err(bad(
            format!(
                "timeout_seconds is {seconds}, above 0 to {} are allowed",
                limits::QUERY_TIMEOUT.as_secs()
            ),
            "",
        )),
    }
}

fn refused(error: &QueryError) -> Box<Reply> {
    bad(format!("the query is refused: {error}"), "")
}
