//! The log as Raft reads it: the tail in memory, and the latest snapshot's description.
//!
//! Raft's reads are synchronous, and a campaign ends the process when one fails, so nothing here
//! touches a disk. What deliberately does not live here: the snapshot's bytes (`sending.rs`) and what
//! is durable (`persistence.rs`).

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use shoal_api::RaftId;

use crate::membership::Membership;
use crate::wire;

/// A snapshot that may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Sendable {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) membership: Membership,
}

/// The entries after `base`, all of them, without gaps.
///
/// Invariants: the entry at `base.index + 1 + i` is `entries[i]`; `bytes` is the sum of their data;
/// terms never fall.
#[derive(Debug)]
pub(crate) struct Tail {
    hard_state: HardState,
    start: ConfState,
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    sendable: Option<Sendable>,
    /// Set when Raft asked for a snapshot that is not there. Raft reads through `&self`.
    snapshot_missing: Cell<bool>,
}

impl Tail {
    pub(crate) fn new(
        hard_state: HardState,
        membership: &Membership,
        base_index: u64,
        base_term: u64,
        entries: VecDeque<Entry>,
    ) -> Tail {
        let bytes = entries.iter().map(|entry| entry.data.len()).sum();
        Tail {
            hard_state,
            start: wire::conf_state(membership),
            base_index,
            base_term,
            entries,
            bytes,
            sendable: None,
            snapshot_missing: Cell::new(false),
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    pub(crate) fn base(&self) -> u64 {
        self.base_index
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The term at an index from the base to the last entry.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        let position = index.checked_sub(self.base_index + 1)?;
        self.entries
            .get(usize::try_from(position).ok()?)
            .map(|e| e.term)
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Appends, after cutting off whatever stands at or after the first new entry.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else {
            return;
        };
        assert!(
            first.index > self.base_index && first.index <= self.last() + 1,
            "quorum tail: entry {} does not continue {}..={}",
            first.index,
            self.base_index,
            self.last()
        );
        while self.last() >= first.index {
            let cut = self.entries.pop_back().expect("last is above the base");
            self.bytes -= cut.data.len();
        }
        for entry in entries {
            assert_eq!(
                entry.index,
                self.last() + 1,
                "quorum tail: entries have a gap"
            );
            self.bytes += entry.data.len();
            self.entries.push_back(entry.clone());
        }
    }

    /// Forgets everything: a received snapshot stands for it.
    pub(crate) fn install(&mut self, index: u64, term: u64) {
        assert!(
            index >= self.base_index,
            "quorum tail: a snapshot goes back"
        );
        self.entries.clear();
        self.bytes = 0;
        self.base_index = index;
        self.base_term = term;
        self.sendable = None;
    }

    /// Forgets the entries up to and including this one.
    pub(crate) fn compact(&mut self, through: u64) {
        assert!(
            through <= self.last(),
            "quorum tail: compaction beyond the log"
        );
        while self.base_index < through {
            let entry = self
                .entries
                .pop_front()
                .expect("the base is below the last");
            self.bytes -= entry.data.len();
            self.base_index = entry.index;
            self.base_term = entry.term;
        }
    }

    /// How far the tail may be compacted so that what is left up to `index` stays within the bounds
    /// for peers that are a little behind.
    pub(crate) fn compactable(&self, index: u64, entries: usize, bytes: usize) -> u64 {
        let (mut kept, mut kept_bytes) = (0_usize, 0_usize);
        let mut through = index.min(self.last());
        while through > self.base_index {
            let position = usize::try_from(through - self.base_index - 1).expect("it is in memory");
            let size = self.entries[position].data.len();
            if kept == entries || kept_bytes + size > bytes {
                break;
            }
            kept += 1;
            kept_bytes += size;
            through -= 1;
        }
        through
    }

    pub(crate) fn set_sendable(&mut self, sendable: Option<Sendable>) {
        self.sendable = sendable;
    }

    /// Whether Raft asked for a snapshot in vain since the last call.
    pub(crate) fn take_snapshot_missing(&self) -> bool {
        self.snapshot_missing.replace(false)
    }
}

impl Storage for Tail {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.start.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base_index {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(
            high <= self.last() + 1,
            "quorum tail: read beyond the last entry"
        );
        let limit = max_size.into().unwrap_or(u64::MAX);
        let (from, to) = (low - self.base_index - 1, high - self.base_index - 1);
        let mut taken = Vec::with_capacity((to - from).min(1024) as usize);
        let mut size = 0_u64;
        for entry in self.entries.range(from as usize..to as usize) {
            size = size.saturating_add(entry.data.len() as u64 + ENTRY_OVERHEAD);
            if size > limit && !taken.is_empty() {
                break;
            }
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.term_at(index)
            .ok_or(Error::Store(if index < self.base_index {
                StorageError::Compacted
            } else {
                StorageError::Unavailable
            }))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let fits = |s: &&Sendable| {
            s.index >= request_index
                && s.index >= self.base_index
                && s.membership.contains(RaftId(to))
        };
        if let Some(sendable) = self.sendable.as_ref().filter(fits) {
            return Ok(wire::snapshot(
                sendable.index,
                sendable.term,
                &sendable.membership,
            ));
        }
        self.snapshot_missing.set(true);
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}

/// What an entry costs in a message besides its data, about.
const ENTRY_OVERHEAD: u64 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index,
            term,
            data: bytes::Bytes::from(vec![0; 10]),
            ..Entry::default()
        }
    }

    fn tail() -> Tail {
        let mut tail = Tail::new(
            HardState::default(),
            &Membership::default(),
            5,
            1,
            VecDeque::new(),
        );
        tail.append(&[entry(6, 1), entry(7, 2), entry(8, 2)]);
        tail
    }

    #[test]
    fn an_append_cuts_what_it_contradicts() {
        let mut tail = tail();
        tail.append(&[entry(7, 3)]);
        assert_eq!((tail.last(), tail.term_at(7)), (7, Some(3)));
        assert_eq!((tail.bytes(), tail.term_at(8)), (20, None));
    }

    #[test]
    fn compaction_keeps_the_term_of_the_entry_before_the_first() {
        let mut tail = tail();
        tail.compact(7);
        assert_eq!((tail.base(), tail.len(), tail.term_at(7)), (7, 1, Some(2)));
        assert_eq!(tail.term_at(6), None);
        let read = tail.entries(7, 9, None, GetEntriesContext::empty(false));
        assert_eq!(read, Err(Error::Store(StorageError::Compacted)));
    }

    #[test]
    fn what_is_compactable_leaves_the_bounds() {
        let tail = tail();
        assert_eq!(tail.compactable(8, 2, 1000), 6);
        assert_eq!(tail.compactable(8, 100, 15), 7);
        assert_eq!(tail.compactable(8, 100, 1000), 5);
    }

    #[test]
    fn a_snapshot_goes_only_to_members_of_its_configuration() {
        let mut tail = tail();
        assert!(tail.snapshot(0, 1).is_err() && tail.take_snapshot_missing());
        tail.set_sendable(Some(Sendable {
            index: 7,
            term: 2,
            membership: Membership::of(&[RaftId(1)]),
        }));
        assert!(tail.snapshot(0, 1).is_ok() && !tail.take_snapshot_missing());
        assert!(tail.snapshot(0, 2).is_err() && tail.take_snapshot_missing());
        assert!(tail.snapshot(8, 1).is_err());
    }
}
