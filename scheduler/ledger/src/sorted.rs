//! A sorted map in chunks that versions share: the structure under every table and index.
//!
//! It knows no hash and no number; [`crate::Table`] adds those.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::limits::ROWS_PER_CHUNK;

/// A sorted map whose clones share all chunks; a write copies the one chunk it touches.
///
/// Used as it is for what can be derived from tables (indices, sums): not hashed, not in
/// snapshots, rebuilt at restore. `clone` copies one pointer; the first write after it copies the
/// list of chunks, every later one only the chunk.
///
/// # Invariants
/// - keys strictly ascend within and across chunks;
/// - no chunk is empty or larger than [`ROWS_PER_CHUNK`]; `first` is the key of its first row.
pub struct Sorted<K, V> {
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

struct Chunk<K, V> {
    first: K,
    rows: Arc<Vec<(K, V)>>,
}

impl<K: Clone, V> Clone for Chunk<K, V> {
    fn clone(&self) -> Chunk<K, V> {
        Chunk {
            first: self.first.clone(),
            rows: Arc::clone(&self.rows),
        }
    }
}

impl<K, V> Clone for Sorted<K, V> {
    fn clone(&self) -> Sorted<K, V> {
        Sorted {
            chunks: Arc::clone(&self.chunks),
            len: self.len,
        }
    }
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Sorted<K, V> {
        Sorted {
            chunks: Arc::new(Vec::new()),
            len: 0,
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
        Rows {
            chunks: &self.chunks,
            chunk: 0,
            row: 0,
        }
    }

    /// The row of the lowest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The row of the highest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        let (key, value) = self.chunks.last()?.rows.last()?;
        Some((key, value))
    }
}

impl<K: Ord + Clone, V: Clone> Sorted<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.chunk_of(key)?;
        let rows = &self.chunks[chunk].rows;
        let row = find(rows, key).ok()?;
        Some(&rows[row].1)
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key; the one it had before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let chunks = Arc::make_mut(&mut self.chunks);
        let Some(at) = chunk_of(chunks, &key).or_else(|| (!chunks.is_empty()).then_some(0)) else {
            chunks.push(Chunk {
                first: key.clone(),
                rows: Arc::new(vec![(key, value)]),
            });
            self.len = 1;
            return None;
        };
        let last = at + 1 == chunks.len();
        let chunk = &mut chunks[at];
        match find(&chunk.rows, &key) {
            Ok(row) => {
                let rows = Arc::make_mut(&mut chunk.rows);
                return Some(std::mem::replace(&mut rows[row].1, value));
            }
            // Ascending keys fill chunks to the brim: a new one begins, nothing is split.
            Err(row) if last && row == chunk.rows.len() && row == ROWS_PER_CHUNK => {
                chunks.push(Chunk {
                    first: key.clone(),
                    rows: Arc::new(vec![(key, value)]),
                });
            }
            Err(row) => {
                if row == 0 {
                    chunk.first = key.clone();
                }
                let rows = Arc::make_mut(&mut chunk.rows);
                rows.insert(row, (key, value));
                if rows.len() > ROWS_PER_CHUNK {
                    let upper = rows.split_off(rows.len() / 2);
                    let first = upper[0].0.clone();
                    let rows = Arc::new(upper);
                    chunks.insert(at + 1, Chunk { first, rows });
                }
            }
        }
        self.len += 1;
        None
    }

    /// The value of a key, to be changed in place.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.chunk_of(key)?;
        let row = find(&self.chunks[at].rows, key).ok()?;
        let chunk = &mut Arc::make_mut(&mut self.chunks)[at];
        Some(&mut Arc::make_mut(&mut chunk.rows)[row].1)
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.chunk_of(key)?;
        let row = find(&self.chunks[at].rows, key).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        self.len -= 1;
        if chunks[at].rows.len() == 1 {
            let chunk = chunks.remove(at);
            let rows = Arc::try_unwrap(chunk.rows).unwrap_or_else(|shared| (*shared).clone());
            return rows.into_iter().next().map(|(_, value)| value);
        }
        let rows = Arc::make_mut(&mut chunks[at].rows);
        let (_, value) = rows.remove(row);
        if row == 0 {
            chunks[at].first = chunks[at].rows[0].0.clone();
        }
        merge_small(chunks, at);
        Some(value)
    }

    /// The rows whose keys are in the range, in order.
    pub fn range<'a, R: RangeBounds<K>>(&'a self, range: R) -> Range<'a, K, V, R> {
        let (chunk, row) = match range.start_bound() {
            Bound::Unbounded => (0, 0),
            Bound::Included(key) => self.position(key, |found| found),
            Bound::Excluded(key) => self.position(key, |found| found + 1),
        };
        Range {
            rows: Rows {
                chunks: &self.chunks,
                chunk,
                row,
            },
            range,
        }
    }

    fn chunk_of(&self, key: &K) -> Option<usize> {
        chunk_of(&self.chunks, key)
    }

    fn position(&self, key: &K, found: impl Fn(usize) -> usize) -> (usize, usize) {
        let Some(chunk) = self.chunk_of(key) else {
            return (0, 0);
        };
        match find(&self.chunks[chunk].rows, key) {
            Ok(row) => (chunk, found(row)),
            Err(row) => (chunk, row),
        }
    }
}

