//! Mesos' read endpoints of version 0 on a master, and what they share with the operator API: how a
//! moment of the ledger is read, how a long answer is written aside, and who leads.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use shoal_master::{Answer, MasterInfo, View};
use shoal_mesos::listing::{self, Build, Identity, TaskQuery};
use shoal_mesos::master::Master;

use super::Api;
use super::moment::Moment;
use super::reply::{self, Reply};
use super::route::{Listing, query};
use crate::drive::mailbox::Mailbox;
use crate::limits;

/// `/redirect`: the leader, without a path.
pub fn redirect(api: &Api) -> Reply {
    let location = leader(api).map(|info| HeaderValue::from_str(&format!("//{}", info.http)));
    match location {
        Some(Ok(location)) => {
            let mut reply = reply::empty(StatusCode::TEMPORARY_REDIRECT);
            reply.headers_mut().insert(LOCATION, location);
            reply
        }
        Some(Err(_)) => {
            let why = "The leader's address cannot be written in a header";
            reply::text(StatusCode::SERVICE_UNAVAILABLE, why)
        }
        None => reply::text(StatusCode::SERVICE_UNAVAILABLE, "No leader elected"),
    }
}

fn leader(api: &Api) -> Option<MasterInfo> {
    let leader = api.board.leadership()?.leader?;
    let masters = api.board.masters();
    masters.iter().find(|info| info.raft == leader).cloned()
}

/// Answers one of the listings.
pub async fn answer(
    api: &Arc<Api>,
    master: &Mailbox,
    listing: Listing,
    asked: Option<&str>,
) -> Reply {
    let callback = match callback(asked) {
        Ok(callback) => callback,
        Err(refusal) => return *refusal,
    };
    let view = match view(master).await {
        Ok(view) => view,
        Err(refusal) => return *refusal,
    };
    let value = |key: &str| query(asked, key);
    let (of_agent, of_framework) = (value("slave_id"), value("framework_id"));
    let tasks = TaskQuery::parse(value);
    let for_writer = Arc::clone(api);
    let written = aside(api, move || {
        let mut pieces = Vec::new();
        let mut sink = |piece: Bytes| pieces.push(piece);
        let source = Moment::new(&view.state);
        let of = of_framework.as_deref();
        match listing {
            Listing::State => {
                with_identity(&for_writer, &view, |identity| {
                    listing::state(identity, &source, &mut sink);
                });
            }
            Listing::Summary => {
                with_identity(&for_writer, &view, |identity| {
                    listing::state_summary(identity, &source, &mut sink);
                });
            }
            Listing::Slaves => listing::slaves(&source, of_agent.as_deref(), &mut sink),
            Listing::Frameworks => listing::frameworks(&source, of, &mut sink),
            Listing::Tasks => listing::tasks(&tasks, &source, &mut sink),
            Listing::Roles => listing::roles(&source, &mut sink),
        }
        pieces
    });
    match written.await {
        Ok(Written { pieces, held }) => finished(callback, pieces, Some(held)),
        Err(refusal) => *refusal,
    }
}

/// A short document of version 0, as JSON or as a call of what `jsonp` names.
pub fn document(asked: Option<&str>, body: impl Into<Bytes>) -> Reply {
    match callback(asked) {
        Ok(callback) => finished(callback, vec![body.into()], None),
        Err(refusal) => *refusal,
    }
}

/// The function that `jsonp` names. What could be anything but a name is refused, where Mesos takes it.
///
/// # Errors
/// 400.
pub fn callback(asked: Option<&str>) -> Result<Option<String>, Box<Reply>> {
    let Some(name) = query(asked, "jsonp") else {
        return Ok(None);
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_$.[]".contains(c);
    if name.is_empty() || name.len() > limits::CALLBACK_BYTES || !name.chars().all(is_name) {
        let why = "'jsonp' must name a function: letters, digits, '_', '$', '.', '[' and ']'";
        return Err(Box::new(reply::text(StatusCode::BAD_REQUEST, why)));
    }
    Ok(Some(name))
}

/// JSON, or a call of a function with it.
pub fn finished(
    callback: Option<String>,
    mut pieces: Vec<Bytes>,
    held: Option<tokio::sync::OwnedSemaphorePermit>,
) -> Reply {
    let Some(callback) = callback else {
        return reply::pieces(StatusCode::OK, "application/json", pieces, held);
    };
    pieces.insert(0, Bytes::from(format!("{callback}(")));
    pieces.push(Bytes::from_static(b")"));
    let mut reply = reply::pieces(StatusCode::OK, "text/javascript", pieces, held);
    let sniff = HeaderValue::from_static("nosniff");
    reply
        .headers_mut()
        .insert(http::header::X_CONTENT_TYPE_OPTIONS, sniff);
    reply
}

/// The ledger, current.
///
/// # Errors
/// 503: there is no leader.
pub async fn view(master: &Mailbox) -> Result<View, Box<Reply>> {
    match master.ask(shoal_master::Request::Read).await {
        Answer::State(view) => Ok(view),
        Answer::Done | Answer::RunCreated(_) | Answer::File(_) | Answer::Refused(_) => {
            let why = "No leader can be reached";
            Err(Box::new(reply::text(StatusCode::SERVICE_UNAVAILABLE, why)))
        }
    }
}

/// What was written, and the right to be held in memory until it is sent.
pub struct Written {
    /// In order.
    pub pieces: Vec<Bytes>,
    /// Given back once they are sent.
    pub held: tokio::sync::OwnedSemaphorePermit,
}

/// Writes a long answer on a thread of its own, so that neither the machine nor other connections
/// wait for it.
///
/// # Errors
/// 503: too many are being written or sent.
pub async fn aside(
    api: &Api,
    write: impl FnOnce() -> Vec<Bytes> + Send + 'static,
) -> Result<Written, Box<Reply>> {
    let busy = || {
        let why = "Too many listings are being written or sent; ask again in a moment";
        Box::new(reply::text(StatusCode::SERVICE_UNAVAILABLE, why))
    };
    let room = Arc::clone(&api.listings).acquire_owned();
    let held = match tokio::time::timeout(limits::LISTING_WAIT, room).await {
        Ok(held) => held.expect("the semaphore is never closed"),
        Err(_) => return Err(busy()),
    };
    let pieces = tokio::task::spawn_blocking(write).await;
    let pieces = pieces.map_err(|_| busy())?;
    Ok(Written { pieces, held })
}

/// Calls with who answers and who leads.
pub fn with_identity<T>(api: &Api, view: &View, then: impl FnOnce(&Identity<'_>) -> T) -> T {
    let id: Arc<str> = Arc::from(view.state.origin().to_string());
    then(&Identity {
        master: Master {
            id: Arc::clone(&id),
            http: api.board.http(),
        },
        leader: leader(api).map(|info| Master {
            id,
            http: info.http,
        }),
        cluster: &api.facts.cluster,
        started: api.board.started(),
        elected: api.board.elected(),
        flags: &api.facts.master_flags,
        build: Build::default(),
    })
}
