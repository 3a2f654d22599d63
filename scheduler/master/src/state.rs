//! The whole ledger: its modules, composed. Every replica applies the same entries to one of these.
//!
//! What lives here is typing (which module a command is for) and the few rules that join modules: a
//! claim of a run's slots beside an accept, the built-in framework's acknowledgements, what a master's
//! new life ends. What deliberately does not: any decision (see `lead`) and any message.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::call::{Filters, Subscribe};
use shoal_api::notice::Notice;
use shoal_api::{
    AgentId, Epoch, FrameworkId, FrameworkInfo, Incarnation, Index, NodeId, Origin, Plant, Plants,
    RequestId, Role, RunId, RunRefusal, Slot, StreamId, TaskState,
};
use shoal_builtin::{Runs, RunsCommand};
use shoal_ledger::hash::append_postcard;
use shoal_ledger::{
    Admission, DecodeError, Entry, Header, Module, ModuleNumber, Outcomes, Snapshot, SnapshotError,
    StateHash, Violation, Writer,
};
use shoal_offers::{Context, DisconnectCause, Effect, Offers, OffersCommand, Presence, Refusal};

use crate::charter::{Charter, CharterChange, CharterCommand};
use crate::event::{Event, What};
use crate::life;
use crate::narrate::{Cue, Story};

/// The framework of one-off runs; its offers are answered where the leader is.
pub fn runs_framework() -> FrameworkId {
    FrameworkId::new("shoal-runs").expect("the id is well formed")
}

/// The built-in framework's stream: it has one for ever, held by no master.
pub const RUNS_STREAM: StreamId = StreamId(0);
/// Who holds it: no node has this id.
pub const RUNS_HOLDER: NodeId = NodeId(0);

/// A command with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerCommand {
    /// Agents, frameworks, offers, tasks.
    Offers(OffersCommand),
    /// The same, claiming slots of runs: refused whole if one does not wait.
    Claim {
        /// The slots, in the order of the launches.
        slots: Vec<Slot>,
        /// The accept.
        accept: OffersCommand,
    },
    /// One-off runs.
    Runs(RunsCommand),
    /// The cluster itself.
    Charter(CharterCommand),
}

impl LedgerCommand {
    /// Reads a command back; an accept that claims slots comes back as the accept. `None` if the bytes
    /// are no command of this version.
    pub fn decode(module: ModuleNumber, body: &Bytes) -> Option<LedgerCommand> {
        match module {
            Offers::NUMBER => OffersCommand::decode(body).ok().map(LedgerCommand::Offers),
            Runs::NUMBER => postcard::from_bytes(body).ok().map(LedgerCommand::Runs),
            Charter::NUMBER => postcard::from_bytes(body).ok().map(LedgerCommand::Charter),
            ModuleNumber(_) => None,
        }
    }

    /// The module's number and the command's bytes.
    pub fn encode(self) -> (ModuleNumber, Bytes) {
        match self {
            LedgerCommand::Offers(command) => (Offers::NUMBER, command.encode()),
            LedgerCommand::Claim { slots, accept } => {
                let OffersCommand::Accepted {
                    framework,
                    stream,
                    offers,
                    launches,
                    filters,
                    claim: _,
                } = accept
                else {
                    unreachable!("only an accept claims slots");
                };
                let claim = Some(encoded(&slots));
                let accept = OffersCommand::Accepted {
                    framework,
                    stream,
                    offers,
                    launches,
                    filters,
                    claim,
                };
                (Offers::NUMBER, accept.encode())
            }
            LedgerCommand::Runs(command) => (Runs::NUMBER, encoded(&command)),
            LedgerCommand::Charter(command) => (Charter::NUMBER, encoded(&command)),
        }
    }
}

fn encoded<T: Serialize>(value: &T) -> Bytes {
    let mut out = Vec::with_capacity(64);
    append_postcard(value, &mut out);
    Bytes::from(out)
}

