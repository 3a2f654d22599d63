//! What is durable: entries, the hard state, snapshots, and what a restart finds of them.
//!
//! What deliberately does not live here: how they look on disk (`node/disk`).

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::{Index, RaftId, Term};
use thiserror::Error;

use crate::membership::Membership;
use crate::wire;

/// What the bytes of an entry mean to Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// The proposer's bytes, or none: a new leader begins its term with an empty entry.
    Data,
    /// A change of the membership.
    Membership,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its position.
    pub index: Index,
    /// The term of the leader that appended it.
    pub term: Term,
    /// What its bytes mean.
    pub kind: EntryKind,
    /// Its bytes, at most [`crate::limits::ENTRY_BYTES`].
    pub data: Bytes,
}

impl LogEntry {
    /// What a change of the membership says, for people; `None` for any other entry, and for bytes that
    /// are no change.
    pub fn change_text(&self) -> Option<String> {
        match self.kind {
            EntryKind::Data => None,
            EntryKind::Membership => wire::change_text(&self.data),
        }
    }
}

/// What Raft must remember besides its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// The latest term seen.
    pub term: Term,
    /// Who got this node's vote in that term.
    pub vote: Option<RaftId>,
    /// How far the log was known to be committed; a hint, which may be lower than the truth.
    pub commit: Index,
}

/// An image of the state machine that stands for all entries up to its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry it covers.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The membership at that index.
    pub membership: Membership,
    /// The state machine's own bytes, in its own pieces. None when a cluster is founded: the state
    /// machine is empty.
    pub chunks: Arc<[Bytes]>,
}

/// What the disk must make durable as one: all of it or none.
///
/// The order within: snapshot, entries, hard state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The new hard state.
    pub hard_state: Option<HardState>,
    /// New entries, without gaps. Whatever the log holds at or after the first one's index is void.
    pub entries: Vec<LogEntry>,
    /// A snapshot received from the leader: it replaces the log and everything before it.
    pub snapshot: Option<Snapshot>,
}

/// What a restart finds on its disk. The default is an empty disk: a learner to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last hard state.
    pub hard_state: HardState,
    /// The latest snapshot.
    pub snapshot: Option<Snapshot>,
    /// The log, without gaps; it may begin before the snapshot's index.
    pub entries: Vec<LogEntry>,
}

/// Why what was recovered is not a log. The disk lost or mixed something: the node must not serve.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecoveryError {
    /// An entry is missing.
    #[error("log has entry {found} where entry {expected} belongs")]
    Gap {
        /// The index that should come.
        expected: Index,
        /// The index that came.
        found: Index,
    },
    /// The log begins after the snapshot ends.
    #[error("log begins at {first}, but the snapshot covers only up to {snapshot}")]
    Unconnected {
        /// The first entry found.
        first: Index,
        /// The snapshot's index, 0 without one.
        snapshot: Index,
    },
    /// Terms never fall along a log.
    #[error("entry {index} has term {term}, below the term {before} before it")]
    TermFalls {
        /// Where.
        index: Index,
        /// Its term.
        term: Term,
        /// The term of the entry before.
        before: Term,
    },
    /// The hard state is older than the log, which only a lost write explains.
    #[error("hard state has term {hard_state}, below the log's term {log}")]
    HardStateBehind {
        /// The recovered term.
        hard_state: Term,
        /// The term of the last entry.
        log: Term,
    },
    /// Raft itself refuses it.
    #[error("raft refuses the recovered state: {0}")]
    Refused(String),
}

/// What a founding member starts from: a log of one committed entry, the membership itself.
///
/// All founders must be given the same set; order and repetition do not matter.
pub fn found(members: &[RaftId]) -> Recovered {
    let membership = Membership::of(members);
    assert!(
        !membership.voters.is_empty() && !membership.voters.contains(&RaftId(0)),
        "quorum: founders {members:?} are not a quorum"
    );
    let (index, term) = (Index(1), Term(1));
    Recovered {
        hard_state: HardState {
            term,
            vote: None,
            commit: index,
        },
        snapshot: Some(Snapshot {
            index,
            term,
            membership,
            chunks: Arc::new([]),
        }),
        entries: Vec::new(),
    }
}
