//! Members of one gossip, and the network between them.
//!
//! Datagrams are lost one by one. Streams are not: what is lost of them is sent again, which takes as
//! long as TCP takes, and a sender has one gigabit per second for them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Generation, Instant, Name, NodeId};
use shoal_membership::{
    Config, Input, KEY_BYTES, Key, Keyring, Label, MemberEvent, MemberStatus, Membership, Output,
    Profile, Secrecy, Stats, StreamId, Traffic,
};

use crate::queue::Queue;

/// Bytes of IP and UDP in front of each datagram.
const DATAGRAM_HEAD: u64 = 28;
/// Bytes of a TCP segment.
const SEGMENT: usize = 1_400;
/// TCP's first wait for an answer to a connection, and for one of data.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
const SEND_AGAIN: Duration = Duration::from_millis(200);
/// After which a stream to nobody is given up.
const CONNECT_GIVEN_UP: Duration = Duration::from_secs(5);
/// Nanoseconds per byte on a stream: one gigabit per second.
const STREAM_BYTE_NANOS: u64 = 8;

#[derive(Debug)]
enum Event {
    Wake(u32),
    Start(u32, u32),
    Datagram {
        from: u32,
        to: u32,
        bytes: Bytes,
    },
    Frame {
        from: u32,
        to: u32,
        stream: StreamId,
        bytes: Bytes,
    },
    Closed {
        to: u32,
        stream: StreamId,
    },
}

#[derive(Debug)]
struct Node {
    machine: Option<Membership>,
    wake: Instant,
    side: u8,
    deaf: bool,
    mute: bool,
    /// When its last frame is on the wire.
    wire_free: Instant,
}

/// What a member saw of the one that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Who saw it.
    pub by: u32,
    /// When.
    pub at: Instant,
    /// As what.
    pub status: MemberStatus,
}

/// The world.
#[derive(Debug)]
pub struct World {
    queue: Queue<Event>,
    nodes: Vec<Node>,
    profile: Profile,
    /// Datagrams lost of a thousand.
    pub loss_per_mille: u16,
    dice: Dice,
    pipes: BTreeMap<(u32, StreamId), (u32, StreamId)>,
    accepted: u64,
    /// Whose changes of status are noted.
    pub watched: Option<u32>,
    /// What was noted.
    pub seen: Vec<Seen>,
    /// Members that run, hear and speak, and were declared failed by such a member.
    pub wronged: BTreeMap<u32, u64>,
    busy: Duration,
}

fn address(index: u32) -> SocketAddr {
    let [_, a, b, c] = (index + 1).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, a, b, c)), 7946)
}

fn index_of(address: SocketAddr) -> Option<u32> {
    let IpAddr::V4(ip) = address.ip() else {
        return None;
    };
    let [_, a, b, c] = ip.octets();
    u32::from_be_bytes([0, a, b, c]).checked_sub(1)
}

fn index_of_node(node: NodeId) -> u32 {
    node.0 as u32
}