/// What came of a command, typed. Kept, encoded, for a repeated request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Of the offers' module.
    Offers(Result<shoal_offers::Outcome, Refusal>),
    /// A run was created, or not.
    RunCreated(Result<RunId, RunRefusal>),
    /// A run was told to end, or not.
    RunKilled(Result<(), RunRefusal>),
    /// A claimed slot did not wait; the offers went back.
    SlotsTaken,
    /// Done.
    Charter,
    /// The bytes were no command of this version.
    Malformed,
}

/// One applied command.
#[derive(Clone, Debug)]
pub struct AppliedCommand {
    /// Whose.
    pub request: RequestId,
    /// What came of it; `None` if nobody can wait for it any more.
    pub outcome: Option<Outcome>,
    /// The same as it is kept; empty where there is none.
    pub encoded: Bytes,
    /// What it changed.
    pub effects: Vec<Effect>,
    /// What it changed in the charter.
    pub charter: CharterChange,
    /// What it did, for people.
    pub events: Vec<Event>,
}

/// The state that all replicas share. A clone is an image and costs a few pointers.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The cluster and its masters.
    pub charter: Charter,
    /// Agents, frameworks, offers, tasks.
    pub offers: Offers,
    /// One-off runs.
    pub runs: Runs,
    outcomes: Outcomes,
    plants: Plants,
    /// Where outcomes are encoded.
    scratch: Vec<u8>,
}

/// The room for encoding that is kept between outcomes. Ours: most are smaller.
const SCRATCH_BYTES: usize = 4_096;

impl State {
    /// An empty state.
    pub fn new(plants: Plants) -> State {
        State {
            plants,
            ..State::default()
        }
    }

    /// The hash of everything.
    pub fn hash(&self) -> StateHash {
        self.charter
            .hash()
            .with(self.offers.hash())
            .with(self.runs.hash())
            .with(self.outcomes.hash())
    }

