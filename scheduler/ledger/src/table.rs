//! Tables: sorted rows with a hash that follows every change.

use std::fmt;
use std::ops::RangeBounds;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hash::{StateHash, append_postcard};
use crate::snapshot::{SectionId, Snapshot, SnapshotError, Writer};
use crate::sorted::{Range, Rows, Sorted};

/// Which table of its module, in hashes and snapshots. Numbers are never used for another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableNumber(pub u16);

/// The value of a table's row. No maps by hash, no floating point: equal rows have equal bytes.
pub trait Row: Clone + Serialize + DeserializeOwned {
    /// Appends what the row's hash is taken of: its encoding, or, where a part of it is
    /// [`crate::Sealed`], the digest of that part and the rest.
    fn hashed(&self, out: &mut Vec<u8>) {
        append_postcard(self, out);
    }
}

/// Sorted rows whose clones share structure, with a hash that is kept at every change.
///
/// # Invariants
/// - the hash is the sum of the hashes of all rows, each taken of table, key and value;
/// - a clone is never changed by writes to another.
pub struct Table<K, V> {
    id: SectionId,
    rows: Sorted<K, Hashed<V>>,
    hash: StateHash,
    scratch: Vec<u8>,
}

struct Hashed<V> {
    value: V,
    hash: StateHash,
}

impl<V: Clone> Clone for Hashed<V> {
    fn clone(&self) -> Hashed<V> {
        Hashed {
            value: self.value.clone(),
            hash: self.hash,
        }
    }
}

impl<K, V> Table<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Row,
{
    /// An empty table.
    pub fn new(id: SectionId) -> Table<K, V> {
        Table {
            id,
            rows: Sorted::new(),
            hash: StateHash::EMPTY,
            scratch: Vec::new(),
        }
    }

    /// The sum of all rows' hashes.
    pub fn hash(&self) -> StateHash {
        self.hash
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key).map(|row| &row.value)
    }

    /// Whether there is such a key.
    pub fn contains(&self, key: &K) -> bool {
        self.rows.contains(key)
    }

    /// Sets the value of a key; the one it had before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.hash_of(&key, &value);
        self.hash = self.hash.with(hash);
        let before = self.rows.insert(key, Hashed { value, hash })?;
        self.hash = self.hash.without(before.hash);
        Some(before.value)
    }

    /// Changes a value in place; `None` if there is no such key.
    pub fn update<R>(&mut self, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let row = self.rows.get_mut(key)?;
        let result = change(&mut row.value);
        let mut scratch = std::mem::take(&mut self.scratch);
        let hash = hash_row(self.id, key, &row.value, &mut scratch);
        self.hash = self.hash.without(row.hash).with(hash);
        row.hash = hash;
        self.scratch = scratch;
        Some(result)
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let row = self.rows.remove(key)?;
        self.hash = self.hash.without(row.hash);
        Some(row.value)
    }

    /// All rows in order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.rows.iter())
    }

    /// The rows whose keys are in the range, in order.
    pub fn range<R: RangeBounds<K>>(&self, range: R) -> TableRange<'_, K, V, R> {
        TableRange(self.rows.range(range))
    }

    /// The row of the lowest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The row of the highest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        self.rows.last().map(|(key, row)| (key, &row.value))
    }

    /// Writes all rows as one section of a snapshot.
    pub fn write(&self, version: u16, writer: &mut Writer) {
        writer.begin(self.id, version);
        for (key, value) in self.iter() {
            writer.row(&(key, value));
        }
    }

    /// Reads a table back from its section, which this version must know.
    ///
    /// # Errors
    /// [`SnapshotError`]: the section is missing, newer, or a row is malformed or out of order.
    pub fn read(
        id: SectionId,
        version: u16,
        snapshot: &mut Snapshot,
    ) -> Result<Table<K, V>, SnapshotError> {
        let mut table: Table<K, V> = Table::new(id);
        for row in snapshot.take::<(K, V)>(id, version)? {
            let (key, value) = row?;
            if table.last().is_some_and(|(last, _)| *last >= key) {
                return Err(SnapshotError::Disordered { section: id });
            }
            table.insert(key, value);
        }
        Ok(table)
    }

    /// The hash as it is when every row's is taken anew: equal to [`Table::hash`], or a row was
    /// changed behind the table's back.
    pub fn rehash(&self) -> StateHash {
        let mut scratch = Vec::new();
        self.iter().fold(StateHash::EMPTY, |sum, (key, value)| {
            sum.with(hash_row(self.id, key, value, &mut scratch))
        })
    }

    fn hash_of(&mut self, key: &K, value: &V) -> StateHash {
        hash_row(self.id, key, value, &mut self.scratch)
    }
}

