//! The master: what it holds, and which part of it an input is for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shoal_api::{Dice, Index, Instant, Plant, Timestamp};
use shoal_quorum::{Quorum, RaftRole, Recovered, StartError};

use crate::charter::CharterCommand;
use crate::config::{Config, MasterInfo};
use crate::hashes::Hashes;
use crate::input::{Answer, Ask, Input, Leadership, Output, Refused};
use crate::lead::Lead;
use crate::limits;
use crate::members::Members;
use crate::peer::{LedgerMessage, PeerMessage};
use crate::proposals::{Outstanding, Proposals, Waiter};
use crate::reads::{Reads, Then};
use crate::sessions::Sessions;
use crate::state::{LedgerCommand, State};
use crate::streams::Streams;

/// How often the machine looks after what is due. Ours.
const HOUSEKEEPING: Duration = Duration::from_millis(100);

/// One master.
///
/// # Invariants
/// - nothing is acknowledged outside before the entry that holds it was applied here;
/// - an agent is commanded only in the session that the ledger names, of this master;
/// - soft state of the leader exists exactly while this master leads.
#[derive(Debug)]
pub struct Master {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) wall: Timestamp,
    pub(crate) quorum: Quorum,
    pub(crate) state: State,
    pub(crate) proposals: Proposals,
    pub(crate) sessions: Sessions,
    pub(crate) streams: Streams,
    pub(crate) reads: Reads,
    pub(crate) members: Members,
    pub(crate) hashes: Hashes,
    pub(crate) lead: Option<Box<Lead>>,
    pub(crate) status: Leadership,
    pub(crate) dice: Dice,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
    pub(crate) pending_streams: BTreeMap<crate::input::Conn, crate::frameworks::Pending>,
    pub(crate) updates:
        BTreeMap<(shoal_api::AgentId, shoal_api::Epoch), Vec<shoal_api::StatusUpdate>>,
    pub(crate) leader_heard: Instant,
    pub(crate) halted: Option<Arc<str>>,
    pub(crate) lazy: Lazy,
    housekeeping: Instant,
    stopping: Option<Instant>,
    announced: bool,
    pub(crate) image_at: Index,
    pub(crate) bytes_since_image: u64,
    pub(crate) imaging: bool,
}

/// How long a command that nothing waits for may wait for another one to ride with. Ours.
const LAZY: Duration = Duration::from_secs(1);
/// The same while only one framework wants offers: nobody could be offered what it gives back, so
/// that a quiet cluster writes less. Ours.
const LAZY_ALONE: Duration = Duration::from_secs(6);

/// Commands that nothing waits for: they ride the next send, or what another master has written.
#[derive(Debug, Default)]
pub(crate) struct Lazy {
    commands: Vec<LedgerCommand>,
    due: Option<Instant>,
}

impl Lazy {
    /// Whether no more may wait: a caller is then told when its command is written.
    pub fn is_full(&self) -> bool {
        self.commands.len() >= limits::LAZY
    }
}

/// Counters of one master, for the shell to export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries applied.
    pub entries: u64,
    /// Commands applied.
    pub commands: u64,
    /// Entries proposed as leader.
    pub proposed: u64,
    /// Requests answered with "unavailable".
    pub unavailable: u64,
    /// Messages of peers that made no sense or came from somebody who may not send them.
    pub bad_messages: u64,
    /// Offers made by the leader here.
    pub offers: u64,
    /// Agents whose lease this leader ended.
    pub leases_ended: u64,
    /// Snapshots taken.
    pub images: u64,
    /// Notices sent to streams.
    pub notices: u64,
    /// Commands dropped here as leader, because too many waited.
    pub commands_dropped: u64,
    /// Whether the removal of agents is paused, because many vanished together.
    pub removal_paused: bool,
    /// Agent sessions held.
    pub sessions: u64,
    /// Framework streams held.
    pub streams: u64,
    /// Members of the quorum that do not vote.
    pub learners: u64,
    /// Voters replaced by a spare or by their newer selves while this master led.
    pub voters_replaced: u64,
}

