//! The cluster: one queue of events, one seed, and the checks that hold at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Index, Instant, RaftId, Term};
use shoal_quorum::{
    Applied, Input, Membership, Message, Output, RaftRole, ReadId, Recovered, found,
};

use crate::replica::{Replica, State, Write};

/// How bad the network is, per mille.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub lost: u16,
    pub doubled: u16,
    pub slow: u16,
}

pub const FAIR: Weather = Weather {
    lost: 0,
    doubled: 0,
    slow: 0,
};
pub const FOUL: Weather = Weather {
    lost: 50,
    doubled: 50,
    slow: 50,
};

/// What was once applied at an index, and what the state was after it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    term: Term,
    data: Bytes,
    state: State,
}

#[derive(Debug)]
pub struct Cluster {
    pub now: Instant,
    pub dice: Dice,
    pub weather: Weather,
    pub snapshot_after: usize,
    pub replicas: Vec<Replica>,
    /// Pairs that cannot reach each other, in either direction.
    pub cut: BTreeSet<(usize, usize)>,
    flights: BTreeMap<(Instant, u64), (usize, usize, Message)>,
    flown: u64,
    /// When the latest message of each pair arrives.
    arrivals: BTreeMap<(usize, usize), Instant>,
    seed: u64,
    facts: BTreeMap<u64, Fact>,
    leaders: BTreeMap<Term, RaftId>,
    /// Reads, with the highest index applied anywhere when each was asked.
    asked: BTreeMap<ReadId, u64>,
    pub answered: u64,
    pub failed: u64,
    pub dropped: u64,
    pub outcomes: Vec<Output>,
    pub trace: u64,
    /// Every message as it travelled, if wanted.
    pub tape: Option<Vec<(RaftId, RaftId, Bytes)>>,
}

impl Cluster {
    pub fn founded(seed: u64, size: u64) -> Cluster {
        let ids: Vec<RaftId> = (1..=size).map(RaftId).collect();
        let mut cluster = Cluster {
            now: Instant::ZERO,
            dice: Dice::new(seed).child("cluster"),
            weather: FAIR,
            snapshot_after: 100_000,
            replicas: Vec::new(),
            cut: BTreeSet::new(),
            flights: BTreeMap::new(),
            flown: 0,
            arrivals: BTreeMap::new(),
            seed,
            facts: BTreeMap::new(),
            leaders: BTreeMap::new(),
            asked: BTreeMap::new(),
            answered: 0,
            failed: 0,
            dropped: 0,
            outcomes: Vec::new(),
            trace: 0,
            tape: None,
        };
        for id in 1..=size {
            cluster.add(id, found(&ids));
        }
        cluster
    }

    /// Adds a replica and starts it; returns its place.
    pub fn add(&mut self, id: u64, durable: Recovered) -> usize {
        self.replicas.push(Replica::new(id, durable));
        let at = self.replicas.len() - 1;
        self.start(at);
        at
    }

    pub fn start(&mut self, at: usize) {
        let seed = self.seed ^ self.replicas[at].id.0;
        self.replicas[at].start(self.now, seed, self.snapshot_after);
        self.poll(at);
    }

    /// Kills a replica; the others notice their broken streams, or not.
    pub fn crash(&mut self, at: usize, noticed: bool) {
        self.replicas[at].crash(&mut self.dice);
        let peer = self.replicas[at].id;
        for other in 0..self.replicas.len() {
            if noticed && other != at && self.runs(other) {
                self.step(other, Input::StreamBroken { peer });
            }
        }
    }

    pub fn runs(&self, at: usize) -> bool {
        self.replicas[at].quorum.is_some()
    }

    pub fn place(&self, id: RaftId) -> Option<usize> {
        self.replicas.iter().position(|r| r.id == id)
    }

    pub fn isolate(&mut self, at: usize) {
        for other in 0..self.replicas.len() {
            self.cut.insert((at.min(other), at.max(other)));
        }
    }

    pub fn step(&mut self, at: usize, input: Input) {
        let now = self.now;
        if let Some(quorum) = &mut self.replicas[at].quorum {
            quorum.step(now, input);
            self.poll(at);
        }
    }

    /// Steps several inputs between two polls.
    pub fn step_many(&mut self, at: usize, inputs: Vec<Input>) {
        let now = self.now;
        if let Some(quorum) = &mut self.replicas[at].quorum {
            for input in inputs {
                quorum.step(now, input);
            }
            self.poll(at);
        }
    }

