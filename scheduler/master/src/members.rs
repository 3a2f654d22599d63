//! What the gossip says of the nodes, and, at the leader, who should be in the quorum.
//!
//! Gossip is a hint: a node is a master only because the Raft configuration says so.

use std::collections::BTreeMap;
use std::time::Duration;

use shoal_api::member::{Member, MemberEvent, MemberStatus};
use shoal_api::{Incarnation, Instant, Name, NodeId, RaftId};
use shoal_quorum::{ChangeRefusal, MembershipChange, PeerProgress};

use crate::charter::CharterCommand;
use crate::input::{Answer, Ask, Output, Refused};
use crate::limits;
use crate::master::Master;
use crate::peer::{LedgerMessage, PeerMessage};
use crate::proposals::{Decision, Waiter};
use crate::state::LedgerCommand;

/// Members of the quorum, voters and learners, beyond which no learner is added. Ours.
const MEMBERS_MOST: usize = 7;
/// How far behind a learner may be to be called caught up, in entries. Ours.
const CAUGHT_UP: u64 = 1_000;
/// How often a change of the quorum is tried. Ours.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The tag that carries a node's voter id, in decimal.
pub const RAFT_TAG: &str = "raft_id";
/// The tag that carries a node's cluster, in hexadecimal; empty while it belongs to none.
pub const CLUSTER_TAG: &str = "cluster";

/// A node as the gossip saw it last.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) status: MemberStatus,
    pub(crate) name: Option<Name>,
    pub(crate) raft: Option<RaftId>,
    pub(crate) cluster: Option<String>,
}

/// All nodes as the gossip saw them last.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_node: BTreeMap<NodeId, Seen>,
    /// The voters that no living node carries, and since when. Each master looks for itself, so that
    /// the watch outlives a leader.
    missing: BTreeMap<RaftId, Instant>,
    /// A change that an operator asked for and that has no answer yet.
    pub(crate) asked: Option<(MembershipChange, Ask)>,
    try_at: Instant,
}

impl Members {
    /// Where a node stands; `None` if the gossip does not know it.
    pub(crate) fn status(&self, node: NodeId) -> Option<MemberStatus> {
        self.by_node.get(&node).map(|seen| seen.status)
    }

    /// Whether the gossip says that a node is there.
    pub(crate) fn is_alive(&self, node: NodeId) -> bool {
        match self.status(node) {
            Some(MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving) => true,
            Some(MemberStatus::Left | MemberStatus::Failed) | None => false,
        }
    }

    /// Whether a living node carries that voter id.
    fn carries(&self, raft: RaftId) -> bool {
        self.by_node
            .iter()
            .any(|(node, seen)| seen.raft == Some(raft) && self.is_alive(*node))
    }

    /// The label under which a voter id was seen last, alive or dead.
    fn name_of(&self, raft: RaftId) -> Option<&Name> {
        let mut seen = self.by_node.values();
        seen.find(|seen| seen.raft == Some(raft))?.name.as_ref()
    }

    /// How long no living node has carried a voter's id; `None` while one does.
    pub(crate) fn missing_for(&self, raft: RaftId, now: Instant) -> Option<Duration> {
        self.missing.get(&raft).map(|since| now.since(*since))
    }

    /// Looks which voters a living node carries.
    fn look_for(&mut self, voters: &[RaftId], own: RaftId, now: Instant) {
        self.missing.retain(|raft, _| voters.contains(raft));
        for raft in voters {
            if *raft == own || self.carries(*raft) {
                self.missing.remove(raft);
            } else {
                self.missing.entry(*raft).or_insert(now);
            }
        }
    }
}

