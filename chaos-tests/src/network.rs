//! The network: datagrams that may be lost, doubled and overtaken; streams that are ordered and
//! reliable until they break; hosts that cannot hear each other, in one direction or in both.
//!
//! It decides when and whether something arrives. What arrives is the caller's: it puts [`Carried`]
//! into its own queue and hands it back when its time has come.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shoal_api::{Dice, Instant};

/// One end of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub usize);

/// One stream, numbered in the order of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamNumber(pub u64);

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who opened it.
    Dialler,
    /// Who was dialled.
    Listener,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Side {
        match self {
            Side::Dialler => Side::Listener,
            Side::Listener => Side::Dialler,
        }
    }

    fn lane(self) -> usize {
        match self {
            Side::Dialler => 0,
            Side::Listener => 1,
        }
    }
}

/// How the network behaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The shortest way.
    pub delay_least: Duration,
    /// The longest way.
    pub delay_most: Duration,
    /// Lost datagrams, per mille.
    pub loss: u16,
    /// Doubled datagrams, per mille.
    pub duplicates: u16,
}

impl Weather {
    /// A quiet local network.
    pub const FAIR: Weather = Weather {
        delay_least: Duration::from_micros(100),
        delay_most: Duration::from_micros(900),
        loss: 0,
        duplicates: 0,
    };

    /// A bad one.
    pub const FOUL: Weather = Weather {
        delay_least: Duration::from_micros(200),
        delay_most: Duration::from_millis(80),
        loss: 150,
        duplicates: 50,
    };
}

/// Something on its way.
#[derive(Clone, Debug)]
pub enum Carried<P> {
    /// A datagram arrives.
    Datagram {
        /// Sender.
        from: Host,
        /// Receiver.
        to: Host,
        /// Content.
        payload: P,
    },
    /// The next of a stream's lane arrives; ask [`Network::arrive`].
    Stream {
        /// Which stream.
        stream: StreamNumber,
        /// The end where it arrives.
        side: Side,
        /// Content.
        payload: P,
    },
    /// What a cut held back arrives; ask [`Network::flush`].
    Flush {
        /// Which stream.
        stream: StreamNumber,
        /// The end where it arrives.
        side: Side,
    },
    /// One end learns that the stream is gone; ask [`Network::lose`].
    Lost {
        /// Which stream.
        stream: StreamNumber,
        /// The end that learns it.
        side: Side,
    },
    /// A stream that a cut has silenced may be given up; ask [`Network::give_up`].
    GiveUp {
        /// Which stream.
        stream: StreamNumber,
        /// When the cut began.
        since: Instant,
    },
}

/// How a host goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process: its machine resets its connections.
    Process,
    /// The machine: nobody says anything.
    Machine,
}

#[derive(Debug)]
struct Lane<P> {
    last: Instant,
    parked: VecDeque<P>,
}

#[derive(Debug)]
struct Stream<P> {
    ends: [Host; 2],
    /// Which ends still believe in it.
    alive: [bool; 2],
    /// By the end where things arrive.
    lanes: [Lane<P>; 2],
    silent_since: Option<Instant>,
}

/// What is to be put into the queue.
pub type Out<P> = Vec<(Instant, Carried<P>)>;

/// The network.
///
/// # Invariants
/// - nothing arrives over a cut link, from the moment of the cut;
/// - what arrives on a stream arrives in the order of sending, without gaps.
#[derive(Debug)]
pub struct Network<P> {
    hosts: usize,
    cuts: Vec<u32>,
    weather: Weather,
    dice: Dice,
    streams: BTreeMap<StreamNumber, Stream<P>>,
    last_stream: u64,
}

/// How long a cut lasts, at least, before a stream over it is given up.
const PATIENCE_LEAST: Duration = Duration::from_secs(1);
/// How long at most.
const PATIENCE_MOST: Duration = Duration::from_secs(12);

impl<P: Clone> Network<P> {
    /// A quiet network between so many hosts.
    pub fn new(hosts: usize, dice: Dice) -> Network<P> {
        Network {
            hosts,
            cuts: vec![0; hosts * hosts],
            weather: Weather::FAIR,
            dice,
            streams: BTreeMap::new(),
            last_stream: 0,
        }
    }

