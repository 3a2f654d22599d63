//! Who votes, who learns, and how that may change.
//!
//! What deliberately does not live here: when to change it. The master or an operator asks, one
//! change at a time.

use std::fmt;

use serde::{Deserialize, Serialize};
use shoal_api::RaftId;
use thiserror::Error;

/// The members of the quorum at one index. All lists are sorted and hold nobody twice.
///
/// Invariants: `learners` is disjoint from both halves of the voters; `learners_next` is a part of
/// `outgoing`; nobody in `removed` is in any other list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Who votes.
    pub voters: Vec<RaftId>,
    /// Who voted before, while a joint change is under way: then both majorities are needed.
    pub outgoing: Vec<RaftId>,
    /// Who receives the log and does not vote.
    pub learners: Vec<RaftId>,
    /// Who becomes a learner when the joint change ends.
    pub learners_next: Vec<RaftId>,
    /// Who was removed, and never returns. The latest [`crate::limits::REMOVED_IDS`] are kept, in
    /// the order of their removal.
    pub removed: Vec<RaftId>,
}

impl Membership {
    /// A membership of these voters alone.
    pub fn of(voters: &[RaftId]) -> Membership {
        let mut voters = voters.to_vec();
        voters.sort_unstable();
        voters.dedup();
        Membership {
            voters,
            ..Membership::default()
        }
    }

    /// Whether it votes, in either half of a joint change.
    pub fn votes(&self, id: RaftId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Whether it belongs to it at all.
    pub fn contains(&self, id: RaftId) -> bool {
        self.votes(id) || self.learners.contains(&id)
    }

    /// Whether a joint change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Everybody in it, sorted.
    pub fn members(&self) -> Vec<RaftId> {
        let mut all: Vec<RaftId> = self
            .voters
            .iter()
            .chain(&self.outgoing)
            .chain(&self.learners)
            .copied()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// One change of the membership. Only the leader can begin one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    /// Lets a newcomer receive the log.
    AddLearner {
        /// Who.
        id: RaftId,
    },
    /// Gives a caught-up learner a vote: one voter more.
    Promote {
        /// Which learner.
        id: RaftId,
    },
    /// Puts a caught-up learner in a voter's place, in one joint change, and removes that voter for
    /// ever. The number of voters stays.
    Replace {
        /// The voter that goes.
        old: RaftId,
        /// The learner that takes its place.
        new: RaftId,
    },
    /// Removes a learner or a voter for ever. Its own leader cannot be removed: it hands over first.
    Remove {
        /// Who.
        id: RaftId,
    },
}

impl fmt::Display for MembershipChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MembershipChange::AddLearner { id } => write!(f, "add learner {id}"),
            MembershipChange::Promote { id } => write!(f, "promote learner {id}"),
            MembershipChange::Replace { old, new } => write!(f, "replace {old} by {new}"),
            MembershipChange::Remove { id } => write!(f, "remove {id}"),
        }
    }
}

/// Why a change did not begin. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChangeRefusal {
    /// Ask the leader.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, if known.
        leader: Option<RaftId>,
    },
    /// The leader has not committed an entry of its own term. Ask again.
    #[error("the leader's term has just begun")]
    TermTooYoung,
    /// Another change is under way. Ask again.
    #[error("another change is under way")]
    Busy,
    /// Leadership is being handed over. Ask the next leader.
    #[error("leadership is being handed over")]
    Transferring,
    /// It was removed once, and ids never return.
    #[error("{id} was removed and never returns")]
    Removed {
        /// Who.
        id: RaftId,
    },
    /// It is already what it should become.
    #[error("{id} is already a member")]
    AlreadyMember {
        /// Who.
        id: RaftId,
    },
    /// It is not a member.
    #[error("{id} is not a member")]
    Unknown {
        /// Who.
        id: RaftId,
    },
    /// Only a learner can get a vote.
    #[error("{id} is not a learner")]
    NotLearner {
        /// Who.
        id: RaftId,
    },
    /// Only a voter can be replaced.
    #[error("{id} is not a voter")]
    NotVoter {
        /// Who.
        id: RaftId,
    },
    /// The learner lacks too much of the log. Ask again when it has caught up.
    #[error("{id} has not caught up with the log")]
    NotCaughtUp {
        /// Who.
        id: RaftId,
    },
    /// The leader cannot go; it has begun to hand over. Ask the next leader.
    #[error("{id} leads; it hands leadership over first")]
    IsLeader {
        /// Who.
        id: RaftId,
    },
    /// There would be no voter, or no majority that answers.
    #[error("too few of the voters that would be left answer")]
    TooFewVoters,
    /// There are as many members as there may be.
    #[error("there are {limit} members, which is the limit")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
}
