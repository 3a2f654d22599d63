//! How a quorum machine describes itself.

use shoal_api::{Index, RaftId, Term};

use crate::membership::Membership;

/// What a replica does in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RaftRole {
    /// Follows, or waits for a leader; a learner always does.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// Where a replica stands; told again whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who it is.
    pub id: RaftId,
    /// Who leads in this term, if known.
    pub leader: Option<RaftId>,
    /// The term.
    pub term: Term,
    /// What it does in it.
    pub role: RaftRole,
    /// The membership as applied here.
    pub membership: Membership,
}

/// What a leader knows of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProgress {
    /// Which member.
    pub id: RaftId,
    /// How much of the log it has for certain.
    pub matched: Index,
    /// Whether it answered within the last election timeout.
    pub active: bool,
    /// Whether it is being sent a snapshot.
    pub snapshot: bool,
}

/// Counters, from the start of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages sent.
    pub sent: u64,
    /// Messages received and handed to Raft.
    pub received: u64,
    /// Messages received and dropped, because they were for another, from a removed id, or not
    /// possible.
    pub refused: u64,
    /// Messages not sent because too many waited for the disk.
    pub held_dropped: u64,
    /// Elections begun here.
    pub campaigns: u64,
    /// Proposals taken.
    pub proposed: u64,
    /// Proposals returned.
    pub dropped: u64,
    /// Entries handed out for application.
    pub applied: u64,
    /// Snapshots sent completely.
    pub snapshots_sent: u64,
    /// Snapshots whose sending failed.
    pub snapshots_failed: u64,
    /// Snapshots installed.
    pub snapshots_installed: u64,
    /// Rounds of reads begun.
    pub read_rounds: u64,
}