    /// Changes how datagrams fare, and how long everything takes.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// How long the next thing takes.
    pub fn delay(&mut self) -> Duration {
        between(
            &mut self.dice,
            self.weather.delay_least,
            self.weather.delay_most,
        )
    }

    fn is_cut(&self, from: Host, to: Host) -> bool {
        self.cuts[from.0 * self.hosts + to.0] > 0
    }

    /// Whether both hear each other.
    pub fn is_connected(&self, a: Host, b: Host) -> bool {
        !self.is_cut(a, b) && !self.is_cut(b, a)
    }

    /// Sends a datagram.
    pub fn datagram(&mut self, now: Instant, from: Host, to: Host, payload: P, out: &mut Out<P>) {
        if self.is_cut(from, to) || self.dice.chance(self.weather.loss) {
            return;
        }
        if self.dice.chance(self.weather.duplicates) {
            let at = now + self.delay();
            out.push((
                at,
                Carried::Datagram {
                    from,
                    to,
                    payload: payload.clone(),
                },
            ));
        }
        let at = now + self.delay();
        out.push((at, Carried::Datagram { from, to, payload }));
    }

    /// Whether a datagram that arrives may be heard: a cut also swallows what is under way.
    pub fn hears(&self, from: Host, to: Host) -> bool {
        !self.is_cut(from, to)
    }

    /// Opens a stream between two hosts that are up and hear each other.
    pub fn open(&mut self, now: Instant, dialler: Host, listener: Host) -> StreamNumber {
        self.last_stream += 1;
        let lane = || Lane {
            last: now,
            parked: VecDeque::new(),
        };
        let stream = Stream {
            ends: [dialler, listener],
            alive: [true, true],
            lanes: [lane(), lane()],
            silent_since: None,
        };
        self.streams.insert(StreamNumber(self.last_stream), stream);
        StreamNumber(self.last_stream)
    }

    /// Sends on a stream, from one of its ends.
    pub fn send(
        &mut self,
        now: Instant,
        number: StreamNumber,
        from: Side,
        payload: P,
        out: &mut Out<P>,
    ) {
        let delay = self.delay();
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        let side = from.other();
        if !stream.alive[from.lane()] {
            return;
        }
        let lane = &mut stream.lanes[side.lane()];
        lane.last = lane.last.max(now + delay);
        out.push((
            lane.last,
            Carried::Stream {
                stream: number,
                side,
                payload,
            },
        ));
    }

    /// What arrived, if it is heard; else it waits for the end of the cut.
    pub fn arrive(&mut self, number: StreamNumber, side: Side, payload: P) -> Option<P> {
        let stream = self.streams.get(&number)?;
        let cut = self.is_cut(stream.ends[side.other().lane()], stream.ends[side.lane()]);
        let stream = self.streams.get_mut(&number)?;
        if !stream.alive[side.lane()] {
            return None;
        }
        let lane = &mut stream.lanes[side.lane()];
        if cut || !lane.parked.is_empty() {
            lane.parked.push_back(payload);
            return None;
        }
        Some(payload)
    }

    /// Everything that a cut held back, if it has ended.
    pub fn flush(&mut self, number: StreamNumber, side: Side) -> Vec<P> {
        let Some(stream) = self.streams.get(&number) else {
            return Vec::new();
        };
        if self.is_cut(stream.ends[side.other().lane()], stream.ends[side.lane()]) {
            return Vec::new();
        }
        let stream = self.streams.get_mut(&number).expect("it was found above");
        stream.lanes[side.lane()].parked.drain(..).collect()
    }

    /// One end learns that a stream is gone; false if it knew.
    pub fn lose(&mut self, number: StreamNumber, side: Side) -> bool {
        let Some(stream) = self.streams.get_mut(&number) else {
            return false;
        };
        let knew = !std::mem::replace(&mut stream.alive[side.lane()], false);
        if stream.alive == [false, false] {
            self.streams.remove(&number);
        }
        !knew
    }

    /// The hosts of a stream that some end believes in.
    pub fn end(&self, number: StreamNumber, side: Side) -> Option<Host> {
        self.streams
            .get(&number)
            .map(|stream| stream.ends[side.lane()])
    }

