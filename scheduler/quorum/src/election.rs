//! When to campaign: the election timeout from dice of our own, and the hint of a broken stream.
//!
//! Raft draws its timeout from an ambient generator at every reset. [`ElectionClock`] overwrites it
//! with a pure function of seed, id, term, role and the number of times that the waiting began anew,
//! so that one seed gives one trace, and two replicas that drew alike once do not do so for ever.

use shoal_api::{Dice, Instant, RaftId};

use crate::limits;

/// The election timeout of one replica.
#[derive(Clone, Debug)]
pub(crate) struct ElectionClock {
    seed: u64,
    id: RaftId,
    election_ticks: u32,
    elapsed: usize,
    resets: u64,
}

impl ElectionClock {
    pub(crate) fn new(seed: u64, id: RaftId, election_ticks: u32) -> ElectionClock {
        ElectionClock {
            seed,
            id,
            election_ticks,
            elapsed: 0,
            resets: 0,
        }
    }

    /// The timeout in ticks, given where Raft stands; to be asked after everything that Raft did.
    pub(crate) fn timeout(&mut self, term: u64, role: u64, elapsed: usize) -> usize {
        if elapsed < self.elapsed {
            self.resets += 1;
        }
        self.elapsed = elapsed;
        let mut mixed = self.seed;
        for part in [self.id.0, term, role, self.resets] {
            mixed = (mixed.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        let ticks = u64::from(self.election_ticks);
        let drawn = ticks + Dice::new(mixed).below(ticks);
        usize::try_from(drawn).expect("ticks are few")
    }
}

/// Attempts to be elected before the timeout, because the leader's stream broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    /// When to try.
    pub(crate) next: Instant,
    /// How often to try still.
    pub(crate) left: u32,
}

impl Hint {
    /// The first attempt waits by rank, so that one replica is ahead of the others.
    pub(crate) fn new(now: Instant, rank: u32) -> Hint {
        Hint {
            next: now + limits::HINT_STAGGER * rank,
            left: limits::HINT_ATTEMPTS,
        }
    }

    /// The hint after an attempt; none when it was the last.
    pub(crate) fn again(self, now: Instant) -> Option<Hint> {
        (self.left > 1).then(|| Hint {
            next: now + limits::HINT_RETRY,
            left: self.left - 1,
        })
    }

    /// Waits while a vote given to another may lead to something.
    pub(crate) fn yielded(self, now: Instant) -> Hint {
        Hint {
            next: self.next.max(now + limits::HINT_RETRY * 3),
            left: self.left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_in_range_and_vary_with_every_reset() {
        let mut clock = ElectionClock::new(1, RaftId(1), 16);
        let mut seen = Vec::new();
        for round in 0..200 {
            let drawn = clock.timeout(7, 0, 5);
            assert!((16..32).contains(&drawn));
            assert_eq!(drawn, clock.timeout(7, 0, 6), "no reset, no new draw");
            clock.timeout(7, 0, 0);
            if round < 50 {
                seen.push(drawn);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 8, "draws hardly vary: {seen:?}");
    }

    #[test]
    fn replicas_that_drew_alike_part() {
        let mut clocks = [1, 2].map(|id| ElectionClock::new(1, RaftId(id), 16));
        let mut differ = 0;
        for _ in 0..100 {
            let [a, b] = clocks.each_mut().map(|clock| {
                clock.timeout(3, 0, 9);
                clock.timeout(3, 0, 0)
            });
            differ += u32::from(a != b);
        }
        assert!(differ > 70, "only {differ} of 100 draws differ");
    }
}
