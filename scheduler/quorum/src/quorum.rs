//! The machine: Raft, and all that keeps its traps closed.
//!
//! What lives here is the machine's state, its construction and its clock. What it does with inputs
//! is in the modules below: `drive` (Raft's readies, the disk, what is applied), `receive` (peers),
//! `change` (membership and leadership), `snapshots`. Nothing here decides what an entry means.

mod change;
mod drive;
mod force;
mod receive;
mod snapshots;
mod start;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use bytes::Bytes;
use raft::{RawNode, StateRole};
use shoal_api::{Index, Instant, RaftId, Term};

use crate::config::Config;
use crate::election::{ElectionClock, Hint};
use crate::entry::Snapshot;
use crate::input::Input;
use crate::limits;
use crate::membership::Membership;
use crate::output::{DropReason, Output};
use crate::persistence::Persistence;
use crate::reads::Reads;
use crate::receiving::Receiving;
use crate::sending::Sending;
use crate::status::{PeerProgress, RaftRole, Stats, Status};
use crate::tail::Tail;

pub use force::Survey;
pub use start::StartError;

/// One replica of the log.
///
/// Invariants, beside Raft's own:
/// - nothing that a peer may rely on leaves before the disk has what it rests on;
/// - every index is handed out once, in order, with [`Output::Apply`] or covered by one
///   [`Output::Restore`];
/// - Raft never reads an entry that is not in memory, and never campaigns when it would have to;
/// - a replica that left the membership does not lead.
pub struct Quorum {
    config: Config,
    raw: RawNode<Tail>,
    now: Instant,
    next_tick: Instant,
    clock: ElectionClock,
    hint: Option<Hint>,
    outputs: VecDeque<Output>,
    /// The last entry, and its term, that the caller has polled. Raft's own count is ahead of it by
    /// what waits in `outputs`.
    handed_out: (Index, Term),
    /// Something was stepped since Raft was last asked what it wants.
    dirty: bool,
    proposals: Vec<Bytes>,
    proposal_bytes: usize,
    disk_full: bool,
    persistence: Persistence,
    /// The hard state whose term and vote were last given to the disk.
    voted: raft::eraftpb::HardState,
    reads: Reads,
    sending: Sending,
    receiving: Receiving,
    /// A received snapshot that Raft has taken and not yet asked to persist.
    installing: Option<Snapshot>,
    /// The own snapshot that peers may be sent, and until when it is kept for them.
    image: Option<(Snapshot, Instant)>,
    /// A snapshot was asked for and has not come.
    snapshot_wanted: bool,
    /// The latest snapshot taken or installed.
    snapshot_index: u64,
    /// The latest snapshot that the disk has.
    snapshot_saved: u64,
    /// The memberships since the latest snapshot, each from its index on; never empty.
    memberships: Vec<(u64, Membership)>,
    transferring: bool,
    /// When this leader last tried to hand over because of its disk.
    gave_way: Option<Instant>,
    /// When each peer last answered this leader.
    heard: BTreeMap<RaftId, Instant>,
    confirmed: Option<Instant>,
    status: Status,
    stats: Stats,
}

impl fmt::Debug for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum")
            .field("status", &self.status)
            .field("commit", &self.commit())
            .field("applied", &self.applied())
            .field("last", &self.last_index())
            .field("in_flight", &self.persistence.in_flight())
            .finish_non_exhaustive()
    }
}

fn role(state: StateRole) -> RaftRole {
    match state {
        StateRole::Follower => RaftRole::Follower,
        StateRole::PreCandidate => RaftRole::PreCandidate,
        StateRole::Candidate => RaftRole::Candidate,
        StateRole::Leader => RaftRole::Leader,
    }
}

impl Quorum {
    /// Takes in what happened. Many may be stepped before the next poll.
    pub fn step(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        self.dirty = true;
        self.tick();
        match input {
            Input::Wake => {}
            Input::Receive { from, message } => self.receive(from, message),
            Input::StreamBroken { peer } => self.stream_broken(peer),
            Input::Propose { data } => self.propose(data),
            Input::Read { context } => {
                if !self.reads.ask(self.now, context) {
                    self.outputs.push_back(Output::ReadFailed { context });
                }
            }
            Input::Change(change) => {
                if let Err(reason) = self.begin_change(change) {
                    let refused = Output::ChangeRefused { change, reason };
                    self.outputs.push_back(refused);
                }
            }
            Input::Transfer { to } => self.transfer(to),
            Input::Persisted { ticket } => self.persisted(ticket),
            Input::SnapshotTaken { index, chunks } => self.snapshot_taken(index, chunks),
            Input::SnapshotSaved { index } => self.snapshot_was_saved(index),
            Input::DiskFull => {
                self.disk_full = true;
                self.give_way();
            }
            Input::DiskHasRoom => self.disk_full = false,
        }
        self.try_hint();
        self.settle();
    }