    fn poll(&mut self, at: usize) {
        while let Some(output) = self.replicas[at]
            .quorum
            .as_mut()
            .and_then(|q| q.poll_output())
        {
            self.note(at, &output);
            self.act(at, output);
        }
    }

    fn note(&mut self, at: usize, output: &Output) {
        for byte in format!("{at} {} {output:?}", self.now).bytes() {
            self.trace =
                (self.trace.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn act(&mut self, at: usize, output: Output) {
        let now = self.now;
        match output {
            Output::Send { to, message } => self.send(at, to, message),
            Output::Persist { ticket, batch } => {
                let write = Write::Persist(ticket, batch);
                self.replicas[at].queue(now, &mut self.dice, write);
            }
            Output::SaveSnapshot(snapshot) => {
                let write = Write::Save(snapshot);
                self.replicas[at].queue(now, &mut self.dice, write);
            }
            Output::Compact { through } => {
                let write = Write::Compact(through);
                self.replicas[at].queue(now, &mut self.dice, write);
            }
            Output::Apply { index, term, kind } => self.applied(at, index, term, kind),
            Output::Restore { index, chunks, .. } => {
                let state = State::from_image(index.0, &chunks);
                if let Some(fact) = self.facts.get(&index.0) {
                    assert_eq!(fact.state, state, "a snapshot of another history");
                }
                assert!(
                    index.0 >= self.replicas[at].state.index,
                    "restored backwards"
                );
                self.replicas[at].state = state;
            }
            Output::Status(status) => {
                if status.role == RaftRole::Leader {
                    let id = self.replicas[at].id;
                    let other = self.leaders.insert(status.term, id);
                    assert!(
                        other.is_none_or(|o| o == id),
                        "two leaders in term {}",
                        status.term
                    );
                }
            }
            Output::ReadReady { context, index } => {
                let floor = self.asked.remove(&context).expect("it was asked");
                let state = self.replicas[at].state.index;
                assert!(index.0 >= floor && state >= index.0, "a stale read");
                self.answered += 1;
            }
            Output::ReadFailed { context } => {
                self.asked.remove(&context);
                self.failed += 1;
            }
            Output::ProposalDropped { .. } => self.dropped += 1,
            Output::WantSnapshot { at_least } => {
                let state = self.replicas[at].state;
                assert!(state.index >= at_least.0);
                let index = Index(state.index);
                let chunks = state.image();
                self.step(at, Input::SnapshotTaken { index, chunks });
            }
            Output::ChangeRefused { .. } | Output::TransferEnded(_) => self.outcomes.push(output),
        }
    }

    /// All replicas apply the same at the same index, for ever.
    fn applied(&mut self, at: usize, index: Index, term: Term, kind: Applied) {
        let data = match kind {
            Applied::Data(data) => data,
            Applied::Empty => Bytes::from_static(b"-"),
            Applied::Membership(m) => Bytes::from(format!("{m:?}")),
        };
        self.replicas[at].state.apply(index.0, &data);
        let quorum = self.replicas[at].quorum.as_ref().expect("it runs");
        assert_eq!(
            quorum.applied(),
            index,
            "an image taken here would be mislabelled"
        );
        let state = self.replicas[at].state;
        let fact = Fact { term, data, state };
        let first = self.facts.entry(index.0).or_insert_with(|| fact.clone());
        assert_eq!(*first, fact, "replicas differ at index {index}");
    }

    fn send(&mut self, from: usize, to: RaftId, message: Message) {
        if let Some(tape) = &mut self.tape {
            tape.push((self.replicas[from].id, to, message.to_bytes()));
        }
        let Some(to) = self.place(to) else {
            return;
        };
        let copies = 1 + u64::from(self.dice.chance(self.weather.doubled));
        for _ in 0..copies {
            if self.dice.chance(self.weather.lost) {
                continue;
            }
            let mut delay = Duration::from_micros(100 + self.dice.below(900));
            if self.dice.chance(self.weather.slow) {
                delay *= 200;
            }
            // A stream keeps the order; foul weather stands for streams that break and come back.
            let mut at = self.now + delay;
            if self.weather.slow == 0 {
                let last = self.arrivals.entry((from, to)).or_insert(at);
                at = at.max(*last);
                *last = at;
            }
            self.flown += 1;
            let copy = Message::from_bytes(message.to_bytes()).expect("what we encode we decode");
            self.flights.insert((at, self.flown), (from, to, copy));
        }
    }

    fn next_event(&self) -> Instant {
        let mut next = self
            .flights
            .keys()
            .next()
            .map_or(Instant::NEVER, |(at, _)| *at);
        for replica in &self.replicas {
            if let Some(deadline) = replica.quorum.as_ref().and_then(|q| q.next_deadline()) {
                next = next.min(deadline);
            }
            if let Some((at, _)) = replica.writes.front().filter(|_| !replica.disk_stalls) {
                next = next.min(*at);
            }
        }
        next
    }

    /// Everything that is due at the next moment.
    fn advance(&mut self) {
        self.now = self.now.max(self.next_event());
        while let Some(flight) = self.flights.first_entry().filter(|f| f.key().0 <= self.now) {
            let (from, to, message) = flight.remove();
            let pair = (from.min(to), from.max(to));
            if !self.cut.contains(&pair) && self.runs(from) {
                let from = self.replicas[from].id;
                self.step(to, Input::Receive { from, message });
            }
        }
        for at in 0..self.replicas.len() {
            while self.replicas[at].write_is_due(self.now) {
                if let Some(input) = self.replicas[at].finish_write() {
                    self.step(at, input);
                }
            }
            let due = |q: &shoal_quorum::Quorum| q.next_deadline().is_some_and(|d| d <= self.now);
            if self.replicas[at].quorum.as_ref().is_some_and(due) {
                self.step(at, Input::Wake);
            }
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_event() <= end {
            self.advance();
        }
        self.now = end;
    }

    /// Runs until something holds.
    pub fn until(&mut self, limit: Duration, mut holds: impl FnMut(&Cluster) -> bool) -> Duration {
        let start = self.now;
        while !holds(self) {
            assert!(
                self.now.since(start) < limit,
                "did not come to pass in {limit:?}: {}",
                self.describe()
            );
            self.advance();
        }
        self.now.since(start)
    }

    fn describe(&self) -> String {
        let mut text = format!("highest {} at {}", self.highest(), self.now);
        for replica in &self.replicas {
            let writes = replica.writes.len();
            text += &format!(
                "\n{writes} writes, {:?} {:?}",
                replica.state, replica.quorum
            );
            if let Some(quorum) = &replica.quorum {
                text += &format!("\n    {:?} {:?}", quorum.progress(), quorum.stats());
            }
        }
        text
    }

    /// The place of the leader of the highest term that is ready to serve.
    pub fn leader(&self) -> Option<usize> {
        let leads = |at: &usize| {
            let quorum = self.replicas[*at].quorum.as_ref();
            quorum.is_some_and(|q| q.is_settled_leader())
        };
        let term = |at: &usize| self.replicas[*at].quorum.as_ref().map(|q| q.term());
        (0..self.replicas.len()).filter(leads).max_by_key(term)
    }

    pub fn elect(&mut self) -> usize {
        self.until(Duration::from_secs(20), |c| c.leader().is_some());
        self.leader().expect("there is one")
    }

    pub fn propose(&mut self, at: usize, text: &str) {
        let data = Bytes::copy_from_slice(text.as_bytes());
        self.step(at, Input::Propose { data });
    }

    pub fn read(&mut self, at: usize, name: u64) {
        let floor = self.facts.keys().next_back().copied().unwrap_or(1);
        self.asked.insert(ReadId(name), floor);
        self.step(
            at,
            Input::Read {
                context: ReadId(name),
            },
        );
    }

    pub fn highest(&self) -> u64 {
        self.facts.keys().next_back().copied().unwrap_or(1)
    }

    /// Whether all that run have applied the same, and nothing is left to do.
    pub fn agrees(&self) -> bool {
        let highest = self.highest();
        let mut running = self.replicas.iter().filter(|r| r.quorum.is_some());
        running.all(|r| r.state.index == highest)
    }

    pub fn settle(&mut self) {
        self.weather = FAIR;
        self.cut.clear();
        for at in 0..self.replicas.len() {
            self.replicas[at].disk_stalls = false;
        }
        self.until(Duration::from_secs(60), |c| {
            c.leader().is_some() && c.agrees()
        });
    }

    pub fn membership(&self, at: usize) -> Membership {
        let quorum = self.replicas[at].quorum.as_ref().expect("it runs");
        quorum.status().membership.clone()
    }

    /// Whether it led after the first term.
    pub fn led(&self, id: RaftId) -> bool {
        let mut later = self.leaders.iter().skip(1);
        later.any(|(_, leader)| *leader == id)
    }

    pub fn contains(&self, text: &str) -> usize {
        let is = |fact: &&Fact| fact.data[..] == *text.as_bytes();
        self.facts.values().filter(is).count()
    }
}
