//! A small world around the state: agents that obey it, clocks, and every effect carried out.
//!
//! Masters, streams and the network are not in here; commands are applied one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::call::{AgentName, Launch, Subscribe};
use shoal_api::notice::Notice;
use shoal_api::session::{Hello, TaskReport};
use shoal_api::task::{Assignment, Command, Exit};
use shoal_api::{
    AgentId, AgentInfo, Capability, Epoch, Fence, FrameworkId, FrameworkInfo, Generation, HostPort,
    Incarnation, Index, Instant, Name, NodeId, Origin, Plants, RequestId, Resources, Role, Source,
    StatusUpdate, StreamId, TaskId, TaskKey, TaskSpec, TaskState, Timestamp, UpdateId,
};
use shoal_ledger::{Header, Module};
use shoal_offers::{Context, Desired, Effect, Offers, OffersCommand, Outcome, Refusal};

pub const ORIGIN: Origin = Origin(7);

/// A task as a simulated agent knows it.
#[derive(Clone, Debug)]
pub struct Known {
    pub assignment: Arc<Assignment>,
    pub state: TaskState,
    pub sequence: u64,
    pub updates: Vec<StatusUpdate>,
    pub told_to_end: bool,
}

/// An agent that obeys the ledger while it has a session.
#[derive(Clone, Debug)]
pub struct Agent {
    pub node: NodeId,
    pub generation: Generation,
    pub hellos: u64,
    pub resources: Resources,
    pub id: Option<AgentId>,
    pub epoch: Epoch,
    /// The life of the cluster that it obeyed last.
    pub incarnation: Incarnation,
    pub connected: bool,
    pub tasks: BTreeMap<TaskKey, Known>,
}

/// The state, its clocks, its agents and what was said.
#[derive(Debug, Default)]
pub struct World {
    pub offers: Offers,
    pub index: u64,
    pub time: u64,
    pub incarnation: u64,
    pub agents: BTreeMap<String, Agent>,
    pub log: Vec<(Position, OffersCommand)>,
    pub starts: BTreeMap<TaskKey, u32>,
    updates: u128,
}

/// What a context is made of, to apply the same command again.
#[derive(Clone, Debug)]
pub struct Position {
    pub header: Header,
    pub index: u64,
    pub incarnation: u64,
}

impl Position {
    pub fn context(&self) -> Context<'_> {
        Context {
            index: Index(self.index),
            position: 0,
            header: &self.header,
            incarnation: Incarnation(self.incarnation),
            origin: Origin(ORIGIN.0 + u128::from(self.incarnation)),
            plants: Plants::NONE,
        }
    }
}

impl World {
    pub fn new() -> World {
        World {
            incarnation: 1,
            ..World::default()
        }
    }

    pub fn wait(&mut self, duration: Duration) {
        self.time += u64::try_from(duration.as_nanos()).unwrap();
    }

