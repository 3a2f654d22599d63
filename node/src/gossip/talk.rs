//! The shell's part of events and queries: who waits for which answers, and who listens.

use std::collections::BTreeMap;

use shoal_api::member::MemberEvent;
use shoal_membership::{Query, QueryEnd, QueryToken, Reply, UserEvent};
use tokio::sync::{broadcast, mpsc};

use super::limits;

/// Something that this node sees happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The list of members changed.
    Member(MemberEvent),
    /// Somebody told an event.
    Event(UserEvent),
    /// Somebody asks, and this node may answer. Never one of those that nodes ask among
    /// themselves.
    Query(Query),
}

/// What comes back of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// An acknowledgement or an answer.
    Reply(Reply),
    /// The last there is.
    End(QueryEnd),
}

/// Queries of this node's own, by token.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    askers: BTreeMap<QueryToken, mpsc::Sender<Returned>>,
    last: u64,
}

impl Waiting {
    /// A token for one more.
    pub fn add(&mut self, asker: mpsc::Sender<Returned>) -> QueryToken {
        self.last += 1;
        let token = QueryToken(self.last);
        self.askers.insert(token, asker);
        token
    }

    /// Passes a reply on. False if its reader is too slow, so that it is lost; one that is gone
    /// misses nothing.
    pub fn reply(&self, token: QueryToken, reply: Reply) -> bool {
        let Some(asker) = self.askers.get(&token) else {
            return true;
        };
        let sent = asker.try_send(Returned::Reply(reply));
        !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Ends one. The channel closes, so a reader that is too slow for the word sees it all the same.
    pub fn end(&mut self, token: QueryToken, end: QueryEnd) {
        if let Some(asker) = self.askers.remove(&token) {
            let _closes = asker.try_send(Returned::End(end));
        }
    }
}

/// A channel that everyone who wants may listen to; who is too slow is told how much it missed.
pub(super) fn happenings() -> broadcast::Sender<Happening> {
    broadcast::channel(limits::HAPPENINGS).0
}