impl Master {
    /// A master that goes on from what its disk holds.
    ///
    /// # Errors
    /// [`StartError`] when log or configuration cannot be continued.
    pub fn new(config: Config, now: Instant, recovered: Recovered) -> Result<Master, StartError> {
        let dice = Dice::new(config.seed);
        let mut raft = shoal_quorum::Config::new(
            config.raft,
            config.generation,
            dice.child("quorum").next_u64(),
        );
        raft.tick = Duration::from_millis(50);
        let quorum = Quorum::new(raft, now, recovered)?;
        let status = Leadership {
            leader: None,
            term: quorum.status().term,
            leading: false,
            membership: quorum.status().membership.clone(),
        };
        let plants = config.plants;
        let mut master = Master {
            proposals: Proposals::new(config.node, config.generation, plants),
            state: State::new(plants),
            quorum,
            now,
            wall: Timestamp::default(),
            sessions: Sessions::default(),
            streams: Streams::default(),
            reads: Reads::default(),
            members: Members::default(),
            hashes: Hashes::default(),
            lead: None,
            status,
            dice: dice.child("master"),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            pending_streams: BTreeMap::new(),
            updates: BTreeMap::new(),
            leader_heard: now,
            halted: None,
            lazy: Lazy::default(),
            housekeeping: now,
            stopping: None,
            announced: false,
            image_at: Index(0),
            bytes_since_image: 0,
            imaging: false,
            config,
        };
        master.drain_quorum();
        Ok(master)
    }

    /// Takes in what happened. Many may be stepped before the next poll.
    pub fn step(&mut self, now: Instant, input: Input) {
        assert!(now >= self.now, "the monotonic clock went back");
        self.now = now;
        if self.halted.is_some() {
            return;
        }
        match input {
            Input::Wake => {
                self.quorum.step(now, shoal_quorum::Input::Wake);
                if self.housekeeping <= now {
                    self.housekeeping = now + HOUSEKEEPING;
                    self.keep_house();
                }
            }
            Input::Calendar(wall) => self.wall = wall,
            Input::Peer {
                from,
                node,
                message,
            } => self.peer_says(from, node, message),
            Input::PeerBroken(peer) => {
                self.quorum
                    .step(now, shoal_quorum::Input::StreamBroken { peer });
            }
            Input::Persisted(ticket) => {
                self.quorum
                    .step(now, shoal_quorum::Input::Persisted { ticket });
            }
            Input::SnapshotSaved(index) => {
                self.quorum
                    .step(now, shoal_quorum::Input::SnapshotSaved { index });
            }
            Input::DiskFull => self.quorum.step(now, shoal_quorum::Input::DiskFull),
            Input::DiskHasRoom => self.quorum.step(now, shoal_quorum::Input::DiskHasRoom),
            Input::SnapshotReady { index, chunks } => {
                self.imaging = false;
                self.quorum
                    .step(now, shoal_quorum::Input::SnapshotTaken { index, chunks });
            }
            Input::Session { conn, message } => self.agent_says(conn, message),
            Input::SessionClosed(conn) => self.session_closed(conn),
            Input::Subscribe { conn, info } => self.subscribe(conn, *info),
            Input::StreamClosed(conn) => self.stream_closed(conn),
            Input::Request { ask, request } => self.request(ask, request),
            Input::Member(event) => self.member_changed(event),
            Input::Shutdown => self.shut_down(),
        }
        self.drain_quorum();
    }

