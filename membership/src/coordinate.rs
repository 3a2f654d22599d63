//! Network coordinates: each node places itself so that distances are round trip times.
//!
//! Eight dimensions, a height for the way to the network, and an adjustment for what space cannot
//! say. A node moves a little with each probe that is answered by datagram.
//!
//! *Source*: Vivaldi (Dabek et al. 2004) and what Serf made of it: the numbers are Serf's, times are
//! in seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, BufMut};
use shoal_api::{Dice, NodeId};

use crate::limits;

const DIMENSIONS: usize = 8;
const ERROR_MOST: f64 = 1.5;
/// How much one measurement counts for the error, and for the place.
const ERROR_SHARE: f64 = 0.25;
const PLACE_SHARE: f64 = 0.25;
const HEIGHT_LEAST: f64 = 10e-6;
const ADJUSTMENTS: usize = 20;
const TRIPS: usize = 3;
/// How weakly the origin pulls, so that the whole does not drift.
const GRAVITY: f64 = 150.0;
const NEARLY_ZERO: f64 = 1e-6;

/// Where a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Coordinate {
    place: [f64; DIMENSIONS],
    height: f64,
    error: f64,
    adjustment: f64,
}

impl Default for Coordinate {
    fn default() -> Coordinate {
        Coordinate {
            place: [0.0; DIMENSIONS],
            height: HEIGHT_LEAST,
            error: ERROR_MOST,
            adjustment: 0.0,
        }
    }
}

/// The largest number that is sent, in microseconds: 24 bits with a sign.
const MICROS_MOST: i32 = (1 << 23) - 1;

fn put_micros(buffer: &mut impl BufMut, seconds: f64) {
    let most = f64::from(MICROS_MOST);
    let micros = (seconds * 1e6).round().clamp(-most, most) as i32;
    buffer.put_int(i64::from(micros), 3);
}

fn get_micros(buffer: &mut impl Buf) -> Option<f64> {
    Some(buffer.try_get_int(3).ok()? as f64 / 1e6)
}

impl Coordinate {
    /// Its binary form: places, height and adjustment in microseconds of 24 bits, and the error in
    /// ten-thousandths of 16 bits.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(limits::COORDINATE_BYTES);
        for place in self.place {
            put_micros(&mut buffer, place);
        }
        put_micros(&mut buffer, self.height);
        put_micros(&mut buffer, self.adjustment);
        buffer.put_u16((self.error * 1e4).round().clamp(0.0, 15_000.0) as u16);
        assert_eq!(buffer.len(), limits::COORDINATE_BYTES);
        buffer
    }

    /// Reads one that fills the slice; nothing if it is out of range.
    pub fn decode(mut bytes: &[u8]) -> Option<Coordinate> {
        if bytes.len() != limits::COORDINATE_BYTES {
            return None;
        }
        let mut coordinate = Coordinate::default();
        for place in &mut coordinate.place {
            *place = get_micros(&mut bytes)?;
        }
        coordinate.height = get_micros(&mut bytes)?;
        coordinate.adjustment = get_micros(&mut bytes)?;
        coordinate.error = f64::from(bytes.try_get_u16().ok()?) / 1e4;
        let valid = coordinate.height >= 0.0 && coordinate.error <= ERROR_MOST;
        valid.then_some(coordinate)
    }

    fn raw_distance(&self, other: &Coordinate) -> f64 {
        let between = self.place.iter().zip(&other.place);
        let squares: f64 = between.map(|(a, b)| (a - b) * (a - b)).sum();
        squares.sqrt() + self.height + other.height
    }

    fn seconds(&self, other: &Coordinate) -> f64 {
        let raw = self.raw_distance(other);
        let adjusted = raw + self.adjustment + other.adjustment;
        if adjusted > 0.0 { adjusted } else { raw }
    }

    /// The round trip time between the two.
    pub fn distance(&self, other: &Coordinate) -> Duration {
        Duration::from_secs_f64(self.seconds(other))
    }

    /// Moves away from another place by so much (towards it if negative).
    fn push(&mut self, force: f64, from: &Coordinate, dice: &mut Dice) {
        let mut away = [0.0; DIMENSIONS];
        for (way, (here, there)) in away.iter_mut().zip(self.place.iter().zip(&from.place)) {
            *way = here - there;
        }
        let mut length = norm(&away);
        let apart = length > NEARLY_ZERO;
        if !apart {
            // Two at one place go apart in any direction.
            for way in &mut away {
                *way = dice.below(2_001) as f64 / 1_000.0 - 1.0;
            }
            length = norm(&away).max(NEARLY_ZERO);
        }
        for (here, way) in self.place.iter_mut().zip(away) {
            *here += way / length * force;
        }
        if apart {
            let height = self.height + (self.height + from.height) * force / length;
            self.height = height.max(HEIGHT_LEAST);
        }
    }

    fn is_finite(&self) -> bool {
        let scalars = [self.height, self.error, self.adjustment];
        self.place.iter().chain(&scalars).all(|x| x.is_finite())
    }
}