impl Master {
    pub(crate) fn member_changed(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Joined(member)
            | MemberEvent::StatusChanged(member)
            | MemberEvent::Updated(member) => self.member_seen(member),
            MemberEvent::Reaped(node) => {
                self.members.by_node.remove(&node);
            }
        }
    }

    fn member_seen(&mut self, member: Member) {
        let before = self.members.status(member.id);
        let tag = |name: &str| member.tags.get(name).map(|value| value.to_string());
        let seen = Seen {
            status: member.status,
            raft: tag(RAFT_TAG).and_then(|text| text.parse().ok()).map(RaftId),
            cluster: tag(CLUSTER_TAG).filter(|cluster| !cluster.is_empty()),
            name: member.name,
        };
        self.members.by_node.insert(member.id, seen);
        if before != Some(member.status)
            && let Some(lead) = &mut self.lead
        {
            lead.leases.look_now();
        }
    }

    /// Notes which voters the gossip has lost.
    pub(crate) fn watch_voters(&mut self) {
        let voters = &self.status.membership.voters;
        self.members.look_for(voters, self.config.raft, self.now);
    }

    /// As leader: brings the quorum nearer to what it should be, one change at a time.
    pub(crate) fn keep_quorum(&mut self) {
        if self.members.try_at > self.now {
            return;
        }
        self.members.try_at = self.now + TRY_EVERY;
        self.forget_removed();
        self.tell_removed();
        let membership = &self.status.membership;
        if membership.is_joint() {
            return;
        }
        let progress = self.quorum.progress();
        let change = self.replacement(&progress).or_else(|| self.newcomer());
        if let Some(change) = change {
            self.quorum
                .step(self.now, shoal_quorum::Input::Change(change));
        }
    }

    /// Rows of masters that the quorum removed for ever go.
    fn forget_removed(&mut self) {
        let removed: Vec<RaftId> = self
            .state
            .charter
            .masters()
            .map(|info| info.raft)
            .filter(|raft| self.status.membership.removed.contains(raft))
            .collect();
        for raft in removed {
            let command = LedgerCommand::Charter(CharterCommand::MasterRemoved(raft));
            self.submit(command, Waiter::Decision(Decision::Other));
        }
    }

    /// A living master that the quorum removed for ever is told so: its messages are refused, and
    /// without a word it would wait for a leader for ever.
    fn tell_removed(&mut self) {
        let ours = self.config.cluster.to_string();
        let incarnation = self.state.incarnation();
        for (node, seen) in &self.members.by_node {
            if let Some(to) = seen.raft
                && self.status.membership.removed.contains(&to)
                && seen.cluster.as_ref() == Some(&ours)
                && self.members.is_alive(*node)
            {
                let message = LedgerMessage::Removed {
                    raft: to,
                    incarnation,
                };
                let message = PeerMessage::Ledger(message);
                self.outputs.push_back(Output::Send { to, message });
            }
        }
    }

    /// Another master says that this one is out. Who is in this one's own quorum is believed at once.
    /// Anybody else only if its life of the cluster is newer, as after a restore, and this master has
    /// heard of no leader for [`limits::ABANDONED`]: the word of one stranger, which may lie, ends no
    /// master whose own life of the cluster goes on.
    pub(crate) fn told_removed(&mut self, from: RaftId, raft: RaftId, incarnation: Incarnation) {
        let own = self.state.incarnation();
        let trusted = self.status.membership.contains(from);
        let abandoned =
            self.status.leader.is_none() && self.now.since(self.leader_heard) >= limits::ABANDONED;
        let believed = trusted || (incarnation > own && abandoned);
        if raft != self.config.raft || incarnation < own || !believed {
            self.stats.bad_messages += 1;
            return;
        }
        if incarnation == own {
            self.halt("it was taken out of the quorum".to_owned());
        } else {
            self.halt(format!(
                "the cluster was recovered or restored without it, in life {}, and its own ledger is \
                 of life {}",
                incarnation.0, own.0
            ));
        }
    }

    /// A living master that is not in the quorum becomes a learner.
    fn newcomer(&self) -> Option<MembershipChange> {
        let membership = &self.status.membership;
        if membership.members().len() >= MEMBERS_MOST {
            return None;
        }
        let ours = self.config.cluster.to_string();
        let fits = |seen: &Seen| seen.cluster.as_ref().is_none_or(|cluster| *cluster == ours);
        self.members
            .by_node
            .iter()
            .filter(|(node, seen)| self.members.is_alive(**node) && fits(seen))
            .filter_map(|(_, seen)| seen.raft)
            .find(|raft| !membership.contains(*raft) && !membership.removed.contains(raft))
            .map(|id| MembershipChange::AddLearner { id })
    }

    /// A caught-up learner takes the place of its older self, or of a voter that is dead for long.
    fn replacement(&self, progress: &[PeerProgress]) -> Option<MembershipChange> {
        let commit = self.quorum.commit();
        let caught_up = |id: &RaftId| {
            progress
                .iter()
                .any(|peer| peer.id == *id && peer.active && peer.matched.0 + CAUGHT_UP >= commit.0)
        };
        for new in self
            .status
            .membership
            .learners
            .iter()
            .filter(|id| caught_up(id))
        {
            let name = self.members.name_of(*new);
            let voters = &self.status.membership.voters;
            let older_self = voters.iter().find(|old| {
                name.is_some() && self.name_of(**old) == name && !self.members.carries(**old)
            });
            let dead = || voters.iter().find(|old| self.is_dead(**old, progress));
            if let Some(old) = older_self.or_else(dead) {
                return Some(MembershipChange::Replace {
                    old: *old,
                    new: *new,
                });
            }
        }
        None
    }

    /// A voter's label: the ledger's word, or the gossip's for one that died before it told the ledger.
    fn name_of(&self, voter: RaftId) -> Option<&Name> {
        let row = self.state.charter.master(voter);
        row.map(|row| &row.name)
            .or_else(|| self.members.name_of(voter))
    }

    /// Whether a voter is dead for long, by Raft and by gossip.
    fn is_dead(&self, voter: RaftId, progress: &[PeerProgress]) -> bool {
        let silent = progress.iter().any(|peer| peer.id == voter && !peer.active);
        let missing = self.members.missing_for(voter, self.now);
        silent && missing.is_some_and(|missing| missing >= self.config.tuning.replace_dead)
    }

    pub(crate) fn change_refused(&mut self, change: MembershipChange, reason: &ChangeRefusal) {
        if let Some((asked, ask)) = self.members.asked
            && asked == change
        {
            self.members.asked = None;
            let why = std::sync::Arc::from(reason.to_string());
            self.answer(ask, Answer::Refused(Refused::Quorum(why)));
        }
    }

    /// The membership is another: what an operator asked for may be done.
    pub(crate) fn membership_applied(&mut self) {
        self.watch_voters();
        let Some((change, ask)) = self.members.asked else {
            return;
        };
        let membership = &self.status.membership;
        let done = match change {
            MembershipChange::Remove { id } => !membership.contains(id),
            MembershipChange::Promote { id } => membership.voters.contains(&id),
            MembershipChange::AddLearner { id } => membership.contains(id),
            MembershipChange::Replace { old, new } => {
                membership.voters.contains(&new) && !membership.contains(old)
            }
        };
        if done {
            self.members.asked = None;
            self.answer(ask, Answer::Done);
        }
    }
}
