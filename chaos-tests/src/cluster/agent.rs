//! One agent: its machine, its disk, its keeper, its connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_agent::frames::{self, Frames, MAGIC};
use shoal_agent::{
    Agent, BootId, Config, ConnectionId, End, Input, KeeperEvent, Output, Record, Recovered, Ticket,
};
use shoal_api::session::{AgentMessage, MasterMessage};
use shoal_api::{AgentInfo, Dice, Fence, Generation, HostPort, Name, NodeId, Resources, TaskKey};
use shoal_master::ring::Ring;

use super::gossip::host_of;
use super::processes::Keeper;
use super::{Cluster, Deed, Event, MASTERS, Packet};
use crate::disk::{
    Damage, Disk, FORGETS_SYNC, Honesty, Image, Layout, Loss, Refused, Written, ruin,
};
use crate::invariants::Fact;
use crate::network::{Death, Host, Side, StreamNumber};
use crate::plant::Plant;

/// What an agent's disk holds.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<Record>);

impl Image for Records {
    type Write = (Ticket, Record);

    fn apply(&mut self, (_, record): (Ticket, Record)) {
        self.0.push(record);
    }
}

impl Layout for Records {
    /// What is under way is one frame, or has not begun: the next is written once the last is synced.
    fn survivors(
        synced: &[Written<(Ticket, Record)>],
        under_way: &[Written<(Ticket, Record)>],
        damage: Damage,
        dice: &mut Dice,
    ) -> Result<usize, Refused> {
        let frame = |written: &[Written<(Ticket, Record)>]| {
            let mut frames = Frames::default();
            for written in written {
                frames.push(&written.write.1);
            }
            frames.take()
        };
        let begun = dice.below(under_way.len() as u64 + 1) as usize;
        let each: Vec<Vec<u8>> = synced.chunks(1).map(frame).collect();
        let on_disk = [MAGIC.to_vec(), each.concat()].concat();
        let bytes = ruin(&on_disk, &[frame(&under_way[..begun])], damage, dice);
        let mark = match damage {
            // Its own write is not synced either.
            Damage::Torn => 0,
            Damage::Rot => on_disk.len() as u64,
        };
        let found = match (frames::read(&bytes, mark), damage) {
            (Ok((records, _)), _) => records.len(),
            (Err(_), Damage::Rot) => return Err(Refused),
            (Err(error), Damage::Torn) => panic!("a torn write was taken for damage: {error}"),
        };
        let kept = found.checked_sub(synced.len());
        Ok(kept.expect("damage to what was on disk is seen"))
    }
}

/// One agent and what belongs to its host.
#[derive(Debug)]
pub(super) struct AgentNode {
    pub(super) node: NodeId,
    pub(super) keeper: Keeper,
    /// The highest fence that it obeyed.
    pub(super) obeyed: Fence,
    info: AgentInfo,
    machine: Option<Agent>,
    disk: Disk<Records>,
    generation: Generation,
    connections: BTreeMap<ConnectionId, StreamNumber>,
    wake: Option<shoal_api::Instant>,
}

/// How long a message between an agent and its keeper takes; all the same, so that they keep order.
const PIPE: Duration = Duration::from_micros(300);

impl AgentNode {
    pub(super) fn new(at: usize, plant: Option<Plant>) -> AgentNode {
        let node = NodeId(0x2000_0000 + at as u128);
        let cpus = 2 + at % 3;
        let text = format!("cpus:{cpus};mem:2048;disk:4096;ports:[31000-31009]");
        let honesty = if plant == Some(Plant::ForgetCheckpoints) {
            FORGETS_SYNC
        } else {
            Honesty::Honest
        };
        let boot = BootId(u128::from(at as u64) << 64 | 1);
        AgentNode {
            node,
            keeper: Keeper::new(boot),
            obeyed: Fence::default(),
            info: AgentInfo {
                node,
                name: Name::new(&format!("agent-{at}")).expect("letters and digits are a name"),
                http: HostPort::new(&format!("10.0.0.{}", MASTERS + at + 1), 5051),
                resources: Resources::parse(&text).expect("the text is well formed"),
                attributes: Vec::new(),
                version: Arc::from("0.1.0"),
            },
            machine: None,
            disk: Disk::new(Records::default(), honesty),
            generation: Generation(0),
            connections: BTreeMap::new(),
            wake: None,
        }
    }

    /// What it has.
    pub(super) fn total(&self) -> &Resources {
        &self.info.resources
    }