fn norm(way: &[f64]) -> f64 {
    way.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// This node's coordinate, and what it was made of.
#[derive(Debug, Default)]
pub(crate) struct Vivaldi {
    own: Coordinate,
    /// The last round trips to each member: the median counts, so that one slow answer does not.
    trips: BTreeMap<NodeId, Vec<f64>>,
    adjustments: Vec<f64>,
    turn: usize,
}

impl Vivaldi {
    pub fn coordinate(&self) -> &Coordinate {
        &self.own
    }

    /// Forgets a member.
    pub fn forget(&mut self, node: NodeId) {
        self.trips.remove(&node);
    }

    fn median(&mut self, node: NodeId, trip: f64) -> f64 {
        let trips = self.trips.entry(node).or_default();
        if trips.len() == TRIPS {
            trips.remove(0);
        }
        trips.push(trip);
        let mut sorted = trips.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// Takes one measurement.
    pub fn update(&mut self, node: NodeId, other: &Coordinate, trip: Duration, dice: &mut Dice) {
        let trip = self.median(node, trip.as_secs_f64()).max(NEARLY_ZERO);
        let mut own = self.own.clone();
        let distance = own.seconds(other);
        let wrong = (distance - trip).abs() / trip;
        let weight = own.error / (own.error + other.error).max(NEARLY_ZERO);
        let share = ERROR_SHARE * weight;
        own.error = (share * wrong + own.error * (1.0 - share)).min(ERROR_MOST);
        own.push(PLACE_SHARE * weight * (trip - distance), other, dice);

        let rest = trip - own.raw_distance(other);
        if self.adjustments.len() < ADJUSTMENTS {
            self.adjustments.push(rest);
        } else {
            self.adjustments[self.turn] = rest;
        }
        self.turn = (self.turn + 1) % ADJUSTMENTS;
        own.adjustment = self.adjustments.iter().sum::<f64>() / (2.0 * ADJUSTMENTS as f64);

        let origin = Coordinate::default();
        let pull = (origin.seconds(&own) / GRAVITY).powi(2);
        own.push(-pull, &origin, dice);
        // What a liar sent must not break this node's own place.
        self.own = if own.is_finite() {
            own
        } else {
            Coordinate::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_cut() {
        let mut coordinate = Coordinate::default();
        coordinate.place[3] = -0.012_345;
        coordinate.height = 0.000_5;
        coordinate.adjustment = -0.000_02;
        coordinate.error = 0.25;
        let bytes = coordinate.to_bytes();
        assert_eq!(Coordinate::decode(&bytes), Some(coordinate));
        for cut in 0..bytes.len() {
            assert_eq!(Coordinate::decode(&bytes[..cut]), None);
        }
    }

    #[test]
    fn distances_become_round_trips() {
        // Two sites, 1 ms inside and 40 ms between.
        let trip = |a: usize, b: usize| match a % 2 == b % 2 {
            true => Duration::from_millis(1),
            false => Duration::from_millis(40),
        };
        let mut dice = Dice::new(7);
        let mut nodes: Vec<Vivaldi> = (0..10).map(|_| Vivaldi::default()).collect();
        for _ in 0..4_000 {
            let a = dice.below(10) as usize;
            let b = (a + 1 + dice.below(9) as usize) % 10;
            let other = nodes[b].coordinate().clone();
            nodes[a].update(NodeId(b as u128), &other, trip(a, b), &mut dice);
        }
        for a in 0..10 {
            for b in 0..a {
                let told = nodes[a].coordinate().distance(nodes[b].coordinate());
                let (told, real) = (told.as_secs_f64(), trip(a, b).as_secs_f64());
                assert!((told - real).abs() < 0.005, "{told} for {real}");
            }
        }
    }
}
