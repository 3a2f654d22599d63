//! A sorted map in chunks that versions share: the structure under every table and index.
//!
//! It knows no hash and no number; [`crate::Table`] adds those.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::limits::{CHUNKS_PER_BRANCH, ROWS_PER_CHUNK};

/// A sorted map whose clones share all chunks; a write copies the one chunk it touches.
///
/// Used as it is for what can be derived from tables (indices, sums): not hashed, not in
/// snapshots, rebuilt at restore. A tree of three levels: branches of chunks of rows. `clone`
/// copies one pointer; the first write after it copies the list of branches, and each later one
/// the branch and the chunk that it touches, unless they were copied before.
///
/// # Invariants
/// - keys strictly ascend within and across chunks;
/// - no branch and no chunk is empty, none is larger than [`CHUNKS_PER_BRANCH`] and
///   [`ROWS_PER_CHUNK`]; `first` is the key of the first row below it.
pub struct Sorted<K, V> {
    branches: Arc<Vec<Branch<K, V>>>,
    len: usize,
    /// Where the last write was: a hint, which may point anywhere.
    last: Place,
}

/// A part of the map: what is below it, and where that begins.
struct Part<K, T> {
    first: K,
    below: Arc<Vec<T>>,
}

type Chunk<K, V> = Part<K, (K, V)>;
type Branch<K, V> = Part<K, Chunk<K, V>>;

impl<K: Clone, T> Part<K, T> {
    fn new(first: K, below: Vec<T>) -> Part<K, T> {
        Part {
            first,
            below: Arc::new(below),
        }
    }
}

impl<K: Clone, T> Clone for Part<K, T> {
    fn clone(&self) -> Part<K, T> {
        Part {
            first: self.first.clone(),
            below: Arc::clone(&self.below),
        }
    }
}

/// Where a row is, or where it would be.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    branch: usize,
    chunk: usize,
    row: usize,
}

impl<K, V> Clone for Sorted<K, V> {
    fn clone(&self) -> Sorted<K, V> {
        Sorted {
            branches: Arc::clone(&self.branches),
            len: self.len,
            last: self.last,
        }
    }
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Sorted<K, V> {
        Sorted {
            branches: Arc::new(Vec::new()),
            len: 0,
            last: Place::default(),
        }
    }
}

impl<K, V> Sorted<K, V> {
    /// An empty map.
    pub fn new() -> Sorted<K, V> {
        Sorted::default()
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All rows in order.
    pub fn iter(&self) -> Rows<'_, K, V> {
        let start = Place {
            branch: 0,
            chunk: 0,
            row: 0,
        };
        self.rows_from(start)
    }

    fn rows_from(&self, place: Place) -> Rows<'_, K, V> {
        let (mut branches, mut chunks, mut rows) = ([].iter(), [].iter(), [].iter());
        if let Some(branch) = self.branches.get(place.branch) {
            branches = self.branches[place.branch + 1..].iter();
            chunks = branch.below[place.chunk + 1..].iter();
            rows = branch.below[place.chunk].below[place.row..].iter();
        }
        Rows {
            branches,
            chunks,
            rows,
        }
    }

    /// The row of the lowest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The row of the highest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        let (key, value) = self.branches.last()?.below.last()?.below.last()?;
        Some((key, value))
    }
}