    /// The stream on which a master commands it.
    pub(super) fn session(&self) -> Option<StreamNumber> {
        let connected = self.machine.as_ref().is_some_and(Agent::is_connected);
        let newest = self.connections.last_key_value();
        newest.filter(|_| connected).map(|(_, stream)| *stream)
    }

    pub(super) fn raise_generation(&mut self) -> Generation {
        self.generation = self.generation.next();
        self.generation
    }
}

impl Cluster {
    fn agent(&mut self, host: Host) -> &mut AgentNode {
        &mut self.agents[host.0 - MASTERS]
    }

    pub(super) fn start_agent(&mut self, host: Host) {
        let now = self.hosts.clock(host, self.queue.now());
        let calendar = self.hosts.calendar(host, self.queue.now());
        let life = self.hosts.get(host).life;
        let seed = self.dice.next_u64();
        let plants = Plant::machine(self.plant);
        let agent = self.agent(host);
        let config = Config {
            info: agent.info.clone(),
            generation: agent.generation,
            boot: agent.keeper.boot,
            plants,
            seed,
        };
        let recovered = Recovered {
            records: agent.disk.image().0.clone(),
        };
        match Agent::new(now, config, &recovered) {
            Ok(machine) => agent.machine = Some(machine),
            Err(error) => {
                let detail = format!("agent on host {} does not start: {error}", host.0);
                self.tell(&Fact::Unsettled(detail));
                return;
            }
        }
        self.step_agent(host, Input::Calendar(calendar));
        let deed = Deed::Listen { life };
        self.queue
            .push(self.queue.now() + PIPE, Event::Keeper { host, deed });
        self.masters_seen(host);
    }

    /// The process dies. Who finds its checkpoint damaged moves it away, and is a new agent.
    pub(super) fn crash_agent(&mut self, host: Host, death: Death, loss: Loss) {
        let at = self.hosts.calendar(host, self.queue.now());
        let boot = BootId(self.crash_dice.next_u128());
        let index = host.0 - MASTERS;
        let agent = &mut self.agents[index];
        agent.machine = None;
        agent.wake = None;
        agent.connections.clear();
        let lost = agent.disk.lose(loss, &mut self.crash_dice).is_err();
        agent.keeper.listener = None;
        if death == Death::Machine {
            for task in agent.keeper.power_off(boot, at) {
                self.watch
                    .tell(self.queue.now(), &Fact::Stopped { task: &task });
            }
        }
        if lost {
            let agent = &mut self.agents[index];
            agent.keeper.forget_all();
            agent.disk = Disk::new(Records::default(), Honesty::Honest);
        }
    }

    /// The masters that an agent knows of, its home first, as its gossip says.
    pub(super) fn masters_seen(&mut self, host: Host) {
        let mut masters = self.masters_in_gossip(host);
        if masters.is_empty() {
            return;
        }
        let ring = Ring::new(masters.iter().map(|(node, _)| *node));
        let home = ring.home(self.agent(host).node);
        masters.sort_by_key(|(node, _)| (Some(*node) != home, *node));
        let masters = masters.into_iter().map(|(_, peer)| peer).collect();
        self.step_agent(host, Input::Masters(masters));
    }

    pub(super) fn wake_agent(&mut self, host: Host) {
        let now = self.queue.now();
        if self.agent(host).wake.is_some_and(|at| at <= now) {
            self.agent(host).wake = None;
            let calendar = self.hosts.calendar(host, now);
            self.step_agent(host, Input::Calendar(calendar));
            self.step_agent(host, Input::Wake);
        }
    }

    pub(super) fn agent_disk_done(&mut self, host: Host, through: u64) {
        let done = self.agent(host).disk.complete(through);
        if let Some((ticket, _)) = done.last() {
            let ticket = *ticket;
            self.step_agent(host, Input::Checkpointed { ticket });
        }
    }

    pub(super) fn dial_master(&mut self, host: Host, connection: ConnectionId, to: Host) {
        if !self.hosts.get(to).up || !self.network.is_connected(host, to) {
            let why = Arc::from("there is nobody");
            self.step_agent(host, Input::Disconnected { connection, why });
            return;
        }
        let stream = self.network.open(self.queue.now(), host, to);
        self.agent(host).connections.insert(connection, stream);
        self.step_agent(host, Input::Connected { connection });
    }