    /// The next thing to do; call it until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if self.halted.is_none() {
            self.flush();
        }
        self.outputs.pop_front()
    }

    /// When to step [`Input::Wake`].
    pub fn next_deadline(&self) -> Option<Instant> {
        let raft = self.quorum.next_deadline().unwrap_or(Instant::NEVER);
        Some(raft.min(self.housekeeping))
    }

    /// The ledger as applied here.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The last entry applied here.
    pub fn applied(&self) -> Index {
        self.quorum.applied()
    }

    /// Who leads, as known here.
    pub fn leadership(&self) -> &Leadership {
        &self.status
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let lead = self.lead.as_deref();
        Stats {
            commands_dropped: lead.map_or(0, |lead| lead.queue.dropped()),
            removal_paused: lead.is_some_and(|lead| lead.leases.is_paused()),
            sessions: self.sessions.len() as u64,
            streams: self.streams.len() as u64,
            learners: self.status.membership.learners.len() as u64,
            ..self.stats
        }
    }

    /// Counters of the quorum.
    pub fn quorum_stats(&self) -> shoal_quorum::Stats {
        self.quorum.stats()
    }

    /// Why this replica stopped, if it did.
    pub fn halted(&self) -> Option<&Arc<str>> {
        self.halted.as_ref()
    }

    /// Everything that waits goes out: to the leader, or into an entry.
    fn flush(&mut self) {
        self.flush_updates();
        if self.proposals.has_unsent() || self.lazy.due.is_some_and(|due| due <= self.now) {
            self.flush_lazy();
        }
        self.lead_on();
        self.send_proposals();
        self.propose();
        self.drain_quorum();
        self.tell_guests();
    }

    /// Submits a command under a new request id.
    pub(crate) fn submit(&mut self, command: LedgerCommand, waiter: Waiter) {
        let expires = match waiter {
            Waiter::Ask(_) | Waiter::Session(_) | Waiter::Stream(_) => {
                self.now + self.config.tuning.request_timeout
            }
            Waiter::Fact | Waiter::Decision(_) => Instant::NEVER,
        };
        if !self.proposals.has_room() {
            self.refuse(waiter, Refused::Busy);
            return;
        }
        if let Waiter::Ask(ask) = &waiter
            && self.config.plants.has(Plant::AcknowledgeEarly)
        {
            self.answer(*ask, Answer::Done);
        }
        self.proposals
            .submit(None, command.encode(), waiter, expires);
    }

    /// Submits a command that nothing waits for.
    pub(crate) fn submit_lazily(&mut self, command: LedgerCommand) {
        self.lazy.commands.push(command);
        if self.lazy.due.is_none() {
            let frameworks = self.state.offers.frameworks();
            let wanting = frameworks.filter(|(_, row)| row.wants_offers());
            let alone = wanting.take(2).count() < 2;
            self.lazy.due = Some(self.now + if alone { LAZY_ALONE } else { LAZY });
        }
    }

    /// Something was written, so the cluster is not quiet: what waits need not wait longer.
    pub(crate) fn hurry_lazy(&mut self) {
        if let Some(due) = &mut self.lazy.due {
            *due = self.now;
        }
    }

    fn flush_lazy(&mut self) {
        self.lazy.due = None;
        for command in std::mem::take(&mut self.lazy.commands) {
            self.submit(command, Waiter::Fact);
        }
    }

    pub(crate) fn answer(&mut self, ask: Ask, answer: Answer) {
        self.outputs.push_back(Output::Answer { ask, answer });
    }

    /// Tells whoever waits that it will not be.
    pub(crate) fn refuse(&mut self, waiter: Waiter, refused: Refused) {
        match waiter {
            Waiter::Ask(ask) => {
                if refused == Refused::Unavailable {
                    self.stats.unavailable += 1;
                }
                self.answer(ask, Answer::Refused(refused));
            }
            Waiter::Session(conn) => self.refuse_session(conn),
            Waiter::Stream(conn) => self.refuse_stream(conn, &refused),
            Waiter::Fact | Waiter::Decision(_) => {}
        }
    }

    fn peer_says(
        &mut self,
        from: shoal_api::RaftId,
        node: shoal_api::NodeId,
        message: PeerMessage,
    ) {
        match message {
            PeerMessage::Raft(message) => {
                self.quorum
                    .step(self.now, shoal_quorum::Input::Receive { from, message });
            }
            PeerMessage::Ledger(message) => self.ledger_says(from, node, message),
        }
    }

    fn ledger_says(
        &mut self,
        from: shoal_api::RaftId,
        node: shoal_api::NodeId,
        message: LedgerMessage,
    ) {
        match message {
            LedgerMessage::Forward { lowest, commands } => {
                self.take_forward(from, node, lowest, commands)
            }
            LedgerMessage::Refused { request, refused } => {
                if let Some(Outstanding { waiter, .. }) = self.proposals.settle(request) {
                    self.refuse(waiter, refused);
                }
            }
            // Only those who do not apply the ledger are told so; a master has applied it.
            LedgerMessage::Applied { .. } => self.stats.bad_messages += 1,
            LedgerMessage::Reconcile {
                framework,
                stream,
                tasks,
            } => {
                // What the other master was certain of may not be applied here so far.
                self.when_certain(Then::ReconcileHere(framework, stream, tasks));
            }
            LedgerMessage::ReadFile { agent, read } => self.read_file_here(from, agent, read),
            LedgerMessage::FilePiece { request, piece } => self.file_piece(request, piece),
            LedgerMessage::Hash { index, hash } => self.compare_hash(from, index, hash),
            LedgerMessage::Removed { raft, incarnation } => {
                self.told_removed(from, raft, incarnation);
            }
        }
    }

    /// What is due by the clock, looked at ten times a second.
    fn keep_house(&mut self) {
        if self.status.leader.is_some() {
            self.leader_heard = self.now;
        }
        for expired in self.proposals.expire(self.now) {
            self.refuse(expired.waiter, Refused::Unavailable);
        }
        self.expire_reads();
        self.keep_sessions();
        self.keep_streams();
        self.announce();
        self.watch_voters();
        self.share_hash();
        if self.stopping.is_some_and(|by| by <= self.now) {
            self.stopping = None;
            self.outputs.push_back(Output::Stopped);
        }
    }

    /// This master as the ledger should know it.
    fn own_row(&self) -> MasterInfo {
        MasterInfo {
            raft: self.config.raft,
            node: self.config.node,
            generation: self.config.generation,
            name: self.config.name.clone(),
            http: self.config.http.clone(),
            peer: self.config.peer.clone(),
            pid: self.config.pid,
            version: Arc::from(env!("CARGO_PKG_VERSION")),
        }
    }

    /// Whether the ledger knows this life of this master: before that it holds no session or stream.
    pub(crate) fn is_known(&self) -> bool {
        let row = self.state.charter.master(self.config.raft);
        row.is_some_and(|row| row.generation == self.config.generation)
    }

    /// Makes this life known to the ledger, once there is a leader to tell it to.
    fn announce(&mut self) {
        if self.status.leader.is_none() || self.announced {
            return;
        }
        if self.status.membership.contains(self.config.raft) {
            self.announced = true;
            let row = self.own_row();
            self.submit(
                LedgerCommand::Charter(CharterCommand::MasterSeen(row)),
                Waiter::Fact,
            );
        }
    }

    fn shut_down(&mut self) {
        if self.quorum.status().role != RaftRole::Leader || self.status.membership.voters.len() < 2
        {
            self.outputs.push_back(Output::Stopped);
            return;
        }
        // A transfer is over within an election timeout, one way or the other.
        self.stopping = Some(self.now + Duration::from_secs(2));
        self.quorum
            .step(self.now, shoal_quorum::Input::Transfer { to: None });
    }

    pub(crate) fn transfer_ended(&mut self) {
        if self.stopping.take().is_some() {
            self.outputs.push_back(Output::Stopped);
        }
    }

    /// Stops for good: this replica's state is not to be trusted.
    pub(crate) fn halt(&mut self, why: String) {
        let why: Arc<str> = Arc::from(why);
        self.halted = Some(Arc::clone(&why));
        self.outputs.push_back(Output::Halt { why });
    }
}
