//! Members, and what is told and asked among them: answered by every node, a plain member too.
//!
//! What lives here reads requests and writes answers. What deliberately does not: the gossip.

mod change;
mod list;
mod query;
mod stream;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::reply::{self, Reply};
use super::shoal::page;
use super::{Api, body};
use crate::gossip::{Ended, Gossip};

pub use list::{STATUSES, row};
pub use stream::word;

/// What answers a request about members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// All of them.
    List,
    /// This node.
    Own,
    /// What happens among them, as a stream.
    Stream,
    /// How far apart two members are.
    Distance,
    /// Join through others.
    Join,
    /// This node leaves, and ends.
    Leave,
    /// Take a member that failed off the list.
    Remove,
    /// Change this node's tags.
    Tags,
    /// Tell everyone an event.
    Event,
    /// Ask, and gather the answers.
    Query,
    /// Ask everyone for a sign of life.
    Reachability,
}

impl Members {
    /// Whether it changes something or costs all members work: such a request is a POST.
    pub fn changes(self) -> bool {
        match self {
            Members::List | Members::Own | Members::Stream | Members::Distance => false,
            Members::Join
            | Members::Leave
            | Members::Remove
            | Members::Tags
            | Members::Event
            | Members::Query
            | Members::Reachability => true,
        }
    }
}

/// A refusal on its way to the client.
type Outcome = Result<Reply, Box<Reply>>;

/// Answers a request about members.
pub async fn answer(api: &Arc<Api>, which: Members, request: Request<Incoming>) -> Reply {
    let (parts, incoming) = request.into_parts();
    let read = parts.method == Method::GET || parts.method == Method::HEAD;
    if which.changes() && parts.method != Method::POST {
        return reply::method_not_allowed("POST");
    }
    if !which.changes() && !read {
        return reply::method_not_allowed("GET");
    }
    if which == Members::List {
        return list::list(api, parts.uri.query()).unwrap_or_else(|refusal| *refusal);
    }
    let bytes = match body::read(&parts.headers, incoming).await {
        Ok(bytes) => bytes,
        Err(error) => return reply::problem(error.status(), error.to_string(), "", ""),
    };
    if which.changes()
        && let Err(refused) = page::refuse_foreign(api.policy, &parts.headers, !bytes.is_empty())
    {
        return *refused;
    }
    let Some(gossip) = api.gossip.get() else {
        return *ended(&Ended);
    };
    let call = Call {
        api,
        gossip,
        query: parts.uri.query(),
        body: &bytes,
    };
    let outcome = match which {
        Members::List | Members::Own => call.own().await,
        Members::Stream => call.stream(),
        Members::Distance => call.distance().await,
        Members::Join => call.join().await,
        Members::Leave => call.leave(),
        Members::Remove => call.remove().await,
        Members::Tags => call.tags().await,
        Members::Event => call.event().await,
        Members::Query => call.ask().await,
        Members::Reachability => call.reachability().await,
    };
    outcome.unwrap_or_else(|refusal| *refusal)
}

/// One request, taken apart.
struct Call<'a> {
    api: &'a Arc<Api>,
    gossip: &'a Gossip,
    query: Option<&'a str>,
    body: &'a [u8],
}

impl Call<'_> {
    /// The body as JSON of that form; an empty body is an empty object.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Box<Reply>> {
        let text: &[u8] = match self.body {
            [] => b"{}",
            body => body,
        };
        serde_json::from_slice(text)
            .map_err(|error| bad("the body is not what is expected here", error.to_string()))
    }
}

fn bad(error: impl Into<String>, detail: impl Into<String>) -> Box<Reply> {
    Box::new(reply::problem(StatusCode::BAD_REQUEST, error, detail, ""))
}

fn ended(error: &Ended) -> Box<Reply> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Box::new(reply::problem(status, error.to_string(), "", ""))
}

/// A payload as it was sent: a text, or any bytes in base64.
fn payload(text: Option<String>, encoded: Option<String>) -> Result<Bytes, Box<Reply>> {
    match (text, encoded) {
        (Some(_), Some(_)) => Err(bad("payload and payload_base64 are both there", "")),
        (Some(text), None) => Ok(text.into()),
        (None, Some(encoded)) => match STANDARD.decode(encoded) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(bad("payload_base64 is no base64", error.to_string())),
        },
        (None, None) => Ok(Bytes::new()),
    }
}

/// Adds a payload to a document: as text if it is one, else in base64.
fn put_payload(document: &mut Map<String, Value>, payload: &[u8]) {
    let (key, text) = match std::str::from_utf8(payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payload_base64", STANDARD.encode(payload)),
    };
    document.insert(key.to_owned(), text.into());
}
