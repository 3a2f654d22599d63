//! A network of machines under one seed and in virtual time: it delays, loses, doubles and cuts,
//! and keeps a hash of everything that was said.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Generation, Instant, Name, NodeId};
use shoal_membership::{
    AnswerBody, Config, Input, Label, MemberEvent, MemberStatus, Membership, NodeTags, Output,
    Profile, Query, Reply, StreamId, UserEvent,
};

/// How the network treats datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss_per_mille: u16,
    pub double_per_mille: u16,
    pub delay_max: Duration,
}

pub const CALM: Weather = Weather {
    loss_per_mille: 0,
    double_per_mille: 0,
    delay_max: Duration::from_millis(1),
};

#[derive(Debug)]
struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    load: Load,
}

#[derive(Debug)]
enum Load {
    Datagram(Bytes),
    /// A frame on the receiver's stream.
    Frame(StreamId, Bytes),
    /// The receiver's stream is over.
    Closed(StreamId),
}

/// Two ends of a stream: whose, and what each calls it.
#[derive(Clone, Copy, Debug)]
struct Pipe {
    ends: [(SocketAddr, StreamId); 2],
}

/// How long a frame travels; fixed, so that frames stay in order.
const STREAM_DELAY: Duration = Duration::from_millis(1);

/// One process.
#[derive(Debug)]
pub struct Node {
    pub machine: Membership,
    pub address: SocketAddr,
    /// Which side of a partition it is on.
    pub side: u8,
    pub events: Vec<(Instant, MemberEvent)>,
    pub outputs: Vec<Output>,
    /// User events.
    pub told: Vec<(Instant, UserEvent)>,
    pub queries: Vec<Query>,
    pub replies: Vec<(Instant, Reply)>,
    /// Whether it answers each query with the query's payload.
    pub answers: bool,
    /// It does nothing until then.
    paused_until: Instant,
}

#[derive(Debug)]
pub struct Network {
    pub now: Instant,
    pub weather: Weather,
    pub nodes: BTreeMap<NodeId, Node>,
    flights: BTreeMap<(Instant, u64), Flight>,
    pipes: Vec<Pipe>,
    /// Streams cannot be opened.
    pub no_streams: bool,
    /// It sends, and nothing reaches it.
    pub deaf: Option<NodeId>,
    /// Datagrams do not get through.
    pub no_datagrams: bool,
    sent: u64,
    pub dice: Dice,
    trace: u64,
    /// Every datagram that was carried, if they are to be kept.
    pub kept: Option<Vec<(SocketAddr, Bytes)>>,
    pub profile: Profile,
    pub keep: Duration,
}

pub fn id(number: u8) -> NodeId {
    NodeId(u128::from(number) << 120 | 0xabc)
}

/// 1 to `count`.
pub fn numbers(count: u8) -> Vec<u8> {
    (1..=count).collect()
}

pub fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7946))
}

pub fn tags(pairs: &[(&str, &str)]) -> NodeTags {
    let tags = pairs
        .iter()
        .map(|(key, value)| (Arc::from(*key), Arc::from(*value)))
        .collect();
    NodeTags::new(tags).expect("short tags")
}

impl Network {
    pub fn new(seed: u64, profile: Profile) -> Network {
        Network {
            now: Instant::from_nanos(1_000_000_000),
            weather: CALM,
            nodes: BTreeMap::new(),
            flights: BTreeMap::new(),
            pipes: Vec::new(),
            no_streams: false,
            deaf: None,
            no_datagrams: false,
            sent: 0,
            dice: Dice::new(seed),
            trace: 0xcbf2_9ce4_8422_2325,
            kept: None,
            profile,
            keep: Config::KEEP,
        }
    }

    pub fn config(&mut self, number: u8, generation: u64) -> Config {
        let mut config = Config::new(
            id(number),
            Generation(generation),
            Name::new(&format!("node-{number}")).expect("a name"),
            Label::new("test").expect("a label"),
            address(number),
            self.dice.next_u64(),
        );
        config.profile = self.profile;
        config.tags = tags(&[("number", &number.to_string())]);
        config.keep_failed = self.keep;
        config.keep_left = self.keep;
        config
    }

    /// Starts a process and joins it through these seeds.
    pub fn start(&mut self, config: Config, seeds: &[SocketAddr]) {
        let node = Node {
            address: config.gossip,
            side: 0,
            events: Vec::new(),
            outputs: Vec::new(),
            told: Vec::new(),
            queries: Vec::new(),
            replies: Vec::new(),
            answers: true,
            paused_until: Instant::ZERO,
            machine: Membership::new(config.clone(), self.now).expect("a good configuration"),
        };
        self.nodes.insert(config.id, node);
        let seeds = seeds.to_vec();
        self.input(config.id, Input::Join { seeds });
    }

