//! What is told to everyone beside who is a member: user events, queries and their answers, and
//! members that an operator takes off the list.
//!
//! It spreads in a queue of its own, since SWIM forgets a broadcast after a while: see
//! [`broadcasts::Broadcasts`]. What lives here: the types, their wire forms, the clocks that order them, and
//! the machine's part of spreading, asking and answering. What deliberately does not: what an
//! event or a query means, and who runs a script for it.
//!
//! Source: Serf's events and queries, as described in its documentation; formats are ours.

mod answering;
pub(crate) mod broadcasts;
mod events;
mod heard;
mod lamport;
mod query;
mod send;
mod user_event;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use shoal_api::Instant;

pub use lamport::{Clocks, LamportTime};
pub use query::{
    AnswerBody, Filter, FilterError, Query, QueryEnd, QueryError, QueryKey, QueryOptions,
    QueryRequest, QueryToken, Reply,
};
pub use user_event::{EventBody, EventError, EventName, UserEvent};

use answering::{Asked, Open, Outgoing};
use broadcasts::Broadcasts;
use events::EventRing;

/// All of it that one node holds.
#[derive(Debug)]
pub(crate) struct Talk {
    pub queue: Broadcasts,
    pub clocks: Clocks,
    pub events: EventRing,
    /// Queries heard, so that none counts twice.
    queries: BTreeSet<QueryKey>,
    /// Broadcasts of newer nodes that were passed on, so that none is passed on twice.
    unknown: BTreeSet<Bytes>,
    unknown_order: VecDeque<Bytes>,
    /// Queries of this node's own that wait for answers.
    asked: BTreeMap<QueryKey, Asked>,
    /// Queries that this node may answer.
    open: BTreeMap<QueryKey, Open>,
    /// Acknowledgements and answers whose receipt is awaited.
    outgoing: BTreeMap<(QueryKey, bool), Outgoing>,
    /// When something of the last three is due, or earlier.
    due: Instant,
}

impl Talk {
    pub fn new(clocks: Clocks, replay: bool) -> Talk {
        Talk {
            queue: Broadcasts::default(),
            clocks,
            events: EventRing::new(clocks.event, replay),
            queries: BTreeSet::new(),
            unknown: BTreeSet::new(),
            unknown_order: VecDeque::new(),
            asked: BTreeMap::new(),
            open: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            due: Instant::NEVER,
        }
    }

    /// Queries of this node's own that wait for answers, and queries that it may answer.
    pub fn queries_open(&self) -> (usize, usize) {
        (self.asked.len(), self.open.len())
    }
}