    /// Applies a command through its encoding, and lets the agents follow the effects.
    pub fn apply(&mut self, command: OffersCommand) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        self.index += 1;
        let context = self.position();
        let command = OffersCommand::decode(&command.encode()).expect("a command round trips");
        self.log.push((context.clone(), command.clone()));
        let mut effects = Vec::new();
        let before = self.offers.hash();
        let result = self.offers.apply(&context.context(), command, &mut effects);
        if result.is_err() {
            assert_eq!(before, self.offers.hash(), "a refusal changes nothing");
            assert!(effects.is_empty(), "a refusal has no effects");
        }
        self.follow(&effects);
        (result, effects)
    }

    fn position(&self) -> Position {
        Position {
            header: Header {
                version: 1,
                time: Instant::from_nanos(self.time),
                wall: Timestamp::from_nanos(1_000_000_000_000 + self.time as i64),
                principal: None,
                request: RequestId::default(),
                lowest: 0,
            },
            index: self.index,
            incarnation: self.incarnation,
        }
    }

    fn follow(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::AgentRunsChanged { agent, tasks } => {
                    for key in tasks {
                        if let Some(desired) = self.offers.desired_of(*agent, key) {
                            self.obey(*agent, desired);
                        }
                    }
                }
                Effect::UpdateDurable {
                    agent,
                    task,
                    sequence,
                } => {
                    if let Some(known) = self.agent_of(*agent).tasks.get_mut(task) {
                        known.updates.retain(|update| update.sequence > *sequence);
                    }
                }
                Effect::SessionChanged { .. }
                | Effect::Notice { .. }
                | Effect::StreamEnded { .. }
                | Effect::FrameworkChanged { .. }
                | Effect::FrameworkGone { .. }
                | Effect::AgentChanged { .. }
                | Effect::Refused { .. }
                | Effect::Revived { .. }
                | Effect::TaskChanged { .. }
                | Effect::VolumeDestroyed { .. }
                | Effect::TaskGone { .. } => {}
            }
        }
    }

    fn agent_of(&mut self, id: AgentId) -> &mut Agent {
        self.agents
            .values_mut()
            .find(|agent| agent.id == Some(id))
            .expect("the ledger knows agents of this world only")
    }

    /// What an agent does with a message of its session; without one it hears nothing.
    fn obey(&mut self, agent: AgentId, desired: Desired) {
        if !self.agent_of(agent).connected {
            return;
        }
        match desired {
            Desired::Run(assignment) => {
                let key = assignment.key.clone();
                let agent = self.agent_of(agent);
                if agent.tasks.contains_key(&key) {
                    return;
                }
                let known = Known {
                    assignment,
                    state: TaskState::Staging,
                    sequence: 0,
                    updates: Vec::new(),
                    told_to_end: false,
                };
                agent.tasks.insert(key, known);
            }
            Desired::Kill { task, .. } => {
                let row = self.offers.task(&task).expect("a kill is a row");
                let assignment = Arc::clone(row.assignment.content());
                let agent = self.agent_of(agent);
                let known = agent.tasks.entry(task).or_insert(Known {
                    assignment,
                    state: TaskState::Staging,
                    sequence: 0,
                    updates: Vec::new(),
                    told_to_end: true,
                });
                known.told_to_end = true;
            }
            Desired::Forget(task) => {
                let known = self.agent_of(agent).tasks.remove(&task);
                assert!(
                    known.is_none_or(|known| known.state.is_terminal()),
                    "only what has ended is forgotten"
                );
            }
        }
    }

    /// A session of an agent is opened with what it knows.
    pub fn open(&mut self, name: &str, master: NodeId) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let agent = self.agents.get_mut(name).expect(name);
        agent.connected = false;
        agent.hellos += 1;
        let reports = agent.tasks.values().map(|known| TaskReport {
            assignment: Arc::clone(&known.assignment),
            state: known.state,
            updates: known.updates.clone(),
        });
        let hello = Hello {
            info: AgentInfo {
                node: agent.node,
                name: Name::new(name).unwrap(),
                http: HostPort::new("127.0.0.1", 5051),
                resources: agent.resources.clone(),
                attributes: Vec::new(),
                version: Arc::from("1.0.0"),
            },
            generation: agent.generation,
            number: agent.hellos,
            cluster: None,
            agent: agent.id,
            fence: Fence {
                incarnation: agent.incarnation,
                epoch: agent.epoch,
                index: Index(0),
            },
            tasks: reports.collect(),
        };
        self.open_with(name, hello, master)
    }

    pub fn open_with(
        &mut self,
        name: &str,
        hello: Hello,
        master: NodeId,
    ) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let hello = Box::new(hello);
        let command = OffersCommand::SessionOpened { hello, master };
        // The welcome is heard before anything that follows from the session.
        let mut trial = self.offers.clone();
        let context = self.position();
        let welcome = trial.apply(&context.context(), command.clone(), &mut Vec::new());
        if let Ok(Outcome::Session { agent: id, epoch }) = welcome {
            let agent = self.agents.get_mut(name).expect(name);
            (agent.id, agent.epoch, agent.connected) = (Some(id), epoch, true);
            agent.incarnation = Incarnation(self.incarnation);
        }
        let (result, effects) = self.apply(command);
        if let Ok(Outcome::Session { agent, .. }) = result {
            let desired: Vec<Desired> = self.offers.desired(agent).collect();
            for desired in desired {
                self.obey(agent, desired);
            }
        }
        (result, effects)
    }

    /// An agent's task changes its state; the update waits at the agent.
    pub fn progress(&mut self, name: &str, key: &TaskKey, state: TaskState) {
        self.updates += 1;
        let id = UpdateId(self.updates);
        let timestamp = Timestamp::from_nanos(self.time as i64);
        let agent = self.agents.get_mut(name).expect(name);
        let known = agent.tasks.get_mut(key).expect("the agent knows the task");
        if known.sequence == 0 {
            let starts = self.starts.entry(key.clone()).or_default();
            *starts += 1;
            assert_eq!(*starts, 1, "task {key} is started once");
        }
        known.sequence += 1;
        known.state = state;
        known.updates.push(StatusUpdate {
            task: key.clone(),
            sequence: known.sequence,
            id,
            state,
            source: Source::Executor,
            reason: None,
            message: Arc::from(""),
            timestamp,
            exit: state.is_terminal().then_some(Exit::Code(0)),
        });
    }

    /// An agent sends all that waits.
    pub fn send(&mut self, name: &str) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let agent = &self.agents[name];
        let updates = agent
            .tasks
            .values()
            .flat_map(|known| known.updates.iter().cloned())
            .collect();
        let command = OffersCommand::TaskStatus {
            agent: agent.id.expect("the agent had a session"),
            epoch: agent.epoch,
            updates,
        };
        self.apply(command)
    }

    pub fn add_agent(&mut self, name: &str, node: u128, resources: &str) {
        let agent = Agent {
            node: NodeId(node),
            generation: Generation(1),
            hellos: 0,
            resources: Resources::parse(resources).expect(resources),
            id: None,
            epoch: Epoch(0),
            incarnation: Incarnation(0),
            connected: false,
            tasks: BTreeMap::new(),
        };
        self.agents.insert(name.to_owned(), agent);
    }

    /// The state that the same commands from the start give.
    pub fn replay(&self) -> Offers {
        let mut offers = Offers::new();
        for (context, command) in &self.log {
            let _ = offers.apply(&context.context(), command.clone(), &mut Vec::new());
        }
        offers
    }
}

