//! The places for the connections of one listener, and who loses theirs when all are taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::pace::{Pace, Waiting};

/// One of so many connections at most is evicted at once.
const BATCH: usize = 64;

/// The places of one listener.
#[derive(Debug)]
pub struct Seats {
    base: Instant,
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    paces: BTreeMap<u64, Arc<Pace>>,
}

/// What became of a connection that came.
#[derive(Debug)]
pub enum Entry {
    /// It has a place, for which so many connections that had waited longest for their clients went.
    Seated(Seat, usize),
    /// All places are taken by connections that are being answered.
    Full,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    number: u64,
    pace: Arc<Pace>,
}

impl Seats {
    /// So many places.
    pub fn new(limit: usize) -> Arc<Seats> {
        Arc::new(Seats {
            base: Instant::now(),
            limit,
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a place for a connection that was just accepted.
    pub fn enter(self: &Arc<Seats>) -> Entry {
        let mut taken = self.taken();
        let mut evicted = 0;
        if taken.paces.len() >= self.limit {
            evicted = taken.make_room();
            if evicted == 0 {
                return Entry::Full;
            }
        }
        let number = taken.next;
        taken.next += 1;
        let pace = Arc::new(Pace::new(self.base));
        taken.paces.insert(number, Arc::clone(&pace));
        let seat = Seat {
            seats: Arc::clone(self),
            number,
            pace,
        };
        Entry::Seated(seat, evicted)
    }
}

impl Taken {
    /// Evicts who has waited longest for its client, and a few after it: looking through all of them
    /// for each that comes would make a crowd costly.
    fn make_room(&mut self) -> usize {
        let mut waiting: Vec<(Waiting, u64)> = self
            .paces
            .iter()
            .filter_map(|(number, pace)| Some((pace.waiting()?, *number)))
            .collect();
        waiting.sort_unstable();
        waiting.truncate((self.paces.len() / BATCH).max(1));
        let mut evicted = 0;
        for (since, number) in waiting {
            // Whoever has become busy meanwhile stays.
            if self.paces[&number].evict(since) {
                self.paces.remove(&number);
                evicted += 1;
            }
        }
        evicted
    }
}

impl Seat {
    /// The pace of the connection that sits here.
    pub fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().paces.remove(&self.number);
    }
}