    /// All invariants, at the cost of looking at everything.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        self.charter.check()?;
        self.offers.check()?;
        self.runs.check()?;
        self.outcomes.check()
    }

    /// What stands for Mesos' master id.
    pub fn origin(&self) -> Origin {
        self.charter
            .identity()
            .map(|identity| identity.origin())
            .unwrap_or_default()
    }

    /// The life of the cluster.
    pub fn incarnation(&self) -> Incarnation {
        self.charter
            .identity()
            .map(|identity| identity.incarnation)
            .unwrap_or_default()
    }

    /// The outcome of a request, if it is remembered.
    pub fn outcome_of(&self, request: RequestId) -> Option<Outcome> {
        postcard::from_bytes(self.encoded_outcome_of(&request)?).ok()
    }

    /// The same as it is kept.
    pub fn encoded_outcome_of(&self, request: &RequestId) -> Option<&Bytes> {
        self.outcomes.get(request)
    }

    /// The agents whose sessions a node's master holds.
    pub fn sessions_of(&self, node: NodeId) -> Vec<(AgentId, Epoch)> {
        let held =
            |presence| matches!(presence, Presence::Connected { master, .. } if master == node);
        self.offers
            .agents()
            .filter(|(_, row)| held(row.presence))
            .map(|(agent, row)| (agent, row.epoch))
            .collect()
    }

    /// The subscriptions that a node's master holds.
    pub fn streams_of(&self, node: NodeId) -> Vec<(FrameworkId, StreamId)> {
        self.offers
            .streams_of(node)
            .map(|(framework, stream, _)| (framework.clone(), stream))
            .collect()
    }

    /// Serialises an image.
    pub fn write(&self) -> Arc<[Bytes]> {
        self.write_with(Writer::new())
    }

    /// Serialises an image, and gives each chunk away as soon as it is full.
    pub fn write_into(&self, sink: impl FnMut(Bytes) + 'static) {
        self.write_with(Writer::into_sink(sink));
    }

    fn write_with(&self, mut writer: Writer) -> Arc<[Bytes]> {
        if self.plants.has(Plant::ForgetOutcomes) && !self.outcomes.is_empty() {
            let outcomes = Outcomes::new();
            let bare = State {
                outcomes,
                ..self.clone()
            };
            return bare.write_with(writer);
        }
        self.outcomes.write(&mut writer);
        self.offers.write(&mut writer);
        self.runs.write(&mut writer);
        self.charter.write(&mut writer);
        writer.finish(self.hash())
    }

    /// Reads an image.
    ///
    /// # Errors
    /// [`SnapshotError`] names the damaged section.
    pub fn read(chunks: &[Bytes], plants: Plants) -> Result<State, SnapshotError> {
        let mut snapshot = Snapshot::open(chunks)?;
        let state = State {
            outcomes: Outcomes::read(&mut snapshot)?,
            offers: Offers::read(&mut snapshot)?,
            runs: Runs::read(&mut snapshot)?,
            charter: Charter::read(&mut snapshot)?,
            plants,
            scratch: Vec::new(),
        };
        snapshot.finish(state.hash())?;
        Ok(state)
    }

    /// Applies one entry.
    ///
    /// # Errors
    /// The entry cannot be read by this version: nothing changed, and this replica must stop.
    pub fn apply(
        &mut self,
        index: Index,
        data: &Bytes,
    ) -> Result<Vec<AppliedCommand>, DecodeError> {
        let entry = Entry::decode(data)?;
        let mut applied = Vec::with_capacity(entry.commands.len());
        for (position, command) in entry.commands.into_iter().enumerate() {
            let mut header = command.header;
            header.time = self.charter.advance(header.time);
            let position = u32::try_from(position).expect("an entry has fewer commands");
            applied.push(self.apply_command(
                index,
                position,
                &header,
                command.module,
                &command.body,
            ));
        }
        Ok(applied)
    }

    fn apply_command(
        &mut self,
        index: Index,
        position: u32,
        header: &Header,
        module: ModuleNumber,
        body: &Bytes,
    ) -> AppliedCommand {
        let mut applied = AppliedCommand {
            request: header.request,
            outcome: None,
            encoded: Bytes::new(),
            effects: Vec::new(),
            charter: CharterChange::Nothing,
            events: Vec::new(),
        };
        match self.outcomes.admit(header) {
            Admission::Apply => {}
            Admission::Repeat(bytes) if !self.plants.has(Plant::ApplyRetries) => {
                applied.outcome = postcard::from_bytes(&bytes).ok();
                applied.encoded = bytes;
                return applied;
            }
            Admission::Repeat(_) => {
                let mut join = Join {
                    state: self,
                    index,
                    position,
                    header,
                    applied: &mut applied,
                };
                let outcome = join.apply(module, body);
                applied.encoded = self.encode(&outcome);
                applied.outcome = Some(outcome);
                return applied;
            }
            Admission::Stale | Admission::Full => return applied,
        }
        let mut join = Join {
            state: self,
            index,
            position,
            header,
            applied: &mut applied,
        };
        let outcome = join.apply(module, body);
        applied.encoded = self.encode(&outcome);
        self.outcomes
            .record(&header.request, applied.encoded.clone());
        applied.outcome = Some(outcome);
        applied
    }

    fn encode(&mut self, outcome: &Outcome) -> Bytes {
        self.scratch.clear();
        append_postcard(outcome, &mut self.scratch);
        let bytes = Bytes::copy_from_slice(&self.scratch);
        self.scratch.shrink_to(SCRATCH_BYTES);
        bytes
    }
}

/// One command being applied, across modules.
struct Join<'a> {
    state: &'a mut State,
    index: Index,
    position: u32,
    header: &'a Header,
    applied: &'a mut AppliedCommand,
}

