//! What a master's disk holds, as the simulator sees it: a log, a hard state and a snapshot.

use shoal_api::{Dice, Index};
use shoal_disk::segment;
use shoal_quorum::{Batch, HardState, LogEntry, Recovered, Snapshot, Ticket};

use crate::disk::{
    Damage, FORGETS_SYNC, Honesty, Image, Layout, Refused, SYNCS_LATE, Written, ruin,
};
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

/// Batches before those that are laid out, as far as their sequences tell.
const BEFORE: u64 = 1_000;

impl Layout for LogImage {
    /// Snapshots have files of their own, which have their names only once they are synced.
    fn survivors(
        synced: &[Written<LogWrite>],
        under_way: &[Written<LogWrite>],
        damage: Damage,
        dice: &mut Dice,
    ) -> Result<usize, Refused> {
        let is_batch =
            |written: &&Written<LogWrite>| matches!(written.write, LogWrite::Batch { .. });
        let all: Vec<&Written<LogWrite>> =
            synced.iter().chain(under_way).filter(is_batch).collect();
        let durable = synced.iter().filter(is_batch).count();
        let pieces: Vec<Vec<u8>> = all
            .iter()
            .enumerate()
            .filter_map(|(at, written)| {
                let LogWrite::Batch { batch, .. } = &written.write else {
                    return None;
                };
                let known = all.iter().filter(|other| other.number <= written.synced);
                let synced = BEFORE + known.count() as u64;
                Some(segment::encode(BEFORE + 1 + at as u64, synced, batch))
            })
            .collect();
        let on_disk = [segment::begin(BEFORE), pieces[..durable].concat()].concat();
        let mut bytes = ruin(&on_disk, &pieces[durable..], damage, dice);
        bytes.extend([0; 64]);
        let durable = BEFORE + durable as u64;
        let mark = match damage {
            // Its own write is not synced either.
            Damage::Torn => BEFORE + dice.below(durable - BEFORE + 1),
            Damage::Rot => durable,
        };
        let last = match (segment::last_whole(bytes, mark), damage) {
            (Ok(last), _) => last,
            (Err(_), Damage::Rot) => return Err(Refused),
            (Err(at), Damage::Torn) => panic!("a torn write at byte {at} was taken for damage"),
        };
        assert!(
            last >= durable,
            "damage to what was acknowledged was not seen"
        );
        let whole = (last - durable) as usize;
        let lost = under_way
            .iter()
            .enumerate()
            .filter(|(_, written)| is_batch(written))
            .nth(whole);
        Ok(lost.map_or(under_way.len(), |(at, _)| at))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shoal_api::Term;
    use shoal_quorum::EntryKind;

    use super::*;
    use crate::disk::{Disk, Loss};

    fn batch(index: u64) -> LogWrite {
        let entry = LogEntry {
            index: Index(index),
            term: Term(1),
            kind: EntryKind::Data,
            data: Bytes::from(vec![1; index as usize * 7 % 50]),
        };
        LogWrite::Batch {
            ticket: Ticket(index),
            batch: Batch {
                entries: vec![entry],
                ..Batch::default()
            },
        }
    }

    fn disk(synced: u64, under_way: u64) -> Disk<LogImage> {
        let mut disk = Disk::new(LogImage::default(), Honesty::Honest);
        for index in 1..=synced {
            let number = disk.write(batch(index));
            disk.complete(number);
        }
        for index in synced + 1..=synced + under_way {
            disk.write(batch(index));
        }
        disk
    }

    #[test]
    fn a_power_cut_tears_only_what_was_not_synced() {
        let mut lengths = [0; 6];
        for seed in 0..200 {
            let mut disk = disk(9, 5);
            let loss = Loss::Damage(Damage::Torn);
            assert_eq!(disk.lose(loss, &mut Dice::new(seed)), Ok(()));
            let entries = disk.image().recover().entries;
            assert!(
                entries
                    .iter()
                    .map(|entry| entry.index.0)
                    .eq(1..=entries.len() as u64)
            );
            lengths[entries.len() - 9] += 1;
        }
        assert!(lengths[..3].iter().all(|count| *count > 0), "{lengths:?}");
    }

    #[test]
    fn rot_is_refused_where_it_was_synced() {
        let (mut refused, mut cut) = (0, 0);
        for seed in 0..200 {
            let mut disk = disk(9, 5);
            match disk.lose(Loss::Damage(Damage::Rot), &mut Dice::new(seed)) {
                Ok(()) => {
                    let entries = disk.image().recover().entries.len();
                    assert!((9..14).contains(&entries));
                    cut += 1;
                }
                Err(Refused) => refused += 1,
            }
        }
        assert!(refused > 50 && cut > 20, "{refused} refused, {cut} cut");
    }
}