    /// One end closes a stream: it is done at once; the other end learns after what was sent before.
    pub fn close(&mut self, now: Instant, number: StreamNumber, side: Side, out: &mut Out<P>) {
        let delay = self.delay();
        let other = side.other();
        if let Some(stream) = self.streams.get_mut(&number) {
            let lane = &mut stream.lanes[other.lane()];
            lane.last = lane.last.max(now + delay);
            if stream.alive[other.lane()] {
                out.push((
                    lane.last,
                    Carried::Lost {
                        stream: number,
                        side: other,
                    },
                ));
            }
            self.lose(number, side);
        }
    }

    /// Both ends of a stream are told that it broke.
    pub fn break_stream(&mut self, now: Instant, number: StreamNumber, out: &mut Out<P>) {
        for side in [Side::Dialler, Side::Listener] {
            let at = now + self.delay();
            out.push((
                at,
                Carried::Lost {
                    stream: number,
                    side,
                },
            ));
        }
    }

    /// Two ends have not heard each other since a moment: they give up if that is still so.
    pub fn give_up(
        &mut self,
        now: Instant,
        number: StreamNumber,
        since: Instant,
        out: &mut Out<P>,
    ) {
        let silent = self
            .streams
            .get(&number)
            .and_then(|stream| stream.silent_since);
        if silent == Some(since) {
            self.break_stream(now, number, out);
        }
    }

    /// A host dies. Its streams are gone for it; the others learn it sooner or later.
    pub fn down(&mut self, now: Instant, host: Host, death: Death, out: &mut Out<P>) {
        for number in self.streams_of(host) {
            let stream = &self.streams[&number];
            let side = if stream.ends[0] == host {
                Side::Dialler
            } else {
                Side::Listener
            };
            let other = stream.ends[side.other().lane()];
            let wait = match death {
                Death::Process if self.is_connected(host, other) => self.delay(),
                Death::Process | Death::Machine => {
                    between(&mut self.dice, PATIENCE_LEAST, PATIENCE_MOST)
                }
            };
            out.push((
                now + wait,
                Carried::Lost {
                    stream: number,
                    side: side.other(),
                },
            ));
            self.lose(number, side);
        }
    }

    /// The streams in which a host takes part.
    pub fn streams_of(&self, host: Host) -> Vec<StreamNumber> {
        let mine = self.streams.iter().filter(|(_, stream)| {
            (stream.ends[0] == host && stream.alive[0])
                || (stream.ends[1] == host && stream.alive[1])
        });
        mine.map(|(number, _)| *number).collect()
    }

    /// Cuts or heals one direction.
    pub fn set_cut(&mut self, now: Instant, way: (Host, Host), cut: bool, out: &mut Out<P>) {
        if cut {
            self.cut(now, way.0, way.1, out);
        } else {
            self.heal(now, way.0, way.1, out);
        }
    }

    /// `to` does not hear `from` from here on. Cuts add up.
    pub fn cut(&mut self, now: Instant, from: Host, to: Host, out: &mut Out<P>) {
        self.cuts[from.0 * self.hosts + to.0] += 1;
        let numbers: Vec<StreamNumber> = self.between_hosts(from, to);
        for number in numbers {
            let wait = between(&mut self.dice, PATIENCE_LEAST, PATIENCE_MOST);
            let stream = self.streams.get_mut(&number).expect("it was listed");
            if stream.silent_since.is_none() {
                stream.silent_since = Some(now);
                out.push((
                    now + wait,
                    Carried::GiveUp {
                        stream: number,
                        since: now,
                    },
                ));
            }
        }
    }

    /// One cut between two hosts ends.
    pub fn heal(&mut self, now: Instant, from: Host, to: Host, out: &mut Out<P>) {
        let cut = &mut self.cuts[from.0 * self.hosts + to.0];
        *cut = cut.saturating_sub(1);
        if !self.is_connected(from, to) {
            return;
        }
        for number in self.between_hosts(from, to) {
            let at = now + self.delay();
            let stream = self.streams.get_mut(&number).expect("it was listed");
            stream.silent_since = None;
            for side in [Side::Dialler, Side::Listener] {
                out.push((
                    at,
                    Carried::Flush {
                        stream: number,
                        side,
                    },
                ));
            }
        }
    }

