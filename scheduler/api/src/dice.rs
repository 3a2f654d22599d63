//! The seeded generator that every machine draws from. No entropy of its own.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A deterministic stream of numbers: one seed, one stream.
///
/// Each purpose takes its own [`Dice::child`], so that a new use of chance does not shift the draws
/// of the old ones. Not for secrets. Source: xoshiro256++.
#[derive(Clone, Debug)]
pub struct Dice {
    seed: u64,
    generator: Xoshiro256PlusPlus,
}

impl Dice {
    /// The dice of one seed.
    pub fn new(seed: u64) -> Dice {
        Dice {
            seed,
            generator: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// Dice for one purpose, a pure function of this one's seed and the purpose's name.
    pub fn child(&self, purpose: &str) -> Dice {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ self.seed;
        for byte in purpose.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Dice::new(hash.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// 64 even bits.
    pub fn next_u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// 128 even bits, for identities.
    pub fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// An even draw from `0..bound`; `bound` must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "dice: a draw below zero has no answer");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True in `per_mille` of a thousand draws.
    pub fn chance(&mut self, per_mille: u16) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// Puts a slice in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_stream_and_children_differ() {
        let (mut a, mut b) = (Dice::new(7), Dice::new(7));
        assert_eq!(a.next_u128(), b.next_u128());
        let (mut x, mut y) = (a.child("probe"), a.child("gossip"));
        assert_ne!(x.next_u64(), y.next_u64());
        assert_eq!(b.child("probe").next_u64(), a.child("probe").next_u64());
    }

    #[test]
    fn draws_stay_below_their_bound() {
        let mut dice = Dice::new(1);
        for bound in 1..200 {
            assert!(dice.below(bound) < bound);
        }
    }
}
