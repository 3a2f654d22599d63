//! The log on disks that fail in every way that a seed can think of: what was acknowledged is found
//! again, what was not is found whole or not at all, and damage is refused, never read as something else.
//!
//! A power cut ends a life at any write or sync; of what was not synced by then, each write is kept,
//! lost or torn by itself. Space runs out in the middle of a write and comes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Index, RaftId, Term};
use shoal_disk::faulty::{Faulty, Supply};
use shoal_disk::{DamageError, Event, LogWriter, recover};
use shoal_quorum::{
    Batch, EntryKind, HardState, LogEntry, Membership, Recovered, Snapshot, Ticket,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a log should hold after each batch that was ordered.
struct Model {
    states: Vec<Recovered>,
    durable: usize,
    term: u64,
}

impl Model {
    fn new() -> Model {
        Model {
            states: vec![Recovered::default()],
            durable: 0,
            term: 1,
        }
    }

    fn last(&self) -> &Recovered {
        self.states.last().expect("there is a first")
    }

    fn last_index(&self) -> u64 {
        let start = self.last().snapshot.as_ref().map_or(0, |s| s.index.0);
        self.last().entries.last().map_or(start, |e| e.index.0)
    }

    /// The next batch: a few entries, which may replace the last ones, or a snapshot from elsewhere.
    fn batch(&mut self, dice: &mut Dice) -> Batch {
        let start = self.last().snapshot.as_ref().map_or(0, |s| s.index.0);
        let mut first = self.last_index() + 1;
        if dice.chance(250) && first > start + 1 {
            self.term += 1;
            first -= 1 + dice.below((first - start - 1).min(3));
        }
        let mut snapshot = None;
        if dice.chance(80) {
            first = self.last_index() + 5;
            snapshot = Some(self.snapshot(first - 1));
        }
        let count = dice.below(4);
        let entries = (first..first + count).map(|index| {
            let length = 1 + dice.below(3_000) as usize;
            let text = format!("{index} {}", self.term).repeat(length);
            LogEntry {
                index: Index(index),
                term: Term(self.term),
                kind: EntryKind::Data,
                data: Bytes::from(text),
            }
        });
        let entries: Vec<LogEntry> = entries.collect();
        let hard_state = HardState {
            term: Term(self.term),
            vote: Some(RaftId(1 + dice.below(3))),
            commit: Index(start),
        };
        let mut next = self.last().clone();
        if let Some(snapshot) = &snapshot {
            next.snapshot = Some(snapshot.clone());
            next.entries.clear();
        }
        if let Some(first) = entries.first() {
            next.entries.retain(|entry| entry.index < first.index);
            next.entries.extend(entries.iter().cloned());
        }
        next.hard_state = hard_state;
        self.states.push(next);
        Batch {
            hard_state: Some(hard_state),
            entries,
            snapshot,
        }
    }

    fn snapshot(&self, index: u64) -> Snapshot {
        Snapshot {
            index: Index(index),
            term: Term(self.term),
            membership: Membership::of(&[RaftId(1)]),
            chunks: Arc::new([Bytes::from(format!("state at {index}").repeat(40))]),
        }
    }

    /// Which of the states that may be there is there; what follows is forgotten.
    fn find(&mut self, found: &Recovered) {
        let is = |state: &Recovered| {
            // A snapshot is written before the log points to it, and the log before it may stay.
            let at = |r: &Recovered| r.snapshot.as_ref().map_or(Index(0), |s| s.index);
            let from = at(state).max(at(found));
            let after = |r: &Recovered| -> Vec<LogEntry> {
                let later = r.entries.iter().filter(|entry| entry.index > from);
                later.cloned().collect()
            };
            state.hard_state == found.hard_state && after(state) == after(found)
        };
        let at = (self.durable..self.states.len()).find(|at| is(&self.states[*at]));
        let at = at.unwrap_or_else(|| {
            panic!(
                "no state from {} to {} is {found:?}",
                self.durable,
                self.states.len() - 1
            )
        });
        self.states.truncate(at + 1);
        let state = self.states.last_mut().expect("it was found");
        state.snapshot = found.snapshot.clone();
        let from = state.snapshot.as_ref().map_or(Index(0), |s| s.index);
        state.entries.retain(|entry| entry.index > from);
        self.durable = at;
        self.term = self.term.max(found.hard_state.term.0);
    }
}

/// How a life of a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// While batches may be under way.
    Sudden,
    /// Once all is on disk.
    Patient,
}