impl<K: Ord + Clone, V: Clone> Sorted<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let (place, found) = self.find(key);
        found.then(|| &self.branches[place.branch].below[place.chunk].below[place.row].1)
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &K) -> bool {
        self.find(key).1
    }

    /// Sets the value of a key; the one it had before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.branches.is_empty() {
            let chunk = Chunk::new(key.clone(), vec![(key.clone(), value)]);
            self.branches = Arc::new(vec![Branch::new(key, vec![chunk])]);
            self.len = 1;
            return None;
        }
        let (place, found) = self.find(&key);
        self.last = place;
        let branches = Arc::make_mut(&mut self.branches);
        let branch = &mut branches[place.branch];
        let chunks = Arc::make_mut(&mut branch.below);
        let last = place.chunk + 1 == chunks.len();
        let chunk = &mut chunks[place.chunk];
        if found {
            let rows = Arc::make_mut(&mut chunk.below);
            return Some(std::mem::replace(&mut rows[place.row].1, value));
        }
        self.len += 1;
        if place.row == 0 {
            chunk.first = key.clone();
            if place.chunk == 0 {
                branch.first = key.clone();
            }
        }
        if chunk.below.len() < ROWS_PER_CHUNK {
            Arc::make_mut(&mut chunk.below).insert(place.row, (key, value));
            return None;
        }
        // Rows never grow beyond the bound, so their memory does not either. Ascending keys fill
        // chunks to the brim: a new one begins, nothing is split.
        let mut upper = Vec::with_capacity(ROWS_PER_CHUNK);
        if place.row == ROWS_PER_CHUNK && last {
            upper.push((key, value));
        } else {
            let rows = Arc::make_mut(&mut chunk.below);
            upper.extend(rows.drain(ROWS_PER_CHUNK / 2..));
            match place.row.checked_sub(rows.len()) {
                Some(row) if row > 0 => upper.insert(row, (key, value)),
                Some(_) | None => rows.insert(place.row, (key, value)),
            }
        }
        chunks.insert(place.chunk + 1, Chunk::new(upper[0].0.clone(), upper));
        if chunks.len() > CHUNKS_PER_BRANCH {
            split_branch(branches, place.branch);
        }
        None
    }

    /// The value of a key, to be changed in place.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (place, found) = self.find(key);
        if !found {
            return None;
        }
        self.last = place;
        let branch = &mut Arc::make_mut(&mut self.branches)[place.branch];
        let chunk = &mut Arc::make_mut(&mut branch.below)[place.chunk];
        Some(&mut Arc::make_mut(&mut chunk.below)[place.row].1)
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (place, found) = self.find(key);
        if !found {
            return None;
        }
        self.len -= 1;
        self.last = place;
        let branches = Arc::make_mut(&mut self.branches);
        let chunks = Arc::make_mut(&mut branches[place.branch].below);
        let rows = Arc::make_mut(&mut chunks[place.chunk].below);
        let (_, value) = rows.remove(place.row);
        match rows.first() {
            None => {
                chunks.remove(place.chunk);
            }
            Some((first, _)) => {
                if place.row == 0 {
                    chunks[place.chunk].first = first.clone();
                }
                merge_small(chunks, place.chunk, ROWS_PER_CHUNK);
            }
        }
        match chunks.first() {
            None => {
                branches.remove(place.branch);
            }
            Some(chunk) => {
                if place.chunk == 0 {
                    branches[place.branch].first = chunk.first.clone();
                }
                merge_small(branches, place.branch, CHUNKS_PER_BRANCH);
            }
        }
        Some(value)
    }

    /// The rows whose keys are in the range, in order.
    pub fn range<'a, R: RangeBounds<K>>(&'a self, range: R) -> Range<'a, K, V, R> {
        let rows = match range.start_bound() {
            Bound::Unbounded => self.iter(),
            Bound::Included(key) => self.rows_from(self.find(key).0),
            Bound::Excluded(key) => {
                let (mut place, found) = self.find(key);
                place.row += usize::from(found);
                self.rows_from(place)
            }
        };
        Range {
            rows,
            range,
            ended: false,
        }
    }

    /// Where the key is, or where it would be inserted: in the only chunk that can hold it.
    fn find(&self, key: &K) -> (Place, bool) {
        if let Some(place) = self.end_before(key) {
            return (place, false);
        }
        if let Some(near) = self.near_last(key) {
            return near;
        }
        let mut place = Place {
            branch: part_of(&self.branches, key),
            chunk: 0,
            row: 0,
        };
        let Some(branch) = self.branches.get(place.branch) else {
            return (place, false);
        };
        place.chunk = part_of(&branch.below, key);
        let rows = &branch.below[place.chunk].below;
        let found = rows.binary_search_by(|row| row.0.cmp(key));
        place.row = found.unwrap_or_else(|row| row);
        (place, found.is_ok())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    /// The end of the last chunk, if the key is after all others: most keys of a ledger ascend, and
    /// those are not searched for.
    fn end_before(&self, key: &K) -> Option<Place> {
        let chunks = &self.branches.last()?.below;
        let rows = &chunks.last()?.below;
        let (last, _) = rows.last()?;
        (last.cmp(key) == Ordering::Less).then_some(Place {
            branch: self.branches.len() - 1,
            chunk: chunks.len() - 1,
            row: rows.len(),
        })
    }

    /// What [`Sorted::find`] finds, if it is where the last write was or right beside: keys that are
    /// written one after the other are mostly neighbours, and so are the reads before those writes.
    fn near_last(&self, key: &K) -> Option<(Place, bool)> {
        let last = self.last;
        let chunks = &self.branches.get(last.branch)?.below;
        let rows = &chunks.get(last.chunk)?.below;
        let at = |row, found| Some((Place { row, ..last }, found));
        match rows.get(last.row)?.0.cmp(key) {
            Ordering::Equal => at(last.row, true),
            Ordering::Less => {
                let row = last.row + 1;
                let next = match rows.get(row) {
                    Some((next, _)) => next,
                    None => &chunks.get(last.chunk + 1)?.first,
                };
                match next.cmp(key) {
                    Ordering::Greater => at(row, false),
                    Ordering::Equal if row < rows.len() => at(row, true),
                    Ordering::Equal | Ordering::Less => None,
                }
            }
            Ordering::Greater => {
                let row = last.row.checked_sub(1)?;
                match rows[row].0.cmp(key) {
                    Ordering::Less => at(last.row, false),
                    Ordering::Equal => at(row, true),
                    Ordering::Greater => None,
                }
            }
        }
    }
}

