//! A tournament tree: the smallest of many keys, each changed in place in a logarithm of steps.

/// What players are compared by: the share first, then how often they were served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Dominant share by weight, in [`super::share::SHARE_UNIT`]s.
    pub(super) share: u64,
    /// Past allocations.
    pub(super) allocations: u64,
}

impl Key {
    /// Out of the tournament.
    pub(super) const OUT: Key = Key {
        share: u64::MAX,
        allocations: u64::MAX,
    };
}

/// The tree. Players are numbered from zero, and of equal keys the lower number wins.
///
/// # Invariant
/// - `winners[i]` is the better of the winners of its two children; leaves stand for themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Tournament {
    keys: Vec<Key>,
    /// Heap order from 1; `leaves` of them are inner nodes.
    winners: Vec<u32>,
    leaves: usize,
}

impl Tournament {
    /// A tournament of these players.
    pub(super) fn new(mut keys: Vec<Key>) -> Tournament {
        let leaves = keys.len().next_power_of_two();
        keys.resize(leaves, Key::OUT);
        let mut winners = vec![0_u32; leaves * 2];
        for (player, leaf) in winners[leaves..].iter_mut().enumerate() {
            *leaf = player as u32;
        }
        let mut tree = Tournament {
            keys,
            winners,
            leaves,
        };
        for node in (1..leaves).rev() {
            tree.winners[node] = tree.play(node);
        }
        tree
    }

    fn play(&self, node: usize) -> u32 {
        let (left, right) = (self.winners[node * 2], self.winners[node * 2 + 1]);
        if self.keys[right as usize] < self.keys[left as usize] {
            right
        } else {
            left
        }
    }

    /// The best player still in.
    pub(super) fn winner(&self) -> Option<u32> {
        let winner = *self.winners.get(1)?;
        (self.keys[winner as usize] != Key::OUT).then_some(winner)
    }

    pub(super) fn key(&self, player: u32) -> Key {
        self.keys[player as usize]
    }

    /// Gives a player another key.
    pub(super) fn set(&mut self, player: u32, key: Key) {
        if self.keys[player as usize] == key {
            return;
        }
        self.keys[player as usize] = key;
        let mut node = (self.leaves + player as usize) / 2;
        while node >= 1 {
            let winner = self.play(node);
            let same = self.winners[node] == winner;
            self.winners[node] = winner;
            if same && winner != player {
                break;
            }
            node /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::Dice;

    use super::*;

    fn key(share: u64) -> Key {
        Key {
            share,
            allocations: 0,
        }
    }

    #[test]
    fn an_empty_one_has_no_winner() {
        assert_eq!(Tournament::default().winner(), None);
        assert_eq!(Tournament::new(Vec::new()).winner(), None);
        assert_eq!(Tournament::new(vec![Key::OUT; 3]).winner(), None);
    }

    #[test]
    fn it_always_knows_the_smallest() {
        let mut dice = Dice::new(5);
        for size in [1_usize, 2, 3, 7, 64, 100] {
            let mut keys: Vec<Key> = (0..size).map(|_| key(dice.below(20))).collect();
            let mut tree = Tournament::new(keys.clone());
            for _ in 0..500 {
                let best = (0..size)
                    .min_by_key(|&i| (keys[i], i))
                    .filter(|&i| keys[i] != Key::OUT);
                assert_eq!(tree.winner(), best.map(|i| i as u32));
                let player = dice.below(size as u64) as usize;
                keys[player] = if dice.chance(200) {
                    Key::OUT
                } else {
                    key(dice.below(20))
                };
                tree.set(player as u32, keys[player]);
            }
        }
    }
}
