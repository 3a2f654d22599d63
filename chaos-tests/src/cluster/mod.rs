//! Everything: masters, agents, their gossip, the processes they run, and frameworks that use them.
//!
//! Hosts are numbered: masters first, then agents, then frameworks, then an operator; each can be cut
//! off.

mod agent;
mod echo;
mod encore;
pub mod framework;
mod gossip;
mod handed;
mod master;
mod operator;
pub mod processes;
mod settle;
mod storage;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_agent::{ConnectionId, Signal};
use shoal_api::task::Assignment;
use shoal_api::{ClusterId, Dice, Index, Instant, NodeId, RaftId, TaskKey};
use shoal_master::{Ask, State};

use crate::aimed::Aimed;
use crate::disk::Loss;
use crate::faults::{self, Fault, Planned, Targets};
use crate::hosts::Hosts;
use crate::invariants::{Fact, Watch};
use crate::network::{Carried, Death, Host, Network, Out, Side, StreamNumber, Weather};
use crate::plant::Plant;
use crate::queue::Queue;
use crate::report::{Report, unwound};
use crate::trace::Trace;

use agent::AgentNode;
use framework::{Framework, Word};
use gossip::Gossip;
use master::MasterNode;

/// Masters in this world.
const MASTERS: usize = 3;
/// Agents in this world.
const AGENTS: usize = 5;
/// Nodes: masters, then agents.
const NODES: usize = MASTERS + AGENTS;
/// Frameworks in this world.
const FRAMEWORKS: usize = 3;
/// All hosts: nodes, frameworks, and the operator's.
const HOSTS: usize = NODES + FRAMEWORKS + 1;
/// How long the world may take to settle after the faults. An agent that the gossip believes to be
/// alive keeps its lease for 75 s, an update is repeated after at most 600 s.
const CALM: Duration = Duration::from_secs(900);
/// How often it is asked whether it has.
const ASK: Duration = Duration::from_secs(5);
/// Events that a second of virtual time may have on average; a busy world has a tenth of them.
const EVENTS_PER_SECOND: u64 = 10_000;
/// The cluster.
const CLUSTER: ClusterId = ClusterId(0x0511_70a1);

/// What travels.
#[derive(Clone, Debug)]
enum Packet {
    /// A datagram between members.
    Gossip(Bytes),
    /// Raft between masters.
    Raft {
        from: (RaftId, NodeId),
        bytes: Bytes,
    },
    /// Everything else between masters.
    Ledger {
        from: (RaftId, NodeId),
        bytes: Bytes,
    },
    /// From an agent.
    ToMaster(Bytes),
    /// To an agent.
    ToAgent(Bytes),
    /// From a framework, first on its stream.
    Subscribe(Box<shoal_api::FrameworkInfo>),
    /// To a framework.
    ToFramework(Word),
    /// A framework's call.
    Call {
        framework: usize,
        number: u64,
        call: Box<shoal_api::call::FrameworkCall>,
    },
    /// Its answer.
    Answer {
        framework: usize,
        number: u64,
        done: bool,
    },
    /// What the operator typed.
    Order(operator::Order),
}

/// What a keeper is asked to do.
#[derive(Clone, Debug)]
enum Deed {
    Listen {
        life: u64,
    },
    Spawn(Arc<Assignment>),
    Signal(TaskKey, Signal),
    Forget(TaskKey),
    Exit {
        task: TaskKey,
        run: u64,
        end: shoal_agent::End,
    },
}

/// What happens.
#[derive(Debug)]
enum Event {
    Carried(Carried<Packet>),
    WakeMaster {
        host: Host,
        life: u64,
    },
    WakeAgent {
        host: Host,
        life: u64,
    },
    WakeGossip {
        host: Host,
        life: u64,
    },
    Disk {
        host: Host,
        life: u64,
        through: u64,
    },
    Imaged {
        host: Host,
        life: u64,
        index: Index,
        image: Arc<State>,
    },
    DialPeer {
        from: Host,
        to: Host,
    },
    DialMaster {
        host: Host,
        life: u64,
        connection: ConnectionId,
        to: Host,
    },
    Subscribe {
        framework: usize,
        attempt: u64,
        to: Host,
    },
    Keeper {
        host: Host,
        deed: Deed,
    },
    KeeperSays {
        host: Host,
        life: u64,
        event: shoal_agent::KeeperEvent,
    },
    Look {
        framework: usize,
    },
    Operate,
    Start {
        host: Host,
    },
    Strike {
        host: Host,
        life: u64,
    },
    Begin(usize),
    End(usize),
}