pub fn subscription(
    id: Option<FrameworkId>,
    name: &str,
    roles: &[&str],
    capabilities: &[Capability],
    timeout: Duration,
    stream: u128,
) -> Subscribe {
    Subscribe {
        info: FrameworkInfo {
            id,
            name: Arc::from(name),
            user: Arc::from("nobody"),
            principal: None,
            roles: roles.iter().map(|role| Role::new(role).unwrap()).collect(),
            suppressed: BTreeSet::new(),
            capabilities: capabilities.iter().copied().collect(),
            failover_timeout: timeout,
            raw: Bytes::new(),
        },
        stream: StreamId(stream),
    }
}

pub fn launch(agent: AgentId, id: &str, resources: &str) -> Launch {
    Launch::Task {
        agent: AgentName::Id(agent),
        spec: spec(id, resources),
    }
}

pub fn spec(id: &str, resources: &str) -> Arc<TaskSpec> {
    Arc::new(TaskSpec {
        id: TaskId::new(id).expect(id),
        name: Arc::from(id),
        resources: Resources::parse(resources).expect(resources),
        command: Some(Command::Shell(Arc::from("true"))),
        environment: Vec::new(),
        user: None,
        kill_grace: None,
        unsupported: None,
        raw: Bytes::from_static(b"{}"),
        digest: None,
    })
}

/// The notices among effects, with the stream that they go to.
pub fn notices(effects: &[Effect]) -> Vec<(StreamId, &Notice)> {
    let mut all = Vec::new();
    for effect in effects {
        if let Effect::Notice { stream, notice, .. } = effect {
            all.push((*stream, notice));
        }
    }
    all
}
