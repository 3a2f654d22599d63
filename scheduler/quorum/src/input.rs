//! Everything that can happen to a quorum machine.

use std::sync::Arc;

use bytes::Bytes;
use shoal_api::{Index, RaftId};

use crate::membership::MembershipChange;
use crate::message::Message;

/// Names one read for its caller; the machine only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Numbers what the disk was asked to make durable. It rises with every [`crate::Output::Persist`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The deadline passed.
    Wake,
    /// A peer sent a message over its authenticated stream.
    Receive {
        /// Whose stream it was.
        from: RaftId,
        /// What it said.
        message: Message,
    },
    /// The stream to a peer broke: its process is gone, or the way to it. A hint, which may be wrong.
    StreamBroken {
        /// Which peer.
        peer: RaftId,
    },
    /// Replicate these bytes, at least one. Only a leader can; else, or when it is overloaded, they
    /// come back with [`crate::Output::ProposalDropped`]. What is not dropped may still be lost with
    /// the leader: the caller recognises its proposals in [`crate::Output::Apply`].
    Propose {
        /// The bytes, at most [`crate::limits::ENTRY_BYTES`].
        data: Bytes,
    },
    /// Tell when this replica has applied everything that was committed when this was asked.
    Read {
        /// Returned with the answer.
        context: ReadId,
    },
    /// Change the membership.
    Change(MembershipChange),
    /// Hand leadership over.
    Transfer {
        /// To whom; without one, to the voter that has most of the log.
        to: Option<RaftId>,
    },
    /// Everything up to this ticket is durable.
    Persisted {
        /// The latest durable one.
        ticket: Ticket,
    },
    /// An image of the state machine is ready, as it was after it applied that index.
    SnapshotTaken {
        /// The last entry in it.
        index: Index,
        /// Its bytes, in one or more pieces of any size, at most [`crate::limits::SNAPSHOT_BYTES`] together.
        chunks: Arc<[Bytes]>,
    },
    /// A snapshot of [`crate::Output::SaveSnapshot`] is durable.
    SnapshotSaved {
        /// Which.
        index: Index,
    },
    /// The disk has no room for more log: new proposals are refused, promises are kept.
    DiskFull,
    /// The disk has room again.
    DiskHasRoom,
}