    fn connection_of(&mut self, host: Host, stream: StreamNumber) -> Option<ConnectionId> {
        let connections = &self.agent(host).connections;
        connections
            .iter()
            .find(|(_, number)| **number == stream)
            .map(|(id, _)| *id)
    }

    pub(super) fn master_lost(&mut self, host: Host, stream: StreamNumber) {
        if let Some(connection) = self.connection_of(host, stream) {
            self.agent(host).connections.remove(&connection);
            let why = Arc::from("the stream broke");
            self.step_agent(host, Input::Disconnected { connection, why });
        }
    }

    pub(super) fn master_said(&mut self, host: Host, stream: StreamNumber, bytes: &Bytes) {
        self.trace.content(bytes);
        let message: MasterMessage =
            postcard::from_bytes(bytes).expect("a master sends well-formed messages");
        if let Some(connection) = self.connection_of(host, stream) {
            self.check_durable(host, &message);
            self.step_agent(
                host,
                Input::Message {
                    connection,
                    message,
                },
            );
        }
    }

    /// What an agent is told to be durable must be in the newest ledger.
    fn check_durable(&mut self, host: Host, message: &MasterMessage) {
        if let MasterMessage::UpdateDurable { task, sequence } = message {
            let node = self.agent(host).node;
            let recorded = self.newest.1.offers.task(task).map(|row| row.sequence);
            let fact = Fact::Confirmed {
                node,
                task,
                sequence: *sequence,
                recorded,
            };
            self.watch.tell(self.queue.now(), &fact);
        }
    }

    /// A planted bug: an update is confirmed as soon as a master hears it.
    pub(super) fn confirm_early(&mut self, stream: StreamNumber, message: &AgentMessage) {
        if let AgentMessage::Update(update) = message {
            let durable = MasterMessage::UpdateDurable {
                task: update.task.clone(),
                sequence: update.sequence,
            };
            let bytes = postcard::to_allocvec(&durable).expect("messages are encodable");
            self.send_stream(stream, Side::Listener, Packet::ToAgent(Bytes::from(bytes)));
        }
    }

    pub(super) fn keeper_says(&mut self, host: Host, event: KeeperEvent) {
        self.step_agent(host, Input::Keeper(event));
    }

    fn step_agent(&mut self, host: Host, input: Input) {
        let now = self.hosts.clock(host, self.queue.now());
        if let Some(machine) = &mut self.agent(host).machine {
            machine.step(now, input);
        }
        while let Some(output) = self
            .agent(host)
            .machine
            .as_mut()
            .and_then(Agent::poll_output)
        {
            self.agent_wants(host, output);
        }
        let life = self.hosts.get(host).life;
        let agent = &mut self.agents[host.0 - MASTERS];
        let Some(deadline) = agent.machine.as_ref().and_then(Agent::next_deadline) else {
            return;
        };
        let at = self.hosts.when(host, deadline).max(self.queue.now());
        if agent.wake.is_none_or(|planned| at < planned) {
            agent.wake = Some(at);
            self.queue.push(at, Event::WakeAgent { host, life });
        }
    }

    fn agent_wants(&mut self, host: Host, output: Output) {
        let now = self.queue.now();
        let life = self.hosts.get(host).life;
        match output {
            Output::Dial { connection, to } => {
                let Some(to) = host_of(&to) else { return };
                let wait = if self.network.is_connected(host, to) {
                    self.network.delay() * 2
                } else {
                    Duration::from_secs(3)
                };
                let event = Event::DialMaster {
                    host,
                    life,
                    connection,
                    to,
                };
                self.queue.push(now + wait, event);
            }
            Output::Close { connection } => {
                if let Some(stream) = self.agent(host).connections.remove(&connection) {
                    self.close_stream(stream, Side::Dialler);
                }
            }
            Output::Send {
                connection,
                message,
            } => {
                if let Some(&stream) = self.agent(host).connections.get(&connection) {
                    let bytes = postcard::to_allocvec(&message).expect("messages are encodable");
                    self.send_stream(stream, Side::Dialler, Packet::ToMaster(Bytes::from(bytes)));
                }
            }
            Output::Checkpoint { ticket, record } => self.checkpoint(host, ticket, record),
            Output::Spawn(spawn) => {
                self.ask_keeper(host, Deed::Spawn(spawn.assignment));
                if let Some(at) = self.aimed.started(now) {
                    self.queue.push(at, Event::Strike { host, life });
                }
            }
            Output::Signal { task, signal } => self.ask_keeper(host, Deed::Signal(task, signal)),
            // No data is simulated.
            Output::RemoveVolume { .. } => {}
            Output::Forget { task } => self.ask_keeper(host, Deed::Forget(task)),
            Output::ReadFile { .. } | Output::Session(_) | Output::Stopped => {}
            Output::Fatal(refusal) => {
                let detail = format!("agent on host {} gives up: {refusal}", host.0);
                self.tell(&Fact::Unsettled(detail));
            }
        }
    }

