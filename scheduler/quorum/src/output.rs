//! Everything that a quorum machine can ask for or tell.

use std::sync::Arc;

use bytes::Bytes;
use shoal_api::{Index, RaftId, Term};

use crate::entry::{Batch, Snapshot};
use crate::input::{ReadId, Ticket};
use crate::membership::{ChangeRefusal, Membership, MembershipChange};
use crate::message::Message;
use crate::status::Status;

/// What a committed entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Proposed bytes.
    Data(Bytes),
    /// Nothing: the first entry of a leader's term, or a change that came too late.
    Empty,
    /// The membership from here on.
    Membership(Membership),
}

/// Why proposed bytes come back. They are in no log; the caller may propose them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Another leads, or nobody does.
    NotLeader {
        /// Who leads, if known.
        leader: Option<RaftId>,
    },
    /// Leadership is being handed over.
    Transferring,
    /// Too much is proposed and not committed, or the log in memory is at its bound.
    Overloaded,
    /// The disk has no room for more log.
    DiskFull,
    /// The bytes are more than an entry may hold.
    TooLarge,
}

/// How an attempt to hand leadership over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferOutcome {
    /// This node does not lead any more. Who does follows as [`Output::Status`].
    Done,
    /// It did not happen within an election timeout; this node leads on.
    TimedOut,
    /// This node does not lead.
    NotLeader,
    /// There is no other voter that answers, or the one named is none.
    NoCandidate,
}

/// What the driver must do or pass on, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send to a peer. It may be lost; order between two peers' messages does not matter.
    Send {
        /// To whom.
        to: RaftId,
        /// What.
        message: Message,
    },
    /// Make durable, in the order of the tickets, and answer [`crate::Input::Persisted`]. Several may
    /// be outstanding, at most [`crate::limits::BATCHES_IN_FLIGHT`].
    Persist {
        /// Its number.
        ticket: Ticket,
        /// What.
        batch: Batch,
    },
    /// Write an own snapshot to a file, beside the log's order, and answer
    /// [`crate::Input::SnapshotSaved`]. Older snapshots may go once it is durable.
    SaveSnapshot(Snapshot),
    /// The log up to and including this index is not needed any more.
    Compact {
        /// The last entry that may go.
        through: Index,
    },
    /// Apply a committed entry to the state machine.
    Apply {
        /// Its position; one above the last.
        index: Index,
        /// Its term.
        term: Term,
        /// What it holds.
        kind: Applied,
    },
    /// Replace the state machine by this image.
    Restore {
        /// The last entry in it; the next to apply is one above.
        index: Index,
        /// That entry's term.
        term: Term,
        /// The membership at that index.
        membership: Membership,
        /// The state machine's bytes; never without any.
        chunks: Arc<[Bytes]>,
    },
    /// Leader, term, role or membership changed.
    Status(Status),
    /// Everything that was committed when the read was asked has been handed out with
    /// [`Output::Apply`] before this.
    ReadReady {
        /// The read.
        context: ReadId,
        /// The index it was certain about.
        index: Index,
    },
    /// The read found no leader in time.
    ReadFailed {
        /// The read.
        context: ReadId,
    },
    /// Proposed bytes were not taken.
    ProposalDropped {
        /// The bytes.
        data: Bytes,
        /// Why.
        reason: DropReason,
    },
    /// A change of the membership did not begin.
    ChangeRefused {
        /// Which.
        change: MembershipChange,
        /// Why.
        reason: ChangeRefusal,
    },
    /// An attempt to hand leadership over ended.
    TransferEnded(TransferOutcome),
    /// Take an image of the state machine as applied so far and answer
    /// [`crate::Input::SnapshotTaken`]: the log is long, or a peer needs one.
    WantSnapshot {
        /// The image must cover this index at least; what has been applied always does.
        at_least: Index,
    },
}