/// The only chunk that can hold the key: the last one that does not begin after it.
fn chunk_of<K: Ord, V>(chunks: &[Chunk<K, V>], key: &K) -> Option<usize> {
    chunks
        .partition_point(|chunk| chunk.first <= *key)
        .checked_sub(1)
}

fn find<K: Ord, V>(rows: &[(K, V)], key: &K) -> Result<usize, usize> {
    rows.binary_search_by(|row| row.0.cmp(key))
}

/// Joins a chunk with its right or left neighbour when both are mostly empty.
fn merge_small<K: Clone, V: Clone>(chunks: &mut Vec<Chunk<K, V>>, at: usize) {
    let small = ROWS_PER_CHUNK / 4;
    if chunks[at].rows.len() > small {
        return;
    }
    let left = if at + 1 < chunks.len() && chunks[at + 1].rows.len() <= small {
        at
    } else if at > 0 && chunks[at - 1].rows.len() <= small {
        at - 1
    } else {
        return;
    };
    let right = chunks.remove(left + 1);
    let more = Arc::try_unwrap(right.rows).unwrap_or_else(|shared| (*shared).clone());
    Arc::make_mut(&mut chunks[left].rows).extend(more);
}

/// All rows of a [`Sorted`] from some position on.
#[derive(Debug)]
pub struct Rows<'a, K, V> {
    chunks: &'a [Chunk<K, V>],
    chunk: usize,
    row: usize,
}

impl<'a, K, V> Iterator for Rows<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        loop {
            let chunk = self.chunks.get(self.chunk)?;
            if let Some((key, value)) = chunk.rows.get(self.row) {
                self.row += 1;
                return Some((key, value));
            }
            self.chunk += 1;
            self.row = 0;
        }
    }
}

/// The rows of a [`Sorted`] within a range of keys.
#[derive(Debug)]
pub struct Range<'a, K, V, R> {
    rows: Rows<'a, K, V>,
    range: R,
}

impl<'a, K: Ord, V, R: RangeBounds<K>> Iterator for Range<'a, K, V, R> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        let (key, value) = self.rows.next()?;
        let inside = match self.range.end_bound() {
            Bound::Unbounded => true,
            Bound::Included(end) => key.cmp(end) != Ordering::Greater,
            Bound::Excluded(end) => key.cmp(end) == Ordering::Less,
        };
        if !inside {
            self.rows.chunk = usize::MAX;
            return None;
        }
        Some((key, value))
    }
}

impl<K, V> fmt::Debug for Chunk<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} rows)", self.rows.len())
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
        for chunk in sorted.chunks.iter() {
            assert!(!chunk.rows.is_empty() && chunk.rows.len() <= ROWS_PER_CHUNK);
            assert_eq!(chunk.first, chunk.rows[0].0);
        }
    }

    #[test]
    fn behaves_as_a_tree_map_and_images_stay() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (mut sorted, mut model) = (Sorted::new(), BTreeMap::new());
            let mut images: Vec<(Sorted<u64, u64>, BTreeMap<u64, u64>)> = Vec::new();
            for step in 0..3_000_u64 {
                let key = dice.below(400);
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

    #[test]
    fn ascending_keys_fill_chunks() {
        let sorted: Sorted<u64, u64> = (0..1_000).map(|key| (key, key)).collect();
        assert_eq!(sorted.chunks.len(), 1_000_usize.div_ceil(ROWS_PER_CHUNK));
        assert_eq!(sorted.last(), Some((&999, &999)));
    }

    #[test]
    fn an_image_shares_all_but_the_touched_chunk() {
        let mut sorted: Sorted<u64, u64> = (0..320).map(|key| (key, key)).collect();
        let image = sorted.clone();
        *sorted.get_mut(&100).unwrap() = 7;
        let shared = sorted
            .chunks
            .iter()
            .zip(image.chunks.iter())
            .filter(|(a, b)| Arc::ptr_eq(&a.rows, &b.rows))
            .count();
        assert_eq!(shared, sorted.chunks.len() - 1);
    }
}
