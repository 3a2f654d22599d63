//! What waits for the disk: which of Raft's readies a ticket makes durable, and which messages may
//! only be sent then.
//!
//! A follower's messages wait for everything before them. A leader's appends do not wait for its own
//! disk, so that both sync at once, but they wait for the term and the vote that made it leader: a
//! sole voter with learners leads before its vote is durable.

use std::collections::VecDeque;
use std::time::Duration;

use raft::eraftpb::Message;
use shoal_api::Instant;

use crate::entry::Snapshot;
use crate::input::Ticket;
use crate::limits;

#[derive(Debug)]
struct Pending {
    ready: u64,
    ticket: Ticket,
    snapshot: Option<Snapshot>,
}

/// Invariants: tickets in both queues never fall; every pending ticket is above `durable`.
#[derive(Debug, Default)]
pub(crate) struct Persistence {
    issued: Ticket,
    /// When each ticket that is not durable was issued.
    open: VecDeque<(Ticket, Instant)>,
    durable: Ticket,
    /// The latest ticket that carried a new term or vote.
    vote: Ticket,
    pending: VecDeque<Pending>,
    held: VecDeque<(Ticket, Message)>,
}

/// What became possible.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    /// The latest ready that is durable.
    pub(crate) ready: Option<u64>,
    /// The latest snapshot among them.
    pub(crate) snapshot: Option<Snapshot>,
    /// What may be sent.
    pub(crate) messages: Vec<Message>,
}

impl Persistence {
    /// The next ticket; `votes` if it carries a new term or vote.
    pub(crate) fn issue(&mut self, now: Instant, votes: bool) -> Ticket {
        self.issued = Ticket(self.issued.0 + 1);
        self.open.push_back((self.issued, now));
        if votes {
            self.vote = self.issued;
        }
        self.issued
    }

    /// Notes a ready whose writes, if it has any, are in the latest ticket. Returns whether it is
    /// durable at once.
    pub(crate) fn note(&mut self, ready: u64, snapshot: Option<Snapshot>) -> bool {
        if self.issued == self.durable {
            assert!(snapshot.is_none(), "quorum: a snapshot without a ticket");
            return true;
        }
        self.pending.push_back(Pending {
            ready,
            ticket: self.issued,
            snapshot,
        });
        false
    }

    /// Returns the message if it may be sent at once, holds it if not. What is held beyond the bound
    /// is dropped, and the error says so.
    pub(crate) fn hold(&mut self, message: Message, leads: bool) -> Result<Option<Message>, ()> {
        let needed = if leads { self.vote } else { self.issued };
        if needed <= self.durable {
            return Ok(Some(message));
        }
        if self.held.len() >= limits::MESSAGES_HELD {
            return Err(());
        }
        let needed = self
            .held
            .back()
            .map_or(needed, |(last, _)| needed.max(*last));
        self.held.push_back((needed, message));
        Ok(None)
    }

    /// Everything up to this ticket is durable.
    pub(crate) fn complete(&mut self, ticket: Ticket) -> Durable {
        assert!(
            ticket <= self.issued,
            "quorum: {ticket:?} is durable before it was issued"
        );
        self.durable = self.durable.max(ticket);
        while self
            .open
            .pop_front_if(|(open, _)| *open <= ticket)
            .is_some()
        {}
        let mut done = Durable::default();
        while let Some(pending) = self.pending.pop_front_if(|p| p.ticket <= ticket) {
            done.ready = Some(pending.ready);
            done.snapshot = pending.snapshot.or(done.snapshot);
        }
        while let Some((_, message)) = self.held.pop_front_if(|(needed, _)| *needed <= ticket) {
            done.messages.push(message);
        }
        done
    }

    /// Batches that are not durable.
    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(self.issued.0 - self.durable.0).expect("batches in flight are bounded")
    }

    /// Whether the disk has not finished a batch for that long.
    pub(crate) fn stalled(&self, now: Instant, patience: Duration) -> bool {
        let oldest = self.open.front();
        oldest.is_some_and(|(_, at)| now.since(*at) >= patience)
    }

    /// Whether a received snapshot is not durable.
    pub(crate) fn installs(&self) -> bool {
        self.pending.iter().any(|p| p.snapshot.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_waits_for_everything_a_leader_for_its_vote() {
        let mut p = Persistence::default();
        assert_eq!(p.issue(Instant::ZERO, true), Ticket(1));
        assert!(!p.note(1, None));
        assert!(p.hold(Message::default(), true).unwrap().is_none());
        assert_eq!(p.complete(Ticket(1)).messages.len(), 1);
        p.issue(Instant::ZERO, false);
        assert!(!p.note(2, None));
        assert!(p.hold(Message::default(), true).unwrap().is_some());
        assert!(p.hold(Message::default(), false).unwrap().is_none());
        let done = p.complete(Ticket(2));
        assert_eq!((done.ready, done.messages.len()), (Some(2), 1));
        assert_eq!(p.in_flight(), 0);
    }

    #[test]
    fn a_ready_without_writes_is_durable_with_those_before_it() {
        let mut p = Persistence::default();
        assert!(p.note(1, None));
        p.issue(Instant::ZERO, false);
        assert!(!p.note(2, None));
        assert!(!p.note(3, None));
        assert_eq!(p.complete(Ticket(1)).ready, Some(3));
    }
}