    /// Starts nodes 1 to `count`, all joining through node 1.
    pub fn start_all(&mut self, count: u8) {
        for number in 1..=count {
            let config = self.config(number, 1);
            self.start(config, &[address(1)]);
        }
    }

    pub fn crash(&mut self, number: u8) -> Node {
        self.nodes.remove(&id(number)).expect("it runs")
    }

    pub fn pause(&mut self, number: u8, time: Duration) {
        let until = self.now + time;
        self.nodes
            .get_mut(&id(number))
            .expect("it runs")
            .paused_until = until;
    }

    /// Cuts these nodes off from the rest; none heals.
    pub fn cut(&mut self, numbers: &[u8]) {
        for (node, process) in &mut self.nodes {
            process.side = u8::from(numbers.iter().any(|number| id(*number) == *node));
        }
    }

    pub fn machine(&self, number: u8) -> &Membership {
        &self.nodes[&id(number)].machine
    }

    pub fn status(&self, at: u8, of: u8) -> Option<MemberStatus> {
        self.machine(at).member(id(of)).map(|member| member.status)
    }

    pub fn trace(&self) -> u64 {
        self.trace
    }

    pub fn input(&mut self, node: NodeId, input: Input) {
        let process = self.nodes.get_mut(&node).expect("it runs");
        process.machine.step(self.now, input);
        let mut outputs = Vec::new();
        while let Some(output) = process.machine.poll_output() {
            outputs.push(output);
        }
        for output in outputs {
            self.note(format!("{} {node} {output:?}", self.now).as_bytes());
            let process = self.nodes.get_mut(&node).expect("it runs");
            let from = process.address;
            match output {
                Output::Datagram { to, bytes } => {
                    self.carry(from, to, bytes);
                }
                Output::Open { stream, to } => self.open(from, stream, to),
                Output::Frame { stream, bytes } => {
                    if let Some((to, theirs)) = self.other_end(from, stream) {
                        let load = Load::Frame(theirs, bytes);
                        self.stream(from, to, load);
                    }
                }
                Output::Close { stream } => {
                    if let Some((to, theirs)) = self.other_end(from, stream) {
                        self.pipes
                            .retain(|pipe| !pipe.ends.contains(&(from, stream)));
                        self.stream(from, to, Load::Closed(theirs));
                    }
                }
                Output::Event(event) => process.events.push((self.now, event)),
                Output::UserEvent(event) => process.told.push((self.now, event)),
                Output::Query(query) => {
                    let answer = process.answers.then(|| query.payload.clone());
                    let key = query.key;
                    process.queries.push(query);
                    if let Some(body) = answer {
                        let body = AnswerBody::new(body).expect("short enough");
                        self.input(node, Input::Answer { query: key, body });
                    }
                }
                Output::Reply { reply, .. } => process.replies.push((self.now, reply)),
                Output::QueryEnded { .. }
                | Output::NameRefused { .. }
                | Output::Superseded { .. }
                | Output::Left => {
                    process.outputs.push(output);
                }
            }
        }
    }

    fn open(&mut self, from: SocketAddr, stream: StreamId, to: SocketAddr) {
        let listens = self.nodes.values().any(|node| node.address == to);
        if self.no_streams || !listens || self.side(from) != self.side(to) {
            self.stream(to, from, Load::Closed(stream));
            return;
        }
        self.sent += 1;
        let theirs = StreamId::Accepted(self.sent);
        let ends = [(from, stream), (to, theirs)];
        self.pipes.push(Pipe { ends });
    }

    fn other_end(&self, at: SocketAddr, stream: StreamId) -> Option<(SocketAddr, StreamId)> {
        let here = (at, stream);
        self.pipes.iter().find_map(|pipe| match pipe.ends {
            [a, b] if a == here => Some(b),
            [a, b] if b == here => Some(a),
            _ => None,
        })
    }

    fn stream(&mut self, from: SocketAddr, to: SocketAddr, load: Load) {
        self.sent += 1;
        let at = (self.now + STREAM_DELAY, self.sent);
        self.flights.insert(at, Flight { from, to, load });
    }

    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub fn carry(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        if let Some(kept) = &mut self.kept {
            kept.push((to, bytes.clone()));
        }
        let copies = 1 + u32::from(self.dice.chance(self.weather.double_per_mille));
        for _ in 0..copies {
            if self.no_datagrams || self.dice.chance(self.weather.loss_per_mille) {
                continue;
            }
            let most = self.weather.delay_max.as_nanos() as u64;
            let delay = Duration::from_nanos(50_000 + self.dice.below(most));
            self.sent += 1;
            let load = Load::Datagram(bytes.clone());
            self.flights
                .insert((self.now + delay, self.sent), Flight { from, to, load });
        }
    }