/// The last part that does not begin after the key, else the first.
fn part_of<K: Ord, T>(parts: &[Part<K, T>], key: &K) -> usize {
    // Whether the first one begins after the key makes no difference.
    let later = parts.get(1..).unwrap_or_default();
    later.partition_point(|part| part.first.cmp(key) != Ordering::Greater)
}

/// Splits a branch that has grown too large; the last one is left full, for ascending keys.
fn split_branch<K: Clone, V>(branches: &mut Vec<Branch<K, V>>, at: usize) {
    let last = at + 1 == branches.len();
    let chunks = Arc::get_mut(&mut branches[at].below).expect("it was just written to");
    let half = if last {
        CHUNKS_PER_BRANCH
    } else {
        chunks.len() / 2
    };
    let upper = chunks.split_off(half);
    let first = upper[0].first.clone();
    branches.insert(at + 1, Branch::new(first, upper));
}

/// Joins a part with its right or left neighbour when both are mostly empty.
fn merge_small<K: Clone, T: Clone>(parts: &mut Vec<Part<K, T>>, at: usize, bound: usize) {
    let small = bound / 4;
    if parts[at].below.len() > small {
        return;
    }
    let left = if at + 1 < parts.len() && parts[at + 1].below.len() <= small {
        at
    } else if at > 0 && parts[at - 1].below.len() <= small {
        at - 1
    } else {
        return;
    };
    let right = parts.remove(left + 1);
    let more = Arc::try_unwrap(right.below).unwrap_or_else(|shared| (*shared).clone());
    Arc::make_mut(&mut parts[left].below).extend(more);
}

/// All rows of a [`Sorted`] from some position on.
#[derive(Debug)]
pub struct Rows<'a, K, V> {
    branches: std::slice::Iter<'a, Branch<K, V>>,
    chunks: std::slice::Iter<'a, Chunk<K, V>>,
    rows: std::slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iterator for Rows<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            if let Some((key, value)) = self.rows.next() {
                return Some((key, value));
            }
            if let Some(chunk) = self.chunks.next() {
                self.rows = chunk.below.iter();
            } else {
                self.chunks = self.branches.next()?.below.iter();
            }
        }
    }
}

/// The rows of a [`Sorted`] within a range of keys.
#[derive(Debug)]
pub struct Range<'a, K, V, R> {
    rows: Rows<'a, K, V>,
    range: R,
    ended: bool,
}

impl<'a, K: Ord, V, R: RangeBounds<K>> Iterator for Range<'a, K, V, R> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        if self.ended {
            return None;
        }
        let (key, value) = self.rows.next()?;
        let inside = match self.range.end_bound() {
            Bound::Unbounded => true,
            Bound::Included(end) => key.cmp(end) != Ordering::Greater,
            Bound::Excluded(end) => key.cmp(end) == Ordering::Less,
        };
        if !inside {
            self.ended = true;
            return None;
        }
        Some((key, value))
    }
}