/// A call on its way, as the omniscient sees it.
#[derive(Clone, Debug)]
struct Asked {
    framework: usize,
    number: u64,
    call: Box<shoal_api::call::FrameworkCall>,
    /// Whether the master's ledger had the call's task when it was asked.
    had_task: bool,
}

/// The world.
#[derive(Debug)]
pub struct Cluster {
    queue: Queue<Event>,
    network: Network<Packet>,
    hosts: Hosts,
    masters: Vec<MasterNode>,
    agents: Vec<AgentNode>,
    gossips: Vec<Gossip>,
    frameworks: Vec<Framework>,
    operator: operator::Operator,
    users: Vec<users::Line>,
    asks: BTreeMap<Ask, Asked>,
    last_ask: u64,
    last_run: u64,
    /// The newest ledger that any replica has applied.
    newest: (Index, State),
    plan: Vec<Planned>,
    plant: Option<Plant>,
    watch: Watch,
    trace: Trace,
    dice: Dice,
    crash_dice: Dice,
    wiped: Option<RaftId>,
    happened: u64,
    aimed: Aimed,
    handed: handed::Handed,
    echoes: echo::Echoes,
    /// Faults that are at work, and when the last one began or ended.
    trouble: (usize, Instant),
    settled_at: Instant,
    seed: u64,
}

