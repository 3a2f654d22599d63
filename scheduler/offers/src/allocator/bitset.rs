//! A set of slot numbers, a bit each; it grows as needed.

/// A set of slots.
///
/// # Invariant
/// - the words beyond the last slot ever inserted are absent and read as empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Bitset {
    words: Vec<u64>,
}

impl Bitset {
    pub(super) fn insert(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (slot % 64);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(word) = self.words.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.words
            .get(slot as usize / 64)
            .is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    pub(super) fn clear(&mut self) {
        self.words.clear();
    }

    pub(super) fn copy_from(&mut self, other: &Bitset) {
        self.words.clear();
        self.words.extend_from_slice(&other.words);
    }

    pub(super) fn subtract(&mut self, other: &Bitset) {
        for (word, less) in self.words.iter_mut().zip(&other.words) {
            *word &= !less;
        }
    }

    pub(super) fn intersect(&mut self, other: &Bitset) {
        for (at, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(at).copied().unwrap_or(0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Slots in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros();
                left &= left - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set() {
        let mut set = Bitset::default();
        for slot in [3, 64, 200, 3] {
            set.insert(slot);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 64, 200]);
        let mut other = Bitset::default();
        other.insert(64);
        let mut both = set.clone();
        both.intersect(&other);
        assert_eq!(both.iter().collect::<Vec<_>>(), [64]);
        set.subtract(&other);
        set.remove(3);
        set.remove(10_000);
        assert!(!set.contains(64) && !set.contains(9_999) && set.contains(200));
        assert_eq!(set.len(), 1);
    }
}
