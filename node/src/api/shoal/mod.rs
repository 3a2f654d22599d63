//! Shoal's own API, `/shoal/v1`: JSON in, JSON out, errors that say what, why and what to do.

mod backup;
mod events;
mod lists;
mod names;
pub(super) mod page;
mod quorum;
mod runs;
mod tasks;
mod timeline;

use std::sync::Arc;

use http::header::HeaderValue;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shoal_api::RunRefusal;
use shoal_master::{Answer, Refused, View};

use super::reply::{self, Reply};
use super::route::{Ours, query};
use super::{Api, body};
use crate::authorize::{Action, Caller, Object};
use crate::drive::mailbox::Mailbox;

pub use events::Ring;
pub use quorum::leader;
#[cfg(feature = "fuzzing")]
pub use runs::read_run;

/// A refusal on its way to the client.
type Outcome = Result<Reply, Box<Reply>>;

/// Answers a request to an endpoint that needs a master.
pub async fn answer(
    api: &Arc<Api>,
    caller: &Caller,
    master: &Mailbox,
    ours: Ours,
    request: Request<Incoming>,
) -> Reply {
    let (parts, incoming) = request.into_parts();
    let read = parts.method == Method::GET || parts.method == Method::HEAD;
    if ours.changes() && parts.method != Method::POST {
        return reply::method_not_allowed("POST");
    }
    if !ours.changes() && !read {
        return reply::method_not_allowed("GET");
    }
    let bytes = match body::read(&parts.headers, incoming).await {
        Ok(bytes) => bytes,
        Err(error) => return reply::problem(error.status(), error.to_string(), "", ""),
    };
    let guarded = ours.changes() || matches!(ours, Ours::Backup);
    if guarded
        && let Err(refused) = page::refuse_foreign(api.policy, &parts.headers, !bytes.is_empty())
    {
        return *refused;
    }
    let call = Call {
        api,
        caller,
        master,
        query: parts.uri.query(),
        headers: &parts.headers,
        body: &bytes,
    };
    let outcome = match ours {
        Ours::Events => call.events().await,
        Ours::Agents => call.agents().await,
        Ours::Frameworks => call.frameworks().await,
        Ours::Teardown(framework) => call.teardown(&framework).await,
        Ours::Offers => call.offers().await,
        Ours::Tasks => call.tasks().await,
        Ours::Task(task) => call.task(&task).await,
        Ours::TaskLogs(task) => call.task_logs(&task).await,
        Ours::Timeline(task) => call.timeline(&task).await,
        Ours::TaskKill(task) => call.task_kill(&task).await,
        Ours::Runs => call.create_run().await,
        Ours::Run(run) => call.run(&run).await,
        Ours::RunKill(run) => call.kill_run(&run).await,
        Ours::Quorum => call.quorum().await,
        Ours::Backup => call.backup().await,
        Ours::QuorumRemove => call.quorum_remove().await,
        Ours::QuorumTransfer => call.quorum_transfer().await,
        Ours::QuorumPromote => call.quorum_promote().await,
    };
    outcome.unwrap_or_else(|refusal| *refusal)
}

/// One request, taken apart.
struct Call<'a> {
    api: &'a Arc<Api>,
    caller: &'a Caller,
    master: &'a Mailbox,
    query: Option<&'a str>,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Call<'_> {
    /// A value of the query.
    fn parameter(&self, name: &str) -> Option<String> {
        query(self.query, name)
    }

    /// Whether the caller may do this to what the request names.
    fn may(&self, action: Action, object: &Object) -> Result<(), Box<Reply>> {
        let authorized = self.api.policy.authorize(self.caller, action, object);
        authorized.map_err(|denied| Box::new(reply::forbidden(&denied)))
    }

    /// The body as JSON of that form; an empty body is an empty object.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Box<Reply>> {
        let text: &[u8] = if self.body.is_empty() {
            b"{}"
        } else {
            self.body
        };
        serde_json::from_slice(text).map_err(|error| {
            Box::new(reply::problem(
                StatusCode::BAD_REQUEST,
                "the body is not what is expected here",
                error.to_string(),
                "",
            ))
        })
    }

    /// The ledger, current; with `stale=ok` as it is here.
    async fn view(&self) -> Result<View, Box<Reply>> {
        match self.parameter("stale").as_deref() {
            Some("ok") => self.stale().await,
            Some(_) | None => self.ask_for_view(shoal_master::Request::Read).await,
        }
    }

    /// The ledger as it is here.
    async fn stale(&self) -> Result<View, Box<Reply>> {
        self.ask_for_view(shoal_master::Request::ReadStale).await
    }

    async fn ask_for_view(&self, request: shoal_master::Request) -> Result<View, Box<Reply>> {
        match self.master.ask(request).await {
            Answer::State(view) => Ok(view),
            Answer::Refused(refused) => Err(Box::new(refusal(&refused))),
            Answer::Done | Answer::RunCreated(_) | Answer::File(_) => Err(Box::new(unexpected())),
        }
    }
}

