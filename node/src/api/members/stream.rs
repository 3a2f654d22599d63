//! What happens among the members, as server-sent events, from the request on.

use std::fmt::Write;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use shoal_api::member::{MemberEvent, MemberStatus};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Call, Outcome, put_payload};
use crate::api::reply::{self, Reply, ReplyBody};
use crate::api::route::query;
use crate::gossip::Happening;
use crate::limits;

impl Call<'_> {
    /// Follows what happens.
    pub fn stream(&self) -> Outcome {
        let seats = std::sync::Arc::clone(&self.api.event_clients);
        let Ok(seat) = seats.try_acquire_owned() else {
            return Err(Box::new(reply::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{} clients follow this node", limits::EVENT_CLIENTS),
                "",
                "follow another one: every node hears everything",
            )));
        };
        let wanted = query(self.query, "type").unwrap_or_default();
        let wanted: Vec<String> = wanted.split(',').map(str::to_owned).collect();
        let happenings = self.gossip.happenings();
        let (pieces, body) = mpsc::channel(limits::EVENTS_PIECES);
        tokio::spawn(pump(happenings, wanted, pieces, seat));
        let mut reply = Reply::new(ReplyBody::Stream(body));
        let headers = reply.headers_mut();
        let kind = HeaderValue::from_static("text/event-stream");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(reply)
    }
}

/// Writes one client's events until either side is gone.
async fn pump(
    mut happenings: broadcast::Receiver<Happening>,
    wanted: Vec<String>,
    pieces: mpsc::Sender<Bytes>,
    _seat: OwnedSemaphorePermit,
) {
    let mut piece = Bytes::from_static(b": members\n\n");
    loop {
        let sent = timeout(limits::EVENTS_UNREAD, pieces.send(piece)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
        piece = tokio::select! {
            next = next(&mut happenings, &wanted) => match next {
                Some(piece) => piece.into(),
                None => return,
            },
            () = pieces.closed() => return,
        };
    }
}

/// The next piece for one client; `None` at the end of the gossip.
async fn next(
    happenings: &mut broadcast::Receiver<Happening>,
    wanted: &[String],
) -> Option<String> {
    let beat = Instant::now() + limits::EVENTS_HEARTBEAT;
    loop {
        match timeout_at(beat, happenings.recv()).await {
            Ok(Ok(happening)) if !wants(wanted, word(&happening)) => {}
            Ok(Ok(happening)) => return Some(event(word(&happening), &document(&happening))),
            Ok(Err(RecvError::Lagged(missed))) => {
                return Some(event("missed", &json!({ "count": missed })));
            }
            Ok(Err(RecvError::Closed)) => return None,
            Err(_) => return Some(": alive\n\n".to_owned()),
        }
    }
}

/// Whether a client wants what has that word; it may have named only its beginning, as `member`.
fn wants(wanted: &[String], word: &str) -> bool {
    let named = |text: &String| {
        let rest = word.strip_prefix(text.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-') || text.is_empty())
    };
    wanted.iter().any(named)
}

fn event(kind: &str, document: &Value) -> String {
    let mut text = String::new();
    write!(text, "event: {kind}\ndata: {document}\n\n").expect("a text takes all");
    text
}

/// Serf's word for what happens.
pub fn word(happening: &Happening) -> &'static str {
    match happening {
        Happening::Member(event) => match event {
            MemberEvent::Joined(_) => "member-join",
            MemberEvent::StatusChanged(member) => match member.status {
                MemberStatus::Alive => "member-alive",
                MemberStatus::Suspect => "member-suspect",
                MemberStatus::Leaving => "member-leaving",
                MemberStatus::Left => "member-leave",
                MemberStatus::Failed => "member-failed",
            },
            MemberEvent::Updated(_) => "member-update",
            MemberEvent::Reaped(_) => "member-reap",
        },
        Happening::Event(_) => "user",
        Happening::Query(_) => "query",
    }
}

fn document(happening: &Happening) -> Value {
    let mut document = match happening {
        Happening::Member(
            MemberEvent::Joined(member)
            | MemberEvent::StatusChanged(member)
            | MemberEvent::Updated(member),
        ) => json!({ "member": super::row(member) }),
        Happening::Member(MemberEvent::Reaped(id)) => json!({ "member": { "id": id.to_string() } }),
        Happening::Event(event) => {
            let mut document = Map::new();
            document.insert("name".to_owned(), event.name.as_str().into());
            document.insert("ltime".to_owned(), event.ltime.0.into());
            document.insert("coalesce".to_owned(), event.coalesce.into());
            put_payload(&mut document, &event.payload);
            Value::Object(document)
        }
        Happening::Query(query) => {
            let mut document = Map::new();
            document.insert("name".to_owned(), query.name.as_str().into());
            document.insert("ltime".to_owned(), query.key.ltime.0.into());
            document.insert("from".to_owned(), query.from.to_string().into());
            put_payload(&mut document, &query.payload);
            Value::Object(document)
        }
    };
    document["type"] = word(happening).into();
    document["time"] = crate::clock::calendar().as_seconds().into();
    document
}