    fn between_hosts(&self, a: Host, b: Host) -> Vec<StreamNumber> {
        let both = self
            .streams
            .iter()
            .filter(|(_, s)| s.ends == [a, b] || s.ends == [b, a]);
        both.map(|(number, _)| *number).collect()
    }
}

/// An even draw between two durations, both included.
pub fn between(dice: &mut Dice, least: Duration, most: Duration) -> Duration {
    let span = most.saturating_sub(least).as_nanos() as u64;
    least + Duration::from_nanos(dice.below(span + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Host = Host(0);
    const B: Host = Host(1);

    fn network() -> Network<u32> {
        Network::new(2, Dice::new(3))
    }

    fn seconds(count: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(count)
    }

    fn received(network: &mut Network<u32>, out: Out<u32>) -> Vec<u32> {
        let mut out = out;
        out.sort_by_key(|(at, _)| *at);
        let mut heard = Vec::new();
        for (_, carried) in out {
            match carried {
                Carried::Stream {
                    stream,
                    side,
                    payload,
                } => {
                    heard.extend(network.arrive(stream, side, payload));
                }
                Carried::Flush { stream, side } => heard.extend(network.flush(stream, side)),
                Carried::Datagram { payload, .. } => heard.push(payload),
                Carried::Lost { .. } | Carried::GiveUp { .. } => {}
            }
        }
        heard
    }

    #[test]
    fn a_stream_keeps_its_order_over_a_short_cut() {
        let mut network = network();
        let stream = network.open(seconds(0), A, B);
        let mut out = Out::new();
        for payload in 0..20 {
            network.send(seconds(0), stream, Side::Dialler, payload, &mut out);
        }
        let mut cut = Out::new();
        network.cut(seconds(0), A, B, &mut cut);
        assert!(received(&mut network, out).is_empty());
        let mut late = Out::new();
        network.send(seconds(1), stream, Side::Dialler, 20, &mut late);
        network.heal(seconds(1), A, B, &mut late);
        assert!(received(&mut network, late).into_iter().eq(0..21));
        let (_, Carried::GiveUp { stream, since }) = cut[0].clone() else {
            panic!("a cut warns the stream");
        };
        let mut nothing = Out::new();
        network.give_up(seconds(13), stream, since, &mut nothing);
        assert!(nothing.is_empty());
    }

    #[test]
    fn a_long_cut_breaks_it_and_a_death_is_noticed() {
        let mut network = network();
        let stream = network.open(seconds(0), A, B);
        let mut out = Out::new();
        network.cut(seconds(0), B, A, &mut out);
        network.give_up(seconds(12), stream, seconds(0), &mut out);
        assert_eq!(out.len(), 3);
        assert!(network.lose(stream, Side::Dialler));
        assert!(!network.lose(stream, Side::Dialler));
        assert!(network.lose(stream, Side::Listener));
        network.heal(seconds(13), B, A, &mut out);
        let stream = network.open(seconds(13), A, B);
        let mut out = Out::new();
        network.down(seconds(13), B, Death::Process, &mut out);
        assert!(matches!(
            out[..],
            [(
                _,
                Carried::Lost {
                    side: Side::Dialler,
                    ..
                }
            )]
        ));
        network.send(seconds(13), stream, Side::Dialler, 1, &mut out);
        assert_eq!(out.len(), 2, "who does not know yet still sends");
        assert_eq!(received(&mut network, out), []);
    }

    #[test]
    fn datagrams_are_lost_and_doubled() {
        let mut network = network();
        network.set_weather(Weather::FOUL);
        let mut out = Out::new();
        for payload in 0..1_000 {
            network.datagram(seconds(0), A, B, payload, &mut out);
        }
        let mut heard = received(&mut network, out);
        assert!((800..1_000).contains(&heard.len()), "{}", heard.len());
        assert!(!heard.is_sorted(), "some overtake others");
        heard.sort_unstable();
        let all = heard.len();
        heard.dedup();
        assert!(heard.len() < all, "some arrive twice");
    }
}