    /// The next thing to do; call it until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && self.dirty {
            self.pump();
        }
        let output = self.outputs.pop_front();
        if let Some(Output::Apply { index, term, .. } | Output::Restore { index, term, .. }) =
            output
        {
            self.handed_out = (index, term);
        }
        output
    }

    /// When to step [`Input::Wake`].
    pub fn next_deadline(&self) -> Option<Instant> {
        let hint = self.hint.map_or(Instant::NEVER, |hint| hint.next);
        Some(self.next_tick.min(hint))
    }

    /// At most one tick per step, so that a process that stood still does not believe to have heard
    /// nothing for long when it has only not listened.
    fn tick(&mut self) {
        if self.now < self.next_tick {
            return;
        }
        self.next_tick = self.next_tick + self.config.tick;
        if self.next_tick <= self.now {
            self.next_tick = self.now + self.config.tick;
        }
        let raft = &self.raw.raft;
        let elects = raft.state != StateRole::Leader
            && raft.promotable()
            && raft.election_elapsed + 1 >= raft.randomized_election_timeout();
        if !elects || self.may_campaign() {
            self.raw.tick();
            self.settle();
        }
        for context in self.reads.expire(self.now) {
            self.outputs.push_back(Output::ReadFailed { context });
        }
        self.expire_snapshots();
        if self.is_leader() {
            self.confirm_leader();
            if self.persistence.stalled(self.now, limits::DISK_STALLED) {
                self.give_way();
            }
        }
    }

    /// A leader commits through the others while its own disk stands still, but applies nothing and
    /// so answers nobody: one whose disk works does better.
    fn give_way(&mut self) {
        let lately = |at: Instant| self.now.since(at) < limits::DISK_STALLED;
        if self.is_leader() && !self.gave_way.is_some_and(lately) && self.successor(None).is_some()
        {
            self.gave_way = Some(self.now);
            self.transfer(None);
        }
    }

    /// Whether Raft can begin an election without reading what is not there: not while a received
    /// snapshot is on its way to the disk, and a sole voter not before its whole log is durable.
    fn may_campaign(&self) -> bool {
        let raft = &self.raw.raft;
        let installs = self.persistence.installs() || self.raw.snap().is_some();
        let behind = raft.raft_log.persisted < raft.raft_log.last_index();
        raft.promotable() && !installs && !(behind && raft.prs().is_singleton())
    }

    /// Overwrites what Raft drew from ambient chance.
    fn settle(&mut self) {
        let raft = &mut self.raw.raft;
        let timeout = self
            .clock
            .timeout(raft.term, raft.state as u64, raft.election_elapsed);
        raft.set_randomized_election_timeout(timeout);
    }

    fn try_hint(&mut self) {
        let Some(hint) = self.hint else {
            return;
        };
        if self.now < hint.next {
            return;
        }
        if self.raw.raft.leader_id != raft::INVALID_ID {
            self.hint = None;
            return;
        }
        self.hint = hint.again(self.now);
        if self.raw.raft.state != StateRole::Candidate && self.may_campaign() {
            // The outcome is a change of state; there is no other failure.
            let _ = self.raw.campaign();
        }
    }

    fn stream_broken(&mut self, peer: RaftId) {
        if self.is_leader() {
            self.raw.report_unreachable(peer.0);
            if self.sending.cancel(peer) {
                self.snapshot_ended(peer, raft::SnapshotStatus::Failure);
            }
            return;
        }
        if self.raw.raft.leader_id != peer.0 {
            return;
        }
        self.raw.raft.leader_id = raft::INVALID_ID;
        if self.raw.raft.promotable() {
            self.hint = Some(Hint::new(self.now, self.rank(Some(peer))));
        }
    }

    /// The place among the voters without the one that is gone.
    fn rank(&self, gone: Option<RaftId>) -> u32 {
        let before = |id: &&RaftId| **id < self.config.id && Some(**id) != gone;
        let rank = self.status.membership.voters.iter().filter(before).count();
        u32::try_from(rank).expect("voters are few")
    }

    fn propose(&mut self, data: Bytes) {
        assert!(!data.is_empty(), "quorum: an empty proposal");
        let waiting = self.proposal_bytes + self.raw.raft.uncommitted_size() + data.len();
        let reason = if data.len() > limits::ENTRY_BYTES {
            Some(DropReason::TooLarge)
        } else if let Some(reason) = self.proposals_refused() {
            Some(reason)
        } else if self.proposals.len() >= limits::PROPOSALS_WAITING
            || waiting > limits::UNCOMMITTED_BYTES
            || self.raw.store().bytes() > limits::TAIL_BYTES
        {
            Some(DropReason::Overloaded)
        } else {
            None
        };
        match reason {
            Some(reason) => self.drop_proposal(data, reason),
            None => {
                self.proposal_bytes += data.len();
                self.proposals.push(data);
            }
        }
    }

    /// Why nobody may propose here at this moment.
    fn proposals_refused(&self) -> Option<DropReason> {
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            Some(DropReason::NotLeader {
                leader: self.leader(),
            })
        } else if raft.lead_transferee.is_some() {
            Some(DropReason::Transferring)
        } else if self.disk_full {
            Some(DropReason::DiskFull)
        } else {
            None
        }
    }

    fn drop_proposal(&mut self, data: Bytes, reason: DropReason) {
        self.stats.dropped += 1;
        self.outputs
            .push_back(Output::ProposalDropped { data, reason });
    }

    /// A leader is confirmed by a majority, of both halves in a joint change, at the moment at which
    /// the last of them answered.
    fn confirm_leader(&mut self) {
        let (id, now) = (self.config.id, self.now);
        let answered = |peer: &RaftId| match self.heard.get(peer) {
            _ if *peer == id => now,
            Some(at) => *at,
            None => Instant::ZERO,
        };
        let majority_at = |voters: &[RaftId]| {
            let mut times: Vec<Instant> = voters.iter().map(answered).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.get(times.len() / 2).copied()
        };
        let membership = &self.status.membership;
        let incoming = majority_at(&membership.voters);
        let outgoing = majority_at(&membership.outgoing).or(incoming);
        let at = incoming.min(outgoing).filter(|at| *at > Instant::ZERO);
        self.confirmed = self.confirmed.max(at);
    }

    /// Where it stands.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Who leads, if known.
    pub fn leader(&self) -> Option<RaftId> {
        let leader = self.raw.raft.leader_id;
        (leader != raft::INVALID_ID).then_some(RaftId(leader))
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether it leads and the caller has polled an entry of its term, so that the state machine here
    /// holds all that was ever acknowledged.
    pub fn is_settled_leader(&self) -> bool {
        self.is_leader() && self.handed_out.1 == self.term()
    }

    /// Who it is.
    pub fn id(&self) -> RaftId {
        self.config.id
    }

    /// Its term.
    pub fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    /// The last entry handed out for application: polled, not only waiting to be. An image of the
    /// state machine that follows the outputs is always one of this index.
    pub fn applied(&self) -> Index {
        self.handed_out.0
    }

    /// The last entry that is or waits to be handed out.
    fn raft_applied(&self) -> u64 {
        self.raw.raft.raft_log.applied
    }

    /// The last entry known to be committed.
    pub fn commit(&self) -> Index {
        Index(self.raw.raft.raft_log.committed)
    }

    /// The last entry in the log.
    pub fn last_index(&self) -> Index {
        Index(self.raw.raft.raft_log.last_index())
    }

    /// When a leader last confirmed this replica: a follower heard from it, a leader from a majority.
    pub fn confirmed(&self) -> Option<Instant> {
        self.confirmed
    }

    /// What a leader knows of the members; empty for others. Sorted by id.
    pub fn progress(&self) -> Vec<PeerProgress> {
        if !self.is_leader() {
            return Vec::new();
        }
        let members = self.status.membership.members().into_iter();
        members
            .filter_map(|id| {
                let progress = self.raw.raft.prs().get(id.0)?;
                Some(PeerProgress {
                    id,
                    matched: Index(progress.matched),
                    active: self.is_active(id),
                    snapshot: progress.state == raft::ProgressState::Snapshot,
                })
            })
            .collect()
    }

    /// Whether a peer answered this leader within the last election timeout.
    fn is_active(&self, id: RaftId) -> bool {
        id == self.config.id
            || self
                .heard
                .get(&id)
                .is_some_and(|at| self.now.since(*at) < self.config.election_timeout())
    }

    /// Its counters.
    pub fn stats(&self) -> Stats {
        Stats {
            read_rounds: self.reads.rounds_begun(),
            ..self.stats
        }
    }
}