/// A listing with the age of what it lists.
fn listing(view: &View, document: &Value) -> Reply {
    let mut reply = reply::json(StatusCode::OK, document);
    let headers = reply.headers_mut();
    let index = HeaderValue::from(view.index.0);
    headers.insert("shoal-index", index);
    let age = format!("{:.3}", view.age.as_secs_f64());
    let age = HeaderValue::from_str(&age).expect("a number is a header value");
    headers.insert("shoal-age-seconds", age);
    reply
}

fn unexpected() -> Reply {
    reply::problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the machine answered something else than what was asked",
        "",
        "this is a bug",
    )
}

/// How the master's refusals look.
pub fn refusal(refused: &Refused) -> Reply {
    let hint = match refused {
        Refused::Unavailable => {
            "tasks keep running; `shoal quorum list` and /shoal/v1/members show which masters are \
             there, `shoal doctor` on a master what ails it (a full disk, for one), and ?stale=ok \
             lists without a leader"
        }
        Refused::Busy => "ask again in a moment",
        Refused::Run(RunRefusal::TooMany(_)) => "wait until some of them have ended",
        Refused::NoSuchTask(_) => "`shoal tasks --all` lists tasks",
        Refused::Offers(_) | Refused::Run(_) | Refused::Quorum(_) => "",
    };
    let status = match refused {
        Refused::Unavailable | Refused::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Refused::NoSuchTask(_) | Refused::Run(RunRefusal::NotFound(_)) => StatusCode::NOT_FOUND,
        Refused::Run(RunRefusal::TooMany(_)) => StatusCode::TOO_MANY_REQUESTS,
        Refused::Run(_) => StatusCode::BAD_REQUEST,
        Refused::Offers(_) | Refused::Quorum(_) => StatusCode::CONFLICT,
    };
    reply::problem(status, refused.to_string(), "", hint)
}

/// How an answer without content looks.
fn done(answer: &Answer) -> Outcome {
    match answer {
        Answer::Done => Ok(reply::json(StatusCode::OK, &json!({}))),
        Answer::Refused(refused) => Err(Box::new(refusal(refused))),
        Answer::State(_) | Answer::RunCreated(_) | Answer::File(_) => Err(Box::new(unexpected())),
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::HostPort;

    use super::*;
    use crate::api::board::Board;
    use crate::api::facts::Facts;
    use crate::authorize::Policy;
    use crate::drive::mailbox::mailbox;

    #[tokio::test]
    async fn a_stranger_is_refused_before_the_ledger_is_asked() {
        let http = HostPort {
            host: "127.0.0.1".into(),
            port: 1,
        };
        let board = Arc::new(Board::new(http));
        let api = Arc::new(Api::new(board, Policy::Loopback, Facts::default()));
        let (master, _, machine) = mailbox();
        drop(machine);
        let headers = HeaderMap::new();
        for (from, status) in [
            ("127.0.0.1:1", StatusCode::SERVICE_UNAVAILABLE),
            ("10.0.0.1:1", StatusCode::FORBIDDEN),
        ] {
            let caller = Caller {
                principal: None,
                from: from.parse().unwrap(),
            };
            let call = Call {
                api: &api,
                caller: &caller,
                master: &master,
                query: Some("framework=f"),
                headers: &headers,
                body: b"",
            };
            for outcome in [
                call.run("1").await,
                call.kill_run("1").await,
                call.task_kill("t").await,
                call.task_logs("t").await,
                call.quorum_transfer().await,
            ] {
                let reply = outcome.unwrap_or_else(|refusal| *refusal);
                assert_eq!(reply.status(), status, "{from}");
            }
        }
    }
}