    fn checkpoint(&mut self, host: Host, ticket: Ticket, record: Record) {
        let now = self.queue.now();
        if let Record::Fenced(fence)
        | Record::Launched { fence, .. }
        | Record::Killed { fence, .. }
        | Record::Forgotten { fence, .. } = &record
        {
            let agent = self.agent(host);
            agent.obeyed = agent.obeyed.max(*fence);
            let node = agent.node;
            self.watch.tell(
                now,
                &Fact::Obeyed {
                    node,
                    fence: *fence,
                },
            );
        }
        let through = self.agent(host).disk.write((ticket, record));
        if !self.hosts.get(host).disk_full {
            self.sync_soon(host, through);
        }
    }

    /// There is room again: what waits is written.
    pub(super) fn agent_has_room(&mut self, host: Host) {
        let last = self.agent(host).disk.last();
        self.sync_soon(host, last);
    }

    fn ask_keeper(&mut self, host: Host, deed: Deed) {
        self.queue
            .push(self.queue.now() + PIPE, Event::Keeper { host, deed });
    }

    /// The keeper does what it was asked to, whether the agent still lives or not.
    pub(super) fn keeper_does(&mut self, host: Host, deed: Deed) {
        let now = self.queue.now();
        let at = self.hosts.calendar(host, now);
        match deed {
            Deed::Listen { life } => {
                let forgets = self.plant == Some(Plant::KeeperForgets);
                let keeper = &mut self.agent(host).keeper;
                if forgets {
                    keeper.forget_all();
                }
                keeper.listener = Some(life);
                let event = KeeperEvent::Listed(keeper.list());
                self.queue
                    .push(now + PIPE, Event::KeeperSays { host, life, event });
            }
            Deed::Spawn(assignment) => {
                let key = assignment.key.clone();
                let run = self.last_run + 1;
                if self.agent(host).keeper.spawn(run, &assignment, at) {
                    self.last_run = run;
                    self.spawned(host, &key);
                }
                self.keeper_tells(host, &key);
            }
            Deed::Signal(task, signal) => {
                if let Some((run, exit, wait)) = self.agent(host).keeper.signal(&task, signal) {
                    let deed = Deed::Exit {
                        task,
                        run,
                        end: End::Exit(exit),
                    };
                    self.queue.push(now + wait, Event::Keeper { host, deed });
                }
            }
            Deed::Forget(task) => self.agent(host).keeper.forget(&task),
            Deed::Exit { task, run, end } => {
                if self.agent(host).keeper.end(&task, run, end, at) {
                    self.trace.event(&[13, now.as_nanos(), run]);
                    self.watch.tell(now, &Fact::Stopped { task: &task });
                    self.keeper_tells(host, &task);
                }
            }
        }
    }

    fn spawned(&mut self, host: Host, key: &TaskKey) {
        let now = self.queue.now();
        let agent = &self.agents[host.0 - MASTERS];
        let process = agent.keeper.running(key).expect("it was just started");
        let (run, script) = (process.run, process.script);
        self.trace.event(&[12, now.as_nanos(), host.0 as u64, run]);
        let held: Vec<&Resources> = agent
            .keeper
            .processes()
            .filter(|process| process.runs())
            .map(|process| &process.assignment.spec.resources)
            .collect();
        let fact = Fact::Started {
            node: agent.node,
            task: key,
            held: &held,
            total: agent.total(),
        };
        self.watch.tell(now, &fact);
        let exit = shoal_api::task::Exit::Code(script.code);
        let deed = Deed::Exit {
            task: key.clone(),
            run,
            end: End::Exit(exit),
        };
        self.queue
            .push(now + script.runs, Event::Keeper { host, deed });
    }

    fn keeper_tells(&mut self, host: Host, task: &TaskKey) {
        let keeper = &self.agent(host).keeper;
        if let (Some(life), Some(told)) = (keeper.listener, keeper.tell(task)) {
            let event = KeeperEvent::Task(told);
            self.queue.push(
                self.queue.now() + PIPE,
                Event::KeeperSays { host, life, event },
            );
        }
    }
}
