//! Changes of the membership, one at a time, and of who leads.

use raft::StateRole;
use raft::eraftpb::{ConfChangeTransition, ConfChangeType, ConfChangeV2, Entry};
use shoal_api::RaftId;

use super::Quorum;
use crate::limits;
use crate::membership::{ChangeRefusal, Membership, MembershipChange};
use crate::output::{Applied, Output, TransferOutcome};
use crate::wire::{self, change_single};

impl Quorum {
    /// Begins a change if nothing speaks against it.
    pub(super) fn begin_change(&mut self, change: MembershipChange) -> Result<(), ChangeRefusal> {
        self.may_change()?;
        let membership = self.memberships.last().expect("there is always one");
        let membership = membership.1.clone();
        let mut raft_change = ConfChangeV2::default();
        let singles = match change {
            MembershipChange::AddLearner { id } => {
                may_join(&membership, id)?;
                vec![change_single(ConfChangeType::AddLearnerNode, id)]
            }
            MembershipChange::Promote { id } => {
                self.may_vote(&membership, id)?;
                vec![change_single(ConfChangeType::AddNode, id)]
            }
            MembershipChange::Replace { old, new } => {
                if !membership.voters.contains(&old) {
                    return Err(ChangeRefusal::NotVoter { id: old });
                }
                self.may_vote(&membership, new)?;
                self.may_go(&membership, old, Some(new))?;
                raft_change.set_transition(ConfChangeTransition::Explicit);
                vec![
                    change_single(ConfChangeType::AddNode, new),
                    change_single(ConfChangeType::RemoveNode, old),
                ]
            }
            MembershipChange::Remove { id } => {
                if !membership.contains(id) {
                    return Err(ChangeRefusal::Unknown { id });
                }
                if membership.voters.contains(&id) {
                    self.may_go(&membership, id, None)?;
                }
                vec![change_single(ConfChangeType::RemoveNode, id)]
            }
        };
        raft_change.set_changes(singles.into());
        self.flush_proposals();
        self.raw
            .propose_conf_change(Vec::new(), raft_change)
            .map_err(|_| ChangeRefusal::Busy)
    }

    fn may_change(&self) -> Result<(), ChangeRefusal> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Err(ChangeRefusal::NotLeader {
                leader: self.leader(),
            });
        }
        if raft.lead_transferee.is_some() {
            return Err(ChangeRefusal::Transferring);
        }
        if !raft.apply_to_current_term() {
            return Err(ChangeRefusal::TermTooYoung);
        }
        let (_, membership) = self.memberships.last().expect("there is always one");
        // The list of memberships shrinks with the next snapshot, which is wanted by then.
        let many = self.memberships.len() >= limits::MEMBERSHIPS;
        if raft.has_pending_conf() || membership.is_joint() || many || self.disk_full {
            return Err(ChangeRefusal::Busy);
        }
        Ok(())
    }

    fn may_vote(&self, membership: &Membership, id: RaftId) -> Result<(), ChangeRefusal> {
        if membership.voters.contains(&id) {
            return Err(ChangeRefusal::AlreadyMember { id });
        }
        if !membership.learners.contains(&id) {
            return Err(ChangeRefusal::NotLearner { id });
        }
        let raft = &self.raw.raft;
        let matched = raft.prs().get(id.0).map_or(0, |progress| progress.matched);
        let behind = raft.raft_log.committed.saturating_sub(matched);
        if !self.is_active(id) || matched == 0 || behind > limits::CAUGHT_UP {
            return Err(ChangeRefusal::NotCaughtUp { id });
        }
        Ok(())
    }

    /// Whether a voter can go: it is not the leader, and a majority of those left answers. A leader
    /// that shall go begins to hand over.
    fn may_go(
        &mut self,
        membership: &Membership,
        id: RaftId,
        replaced_by: Option<RaftId>,
    ) -> Result<(), ChangeRefusal> {
        let mut left: Vec<RaftId> = membership.voters.clone();
        left.retain(|voter| *voter != id);
        left.extend(replaced_by);
        let active = left.iter().filter(|voter| self.is_active(**voter)).count();
        if active * 2 <= left.len() {
            return Err(ChangeRefusal::TooFewVoters);
        }
        if id == self.config.id {
            self.transfer(None);
            return Err(ChangeRefusal::IsLeader { id });
        }
        Ok(())
    }

    /// A joint change is left as soon as it may be, by whoever leads then.
    pub(super) fn leave_joint(&mut self) {
        let raft = &self.raw.raft;
        let (_, membership) = self.memberships.last().expect("there is always one");
        if raft.state == StateRole::Leader
            && membership.is_joint()
            && !raft.has_pending_conf()
            && raft.lead_transferee.is_none()
        {
            // Dropped only when leadership moves, and the next leader does the same.
            let _ = self
                .raw
                .propose_conf_change(Vec::new(), ConfChangeV2::default());
        }
    }

    /// Applies a committed change. What is not one, or not possible any more, changes nothing, on
    /// all replicas alike.
    pub(super) fn apply_change(&mut self, entry: &Entry) -> Applied {
        let Some(change) = wire::change_from(&entry.data) else {
            return Applied::Empty;
        };
        let Ok(state) = self.raw.apply_conf_change(&change) else {
            return Applied::Empty;
        };
        let (_, before) = self.memberships.last().expect("there is always one");
        let after = wire::membership(&state, before);
        self.heard.retain(|id, _| after.contains(*id));
        let gone: Vec<RaftId> = before
            .members()
            .into_iter()
            .filter(|id| !after.contains(*id))
            .collect();
        for id in gone {
            self.sending.cancel(id);
        }
        self.memberships.push((entry.index, after.clone()));
        Applied::Membership(after)
    }

    /// A leader that was elected while its removal was under way leads no more once it applies it:
    /// Raft would end the process at its next commit.
    pub(super) fn step_down_if_removed(&mut self) {
        let (_, membership) = self.memberships.last().expect("there is always one");
        if self.is_leader() && !membership.votes(self.config.id) {
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, raft::INVALID_ID);
        }
    }

    pub(super) fn transfer(&mut self, to: Option<RaftId>) {
        let outcome = if self.is_leader() {
            self.flush_proposals();
            match self.successor(to) {
                Some(id) => {
                    self.transferring = true;
                    self.raw.transfer_leader(id.0);
                    return;
                }
                None => TransferOutcome::NoCandidate,
            }
        } else {
            TransferOutcome::NotLeader
        };
        self.outputs.push_back(Output::TransferEnded(outcome));
    }

    /// The voter that has most of the log, of those that answer.
    pub(super) fn successor(&self, to: Option<RaftId>) -> Option<RaftId> {
        let matched = |id: &RaftId| self.raw.raft.prs().get(id.0).map_or(0, |p| p.matched);
        let (_, membership) = self.memberships.last().expect("there is always one");
        let voters = membership.voters.iter().copied();
        voters
            .filter(|id| *id != self.config.id && self.is_active(*id))
            .filter(|id| to.is_none_or(|to| to == *id))
            .max_by_key(|id| (matched(id), std::cmp::Reverse(*id)))
    }
}

fn may_join(membership: &Membership, id: RaftId) -> Result<(), ChangeRefusal> {
    if membership.removed.contains(&id) || id == RaftId(0) {
        return Err(ChangeRefusal::Removed { id });
    }
    if membership.contains(id) {
        return Err(ChangeRefusal::AlreadyMember { id });
    }
    if membership.members().len() >= limits::MEMBERS {
        return Err(ChangeRefusal::TooMany {
            limit: limits::MEMBERS,
        });
    }
    Ok(())
}
