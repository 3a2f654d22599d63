//! The places for the connections of one listener, and who loses theirs when all are taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::pace::Pace;

/// How often somebody who waits is looked for before all count as busy: whoever was found may have
/// become busy meanwhile.
const LOOKS: usize = 8;

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
    /// It has a place.
    Seated(Seat),
    /// It has the place of the connection that had waited longest for its client.
    Swapped(Seat),
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
        let full = taken.paces.len() >= self.limit;
        if full && !taken.make_room() {
            return Entry::Full;
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
        match full {
            true => Entry::Swapped(seat),
            false => Entry::Seated(seat),
        }
    }
}

impl Taken {
    /// Evicts who has waited longest for its client.
    fn make_room(&mut self) -> bool {
        for _ in 0..LOOKS {
            let waiting = self
                .paces
                .iter()
                .filter_map(|(number, pace)| Some((pace.waiting()?, *number)));
            let Some((waiting, number)) = waiting.min() else {
                return false;
            };
            if self.paces[&number].evict(waiting) {
                self.paces.remove(&number);
                return true;
            }
        }
        false
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