/// Sums over members, at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// Bytes sent, with those of the headers of IP and UDP.
    pub bytes: u64,
    /// Datagrams and frames sent.
    pub packets: u64,
    /// Suspicions raised.
    pub suspicions: u64,
    /// Probes that only a juror saved.
    pub vouched: u64,
    /// False alarms that members heard of themselves.
    pub refutations: u64,
    /// Identities taken anew.
    pub renewals: u64,
    /// Time that the machines took.
    pub busy: Duration,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, profile: Profile) -> World {
        World {
            queue: Queue::default(),
            nodes: Vec::new(),
            profile,
            loss_per_mille: 0,
            dice: Dice::new(seed),
            pipes: BTreeMap::new(),
            accepted: 0,
            watched: None,
            seen: Vec::new(),
            wronged: BTreeMap::new(),
            busy: Duration::ZERO,
        }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.queue.now()
    }

    /// A number below that one.
    pub fn draw(&mut self, below: u32) -> u32 {
        self.dice.below(u64::from(below)) as u32
    }

    /// Adds members that start within that time, each joining through a given one or the first.
    pub fn start(&mut self, count: u32, within: Duration, through: Option<u32>) {
        for _ in 0..count {
            let index = self.nodes.len() as u32;
            self.nodes.push(Node {
                machine: None,
                wake: Instant::NEVER,
                side: 0,
                deaf: false,
                mute: false,
                wire_free: Instant::ZERO,
            });
            let after = Duration::from_nanos(self.dice.below(within.as_nanos() as u64 + 1));
            let at = self.now() + after;
            self.queue
                .push(at, Event::Start(index, through.unwrap_or(0)));
        }
    }

    fn begin(&mut self, index: u32, through: u32) {
        let random = u128::from(self.dice.next_u64()) << 64;
        let config = Config::new(
            NodeId(random | u128::from(index) | 1 << 63),
            Generation(1),
            Name::new(&format!("n{index}")).expect("a name"),
            Label::new("sim").expect("a label"),
            address(index),
            self.dice.next_u64(),
        );
        let config = Config {
            profile: self.profile,
            secrecy: Secrecy::required(Keyring::new(Key::new([7; KEY_BYTES]))),
            ..config
        };
        let machine = Membership::new(config, self.now()).expect("a good configuration");
        self.nodes[index as usize].machine = Some(machine);
        let seeds = vec![address(through)];
        self.step(index, Input::Join { seeds });
    }

    /// Ends a process without a word.
    pub fn crash(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.machine = None;
        node.wake = Instant::NEVER;
    }

    /// Puts these members on another side than the rest: nothing passes between.
    pub fn cut(&mut self, indexes: impl IntoIterator<Item = u32>) {
        for index in indexes {
            self.nodes[index as usize].side = 1;
        }
    }

    /// Ends all cuts and one-way losses.
    pub fn heal(&mut self) {
        for node in &mut self.nodes {
            node.side = 0;
            node.deaf = false;
            node.mute = false;
        }
    }

    /// Nothing reaches that member, while it can speak; or the other way round.
    pub fn one_way(&mut self, index: u32, deaf: bool) {
        let node = &mut self.nodes[index as usize];
        node.deaf = deaf;
        node.mute = !deaf;
    }

    /// Members that run.
    pub fn running(&self) -> usize {
        let machines = self.nodes.iter().filter(|node| node.machine.is_some());
        machines.count()
    }

    /// Whether every running member holds that many for living, itself too.
    pub fn complete(&self, count: usize) -> bool {
        let mut machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        machines.all(|machine| machine.living() == count)
    }

    /// How many a member holds for living, itself too.
    pub fn living(&self, index: u32) -> usize {
        let machine = self.nodes[index as usize].machine.as_ref();
        machine.map_or(0, Membership::living)
    }

    /// What all members counted together.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums {
            busy: self.busy,
            ..Sums::default()
        };
        for stats in self.stats() {
            for traffic in Traffic::ALL {
                let volume = stats.sent(traffic);
                sums.packets += volume.packets;
                sums.bytes += volume.bytes + volume.packets * DATAGRAM_HEAD;
            }
            sums.suspicions += stats.suspicions;
            sums.vouched += stats.vouched;
            sums.refutations += stats.refutations;
            sums.renewals += stats.renewals;
        }
        sums
    }

    fn stats(&self) -> impl Iterator<Item = &Stats> {
        let machines = self.nodes.iter().filter_map(|node| node.machine.as_ref());
        machines.map(Membership::stats)
    }

    /// Runs for that long.
    pub fn run(&mut self, time: Duration) {
        let end = self.now() + time;
        while let Some(event) = self.queue.pop(end) {
            self.happen(event);
        }
    }

    /// Runs until something holds, looking every so often, at most for that long.
    pub fn run_till(
        &mut self,
        most: Duration,
        every: Duration,
        mut holds: impl FnMut(&World) -> bool,
    ) -> Option<Duration> {
        let start = self.now();
        while self.now().since(start) < most {
            self.run(every);
            if holds(self) {
                return Some(self.now().since(start));
            }
        }
        None
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(index, through) => self.begin(index, through),
            Event::Wake(index) => {
                let node = &mut self.nodes[index as usize];
                if node.wake <= self.queue.now() {
                    node.wake = Instant::NEVER;
                    self.step(index, Input::Wake);
                }
            }
            Event::Datagram { from, to, bytes } => {
                if self.passes(from, to) {
                    let from = address(from);
                    self.step(to, Input::Datagram { from, bytes });
                }
            }
            Event::Frame {
                from,
                to,
                stream,
                bytes,
            } => {
                if self.passes(from, to) {
                    let from = address(from);
                    let input = Input::Frame {
                        stream,
                        from,
                        bytes,
                    };
                    self.step(to, input);
                } else if let Some((_, theirs)) = self.unpipe(to, stream) {
                    let at = self.now() + CONNECT_GIVEN_UP;
                    let closed = Event::Closed {
                        to: from,
                        stream: theirs,
                    };
                    self.queue.push(at, closed);
                }
            }
            Event::Closed { to, stream } => {
                self.unpipe(to, stream);
                self.step(to, Input::Closed { stream });
            }
        }
    }

    fn passes(&self, from: u32, to: u32) -> bool {
        let (Some(sender), Some(receiver)) =
            (self.nodes.get(from as usize), self.nodes.get(to as usize))
        else {
            return false;
        };
        sender.side == receiver.side && !sender.mute && !receiver.deaf
    }

    fn unpipe(&mut self, at: u32, stream: StreamId) -> Option<(u32, StreamId)> {
        let other = self.pipes.remove(&(at, stream))?;
        self.pipes.remove(&other);
        Some(other)
    }

    fn step(&mut self, index: u32, input: Input) {
        let now = self.queue.now();
        let node = &mut self.nodes[index as usize];
        let Some(machine) = &mut node.machine else {
            return;
        };
        let began = std::time::Instant::now();
        machine.step(now, input);
        self.busy += began.elapsed();
        let mut outputs = Vec::new();
        while let Some(output) = machine.poll_output() {
            outputs.push(output);
        }
        if let Some(deadline) = machine.next_deadline()
            && deadline < node.wake
        {
            node.wake = deadline;
            self.queue.push(deadline, Event::Wake(index));
        }
        for output in outputs {
            self.carry_out(index, output);
        }
    }

    fn latency(&mut self) -> Duration {
        Duration::from_micros(200 + self.dice.below(800))
    }

    fn carry_out(&mut self, index: u32, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                let Some(to) = index_of(to) else { return };
                if !self.dice.chance(self.loss_per_mille) {
                    let at = self.now() + self.latency();
                    let from = index;
                    self.queue.push(at, Event::Datagram { from, to, bytes });
                }
            }
            Output::Open { stream, to } => self.open(index, stream, to),
            Output::Frame { stream, bytes } => self.send_frame(index, stream, bytes),
            Output::Close { stream } => {
                let wire_free = self.nodes[index as usize].wire_free;
                if let Some((to, theirs)) = self.pipes.get(&(index, stream)).copied() {
                    let at = wire_free.max(self.now()) + Duration::from_millis(2);
                    let closed = Event::Closed { to, stream: theirs };
                    self.queue.push(at, closed);
                }
            }
            Output::Event(event) => self.note(index, &event),
            Output::UserEvent(_)
            | Output::Query(_)
            | Output::Reply { .. }
            | Output::QueryEnded { .. }
            | Output::NameRefused { .. }
            | Output::Superseded { .. }
            | Output::Left => {}
        }
    }

    /// How much longer something takes since it is lost and sent again, each time twice as late.
    fn resent(&mut self, segments: usize, first: Duration) -> Duration {
        let mut late = Duration::ZERO;
        for _ in 0..segments.min(4) {
            let mut wait = first;
            let mut own = Duration::ZERO;
            while self.dice.chance(self.loss_per_mille) {
                own += wait;
                wait *= 2;
            }
            late = late.max(own);
        }
        late
    }

    fn open(&mut self, index: u32, stream: StreamId, to: SocketAddr) {
        let to = index_of(to).filter(|to| {
            let there = self.nodes.get(*to as usize);
            let there = there.is_some_and(|node| node.machine.is_some());
            there && self.passes(index, *to) && self.passes(*to, index)
        });
        let Some(to) = to else {
            let at = self.now() + CONNECT_GIVEN_UP;
            let closed = Event::Closed { to: index, stream };
            self.queue.push(at, closed);
            return;
        };
        // The connection and its answer.
        let late = self.resent(2, CONNECT_AGAIN);
        let free = self.now() + late + 2 * self.latency();
        let node = &mut self.nodes[index as usize];
        node.wire_free = node.wire_free.max(free);
        self.accepted += 1;
        let theirs = StreamId::Accepted(self.accepted);
        self.pipes.insert((index, stream), (to, theirs));
        self.pipes.insert((to, theirs), (index, stream));
    }

    fn send_frame(&mut self, index: u32, stream: StreamId, bytes: Bytes) {
        let Some((to, theirs)) = self.pipes.get(&(index, stream)).copied() else {
            return;
        };
        let late = self.resent(bytes.len().div_ceil(SEGMENT), SEND_AGAIN);
        let wire = Duration::from_nanos(bytes.len() as u64 * STREAM_BYTE_NANOS);
        let now = self.now();
        let node = &mut self.nodes[index as usize];
        node.wire_free = node.wire_free.max(now) + wire;
        let at = node.wire_free + late + Duration::from_millis(1);
        let frame = Event::Frame {
            from: index,
            to,
            stream: theirs,
            bytes,
        };
        self.queue.push(at, frame);
    }

    fn note(&mut self, by: u32, event: &MemberEvent) {
        let (MemberEvent::Joined(member) | MemberEvent::StatusChanged(member)) = event else {
            return;
        };
        let of = index_of_node(member.id);
        let status = member.status;
        if self.watched == Some(of) {
            let at = self.queue.now();
            self.seen.push(Seen { by, at, status });
        }
        let well = |index: u32| {
            let node = &self.nodes[index as usize];
            node.machine.is_some() && !node.deaf && !node.mute
        };
        let apart = self.nodes[by as usize].side != self.nodes[of as usize].side;
        if status == MemberStatus::Failed && well(by) && well(of) && !apart {
            *self.wronged.entry(of).or_default() += 1;
        }
    }
}