impl Join<'_> {
    fn apply(&mut self, module: ModuleNumber, body: &Bytes) -> Outcome {
        let waited = self.state.runs.is_waiting();
        let outcome = match module {
            Offers::NUMBER => match OffersCommand::decode(body) {
                Ok(command) => self.apply_offers_command(command),
                Err(_) => Outcome::Malformed,
            },
            Runs::NUMBER => match postcard::from_bytes(body) {
                Ok(command) => self.apply_runs(command),
                Err(_) => Outcome::Malformed,
            },
            Charter::NUMBER => match postcard::from_bytes(body) {
                Ok(command) => self.apply_charter(command),
                Err(_) => Outcome::Malformed,
            },
            ModuleNumber(_) => Outcome::Malformed,
        };
        self.answer_for_runs(0);
        self.follow_waiting(waited);
        outcome
    }

    fn tell(&mut self, what: What) {
        let wall = Some(self.header.wall);
        self.applied.events.push(Event { wall, what });
    }

    /// One command of the offers' module, with its effects and events kept.
    fn offers(&mut self, command: OffersCommand) -> Result<shoal_offers::Outcome, Refusal> {
        let cue = Cue::of(&command, &self.state.offers);
        let from = self.applied.effects.len();
        let context = Context {
            index: self.index,
            position: self.position,
            header: self.header,
            incarnation: self.state.incarnation(),
            origin: self.state.origin(),
            plants: self.state.plants,
        };
        let AppliedCommand {
            effects, events, ..
        } = &mut *self.applied;
        let result = self.state.offers.apply(&context, command, effects);
        let wall = self.header.wall;
        let mut story = Story { wall, events };
        cue.tell(&result, &effects[from..], &self.state.offers, &mut story);
        result
    }

    fn apply_offers_command(&mut self, command: OffersCommand) -> Outcome {
        let OffersCommand::Accepted {
            claim: Some(claim),
            framework,
            stream,
            offers,
            ..
        } = &command
        else {
            return Outcome::Offers(self.offers(command));
        };
        let slots: Vec<Slot> = postcard::from_bytes(claim).unwrap_or_default();
        if !self.state.runs.can_claim(&slots) {
            let offers = offers
                .iter()
                .filter_map(|offer| offer.as_ref().ok().copied())
                .collect();
            let back = OffersCommand::Declined {
                framework: framework.clone(),
                stream: *stream,
                offers,
                filters: Filters {
                    refuse: Duration::ZERO,
                },
            };
            // What is refused here was taken back already.
            let _ = self.offers(back);
            return Outcome::SlotsTaken;
        }
        let result = self.offers(command);
        if let Ok(shoal_offers::Outcome::Accepted { launched, .. }) = &result {
            for key in launched {
                let agent = self.state.offers.task(key).map(|row| row.assignment.agent);
                if let (Some(slot), Some(agent)) = (Slot::of_task(&key.task), agent) {
                    self.state.runs.placed(slot, agent);
                }
            }
        }
        Outcome::Offers(result)
    }

    fn apply_runs(&mut self, command: RunsCommand) -> Outcome {
        let wall = self.header.wall;
        match command {
            RunsCommand::Create(spec) => {
                let (name, count) = (Arc::clone(&spec.name), spec.count);
                let created = self.state.runs.create(wall, *spec);
                if let Ok(run) = created {
                    self.tell(What::RunCreated { run, name, count });
                }
                Outcome::RunCreated(created)
            }
            RunsCommand::Kill(run) => {
                let placed = match self.state.runs.kill(wall, run) {
                    Ok(placed) => placed,
                    Err(refusal) => return Outcome::RunKilled(Err(refusal)),
                };
                self.tell(What::RunKillOrdered { run });
                let name = self
                    .state
                    .runs
                    .run(run)
                    .map(|row| Arc::clone(&row.spec.name));
                for slot in placed {
                    let Some(Ok(task)) = name.as_ref().map(|name| slot.task_id(name)) else {
                        continue;
                    };
                    // A task that ended meanwhile needs no kill.
                    let _ = self.offers(OffersCommand::Kill {
                        framework: runs_framework(),
                        stream: Some(RUNS_STREAM),
                        task: Arc::from(task.as_str()),
                        agent: None,
                        grace: None,
                    });
                }
                Outcome::RunKilled(Ok(()))
            }
        }
    }

    fn apply_charter(&mut self, command: CharterCommand) -> Outcome {
        let change = self.state.charter.apply(command);
        match &change {
            CharterChange::Founded => {
                self.tell(What::ClusterFounded);
                self.subscribe_runs();
            }
            CharterChange::Restarted(node) => {
                self.tell(What::MasterRestarted { node: *node });
                self.end_older_life(*node);
            }
            CharterChange::LifeBegan(nodes) => {
                self.tell(What::MastersChanged);
                for node in nodes {
                    self.end_older_life(*node);
                }
                let incarnation = self.state.incarnation();
                self.state.runs.begin_life(life::last_run(incarnation));
            }
            CharterChange::Masters => self.tell(What::MastersChanged),
            CharterChange::Nothing | CharterChange::Ring => {}
        }
        self.applied.charter = change;
        Outcome::Charter
    }

    /// The built-in framework is there from the first entry on, and wants nothing yet.
    fn subscribe_runs(&mut self) {
        let roles = BTreeSet::from([Role::any()]);
        let info = FrameworkInfo {
            id: Some(runs_framework()),
            name: Arc::from("shoal runs"),
            user: Arc::from(""),
            principal: None,
            suppressed: roles.clone(),
            roles,
            capabilities: BTreeSet::from([
                shoal_api::Capability::PartitionAware,
                shoal_api::Capability::MultiRole,
            ]),
            failover_timeout: Duration::from_secs(u64::from(u32::MAX)),
            raw: Bytes::new(),
        };
        let subscribe = Box::new(Subscribe {
            info,
            stream: RUNS_STREAM,
        });
        self.offers(OffersCommand::Subscribed {
            subscribe,
            holder: RUNS_HOLDER,
        })
        .expect("the built-in framework is well formed");
    }

    /// A master has a newer life: sessions and streams of the older one are gone.
    fn end_older_life(&mut self, node: NodeId) {
        for (agent, epoch) in self.state.sessions_of(node) {
            // A session that is older than its row ended by itself.
            let _ = self.offers(OffersCommand::SessionClosed {
                agent,
                epoch,
                restarting: None,
            });
        }
        for (framework, stream) in self.state.streams_of(node) {
            let cause = DisconnectCause::HolderDied;
            let _ = self.offers(OffersCommand::Disconnected {
                framework,
                stream,
                cause,
            });
        }
    }

    /// Takes in, and acknowledges, what the built-in framework is told; an acknowledgement may bring
    /// the next update, so this goes on to the end of the effects.
    fn answer_for_runs(&mut self, from: usize) {
        let runs = runs_framework();
        let mut at = from;
        while at < self.applied.effects.len() {
            let Effect::Notice {
                framework,
                notice: Notice::Update(status),
                ..
            } = &self.applied.effects[at]
            else {
                at += 1;
                continue;
            };
            at += 1;
            if *framework != runs {
                continue;
            }
            let status = status.clone();
            let slot = shoal_api::TaskId::new(&status.task)
                .ok()
                .and_then(|id| Slot::of_task(&id));
            if let Some(slot) = slot {
                let wall = self.header.wall;
                if status.state == TaskState::Error {
                    self.state.runs.reject(slot, &status.message, wall);
                }
                self.state
                    .runs
                    .observe(slot, status.state, status.exit, &status.message, wall);
            }
            if let (Some(update), Some(agent)) = (status.update, status.agent) {
                // Refused if it was settled meanwhile, which is as good.
                let _ = self.offers(OffersCommand::Acknowledged {
                    framework: runs.clone(),
                    stream: RUNS_STREAM,
                    agent,
                    task: status.task,
                    update,
                });
            }
        }
    }

    /// The built-in framework wants offers exactly while slots wait, and keeps none without need.
    fn follow_waiting(&mut self, waited: bool) {
        let waits = self.state.runs.is_waiting();
        if waits == waited {
            return;
        }
        let (framework, stream, roles) = (runs_framework(), RUNS_STREAM, BTreeSet::new());
        if waits {
            self.offers(OffersCommand::Revived {
                framework,
                stream,
                roles,
            })
            .expect("the built-in framework is subscribed");
            return;
        }
        self.offers(OffersCommand::Suppressed {
            framework: framework.clone(),
            stream,
            roles,
        })
        .expect("the built-in framework is subscribed");
        let offers = self
            .state
            .offers
            .offers_of(&framework)
            .map(|row| row.offer.id)
            .collect();
        let filters = Filters {
            refuse: Duration::ZERO,
        };
        self.offers(OffersCommand::Declined {
            framework,
            stream,
            offers,
            filters,
        })
        .expect("the built-in framework is subscribed");
    }
}