/// One life of a log: orders batches until the power fails or it has enough.
fn live(
    folder: &Path,
    io: Arc<Faulty>,
    model: &mut Model,
    dice: &mut Dice,
    ending: Ending,
) -> Result<(), DamageError> {
    let (tell, told) = channel();
    let (writer, found) = LogWriter::open(folder, io, move |event| {
        let _gone = tell.send(event);
    })?;
    model.find(&found.unwrap_or_default());
    let first = model.states.len();
    for _ in 0..1 + dice.below(12) {
        let ticket = Ticket(model.states.len() as u64);
        writer.persist(ticket, model.batch(dice));
        if dice.chance(400) && !await_ticket(&told, ticket, model) {
            break;
        }
    }
    // A writer that is dropped does not wait for room.
    let last = model.states.len() - 1;
    if ending == Ending::Patient && model.durable < last {
        await_ticket(&told, Ticket(last as u64), model);
    }
    drop(writer);
    for event in told.try_iter() {
        note(&event, model);
    }
    assert!(first <= model.states.len());
    Ok(())
}

fn note(event: &Event, model: &mut Model) -> bool {
    match event {
        Event::Persisted(ticket) => model.durable = model.durable.max(ticket.0 as usize),
        Event::Failed(_) => return false,
        Event::Full | Event::HasRoom | Event::SnapshotSaved(_) => {}
    }
    true
}

/// Waits for an acknowledgement; false if there will be none.
fn await_ticket(told: &Receiver<Event>, ticket: Ticket, model: &mut Model) -> bool {
    loop {
        let event = told.recv_timeout(PATIENCE).expect("the disk answers");
        if !note(&event, model) {
            return false;
        }
        if event == Event::Persisted(ticket) {
            return true;
        }
    }
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    for seed in 0..16 {
        let dice = Dice::new(seed);
        let mut moves = dice.child("moves");
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        for life in 0..6 {
            let left = 1 + moves.below(40);
            let supply = Supply::fails_after(left);
            let io = Faulty::new(dice.child(&format!("life {life}")), supply);
            let io = Arc::new(io);
            live(
                folder.path(),
                Arc::clone(&io),
                &mut model,
                &mut moves,
                Ending::Sudden,
            )
            .unwrap_or_else(|error| panic!("seed {seed}, life {life}: {error}"));
            io.cut(folder.path());
        }
        let found = recover(folder.path()).unwrap().unwrap_or_default();
        model.find(&found);
    }
}

#[test]
fn a_disk_that_is_full_now_and_then_keeps_everything() {
    for seed in 0..4 {
        let dice = Dice::new(1_000 + seed);
        let mut moves = dice.child("moves");
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        let io = Arc::new(Faulty::new(dice.child("life"), Supply::FULL_AT_TIMES));
        live(folder.path(), io, &mut model, &mut moves, Ending::Patient).unwrap();
        assert_eq!(model.durable, model.states.len() - 1, "seed {seed}");
        let found = recover(folder.path()).unwrap().unwrap_or_default();
        model.find(&found);
    }
}

/// Bytes that rot where they lie: refused, or of no consequence.
#[test]
fn rot_is_refused_and_never_read() {
    let mut refused = 0;
    for seed in 0..60 {
        let dice = Dice::new(2_000 + seed);
        let mut moves = dice.child("moves");
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        let io = Arc::new(Faulty::new(dice.child("life"), Supply::GOOD));
        live(folder.path(), io, &mut model, &mut moves, Ending::Patient).unwrap();
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let path = &paths[moves.below(paths.len() as u64) as usize];
        let mut bytes = std::fs::read(path).unwrap();
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let at = moves.below(end as u64) as usize;
        for byte in bytes.iter_mut().skip(at).take(1 + moves.below(9) as usize) {
            *byte ^= 1 + moves.below(255) as u8;
        }
        std::fs::write(path, &bytes).unwrap();
        match recover(folder.path()) {
            Ok(found) => model.find(&found.unwrap_or_default()),
            Err(error) => {
                refused += 1;
                assert!(matches!(error, DamageError::Damaged { .. }), "{error}");
            }
        }
    }
    assert!(refused > 30, "only {refused} were refused");
}
