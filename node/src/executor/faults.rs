//! The checkpoint log on disks that fail in every way that a seed can think of: what was told to be on
//! disk is found again, what was not is found whole or not at all, and damage is refused.

use std::path::Path;
use std::sync::Arc;

use shoal_agent::frames::Frames;
use shoal_agent::{BootId, Record, Ticket};
use shoal_api::Dice;
use shoal_disk::faulty::{Faulty, Supply};
use tokio::sync::mpsc;

use super::limits;
use super::log::LogError;
use super::store::{Store, StoreEvent};

/// Numbers that stand for records: which of them a log should hold.
#[derive(Debug, Default)]
struct Model {
    /// All that was ever ordered, without what a crash took.
    ordered: Vec<u64>,
    /// So many of them were told to be on disk.
    durable: usize,
    next: u64,
}

/// How a life of a log went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// All that was ordered is on disk.
    Well,
    /// The disk failed, and it was told.
    Failed,
}

fn record(number: u64) -> Record {
    Record::Booted(BootId(u128::from(number)))
}

fn numbers(records: &[Record]) -> Vec<u64> {
    let number = |record: &Record| match record {
        Record::Booted(BootId(number)) => u64::try_from(*number).unwrap(),
        other => panic!("{other:?}"),
    };
    records.iter().map(number).collect()
}

impl Model {
    /// What a restart found: all that was durable, and then whole records in order.
    fn find(&mut self, found: &[u64], seed: u64) {
        let (least, most) = (self.durable, self.ordered.len());
        assert!(
            (least..=most).contains(&found.len()) && *found == self.ordered[..found.len()],
            "seed {seed}: {found:?} of {:?}, of which {least} were on disk",
            self.ordered
        );
        self.ordered.truncate(found.len());
        self.durable = found.len();
    }

    fn batch(&mut self, count: u64) -> Vec<u64> {
        let batch: Vec<u64> = (self.next..self.next + count).collect();
        self.next += count;
        batch
    }
}

fn frames(numbers: &[u64]) -> Vec<u8> {
    let mut frames = Frames::default();
    for number in numbers {
        frames.push(&record(*number));
    }
    frames.take()
}

/// One life of a log: gives orders until it has enough or the disk fails.
fn live(path: &Path, io: Arc<Faulty>, model: &mut Model, dice: &mut Dice, seed: u64) -> Ending {
    let (events, mut ears) = mpsc::channel(limits::EVENTS);
    let (mut store, found) = match Store::start(path, io, events) {
        Ok(started) => started,
        // The power failed while an empty log was made.
        Err(LogError::Disk { .. }) => return Ending::Failed,
        Err(error) => panic!("seed {seed}: {error}"),
    };
    model.find(&numbers(&found), seed);
    for _ in 0..1 + dice.below(12) {
        let batch = model.batch(1 + dice.below(30));
        let last = Ticket(model.next);
        model.ordered.extend(&batch);
        if dice.chance(150) {
            store.rewrite(frames(&model.ordered), last);
        } else {
            // In one frame or two, as when there is much.
            let (first, second) = batch.split_at(dice.below(batch.len() as u64) as usize);
            store.append([frames(first), frames(second)].concat(), last);
        }
        match ears.blocking_recv() {
            Some(StoreEvent::Written(ticket)) => {
                assert_eq!(ticket, last, "seed {seed}");
                store.done();
                model.durable = model.ordered.len();
            }
            Some(StoreEvent::Failed(_)) => return Ending::Failed,
            None => panic!("seed {seed}: the store's thread ended"),
        }
    }
    Ending::Well
}

#[test]
fn power_cuts_lose_nothing_that_was_on_disk() {
    let mut failed = 0;
    for seed in 0..40 {
        let dice = Dice::new(seed);
        let mut moves = dice.child("moves");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let mut model = Model::default();
        for life in 0..6 {
            let supply = Supply::fails_after(1 + moves.below(24));
            let io = Arc::new(Faulty::new(dice.child(&format!("life {life}")), supply));
            let ending = live(&path, Arc::clone(&io), &mut model, &mut moves, seed);
            failed += u32::from(ending == Ending::Failed);
            io.cut(folder.path());
        }
        let io = Arc::new(Faulty::new(dice.child("last"), Supply::GOOD));
        assert_eq!(live(&path, io, &mut model, &mut moves, seed), Ending::Well);
    }
    assert!(failed > 100, "the power failed only {failed} times");
}

/// A sync that fails may not be tried again: it is told, and a restart finds what the disk has.
#[test]
fn a_failed_sync_is_told_and_never_taken_for_done() {
    let mut failed = 0;
    for seed in 0..40 {
        let dice = Dice::new(1_000 + seed);
        let mut moves = dice.child("moves");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let mut model = Model::default();
        for life in 0..4 {
            let supply = Supply {
                broken: 120,
                ..Supply::GOOD
            };
            let io = Arc::new(Faulty::new(dice.child(&format!("life {life}")), supply));
            let ending = live(&path, Arc::clone(&io), &mut model, &mut moves, seed);
            if ending == Ending::Failed {
                failed += 1;
                io.cut(folder.path());
            }
        }
    }
    assert!(failed > 40, "only {failed} syncs failed");
}

#[test]
fn a_disk_that_is_full_now_and_then_keeps_everything() {
    for seed in 0..2 {
        let dice = Dice::new(2_000 + seed);
        let mut moves = dice.child("moves");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let mut model = Model::default();
        let io = Arc::new(Faulty::new(dice.child("life"), Supply::FULL_AT_TIMES));
        assert_eq!(live(&path, io, &mut model, &mut moves, seed), Ending::Well);
        assert_eq!(model.durable, model.ordered.len());
        let io = Arc::new(Faulty::new(dice.child("last"), Supply::GOOD));
        assert_eq!(live(&path, io, &mut model, &mut moves, seed), Ending::Well);
    }
}

/// Bytes that rot where they lie: what was on disk is missed, wherever it was.
#[test]
fn rot_is_refused_and_never_read() {
    for seed in 0..80 {
        let dice = Dice::new(3_000 + seed);
        let mut moves = dice.child("moves");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let mut model = Model::default();
        let io = Arc::new(Faulty::new(dice.child("life"), Supply::GOOD));
        live(&path, Arc::clone(&io), &mut model, &mut moves, seed);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = moves.below(bytes.len() as u64) as usize;
        for byte in bytes.iter_mut().skip(at).take(1 + moves.below(9) as usize) {
            *byte ^= 1 + moves.below(255) as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        let (events, _ears) = mpsc::channel(limits::EVENTS);
        match Store::start(&path, io, events) {
            Ok(_) => panic!("seed {seed}: the damage at byte {at} was not seen"),
            Err(LogError::Damaged { .. } | LogError::Unknown { .. }) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
}
