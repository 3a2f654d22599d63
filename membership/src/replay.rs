//! What was heard of whom, so that a datagram that is sent again by somebody else has no effect.
//!
//! Every sealed datagram carries a number that its sender's life counts up, proven by the seal. For
//! each sender the newest number is kept, with a window of those before it: within it datagrams may
//! overtake each other, and each counts once; what is older than the window is dropped.

use std::collections::BTreeMap;

use shoal_api::{Generation, NodeId};

use crate::envelope::Number;
use crate::limits;
use crate::message::Life;

const WORDS: usize = limits::REPLAY_WINDOW / 64;

/// What was heard of all senders, at most [`limits::MEMBERS`] of them.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    senders: BTreeMap<NodeId, Window>,
}

impl Heard {
    /// Takes note of a number; false if that one was heard before, or may have been. When there is
    /// no room for one more sender, those that `keep` does not want are forgotten.
    pub fn take(&mut self, sender: Life, number: Number, keep: impl Fn(NodeId) -> bool) -> bool {
        if let Some(window) = self.senders.get_mut(&sender.node) {
            return window.take(sender.generation, number);
        }
        if self.senders.len() >= limits::MEMBERS {
            self.senders.retain(|node, _| keep(*node));
        }
        if self.senders.len() < limits::MEMBERS {
            self.senders
                .insert(sender.node, Window::new(sender.generation, number));
        }
        true
    }
}

/// The numbers of one sender: the newest, and a bit for each that may still come, by its remainder.
#[derive(Debug)]
struct Window {
    generation: Generation,
    newest: Number,
    bits: [u64; WORDS],
}

impl Window {
    fn new(generation: Generation, number: Number) -> Window {
        let mut window = Window {
            generation,
            newest: number,
            bits: [0; WORDS],
        };
        window.mark(number);
        window
    }

    fn take(&mut self, generation: Generation, number: Number) -> bool {
        if generation < self.generation {
            return false;
        }
        // Two processes of one life, such as of a copied disk, count apart from each other; which
        // of them is to end is decided by their addresses, and until then both are heard.
        if generation > self.generation || !number.is_of_the_run_of(self.newest) {
            *self = Window::new(generation, number);
            return true;
        }
        if number > self.newest {
            let passed = number.0 - self.newest.0;
            if passed >= limits::REPLAY_WINDOW as u128 {
                self.bits = [0; WORDS];
            } else {
                (1..passed).for_each(|step| self.unmark(Number(self.newest.0 + step)));
            }
            self.newest = number;
            self.mark(number);
            return true;
        }
        let recent = self.newest.0 - number.0 < limits::REPLAY_WINDOW as u128;
        let fresh = recent && !self.is_marked(number);
        if fresh {
            self.mark(number);
        }
        fresh
    }

    fn mark(&mut self, number: Number) {
        let (word, bit) = place(number);
        self.bits[word] |= bit;
    }

    fn unmark(&mut self, number: Number) {
        let (word, bit) = place(number);
        self.bits[word] &= !bit;
    }

    fn is_marked(&self, number: Number) -> bool {
        let (word, bit) = place(number);
        self.bits[word] & bit != 0
    }
}

fn place(number: Number) -> (usize, u64) {
    let at = (number.0 % limits::REPLAY_WINDOW as u128) as usize;
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(node: u128, generation: u64) -> Life {
        Life {
            node: NodeId(node),
            generation: Generation(generation),
            version: 1,
        }
    }

    fn all(_: NodeId) -> bool {
        true
    }

    #[test]
    fn each_number_counts_once_in_any_order() {
        let mut heard = Heard::default();
        let numbers = [5_u128, 3, 4, 9, 1_000, 8, 999, 1_500, 600, 2_000_000];
        for number in numbers {
            assert!(heard.take(life(1, 1), Number(number), all), "{number}");
        }
        for number in numbers {
            assert!(!heard.take(life(1, 1), Number(number), all), "{number}");
        }
        assert!(heard.take(life(1, 1), Number(1_999_999), all));
        assert!(!heard.take(life(1, 1), Number(10_000), all), "too old");
    }

    #[test]
    fn the_window_agrees_with_a_set() {
        let mut dice = shoal_api::Dice::new(7);
        let (mut heard, mut taken) = (Heard::default(), std::collections::BTreeSet::new());
        let mut newest = 0;
        for _ in 0..20_000 {
            let number = (newest + dice.below(1_500)).saturating_sub(1_200);
            let recent = newest < number + limits::REPLAY_WINDOW as u64;
            let fresh = recent && !taken.contains(&number);
            assert_eq!(
                heard.take(life(1, 1), Number(u128::from(number)), all),
                fresh,
                "{number} of {newest}"
            );
            taken.insert(number);
            newest = newest.max(number);
        }
    }

    #[test]
    fn a_new_life_begins_anew_and_an_old_one_is_not_heard() {
        let mut heard = Heard::default();
        assert!(heard.take(life(1, 1), Number(50), all));
        assert!(heard.take(life(1, 2), Number(10), all));
        assert!(!heard.take(life(1, 1), Number(51), all));
        assert!(heard.take(life(2, 1), Number(10), all), "each has its own");
    }

    #[test]
    fn senders_are_bounded() {
        let mut heard = Heard::default();
        for node in 1..=limits::MEMBERS as u128 + 1 {
            assert!(heard.take(life(node, 1), Number(1), |node| node.0 < 10));
        }
        assert_eq!(heard.senders.len(), 10);
        assert!(!heard.take(life(9, 1), Number(1), all), "it was kept");
    }
}
