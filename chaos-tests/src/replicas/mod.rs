//! The quorum under a ledger of one trivial module: three replicas, their disks, and clients that
//! count. The smallest world in which everything about consensus can go wrong.

mod client;
mod node;
mod operator;
mod register;

use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Instant, RaftId};
use shoal_quorum::{Input, Message, Quorum};

use crate::aimed::Aimed;
use crate::disk::{Damage, Loss};
use crate::faults::{self, Fault, Planned, Storage, Targets};
use crate::hosts::Hosts;
use crate::invariants::{Fact, Watch};
use crate::network::{Carried, Death, Host, Network, Out, Side, StreamNumber, Weather};
use crate::plant::Plant;
use crate::queue::Queue;
use crate::report::{Report, unwound};
use crate::trace::Trace;

use client::{Client, Reply, TIMEOUT};
use node::Node;

/// Replicas in this world.
const REPLICAS: usize = 3;
/// Clients in this world.
const CLIENTS: u64 = 4;
/// How often clients and the operator look around.
const LOOK: Duration = Duration::from_millis(250);
/// After the faults, how long the clients go on.
const CALM: Duration = Duration::from_secs(30);
/// After that, how long everything may take to settle.
const SETTLE: Duration = Duration::from_secs(20);

/// What travels.
#[derive(Clone, Debug)]
enum Packet {
    Raft(Bytes),
    Ask {
        client: u64,
        attempt: u64,
        question: client::Question,
    },
    Answer {
        client: u64,
        attempt: u64,
        reply: Reply,
    },
}

/// What happens.
#[derive(Debug)]
enum Event {
    Carried(Carried<Packet>),
    Wake { host: Host, life: u64 },
    Disk { host: Host, life: u64, through: u64 },
    Dial { from: Host, to: Host },
    Start { host: Host },
    Strike { host: Host, life: u64 },
    Client { client: u64, attempt: u64 },
    Operator,
    Begin(usize),
    End(usize),
}

/// The world.
#[derive(Debug)]
pub struct Replicas {
    queue: Queue<Event>,
    network: Network<Packet>,
    hosts: Hosts,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    plan: Vec<Planned>,
    plant: Option<Plant>,
    watch: Watch,
    trace: Trace,
    dice: Dice,
    quiet: bool,
    aimed: Aimed,
    /// Voter ids whose disks are gone and which still stand in the membership.
    lost: Vec<RaftId>,
    seed: u64,
}