impl Cluster {
    /// A founded cluster and a plan of faults for so long.
    pub fn new(seed: u64, faulty: Duration, plant: Option<Plant>) -> Cluster {
        let dice = Dice::new(seed).child("cluster");
        let hosts = HOSTS;
        let targets = Targets {
            hosts,
            nodes: NODES,
            wipeable: MASTERS,
        };
        let begin = Instant::ZERO + Duration::from_secs(5);
        let plan = faults::draw(
            &mut dice.child("faults"),
            targets,
            begin,
            Instant::ZERO + faulty,
        );
        let ids: Vec<RaftId> = (0..MASTERS).map(|at| RaftId(at as u64 + 1)).collect();
        let mut world = Cluster {
            queue: Queue::default(),
            network: Network::new(hosts, dice.child("network")),
            hosts: Hosts::new(hosts, dice.child("hosts")),
            masters: (0..MASTERS)
                .map(|at| MasterNode::founder(at, &ids, plant))
                .collect(),
            agents: (0..AGENTS).map(|at| AgentNode::new(at, plant)).collect(),
            gossips: (0..NODES).map(|_| Gossip::default()).collect(),
            frameworks: (0..FRAMEWORKS)
                .map(|at| Framework::new(at, MASTERS, dice.child(&format!("framework {at}"))))
                .collect(),
            operator: operator::Operator::new(dice.child("operator")),
            users: vec![users::Line::default(); FRAMEWORKS],
            asks: BTreeMap::new(),
            last_ask: 0,
            last_run: 0,
            newest: (Index(0), State::new(shoal_api::Plants::NONE)),
            plan,
            plant,
            watch: Watch::of_cluster(),
            trace: Trace::default(),
            dice: dice.child("world"),
            crash_dice: dice.child("crashes"),
            wiped: None,
            happened: 0,
            handed: handed::Handed::default(),
            echoes: echo::Echoes::new(dice.child("echoes")),
            trouble: (0, Instant::ZERO),
            settled_at: Instant::ZERO,
            aimed: Aimed::new(dice.child("ambushes")),
            seed,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for host in 0..NODES {
            let at = Instant::ZERO + Duration::from_millis(self.dice.below(300));
            self.queue.push(at, Event::Start { host: Host(host) });
        }
        for to in 0..MASTERS {
            for from in 0..to {
                self.queue.push(
                    Instant::ZERO,
                    Event::DialPeer {
                        from: Host(from),
                        to: Host(to),
                    },
                );
            }
        }
        for framework in 0..FRAMEWORKS {
            self.hosts.start(Host(NODES + framework));
            self.queue.push(Instant::ZERO, Event::Look { framework });
        }
        self.hosts.start(Host(HOSTS - 1));
        self.queue.push(Instant::ZERO + ASK, Event::Operate);
        for (number, planned) in self.plan.iter().enumerate() {
            self.queue.push(planned.at, Event::Begin(number));
            self.queue
                .push(planned.at + planned.lasts, Event::End(number));
        }
    }

    /// Runs the faults, then the calm until all is well, or too long.
    pub fn run(mut self, faulty: Duration) -> Report {
        let calm = Instant::ZERO + faulty;
        if let Err(why) = unwound(|| self.live(calm)) {
            self.tell(&Fact::Panicked(why));
        }
        self.report(calm)
    }

    fn live(&mut self, calm: Instant) {
        self.run_until(calm);
        self.network.set_weather(Weather::FAIR);
        for framework in &mut self.frameworks {
            framework.calm_down();
        }
        self.operator.calm_down();
        if let Some(what) = self.settle(calm + CALM) {
            self.tell(&Fact::Unsettled(what));
        }
        self.settled_at = self.queue.now();
        if self.watch.violation().is_none() {
            self.encore();
        }
    }

    fn report(self, calm: Instant) -> Report {
        let launched = self
            .frameworks
            .iter()
            .map(|framework| framework.launched)
            .sum();
        let ended = self
            .frameworks
            .iter()
            .flat_map(|framework| framework.ended.values())
            .sum();
        Report {
            seed: self.seed,
            trace: self.trace,
            simulated: self.queue.now().since(Instant::ZERO),
            counts: vec![
                ("events", self.trace.events()),
                ("faults", self.plan.len() as u64),
                ("index", self.newest.0.0),
                ("launched", launched),
                ("ended", ended),
                ("processes", self.last_run),
                ("settled after", self.settled_at.since(calm).as_secs()),
            ],
            violation: self.watch.violation().cloned(),
        }
    }

    fn run_until(&mut self, end: Instant) {
        while self.watch.violation().is_none()
            && let Some(event) = self.queue.pop(end)
        {
            self.happen(event);
            self.bound();
        }
    }

    /// A world in which ever more happens in ever less time never converges: say so and stop.
    fn bound(&mut self) {
        self.happened += 1;
        let seconds = self.queue.now().since(Instant::ZERO).as_secs() + 10;
        if self.happened > seconds * EVENTS_PER_SECOND {
            let detail = format!(
                "{} events in {seconds} s: it does not come to rest",
                self.happened
            );
            self.tell(&Fact::Unsettled(detail));
        }
    }

    fn tell(&mut self, fact: &Fact<'_>) {
        self.watch.tell(self.queue.now(), fact);
    }

    /// The host whose process an event needs; it waits while that one is paused.
    fn runner(&self, event: &Event) -> Option<Host> {
        match event {
            Event::Carried(Carried::Datagram { to, .. }) => Some(*to),
            Event::Carried(
                Carried::Stream { stream, side, .. }
                | Carried::Flush { stream, side }
                | Carried::Lost { stream, side },
            ) => self.network.end(*stream, *side),
            Event::WakeMaster { host, .. }
            | Event::WakeAgent { host, .. }
            | Event::WakeGossip { host, .. }
            | Event::Disk { host, .. }
            | Event::Imaged { host, .. }
            | Event::DialMaster { host, .. }
            | Event::KeeperSays { host, .. } => Some(*host),
            Event::Look { framework } | Event::Subscribe { framework, .. } => {
                Some(Host(NODES + framework))
            }
            Event::Carried(Carried::GiveUp { .. })
            | Event::DialPeer { .. }
            | Event::Keeper { .. }
            | Event::Operate
            | Event::Start { .. }
            | Event::Strike { .. }
            | Event::Begin(_)
            | Event::End(_) => None,
        }
    }

    /// The life that an event is for; it is void after it.
    fn life(event: &Event) -> Option<(Host, u64)> {
        match event {
            Event::WakeMaster { host, life }
            | Event::WakeAgent { host, life }
            | Event::WakeGossip { host, life }
            | Event::Disk { host, life, .. }
            | Event::Imaged { host, life, .. }
            | Event::KeeperSays { host, life, .. }
            | Event::Strike { host, life }
            | Event::DialMaster { host, life, .. } => Some((*host, *life)),
            Event::Carried(_)
            | Event::DialPeer { .. }
            | Event::Subscribe { .. }
            | Event::Keeper { .. }
            | Event::Look { .. }
            | Event::Operate
            | Event::Start { .. }
            | Event::Begin(_)
            | Event::End(_) => None,
        }
    }

    fn happen(&mut self, event: Event) {
        if Cluster::life(&event).is_some_and(|(host, life)| !self.hosts.lives(host, life)) {
            return;
        }
        if let Some(host) = self.runner(&event) {
            let resumes = self.hosts.get(host).paused_until;
            if resumes > self.queue.now() {
                self.queue.push(resumes, event);
                return;
            }
        }
        match event {
            Event::Carried(carried) => self.carried(carried),
            Event::WakeMaster { host, .. } => self.wake_master(host),
            Event::WakeAgent { host, .. } => self.wake_agent(host),
            Event::WakeGossip { host, .. } => self.wake_gossip(host),
            Event::Disk { host, through, .. } => self.disk_done(host, through),
            Event::Imaged {
                host, index, image, ..
            } => self.imaged(host, index, &image),
            Event::KeeperSays { host, event, .. } => self.keeper_says(host, event),
            Event::DialMaster {
                host,
                connection,
                to,
                ..
            } => {
                self.dial_master(host, connection, to);
            }
            Event::DialPeer { from, to } => self.dial_peer(from, to),
            Event::Subscribe {
                framework,
                attempt,
                to,
            } => self.subscribe(framework, attempt, to),
            Event::Keeper { host, deed } => self.keeper_does(host, deed),
            Event::Look { framework } => self.look(framework),
            Event::Operate => self.operate(),
            Event::Start { host } => self.start(host),
            Event::Strike { host, .. } => self.ambushed(host),
            Event::Begin(number) => self.fault(number, true),
            Event::End(number) => self.fault(number, false),
        }
    }

    fn disk_done(&mut self, host: Host, through: u64) {
        self.trace
            .event(&[2, self.queue.now().as_nanos(), host.0 as u64, through]);
        if self.hosts.get(host).disk_broken {
            self.sync_failed(host);
            return;
        }
        if host.0 < MASTERS {
            self.master_disk_done(host, through);
        } else {
            self.agent_disk_done(host, through);
        }
    }

    fn carry(&mut self, out: Out<Packet>) {
        for (at, carried) in out {
            self.queue.push(at, Event::Carried(carried));
        }
    }

    fn send_datagram(&mut self, from: Host, to: Host, packet: Packet) {
        let mut out = Out::new();
        self.network
            .datagram(self.queue.now(), from, to, packet, &mut out);
        self.carry(out);
    }

    fn send_stream(&mut self, stream: StreamNumber, from: Side, packet: Packet) {
        let mut out = Out::new();
        self.network
            .send(self.queue.now(), stream, from, packet, &mut out);
        self.carry(out);
    }

    fn close_stream(&mut self, stream: StreamNumber, side: Side) {
        let mut out = Out::new();
        self.network.close(self.queue.now(), stream, side, &mut out);
        self.carry(out);
    }

    fn carried(&mut self, carried: Carried<Packet>) {
        let now = self.queue.now();
        match carried {
            Carried::Datagram { from, to, payload } => {
                if self.network.hears(from, to) && self.hosts.get(to).up {
                    self.receive_datagram(from, to, payload);
                }
            }
            Carried::Stream {
                stream,
                side,
                payload,
            } => {
                if let Some(payload) = self.network.arrive(stream, side, payload) {
                    self.receive(stream, side, payload);
                }
            }
            Carried::Flush { stream, side } => {
                for payload in self.network.flush(stream, side) {
                    self.receive(stream, side, payload);
                }
            }
            Carried::Lost { stream, side } => {
                let ends = (
                    self.network.end(stream, side),
                    self.network.end(stream, side.other()),
                );
                if let (Some(me), Some(other)) = ends
                    && self.network.lose(stream, side)
                {
                    self.trace
                        .event(&[4, now.as_nanos(), me.0 as u64, other.0 as u64]);
                    self.lost(stream, side, me, other);
                }
            }
            Carried::GiveUp { stream, since } => {
                let mut out = Out::new();
                self.network.give_up(now, stream, since, &mut out);
                self.carry(out);
            }
        }
    }

    fn receive_datagram(&mut self, from: Host, to: Host, packet: Packet) {
        let now = self.queue.now().as_nanos();
        match packet {
            Packet::Gossip(bytes) => {
                self.trace.event(&[8, now, from.0 as u64, to.0 as u64]);
                self.trace.content(&bytes);
                self.gossip_heard(from, to, bytes);
            }
            Packet::Call {
                framework,
                number,
                call,
            } => {
                self.trace
                    .event(&[9, now, framework as u64, number, to.0 as u64]);
                self.called(to, framework, number, call);
            }
            Packet::Answer {
                framework,
                number,
                done,
            } => {
                self.trace
                    .event(&[10, now, framework as u64, number, u64::from(done)]);
                self.frameworks[framework].hear(self.queue.now(), Word::Answered { number, done });
                self.do_deeds(framework);
            }
            Packet::Order(order) => {
                self.trace.event(&[14, now, to.0 as u64]);
                self.trace.content(format!("{order:?}").as_bytes());
                self.ordered(to, order);
            }
            Packet::Raft { .. }
            | Packet::Ledger { .. }
            | Packet::ToMaster(_)
            | Packet::ToAgent(_)
            | Packet::Subscribe(_)
            | Packet::ToFramework(_) => unreachable!("these travel on streams"),
        }
    }

    fn receive(&mut self, stream: StreamNumber, side: Side, packet: Packet) {
        let ends = (
            self.network.end(stream, side.other()),
            self.network.end(stream, side),
        );
        let (Some(from), Some(to)) = ends else { return };
        self.trace
            .event(&[1, self.queue.now().as_nanos(), from.0 as u64, to.0 as u64]);
        match packet {
            Packet::Raft { from, bytes } => self.raft_heard(to, from, bytes),
            Packet::Ledger { from, bytes } => self.ledger_heard(to, from, &bytes),
            Packet::ToMaster(bytes) => self.agent_said(to, stream, &bytes),
            Packet::ToAgent(bytes) => self.master_said(to, stream, &bytes),
            Packet::Subscribe(info) => self.subscription(to, stream, info),
            Packet::ToFramework(word) => self.framework_told(to.0 - NODES, stream, word),
            Packet::Gossip(_) | Packet::Call { .. } | Packet::Answer { .. } | Packet::Order(_) => {
                unreachable!("these travel as datagrams")
            }
        }
    }

    /// One end of a stream learns that it is gone.
    fn lost(&mut self, stream: StreamNumber, side: Side, me: Host, other: Host) {
        match (me.0, other.0) {
            (..MASTERS, ..MASTERS) => self.peer_lost(stream, side, me, other),
            (..MASTERS, MASTERS..NODES) => self.session_lost(me, stream),
            (..MASTERS, NODES..) => self.subscription_lost(me, stream),
            (MASTERS..NODES, _) => self.master_lost(me, stream),
            (NODES.., _) => self.line_lost(me.0 - NODES, stream),
        }
    }

    fn start(&mut self, host: Host) {
        if self.hosts.get(host).up {
            return;
        }
        self.hosts.start(host);
        self.trouble.1 = self.queue.now();
        self.trace
            .event(&[11, self.queue.now().as_nanos(), host.0 as u64]);
        if host.0 < MASTERS {
            self.start_gossip(host);
            self.start_master(host);
        } else {
            self.start_gossip(host);
            self.start_agent(host);
        }
    }

    fn fault(&mut self, number: usize, begins: bool) {
        let now = self.queue.now();
        let planned = self.plan[number].clone();
        self.trace
            .event(&[6, now.as_nanos(), number as u64, u64::from(begins)]);
        self.trouble.0 = if begins {
            self.trouble.0 + 1
        } else {
            self.trouble.0 - 1
        };
        self.trouble.1 = now;
        let mut out = Out::new();
        planned.strike(begins, now, &mut self.network, &mut self.hosts, &mut out);
        let leader = self.leader();
        self.aimed.strike(
            (number, &planned, begins),
            (leader, MASTERS),
            now,
            &mut self.network,
            &mut out,
        );
        self.carry(out);
        match planned.fault {
            Fault::Crash { host, death, wipe } if begins => {
                let loss = if wipe { Loss::All } else { Loss::UnderWay };
                self.crash(host, death, loss);
            }
            Fault::Crash { host, .. } => self.start(host),
            Fault::Storage { host, what } => self.storage(host, what, begins),
            Fault::Echo { host } if begins => self.echo(host),
            Fault::Echo { .. } => {}
            Fault::Pause { .. }
            | Fault::Split { .. }
            | Fault::Deaf { .. }
            | Fault::Storm { .. }
            | Fault::SlowDisk { .. }
            | Fault::Reset { .. }
            | Fault::Depose
            | Fault::Ambush
            | Fault::AmbushAgents => {}
        }
    }

    fn leader(&self) -> Option<Host> {
        let leads = |master: &MasterNode| {
            let machine = master.machine.as_ref();
            machine.is_some_and(|machine| machine.leadership().leading)
        };
        self.masters.iter().position(leads).map(Host)
    }

    /// Somebody wrote down a vote while that is dangerous.
    fn ambushed(&mut self, host: Host) {
        self.crash(host, Death::Process, Loss::UnderWay);
        let back = self.queue.now() + self.aimed.back(host.0 >= MASTERS);
        self.queue.push(back, Event::Start { host });
    }

    fn crash(&mut self, host: Host, death: Death, loss: Loss) {
        if !self.hosts.get(host).up {
            return;
        }
        let now = self.queue.now();
        self.trouble.1 = now;
        self.hosts.stop(host);
        self.hosts.disk_idle(host);
        let mut out = Out::new();
        self.network.down(now, host, death, &mut out);
        self.carry(out);
        self.gossips[host.0].stop();
        if host.0 < MASTERS {
            self.crash_master(host, loss);
        } else {
            self.crash_agent(host, death, loss);
        }
    }
}
