//! One replica with its disk and its state machine.
//!
//! The state machine is a chain of hashes over what was applied, so that two of them at one index are
//! equal only if everything before was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Generation, Index, Instant, RaftId};
use shoal_quorum::{Batch, Config, Input, LogEntry, Quorum, Recovered, Snapshot, Ticket};

/// What survives a crash.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub durable: Recovered,
}

impl Disk {
    pub fn write(&mut self, batch: Batch) {
        if let Some(snapshot) = batch.snapshot {
            self.durable.entries.clear();
            self.durable.snapshot = Some(snapshot);
        }
        if let Some(first) = batch.entries.first() {
            self.durable.entries.retain(|e| e.index < first.index);
            let last = self.durable.entries.last().map(|e| e.index);
            assert!(
                last.is_none_or(|last| last.next() == first.index),
                "gap on disk"
            );
        }
        self.durable.entries.extend(batch.entries);
        if let Some(state) = batch.hard_state {
            self.durable.hard_state = state;
        }
    }

    pub fn save(&mut self, snapshot: Snapshot) {
        let newer = |old: &Snapshot| old.index < snapshot.index;
        if self.durable.snapshot.as_ref().is_none_or(newer) {
            self.durable.snapshot = Some(snapshot);
        }
    }

    pub fn compact(&mut self, through: Index) {
        self.durable
            .entries
            .retain(|e: &LogEntry| e.index > through);
    }
}

/// Work that the disk has taken and not finished.
#[derive(Debug)]
pub enum Write {
    Persist(Ticket, Batch),
    Save(Snapshot),
    Compact(Index),
}

/// The hash chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub index: u64,
    pub hash: u64,
}

impl State {
    pub const EMPTY: State = State { index: 1, hash: 7 };

    pub fn apply(&mut self, index: u64, data: &[u8]) {
        assert_eq!(index, self.index + 1, "applied out of order");
        self.index = index;
        for part in data.iter().copied().map(u64::from).chain([index]) {
            self.hash = (self.hash.rotate_left(7) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    pub fn image(&self) -> Arc<[Bytes]> {
        let head = Bytes::copy_from_slice(&self.hash.to_be_bytes());
        let filling = (0..12).map(|i| Bytes::from(vec![i; 1000]));
        std::iter::once(head).chain(filling).collect()
    }

    pub fn from_image(index: u64, chunks: &[Bytes]) -> State {
        assert_eq!(chunks.len(), 13);
        let head: [u8; 8] = chunks[0][..].try_into().expect("eight bytes");
        State {
            index,
            hash: u64::from_be_bytes(head),
        }
    }
}

/// A replica that runs, or does not.
#[derive(Debug)]
pub struct Replica {
    pub id: RaftId,
    pub generation: u64,
    pub quorum: Option<Quorum>,
    pub disk: Disk,
    pub writes: VecDeque<(Instant, Write)>,
    pub state: State,
    pub disk_stalls: bool,
}

impl Replica {
    pub fn new(id: u64, durable: Recovered) -> Replica {
        Replica {
            id: RaftId(id),
            generation: 0,
            quorum: None,
            disk: Disk { durable },
            writes: VecDeque::new(),
            state: State::EMPTY,
            disk_stalls: false,
        }
    }

    pub fn start(&mut self, now: Instant, seed: u64, snapshot_after: usize) {
        assert!(self.quorum.is_none());
        self.generation += 1;
        self.state = State::EMPTY;
        let mut config = Config::new(self.id, Generation(self.generation), seed);
        config.snapshot_after = snapshot_after;
        config.entries_kept = snapshot_after / 4;
        let quorum = Quorum::new(config, now, self.disk.durable.clone());
        self.quorum = Some(quorum.expect("what was durable can be continued"));
    }

    /// Loses everything that was not durable; the write under way may or may not have made it.
    pub fn crash(&mut self, dice: &mut Dice) {
        self.quorum = None;
        if dice.chance(300)
            && let Some((_, Write::Persist(_, batch))) = self.writes.pop_front()
        {
            self.disk.write(batch);
        }
        self.writes.clear();
    }

    /// Queues a write behind those before it.
    pub fn queue(&mut self, now: Instant, dice: &mut Dice, write: Write) {
        let latency = Duration::from_micros(50 + dice.below(3_000));
        let after = self.writes.back().map_or(now, |(at, _)| *at);
        // Writes that wait together are synced together.
        let at = if dice.chance(500) {
            after.max(now)
        } else {
            after.max(now) + latency
        };
        self.writes
            .push_back((at.max(now + Duration::from_micros(50)), write));
    }

    pub fn write_is_due(&self, now: Instant) -> bool {
        let due = self.writes.front().is_some_and(|(at, _)| *at <= now);
        due && !self.disk_stalls
    }

    /// Finishes the next write that is due.
    pub fn finish_write(&mut self) -> Option<Input> {
        let (_, write) = self.writes.pop_front()?;
        match write {
            Write::Persist(ticket, batch) => {
                self.disk.write(batch);
                Some(Input::Persisted { ticket })
            }
            Write::Save(snapshot) => {
                let index = snapshot.index;
                self.disk.save(snapshot);
                Some(Input::SnapshotSaved { index })
            }
            Write::Compact(through) => {
                self.disk.compact(through);
                None
            }
        }
    }
}
