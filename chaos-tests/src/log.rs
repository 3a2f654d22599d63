//! What a master's disk holds, as the simulator sees it: a log, a hard state and a snapshot.

use shoal_api::Index;
use shoal_quorum::{Batch, HardState, LogEntry, Recovered, Snapshot, Ticket};

use crate::disk::{FORGETS_SYNC, Honesty, Image, SYNCS_LATE};
use crate::plant::Plant;

/// Entries that a restart with a planted bug takes for torn.
const CUT: usize = 3;

/// How honest a master's disk is.
pub fn honesty(plant: Option<Plant>) -> Honesty {
    if plant == Some(Plant::ForgetSync) {
        FORGETS_SYNC
    } else if plant == Some(Plant::SyncLate) {
        SYNCS_LATE
    } else {
        Honesty::Honest
    }
}

/// What a crash does to a master's disk besides.
pub fn after_crash(plant: Option<Plant>, image: &mut LogImage) {
    if plant == Some(Plant::VoteWithoutSync) {
        image.forget_vote();
    }
    if plant == Some(Plant::CutTail) {
        image.cut_tail(CUT);
    }
}

/// One write to a master's disk.
#[derive(Clone, Debug)]
pub enum LogWrite {
    /// Part of the log.
    Batch {
        /// Of the machine.
        ticket: Ticket,
        /// What.
        batch: Batch,
    },
    /// A snapshot in a file of its own.
    Save(Snapshot),
    /// The beginning of the log goes.
    Compact(Index),
}

/// The content of a master's disk.
#[derive(Clone, Debug, Default)]
pub struct LogImage {
    hard_state: HardState,
    snapshot: Option<Snapshot>,
    entries: Vec<LogEntry>,
}

impl LogImage {
    /// A disk that holds what a founder or a restart begins with.
    pub fn of(recovered: Recovered) -> LogImage {
        LogImage {
            hard_state: recovered.hard_state,
            snapshot: recovered.snapshot,
            entries: recovered.entries,
        }
    }

    /// What a restart finds.
    pub fn recover(&self) -> Recovered {
        Recovered {
            hard_state: self.hard_state,
            snapshot: self.snapshot.clone(),
            entries: self.entries.clone(),
        }
    }

    /// A planted bug: term and vote are synced only with entries, as what follows from them.
    pub fn forget_vote(&mut self) {
        let start = self.snapshot.as_ref().map(|snapshot| snapshot.term);
        let last = self.entries.last().map(|entry| entry.term).or(start);
        self.hard_state.vote = None;
        self.hard_state.term = last.unwrap_or(self.hard_state.term);
    }

    /// A planted bug: the last entries are taken for torn.
    pub fn cut_tail(&mut self, entries: usize) {
        let keep = self.entries.len().saturating_sub(entries);
        self.entries.truncate(keep);
        let start = self
            .snapshot
            .as_ref()
            .map_or(Index(0), |snapshot| snapshot.index);
        let last = self.entries.last().map_or(start, |entry| entry.index);
        self.hard_state.commit = self.hard_state.commit.min(last);
    }

    fn append(&mut self, entries: Vec<LogEntry>) {
        let Some(first) = entries.first() else {
            return;
        };
        let keep = self
            .entries
            .partition_point(|entry| entry.index < first.index);
        self.entries.truncate(keep);
        self.entries.extend(entries);
    }

    fn save(&mut self, snapshot: Snapshot) {
        if self
            .snapshot
            .as_ref()
            .is_none_or(|old| old.index < snapshot.index)
        {
            self.snapshot = Some(snapshot);
        }
    }
}

impl Image for LogImage {
    type Write = LogWrite;

    fn apply(&mut self, write: LogWrite) {
        match write {
            LogWrite::Batch { ticket: _, batch } => {
                if let Some(snapshot) = batch.snapshot {
                    self.entries.clear();
                    self.snapshot = Some(snapshot);
                }
                self.append(batch.entries);
                if let Some(hard_state) = batch.hard_state {
                    self.hard_state = hard_state;
                }
            }
            LogWrite::Save(snapshot) => self.save(snapshot),
            LogWrite::Compact(through) => self.entries.retain(|entry| entry.index > through),
        }
    }
}