    fn side(&self, at: SocketAddr) -> Option<u8> {
        let mut nodes = self.nodes.values();
        nodes.find(|node| node.address == at).map(|node| node.side)
    }

    fn next_wake(&self) -> Option<(Instant, NodeId)> {
        self.nodes
            .iter()
            .filter_map(|(node, process)| {
                let deadline = process.machine.next_deadline()?;
                Some((deadline.max(process.paused_until), *node))
            })
            .min()
    }

    /// Runs for that long.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until something holds, at most for that long. How long it took, if it came to hold.
    pub fn run_till(
        &mut self,
        most: Duration,
        mut holds: impl FnMut(&Network) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        let end = self.now + most;
        self.run_until(end, &mut holds);
        holds(self).then(|| self.now.since(start))
    }

    fn run_until(&mut self, end: Instant, mut holds: impl FnMut(&Network) -> bool) {
        let mut checked = self.now;
        loop {
            if self.now.since(checked) >= Duration::from_millis(20) {
                checked = self.now;
                if holds(self) {
                    return;
                }
            }
            let wake = self.next_wake();
            let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
            let wake_at = wake.map_or(Instant::NEVER, |(at, _)| at);
            let flight_at = flight.unwrap_or(Instant::NEVER);
            let next = wake_at.min(flight_at);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if flight_at <= wake_at {
                let (_, flight) = self.flights.pop_first().expect("one is due");
                self.land(flight);
            } else if let Some((_, node)) = wake {
                self.input(node, Input::Wake);
            }
        }
    }

    /// What does not arrive on a stream ends it.
    fn lose(&mut self, flight: Flight) {
        let Load::Frame(theirs, _) = flight.load else {
            return;
        };
        if let Some((at, ours)) = self.other_end(flight.to, theirs) {
            self.pipes.retain(|pipe| !pipe.ends.contains(&(at, ours)));
            if let Some(node) = self.node_at(at) {
                self.input(node, Input::Closed { stream: ours });
            }
        }
    }

    fn node_at(&self, at: SocketAddr) -> Option<NodeId> {
        let found = self.nodes.iter().find(|(_, node)| node.address == at);
        found.map(|(node, _)| *node)
    }

    fn land(&mut self, flight: Flight) {
        let to = self.node_at(flight.to);
        let apart = (self.side(flight.from)).is_some_and(|side| Some(side) != self.side(flight.to));
        let reaches = |node: &NodeId| !apart && self.deaf != Some(*node);
        let Some(node) = to.filter(reaches) else {
            self.lose(flight);
            return;
        };
        let Flight { from, to, load } = flight;
        let process = &self.nodes[&node];
        if process.paused_until > self.now {
            // The kernel keeps it for the process.
            self.sent += 1;
            let at = (process.paused_until, self.sent);
            self.flights.insert(at, Flight { from, to, load });
            return;
        }
        let input = match load {
            Load::Datagram(bytes) => Input::Datagram { from, bytes },
            Load::Frame(stream, bytes) => Input::Frame {
                stream,
                from,
                bytes,
            },
            Load::Closed(stream) => Input::Closed { stream },
        };
        self.input(node, input);
    }

    /// Everyone sees exactly these as alive, with names and tags.
    pub fn agree_alive(&self, numbers: &[u8]) -> bool {
        numbers.iter().all(|at| {
            let alive: Vec<_> = self
                .machine(*at)
                .members()
                .filter(|member| member.status == MemberStatus::Alive)
                .collect();
            alive.len() == numbers.len()
                && alive.iter().all(|member| {
                    numbers.iter().any(|number| id(*number) == member.id)
                        && member.name.is_some()
                        && !member.tags.is_empty()
                })
        })
    }

    /// All of the rest see that one so.
    pub fn all_see(&self, of: u8, status: MemberStatus) -> bool {
        let watched = id(of);
        self.nodes
            .iter()
            .filter(|(node, _)| **node != watched)
            .all(|(_, process)| {
                process
                    .machine
                    .member(watched)
                    .is_some_and(|member| member.status == status)
            })
    }

    /// Times at which somebody was declared failed, and by whom.
    pub fn failures(&self) -> Vec<(Instant, NodeId, NodeId)> {
        let mut failures = Vec::new();
        for (at, process) in &self.nodes {
            for (time, event) in &process.events {
                if let MemberEvent::StatusChanged(member) = event
                    && member.status == MemberStatus::Failed
                {
                    failures.push((*time, *at, member.id));
                }
            }
        }
        failures
    }
}
