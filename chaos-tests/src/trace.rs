//! The fingerprint of a run: every event that happened, in order. Two runs of one seed have one.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// A hash that grows with the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    events: u64,
}

impl Trace {
    /// One more event, told by a few numbers.
    pub fn event(&mut self, numbers: &[u64]) {
        self.events += 1;
        for number in numbers {
            self.mix(*number);
        }
    }

    /// The content of the event told last.
    pub fn content(&mut self, bytes: &[u8]) {
        self.mix(xxh3_64(bytes));
    }

    /// The events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    fn mix(&mut self, number: u64) {
        let mixed = (self.hash.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 32);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.hash)
    }
}