fn hash_row<K: Serialize, V: Row>(
    id: SectionId,
    key: &K,
    value: &V,
    scratch: &mut Vec<u8>,
) -> StateHash {
    scratch.clear();
    append_postcard(key, scratch);
    value.hashed(scratch);
    StateHash::of_row(id.seed(), scratch)
}

/// All rows of a [`Table`].
pub struct Iter<'a, K, V>(Rows<'a, K, Hashed<V>>);

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        self.0.next().map(|(key, row)| (key, &row.value))
    }
}

/// The rows of a [`Table`] within a range of keys.
pub struct TableRange<'a, K, V, R>(Range<'a, K, Hashed<V>, R>);

impl<'a, K: Ord, V, R: RangeBounds<K>> Iterator for TableRange<'a, K, V, R> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<(&'a K, &'a V)> {
        self.0.next().map(|(key, row)| (key, &row.value))
    }
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter")
    }
}

impl<K, V, R> fmt::Debug for TableRange<'_, K, V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableRange")
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Table<K, V> {
        Table {
            id: self.id,
            rows: self.rows.clone(),
            hash: self.hash,
            scratch: Vec::new(),
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.iter().map(|(key, row)| (key, &row.value));
        f.debug_map().entries(rows).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Table<K, V>) -> bool {
        let rows = |table: &'_ Table<K, V>| table.rows.len();
        rows(self) == rows(other)
            && self
                .rows
                .iter()
                .zip(other.rows.iter())
                .all(|(a, b)| a.0 == b.0 && a.1.value == b.1.value)
    }
}

impl<K: Eq, V: Eq> Eq for Table<K, V> {}

#[cfg(test)]
mod tests {
    use shoal_api::Dice;

    use super::*;
    use crate::entry::ModuleNumber;

    impl Row for String {}

    const ID: SectionId = SectionId {
        module: ModuleNumber(9),
        table: TableNumber(1),
    };

    #[test]
    fn the_hash_follows_every_change_and_forgets_the_way() {
        let mut dice = Dice::new(3);
        let mut table: Table<u64, String> = Table::new(ID);
        let mut hashes = Vec::new();
        for step in 0..2_000 {
            let key = dice.below(100);
            match dice.below(4) {
                0 | 1 => drop(table.insert(key, format!("{step}"))),
                2 => drop(table.remove(&key)),
                3.. => drop(table.update(&key, |value| value.push('!'))),
            }
            assert_eq!(table.hash(), table.rehash(), "step {step}");
            hashes.push(table.hash());
        }
        let mut again: Table<u64, String> = Table::new(ID);
        for (key, value) in table.iter().collect::<Vec<_>>().into_iter().rev() {
            again.insert(*key, value.clone());
        }
        assert_eq!(again.hash(), table.hash());
        assert_eq!(again, table);
        for (key, _) in table.clone().iter() {
            table.remove(key);
        }
        assert_eq!(table.hash(), StateHash::EMPTY);
    }

    #[test]
    fn equal_rows_of_two_tables_differ_in_hash() {
        let other = SectionId {
            table: TableNumber(2),
            ..ID
        };
        let (mut a, mut b) = (Table::new(ID), Table::new(other));
        a.insert(1_u64, "x".to_owned());
        b.insert(1_u64, "x".to_owned());
        assert_ne!(a.hash(), b.hash());
    }
}