impl<K, T> fmt::Debug for Part<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part({} below)", self.below.len())
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Sorted<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Sorted<K, V> {
    fn eq(&self, other: &Sorted<K, V>) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for Sorted<K, V> {}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Sorted<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Sorted<K, V> {
        let mut sorted = Sorted::new();
        for (key, value) in rows {
            sorted.insert(key, value);
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shoal_api::Dice;

    use super::*;

    fn check(sorted: &Sorted<u64, u64>, model: &BTreeMap<u64, u64>) {
        assert!(sorted.iter().eq(model.iter()));
        assert_eq!(sorted.len(), model.len());
        for branch in sorted.branches.iter() {
            assert!(!branch.below.is_empty() && branch.below.len() <= CHUNKS_PER_BRANCH);
            assert_eq!(branch.first, branch.below[0].first);
            for chunk in branch.below.iter() {
                assert!(!chunk.below.is_empty() && chunk.below.len() <= ROWS_PER_CHUNK);
                assert_eq!(chunk.first, chunk.below[0].0);
            }
        }
    }

    #[test]
    fn behaves_as_a_tree_map_and_images_stay() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (mut sorted, mut model) = (Sorted::new(), BTreeMap::new());
            let mut images: Vec<(Sorted<u64, u64>, BTreeMap<u64, u64>)> = Vec::new();
            let mut key = 0;
            for step in 0..3_000_u64 {
                // Runs of neighbours, in both directions, and leaps.
                key = match dice.below(4) {
                    0 => dice.below(400),
                    1 => (key + 399) % 400,
                    2.. => (key + 1) % 400,
                };
                match dice.below(8) {
                    0..=3 => assert_eq!(sorted.insert(key, step), model.insert(key, step)),
                    4..=6 => assert_eq!(sorted.remove(&key), model.remove(&key)),
                    7.. => {
                        if let Some(value) = sorted.get_mut(&key) {
                            *value += 1;
                            *model.get_mut(&key).unwrap() += 1;
                        }
                    }
                }
                if step % 500 == 0 {
                    images.push((sorted.clone(), model.clone()));
                }
                for near in key.saturating_sub(2)..key + 3 {
                    assert_eq!(sorted.get(&near), model.get(&near));
                }
                let (from, to) = (dice.below(400), dice.below(400));
                if from <= to {
                    assert!(sorted.range(from..to).eq(model.range(from..to)));
                    assert!(sorted.range(from..=to).eq(model.range(from..=to)));
                    let after = (Bound::Excluded(from), Bound::Unbounded);
                    assert!(sorted.range(after).eq(model.range(after)));
                }
            }
            check(&sorted, &model);
            for (image, model) in &images {
                check(image, model);
            }
        }
    }

    fn chunks(sorted: &Sorted<u64, u64>) -> Vec<&Chunk<u64, u64>> {
        let branches = sorted.branches.iter();
        branches.flat_map(|branch| branch.below.iter()).collect()
    }

    #[test]
    fn branches_split_and_join() {
        let mut dice = Dice::new(1);
        let (mut sorted, mut model) = (Sorted::new(), BTreeMap::new());
        while model.len() < 12_000 {
            let key = dice.below(1 << 40);
            assert_eq!(sorted.insert(key, key), model.insert(key, key));
        }
        check(&sorted, &model);
        let image = (sorted.clone(), model.clone());
        assert!(sorted.branches.len() > 2);
        while !model.is_empty() {
            let from = dice.below(1 << 40);
            let ends = model.range(from..).take(7).map(|(key, _)| *key);
            for key in ends.collect::<Vec<_>>() {
                assert_eq!(sorted.remove(&key), model.remove(&key));
            }
            let last = model.keys().next_back().copied();
            if let Some(key) = last {
                assert_eq!(sorted.remove(&key), model.remove(&key));
            }
            if model.len() % 500 < 8 {
                check(&sorted, &model);
            }
        }
        assert_eq!(sorted.branches.len(), 0);
        check(&image.0, &image.1);
    }

    #[test]
    fn ascending_keys_fill_chunks_and_branches() {
        let count = (2 * CHUNKS_PER_BRANCH * ROWS_PER_CHUNK) as u64 + 1;
        let sorted: Sorted<u64, u64> = (0..count).map(|key| (key, key)).collect();
        assert_eq!(chunks(&sorted).len(), 2 * CHUNKS_PER_BRANCH + 1);
        assert_eq!(sorted.branches.len(), 3);
        assert_eq!(sorted.last(), Some((&(count - 1), &(count - 1))));
    }

    #[test]
    fn an_image_shares_all_but_the_touched_chunk() {
        let mut sorted: Sorted<u64, u64> = (0..320).map(|key| (key, key)).collect();
        let image = sorted.clone();
        *sorted.get_mut(&100).unwrap() = 7;
        let (own, theirs) = (chunks(&sorted), chunks(&image));
        let shared =
            |(a, b): &(&&Chunk<u64, u64>, &&Chunk<u64, u64>)| Arc::ptr_eq(&a.below, &b.below);
        assert_eq!(
            own.iter().zip(&theirs).filter(shared).count(),
            own.len() - 1
        );
    }
}
