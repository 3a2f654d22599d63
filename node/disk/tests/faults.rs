//! The log on disks that fail in every way that a seed can think of: what was acknowledged is found
//! again, what was not is found whole or not at all, and damage is refused, never read as something else.
//!
//! A power cut ends a life at any write or sync; of what was not synced by then, each write is kept,
//! lost or torn by itself. Space runs out in the middle of a write and comes back.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Index, RaftId, Term};
use shoal_disk::{DamageError, Event, Io, LogWriter, System, recover};
use shoal_quorum::{
    Batch, EntryKind, HardState, LogEntry, Membership, Recovered, Snapshot, Ticket,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A write that no sync has covered, and what it replaced.
struct Unsynced {
    file: u64,
    offset: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

struct State {
    dice: Dice,
    /// Writes and syncs until the power fails.
    left: u64,
    /// Of each thousand writes, how many find no room.
    full: u16,
    unsynced: Vec<Unsynced>,
}

/// A disk on a bad supply.
struct Faulty(Mutex<State>);

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

fn number(file: &File) -> u64 {
    file.metadata().expect("an open file has metadata").ino()
}

impl State {
    /// Writes some of it, and remembers how to take that back.
    fn put(&mut self, file: &File, bytes: &[u8], offset: u64) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let reader = File::open(path).expect("an open file can be opened again");
        let mut before = vec![0; bytes.len()];
        let mut have = 0;
        while have < before.len() {
            let more = reader.read_at(&mut before[have..], offset + have as u64);
            match more.expect("what was written can be read") {
                0 => break,
                more => have += more,
            }
        }
        file.write_all_at(bytes, offset)
            .expect("there is room here");
        self.unsynced.push(Unsynced {
            file: number(file),
            offset,
            before,
            after: bytes.to_vec(),
        });
    }

    /// One more operation; an error if the power fails at it.
    fn spend(&mut self) -> io::Result<()> {
        if self.left == 0 {
            return Err(off());
        }
        self.left -= 1;
        if self.left == 0 { Err(off()) } else { Ok(()) }
    }
}

impl Faulty {
    fn new(dice: Dice, left: u64, full: u16) -> Faulty {
        Faulty(Mutex::new(State {
            dice,
            left,
            full,
            unsynced: Vec::new(),
        }))
    }

    /// The power has failed: what the disk holds is decided.
    fn cut(&self, folder: &Path) {
        let mut state = self.0.lock().unwrap();
        let State { dice, unsynced, .. } = &mut *state;
        let files: BTreeMap<u64, PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.metadata().unwrap().ino(), entry.path()))
            .collect();
        let open = |number| {
            let path = files.get(&number)?;
            Some(OpenOptions::new().write(true).open(path).unwrap())
        };
        for write in unsynced.iter().rev() {
            if let Some(file) = open(write.file) {
                file.write_all_at(&write.before, write.offset).unwrap();
            }
        }
        for write in unsynced.drain(..) {
            let Some(file) = open(write.file) else {
                continue;
            };
            let length = write.after.len() as u64;
            let (from, to) = match dice.below(4) {
                0 => (0, 0),
                1 => (0, length),
                2 => (0, dice.below(length + 1)),
                3.. => (dice.below(length + 1), length),
            };
            let kept = &write.after[from as usize..to as usize];
            file.write_all_at(kept, write.offset + from).unwrap();
        }
    }
}

impl Io for Faulty {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.spend()?;
        let full = state.full;
        if state.dice.chance(full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        System.allocate(file, bytes)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.left == 0 {
            return Err(off());
        }
        let full = state.full;
        let ends = state.spend().is_err();
        if ends || state.dice.chance(full) {
            let short = state.dice.below(bytes.len() as u64 + 1) as usize;
            state.put(file, &bytes[..short], offset);
            return Err(if ends {
                off()
            } else {
                io::ErrorKind::StorageFull.into()
            });
        }
        state.put(file, bytes, offset);
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.spend()?;
        let number = number(file);
        state.unsynced.retain(|write| write.file != number);
        Ok(())
    }
}

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
            let io = Faulty::new(dice.child(&format!("life {life}")), left, 0);
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
        let io = Arc::new(Faulty::new(dice.child("life"), u64::MAX, 150));
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
        let io = Arc::new(Faulty::new(dice.child("life"), u64::MAX, 0));
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
