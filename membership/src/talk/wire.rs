//! The wire forms of events, queries and answers, checked when read. Tag numbers are never used
//! again for something else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use shoal_api::{Name, NodeId};

use super::lamport::LamportTime;
use super::query::{Filter, QueryKey, QueryOptions, QueryRequest};
use super::user_event::{EventBody, EventName, UserEvent};
use crate::identity::Identity;
use crate::limits;
use crate::message::Part;
use crate::message::wire::Life;

/// A broadcast as it came: its bytes go on as they are, and what they say, if this node knows it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub bytes: Bytes,
    pub what: What,
}

/// What a broadcast says.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Event(UserEvent),
    Query(Box<Asking>),
    /// A member that is gone, and that an operator takes off the list.
    Removal {
        identity: Identity,
        prune: bool,
    },
    /// Of a newer node.
    Unknown,
}

/// A query as it travels.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub key: QueryKey,
    pub name: EventName,
    pub payload: Bytes,
    pub filter: Filter,
    pub origin: Identity,
    pub acks: bool,
    pub relay: u8,
    pub timeout: Duration,
}

/// An acknowledgement or an answer as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnswerPart {
    pub key: QueryKey,
    pub node: NodeId,
    pub answer: Option<Bytes>,
}

/// One section: `repeated bytes items = 1`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Broadcasts {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub items: Vec<Bytes>,
}

impl Broadcasts {
    pub fn check(self) -> Option<Part> {
        if self.items.is_empty() || self.items.len() > limits::BROADCASTS_PER_SECTION {
            return None;
        }
        let heard: Option<Vec<_>> = self.items.into_iter().map(read).collect();
        Some(Part::Broadcasts(heard?))
    }
}

fn read(bytes: Bytes) -> Option<Heard> {
    if bytes.is_empty() || bytes.len() > limits::BROADCAST_BYTES {
        return None;
    }
    let broadcast = Broadcast::decode(bytes.clone()).ok()?;
    let what = match (broadcast.event, broadcast.query, broadcast.removal) {
        (Some(event), None, None) => What::Event(event.check()?),
        (None, Some(query), None) => What::Query(Box::new(query.check()?)),
        (None, None, Some(removal)) => removal.check()?,
        (None, None, None) => What::Unknown,
        (Some(_), _, _) | (_, Some(_), _) => return None,
    };
    Some(Heard { bytes, what })
}

/// One broadcast: exactly one of its fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Broadcast {
    #[prost(message, optional, tag = "1")]
    pub event: Option<Event>,
    #[prost(message, optional, tag = "2")]
    pub query: Option<Query>,
    #[prost(message, optional, tag = "3")]
    pub removal: Option<Removal>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    #[prost(uint64, tag = "1")]
    pub ltime: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
    #[prost(bool, tag = "4")]
    pub coalesce: bool,
}

impl From<&UserEvent> for Event {
    fn from(event: &UserEvent) -> Event {
        Event {
            ltime: event.ltime.0,
            name: event.name.as_str().to_owned(),
            payload: event.payload.clone(),
            coalesce: event.coalesce,
        }
    }
}

impl Event {
    pub fn check(self) -> Option<UserEvent> {
        let name = EventName::new(&self.name).ok()?;
        let body = EventBody::new(name, self.payload, self.coalesce).ok()?;
        Some(body.at(LamportTime(self.ltime)))
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Query {
    #[prost(uint64, tag = "1")]
    pub ltime: u64,
    #[prost(fixed64, tag = "2")]
    pub id: u64,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(bytes = "bytes", tag = "4")]
    pub payload: Bytes,
    #[prost(string, repeated, tag = "5")]
    pub nodes: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub tags: Vec<crate::message::wire::Tag>,
    #[prost(bytes = "bytes", tag = "7")]
    pub origin: Bytes,
    #[prost(bool, tag = "8")]
    pub acks: bool,
    #[prost(uint32, tag = "9")]
    pub relay: u32,
    #[prost(uint64, tag = "10")]
    pub timeout_millis: u64,
}

impl Query {
    /// Without what its asker adds when it asks.
    pub fn of(request: &QueryRequest) -> Query {
        let options = &request.options;
        let tags = options.tags.iter();
        Query {
            name: request.name.as_str().to_owned(),
            payload: request.payload.clone(),
            nodes: (options.nodes.iter())
                .map(|name| name.as_str().to_owned())
                .collect(),
            tags: tags
                .map(|(key, value)| crate::message::wire::Tag {
                    key: key.to_string(),
                    value: value.to_string(),
                })
                .collect(),
            acks: options.acks,
            relay: u32::from(options.relay),
            ..Query::default()
        }
    }