impl Replicas {
    /// A founded cluster and a plan of faults for so long.
    pub fn new(seed: u64, faulty: Duration, plant: Option<Plant>) -> Replicas {
        let dice = Dice::new(seed).child("replicas");
        let hosts = REPLICAS + 1;
        let targets = Targets {
            hosts,
            nodes: REPLICAS,
            wipeable: REPLICAS,
        };
        let begin = Instant::ZERO + Duration::from_secs(3);
        let plan = faults::draw(
            &mut dice.child("faults"),
            targets,
            begin,
            Instant::ZERO + faulty,
        );
        let ids: Vec<RaftId> = (0..REPLICAS).map(|i| RaftId(i as u64 + 1)).collect();
        let mut world = Replicas {
            queue: Queue::default(),
            network: Network::new(hosts, dice.child("network")),
            hosts: Hosts::new(hosts, dice.child("hosts")),
            nodes: ids
                .iter()
                .map(|&id| Node::founder(id, &ids, plant))
                .collect(),
            clients: (0..CLIENTS)
                .map(|key| Client::new(key, REPLICAS, dice.child(&format!("client {key}"))))
                .collect(),
            plan,
            plant,
            watch: Watch::of_replicas(),
            trace: Trace::default(),
            dice: dice.child("world"),
            quiet: false,
            aimed: Aimed::new(dice.child("ambushes")),
            lost: Vec::new(),
            seed,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for host in 0..REPLICAS {
            self.queue
                .push(Instant::ZERO, Event::Start { host: Host(host) });
            for other in 0..host {
                let dial = Event::Dial {
                    from: Host(other),
                    to: Host(host),
                };
                self.queue.push(Instant::ZERO, dial);
            }
        }
        self.hosts.start(self.client_host());
        for client in 0..CLIENTS {
            self.queue
                .push(Instant::ZERO, Event::Client { client, attempt: 0 });
        }
        self.queue.push(Instant::ZERO, Event::Operator);
        for (number, planned) in self.plan.iter().enumerate() {
            self.queue.push(planned.at, Event::Begin(number));
            self.queue
                .push(planned.at + planned.lasts, Event::End(number));
        }
    }

    fn client_host(&self) -> Host {
        Host(REPLICAS)
    }

    /// Runs the faults, then the calm, then asks whether all is well.
    pub fn run(mut self, faulty: Duration) -> Report {
        if let Err(why) = unwound(|| self.live(faulty)) {
            self.tell(&Fact::Panicked(why));
        }
        self.report()
    }

    fn live(&mut self, faulty: Duration) {
        let calm = Instant::ZERO + faulty;
        self.run_until(calm);
        for host in self.hosts.iter() {
            self.hosts.get_mut(host).disk_factor = 1;
        }
        self.network.set_weather(Weather::FAIR);
        self.run_until(calm + CALM);
        self.quiet = true;
        self.run_until(calm + CALM + SETTLE);
        self.settled();
    }

    fn report(self) -> Report {
        let acknowledged = self.clients.iter().map(|client| client.acknowledged).sum();
        let reads = self.clients.iter().map(|client| client.reads).sum();
        Report {
            seed: self.seed,
            trace: self.trace,
            simulated: self.queue.now().since(Instant::ZERO),
            counts: vec![
                ("events", self.trace.events()),
                ("faults", self.plan.len() as u64),
                ("writes", acknowledged),
                ("reads", reads),
            ],
            violation: self.watch.violation().cloned(),
        }
    }

    fn run_until(&mut self, end: Instant) {
        while self.watch.violation().is_none()
            && let Some(event) = self.queue.pop(end)
        {
            self.happen(event);
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
            Event::Wake { host, .. } | Event::Disk { host, .. } => Some(*host),
            Event::Carried(Carried::GiveUp { .. })
            | Event::Dial { .. }
            | Event::Start { .. }
            | Event::Strike { .. }
            | Event::Client { .. }
            | Event::Operator
            | Event::Begin(_)
            | Event::End(_) => None,
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some(host) = self.runner(&event) {
            let resumes = self.hosts.get(host).paused_until;
            if resumes > self.queue.now() {
                self.queue.push(resumes, event);
                return;
            }
        }
        let now = self.queue.now();
        match event {
            Event::Carried(carried) => self.carried(carried),
            Event::Wake { host, life } => {
                if self.hosts.lives(host, life) {
                    self.wake(host);
                }
            }
            Event::Disk {
                host,
                life,
                through,
            } => {
                if self.hosts.lives(host, life) {
                    self.trace
                        .event(&[2, now.as_nanos(), host.0 as u64, through]);
                    self.disk_done(host, through);
                }
            }
            Event::Dial { from, to } => self.dial(from, to),
            Event::Start { host } => self.start(host),
            Event::Strike { host, life } => self.ambushed(host, life),
            Event::Client { client, attempt } => self.look(client, attempt),
            Event::Operator => {
                self.operate();
                self.queue.push(now + LOOK, Event::Operator);
            }
            Event::Begin(number) => self.fault(number, true),
            Event::End(number) => self.fault(number, false),
        }
    }

    /// Puts what the network said into the queue.
    fn carry(&mut self, out: Out<Packet>) {
        for (at, carried) in out {
            self.queue.push(at, Event::Carried(carried));
        }
    }

    fn carried(&mut self, carried: Carried<Packet>) {
        let now = self.queue.now();
        match carried {
            Carried::Datagram { from, to, payload } => {
                if self.network.hears(from, to) && self.hosts.get(to).up {
                    self.receive(from, to, payload);
                }
            }
            Carried::Stream {
                stream,
                side,
                payload,
            } => {
                if let Some(payload) = self.network.arrive(stream, side, payload) {
                    self.receive_stream(stream, side, payload);
                }
            }
            Carried::Flush { stream, side } => {
                for payload in self.network.flush(stream, side) {
                    self.receive_stream(stream, side, payload);
                }
            }
            Carried::Lost { stream, side } => self.lost_stream(stream, side),
            Carried::GiveUp { stream, since } => {
                let mut out = Out::new();
                self.network.give_up(now, stream, since, &mut out);
                self.carry(out);
            }
        }
    }

    fn receive_stream(&mut self, stream: StreamNumber, side: Side, payload: Packet) {
        let from = self.network.end(stream, side.other());
        if let (Some(from), Some(to)) = (from, self.network.end(stream, side)) {
            self.receive(from, to, payload);
        }
    }

    fn receive(&mut self, from: Host, to: Host, packet: Packet) {
        let now = self.queue.now().as_nanos();
        match packet {
            Packet::Raft(bytes) => {
                self.trace.event(&[1, now, from.0 as u64, to.0 as u64]);
                self.trace.content(&bytes);
                let from = self.nodes[from.0].id;
                let message =
                    Message::from_bytes(bytes).expect("a peer sends well-formed messages");
                self.step(to, Input::Receive { from, message });
            }
            Packet::Ask {
                client,
                attempt,
                question,
            } => {
                self.trace.event(&[3, now, client, attempt, to.0 as u64]);
                self.asked(to, client, attempt, question);
            }
            Packet::Answer {
                client,
                attempt,
                reply,
            } => self.answered(client, attempt, reply),
        }
    }

    /// One end of a stream learns that it is gone; the diller of the pair tries again.
    fn lost_stream(&mut self, stream: StreamNumber, side: Side) {
        let ends = (
            self.network.end(stream, side),
            self.network.end(stream, side.other()),
        );
        let (Some(me), Some(other)) = ends else {
            return;
        };
        if !self.network.lose(stream, side) {
            return;
        }
        self.trace
            .event(&[4, self.queue.now().as_nanos(), me.0 as u64, other.0 as u64]);
        if self.nodes[me.0].links[other.0] == Some((stream, side)) {
            self.nodes[me.0].links[other.0] = None;
            let peer = self.nodes[other.0].id;
            self.step(me, Input::StreamBroken { peer });
            if side == Side::Dialler {
                self.redial(me, other);
            }
        }
    }

    fn redial(&mut self, from: Host, to: Host) {
        let wait = Duration::from_millis(50 + self.dice.below(400));
        self.queue
            .push(self.queue.now() + wait, Event::Dial { from, to });
    }

    fn dial(&mut self, from: Host, to: Host) {
        if self.nodes[from.0].links[to.0].is_some() {
            return;
        }
        let both_up = self.hosts.get(from).up && self.hosts.get(to).up;
        if !both_up || !self.network.is_connected(from, to) {
            self.redial(from, to);
            return;
        }
        let stream = self.network.open(self.queue.now(), from, to);
        self.nodes[from.0].links[to.0] = Some((stream, Side::Dialler));
        self.nodes[to.0].links[from.0] = Some((stream, Side::Listener));
    }

    /// A client looks around, unless it has asked again since.
    fn look(&mut self, number: u64, attempt: u64) {
        let client = &mut self.clients[number as usize];
        if client.attempt != attempt {
            return;
        }
        if client.since.is_some() {
            client.turn(None);
        } else if self.quiet {
            return;
        }
        self.ask(number, Duration::ZERO);
    }

    /// A client asks its target after a wait, and looks around when that takes too long.
    fn ask(&mut self, number: u64, wait: Duration) {
        let at = self.queue.now() + wait;
        let acknowledged: Vec<u64> = self
            .clients
            .iter()
            .map(|client| client.acknowledged)
            .collect();
        let client = &mut self.clients[number as usize];
        let question = client.ask(at, &acknowledged);
        let attempt = client.attempt;
        let to = Host(client.target);
        let packet = Packet::Ask {
            client: number,
            attempt,
            question,
        };
        let from = self.client_host();
        let mut out = Out::new();
        self.network.datagram(at, from, to, packet, &mut out);
        self.carry(out);
        self.queue.push(
            at + TIMEOUT,
            Event::Client {
                client: number,
                attempt,
            },
        );
    }

    fn answered(&mut self, number: u64, attempt: u64, reply: Reply) {
        let now = self.queue.now();
        let client = &mut self.clients[number as usize];
        if client.attempt != attempt || client.since.is_none() {
            return;
        }
        match reply {
            Reply::Value(value) => {
                let (read, think) = client.answered();
                let fact = match read {
                    Some((key, acknowledged)) => Fact::Read {
                        key,
                        acknowledged,
                        value,
                    },
                    None => Fact::Counted {
                        key: client.key,
                        write: client.acknowledged,
                        value,
                    },
                };
                self.trace.event(&[5, now.as_nanos(), number, value]);
                self.tell(&fact);
                self.queue.push(
                    now + think,
                    Event::Client {
                        client: number,
                        attempt,
                    },
                );
            }
            Reply::Elsewhere(hint) => {
                client.turn(hint);
                self.ask(number, LOOK / 5);
            }
        }
    }

    fn fault(&mut self, number: usize, begins: bool) {
        let now = self.queue.now();
        let planned = self.plan[number].clone();
        self.trace
            .event(&[6, now.as_nanos(), number as u64, u64::from(begins)]);
        let mut out = Out::new();
        planned.strike(begins, now, &mut self.network, &mut self.hosts, &mut out);
        let leader = self.leader();
        self.aimed.strike(
            (number, &planned, begins),
            (leader, REPLICAS),
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
            Fault::Pause { .. }
            | Fault::Split { .. }
            | Fault::Deaf { .. }
            | Fault::Storm { .. }
            | Fault::SlowDisk { .. }
            | Fault::Reset { .. }
            | Fault::Depose
            | Fault::Ambush
            | Fault::AmbushAgents
            | Fault::Echo { .. } => {}
        }
    }

    /// Something begins or ends to be wrong with a disk.
    fn storage(&mut self, host: Host, what: Storage, begins: bool) {
        match what {
            Storage::Torn if begins => {
                self.crash(host, Death::Machine, Loss::Damage(Damage::Torn));
            }
            Storage::Rot if begins => {
                self.crash(host, Death::Process, Loss::Damage(Damage::Rot));
            }
            Storage::Torn | Storage::Rot => self.start(host),
            Storage::Full => {
                self.hosts.get_mut(host).disk_full = begins;
                if !begins && self.hosts.get(host).up {
                    self.has_room(host);
                }
            }
            Storage::Broken => {
                let may = self.may_wipe();
                self.hosts.get_mut(host).disk_broken = begins && may;
                if !begins {
                    self.start(host);
                }
            }
        }
    }

    fn leader(&self) -> Option<Host> {
        let leads = |node: &Node| node.machine.as_ref().is_some_and(Quorum::is_leader);
        self.nodes.iter().position(leads).map(Host)
    }

    /// Somebody wrote down a vote while that is dangerous.
    fn ambushed(&mut self, host: Host, life: u64) {
        if self.hosts.lives(host, life) {
            self.crash(host, Death::Process, Loss::UnderWay);
            let back = self.queue.now() + self.aimed.back(false);
            self.queue.push(back, Event::Start { host });
        }
    }

    /// A node dies. Who may lose its disk: one at a time, and only while nobody else is down or new.
    pub(super) fn crash(&mut self, host: Host, death: Death, loss: Loss) {
        if !self.hosts.get(host).up {
            return;
        }
        let loss = loss.of_one_at_a_time(self.may_wipe());
        let now = self.queue.now();
        self.hosts.stop(host);
        self.hosts.disk_idle(host);
        let mut out = Out::new();
        self.network.down(now, host, death, &mut out);
        self.carry(out);
        for other in 0..REPLICAS {
            if self.nodes[host.0].links[other]
                .take()
                .is_some_and(|(_, side)| side == Side::Dialler)
            {
                self.redial(host, Host(other));
            }
        }
        let mut dice = self.dice.child(&format!("crash {}", self.trace.events()));
        if self.nodes[host.0].crash(self.plant, loss, &mut dice) {
            self.lost.push(self.nodes[host.0].id);
            self.nodes[host.0].wipe(self.plant);
        }
    }

    /// After calm: every client was served, every replica is the same.
    fn settled(&mut self) {
        if let Some(client) = self.clients.iter().find(|client| client.since.is_some()) {
            let detail = format!("client {} waits since {:?}", client.key, client.since);
            self.tell(&Fact::Unsettled(detail));
        }
        let indexes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.register.index())
            .collect();
        if indexes.iter().any(|index| *index != indexes[0]) {
            self.tell(&Fact::Unsettled(format!(
                "replicas have applied {indexes:?}"
            )));
        }
        if !self.lost.is_empty() {
            self.tell(&Fact::Unsettled(format!(
                "{:?} were not replaced",
                self.lost
            )));
        }
        for at in 0..REPLICAS {
            for key in 0..CLIENTS {
                let node = &self.nodes[at];
                let fact = Fact::Settled {
                    replica: node.id,
                    key,
                    value: node.register.value(key),
                };
                self.tell(&fact);
            }
        }
    }
}