    pub fn check(self) -> Option<Asking> {
        let name = EventName::new(&self.name).ok()?;
        let nodes: Result<Vec<_>, _> = self.nodes.iter().map(|name| Name::new(name)).collect();
        let tags = self.tags.into_iter();
        let options = QueryOptions {
            nodes: nodes.ok()?,
            tags: tags
                .map(|tag| (Arc::from(tag.key), Arc::from(tag.value)))
                .collect(),
            acks: self.acks,
            timeout: Some(Duration::from_millis(self.timeout_millis)),
            relay: u8::try_from(self.relay).ok()?,
        };
        let request = QueryRequest::new(name, self.payload, options).ok()?;
        let options = request.options;
        Some(Asking {
            key: key(self.ltime, self.id),
            name: request.name,
            payload: request.payload,
            filter: Filter::new(options.nodes, &options.tags).ok()?,
            origin: Identity::decode_all(&self.origin)?,
            acks: options.acks,
            relay: options.relay,
            timeout: options.timeout?,
        })
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Removal {
    #[prost(bytes = "bytes", tag = "1")]
    pub identity: Bytes,
    #[prost(bool, tag = "2")]
    pub prune: bool,
}

impl Removal {
    fn check(self) -> Option<What> {
        Some(What::Removal {
            identity: Identity::decode_all(&self.identity)?,
            prune: self.prune,
        })
    }
}

/// An acknowledgement, or an answer, to one query.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answer {
    #[prost(uint64, tag = "1")]
    pub ltime: u64,
    #[prost(fixed64, tag = "2")]
    pub id: u64,
    #[prost(message, optional, tag = "3")]
    pub node: Option<Life>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub answer: Option<Bytes>,
}

impl From<&AnswerPart> for Answer {
    fn from(part: &AnswerPart) -> Answer {
        Answer {
            ltime: part.key.ltime.0,
            id: part.key.id,
            node: Some(node(part.node)),
            answer: part.answer.clone(),
        }
    }
}

impl Answer {
    pub fn check(self) -> Option<Part> {
        Some(Part::Answer(self.part()?))
    }

    fn part(self) -> Option<AnswerPart> {
        let fits = |answer: &Bytes| answer.len() <= limits::ANSWER_BYTES;
        self.answer.as_ref().is_none_or(fits).then_some(())?;
        Some(AnswerPart {
            key: key(self.ltime, self.id),
            node: self.node?.node()?,
            answer: self.answer,
        })
    }
}

/// An answer that the receiver passes on to who asked.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Relay {
    #[prost(message, optional, tag = "1")]
    pub to: Option<Life>,
    #[prost(message, optional, tag = "2")]
    pub answer: Option<Answer>,
}

impl Relay {
    pub fn check(self) -> Option<Part> {
        Some(Part::Relay {
            to: self.to?.node()?,
            answer: self.answer?.part()?,
        })
    }
}

/// An acknowledgement or an answer has arrived.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Receipt {
    #[prost(uint64, tag = "1")]
    pub ltime: u64,
    #[prost(fixed64, tag = "2")]
    pub id: u64,
    #[prost(bool, tag = "3")]
    pub answer: bool,
}

impl Receipt {
    pub fn check(self) -> Option<Part> {
        Some(Part::Receipt {
            key: key(self.ltime, self.id),
            answer: self.answer,
        })
    }
}

/// What a node has heard, for another to compare.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct EventDigest {
    #[prost(uint64, tag = "1")]
    pub event_clock: u64,
    #[prost(uint64, tag = "2")]
    pub query_clock: u64,
    #[prost(fixed64, repeated, tag = "3")]
    pub newest: Vec<u64>,
    /// It answers a digest, and wants none in return.
    #[prost(bool, tag = "4")]
    pub last: bool,
    /// It joins, and wants to know in any case how far the receiver is.
    #[prost(bool, tag = "5")]
    pub joining: bool,
}

impl EventDigest {
    pub fn check(self) -> Option<Part> {
        (self.newest.len() <= limits::EVENTS_COMPARED).then_some(Part::EventDigest(self))
    }
}

/// One section of events that the receiver lacked.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Events {
    #[prost(message, repeated, tag = "1")]
    pub events: Vec<Event>,
}

impl Events {
    pub fn check(self) -> Option<Part> {
        let events: Option<Vec<_>> = self.events.into_iter().map(Event::check).collect();
        Some(Part::Events(events?))
    }
}

/// A node, with nothing said of its life.
pub(crate) fn node(node: NodeId) -> Life {
    Life::from(crate::message::Life {
        node,
        generation: shoal_api::Generation(0),
        version: 0,
    })
}

fn key(ltime: u64, id: u64) -> QueryKey {
    QueryKey {
        ltime: LamportTime(ltime),
        id,
    }
}
