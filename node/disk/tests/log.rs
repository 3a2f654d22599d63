//! The log through its thread: what was acknowledged is found again, damage is refused.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Index, RaftId, Term};
use shoal_disk::{DamageError, Event, Io, LogWriter, System, recover};
use shoal_quorum::{
    Batch, EntryKind, HardState, LogEntry, Membership, Recovered, Snapshot, Ticket,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn entry(index: u64, term: u64, text: &str) -> LogEntry {
    LogEntry {
        index: Index(index),
        term: Term(term),
        kind: EntryKind::Data,
        data: Bytes::copy_from_slice(text.as_bytes()),
    }
}

fn batch(term: u64, entries: Vec<LogEntry>) -> Batch {
    let commit = Index(0);
    Batch {
        hard_state: Some(HardState {
            term: Term(term),
            vote: Some(RaftId(1)),
            commit,
        }),
        entries,
        snapshot: None,
    }
}

fn snapshot(index: u64) -> Snapshot {
    Snapshot {
        index: Index(index),
        term: Term(1),
        membership: Membership::of(&[RaftId(1)]),
        chunks: Arc::new([Bytes::from_static(b"state")]),
    }
}

fn open(folder: &Path, io: Arc<dyn Io>) -> (LogWriter, Option<Recovered>, Receiver<Event>) {
    let (tell, told) = channel();
    let (writer, recovered) = LogWriter::open(folder, io, move |event| {
        let _gone = tell.send(event);
    })
    .unwrap();
    (writer, recovered, told)
}

fn persist(writer: &LogWriter, told: &Receiver<Event>, ticket: u64, batch: Batch) {
    writer.persist(Ticket(ticket), batch);
    wait(told, &Event::Persisted(Ticket(ticket)));
}

fn wait(told: &Receiver<Event>, wanted: &Event) {
    while told.recv_timeout(PATIENCE).expect("the disk answers") != *wanted {}
}

fn segment(folder: &Path) -> PathBuf {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("log-")
        })
        .collect();
    paths.sort();
    paths.pop().unwrap()
}

#[test]
fn what_was_acknowledged_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, recovered, told) = open(folder.path(), Arc::new(System));
    assert_eq!(recovered, None);
    persist(
        &writer,
        &told,
        1,
        batch(1, vec![entry(1, 1, "a"), entry(2, 1, "b")]),
    );
    persist(
        &writer,
        &told,
        2,
        batch(2, vec![entry(2, 2, "c"), entry(3, 2, "d")]),
    );
    drop(writer);
    let (writer, recovered, told) = open(folder.path(), Arc::new(System));
    let recovered = recovered.unwrap();
    assert_eq!(
        recovered.entries,
        [entry(1, 1, "a"), entry(2, 2, "c"), entry(3, 2, "d")]
    );
    assert_eq!(recovered.hard_state.term, Term(2));
    persist(&writer, &told, 3, batch(3, vec![entry(4, 3, "e")]));
    drop(writer);
    assert_eq!(recover(folder.path()).unwrap().unwrap().entries.len(), 4);
}

#[test]
fn a_snapshot_replaces_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _, told) = open(folder.path(), Arc::new(System));
    persist(&writer, &told, 1, batch(1, vec![entry(1, 1, "a")]));
    let received = Batch {
        snapshot: Some(snapshot(9)),
        ..batch(2, vec![entry(10, 2, "k")])
    };
    persist(&writer, &told, 2, received);
    writer.save_snapshot(snapshot(10));
    wait(&told, &Event::SnapshotSaved(Index(10)));
    drop(writer);
    let recovered = recover(folder.path()).unwrap().unwrap();
    assert_eq!(recovered.snapshot, Some(snapshot(10)));
    assert_eq!(recovered.entries, [entry(10, 2, "k")]);
}

/// A snapshot of one's own is saved beside the log while the log's thread installs a received one.
#[test]
fn snapshots_written_at_once_do_not_disturb_each_other() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _, told) = open(folder.path(), Arc::new(System));
        writer.save_snapshot(snapshot(5));
        wait(&told, &Event::SnapshotSaved(Index(5)));
        writer.save_snapshot(snapshot(60));
        let received = Batch {
            snapshot: Some(snapshot(90)),
            ..batch(1, vec![])
        };
        writer.persist(Ticket(1), received);
        let mut events = [(); 2].map(|()| told.recv_timeout(PATIENCE).unwrap());
        events.sort_by_key(|event| matches!(event, Event::SnapshotSaved(_)));
        let expected = [Event::Persisted(Ticket(1)), Event::SnapshotSaved(Index(60))];
        assert_eq!(events, expected);
        drop(writer);
        let recovered = recover(folder.path()).unwrap().unwrap();
        assert_eq!(recovered.snapshot, Some(snapshot(90)));
    }
}

#[test]
fn old_segments_go_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _, told) = open(folder.path(), Arc::new(System));
    let text = "x".repeat(3 << 20);
    for index in 1..=20 {
        persist(
            &writer,
            &told,
            index,
            batch(1, vec![entry(index, 1, &text)]),
        );
    }
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = count();
    writer.save_snapshot(snapshot(15));
    wait(&told, &Event::SnapshotSaved(Index(15)));
    writer.compact(Index(15));
    persist(&writer, &told, 21, batch(1, vec![entry(21, 1, "end")]));
    drop(writer);
    assert!(count() < before, "{before} files stay");
    let recovered = recover(folder.path()).unwrap().unwrap();
    assert!(recovered.entries[0].index <= Index(16));
    assert_eq!(recovered.entries.last().unwrap().index, Index(21));
}

/// A torn tail at every byte of the last record: cut when it was not acknowledged, refused when it was.
#[test]
fn a_tail_is_cut_only_if_nobody_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _, told) = open(folder.path(), Arc::new(System));
    persist(&writer, &told, 1, batch(1, vec![entry(1, 1, "first")]));
    let path = segment(folder.path());
    let before = std::fs::read(&path).unwrap();
    let mark = std::fs::read(folder.path().join("mark")).unwrap();
    persist(&writer, &told, 2, batch(1, vec![entry(2, 1, "second")]));
    drop(writer);
    let after = std::fs::read(&path).unwrap();
    let start = before.iter().zip(&after).position(|(a, b)| a != b).unwrap();
    let end = after.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // Only what is near the end matters; the rest of the segment is zeros.
    let after = &after[..end + 64];
    for cut in start..end {
        let mut torn = after.to_vec();
        torn[cut..].fill(0);
        std::fs::write(&path, &torn).unwrap();
        std::fs::write(folder.path().join("mark"), &mark).unwrap();
        let found = recover(folder.path()).unwrap().unwrap();
        assert_eq!(found.entries, [entry(1, 1, "first")], "cut at {cut}");
        std::fs::write(folder.path().join("mark"), 2_u64.to_le_bytes()).unwrap();
        let error = recover(folder.path()).unwrap_err();
        assert!(
            matches!(error, DamageError::Damaged { .. }),
            "cut at {cut}: {error}"
        );
    }
    // Writing goes on where the tail was cut.
    std::fs::write(&path, &after[..end - 1]).unwrap();
    std::fs::write(folder.path().join("mark"), &mark).unwrap();
    let (writer, _, told) = open(folder.path(), Arc::new(System));
    persist(&writer, &told, 3, batch(1, vec![entry(2, 1, "again")]));
    drop(writer);
    let found = recover(folder.path()).unwrap().unwrap();
    assert_eq!(found.entries, [entry(1, 1, "first"), entry(2, 1, "again")]);
}

#[test]
fn a_flipped_bit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _, told) = open(folder.path(), Arc::new(System));
    for index in 1..=4 {
        persist(
            &writer,
            &told,
            index,
            batch(1, vec![entry(index, 1, "entry")]),
        );
    }
    drop(writer);
    let path = segment(folder.path());
    let good = std::fs::read(&path).unwrap();
    let end = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let good = &good[..end + 64];
    for at in 0..end {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let error = recover(folder.path()).unwrap_err();
        assert!(
            matches!(error, DamageError::Damaged { .. }),
            "byte {at}: {error}"
        );
    }
}

/// The kernel, out of room for some calls, or broken from some call on.
#[derive(Debug, Default)]
struct Faulty {
    full: AtomicU32,
    broken: AtomicU32,
}

impl Faulty {
    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) > 0 {
            return Err(io::Error::other("the disk is broken"));
        }
        let left = self.full.load(Ordering::SeqCst);
        if left > 0 {
            self.full.store(left - 1, Ordering::SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Io for Faulty {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.check()?;
        System.allocate(file, bytes)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check()?;
        System.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) > 0 {
            return Err(io::Error::other("the disk is broken"));
        }
        System.sync(file)
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Arc::new(Faulty::default());
    let (writer, _, told) = open(folder.path(), faulty.clone());
    persist(&writer, &told, 1, batch(1, vec![entry(1, 1, "a")]));
    faulty.full.store(1, Ordering::SeqCst);
    writer.persist(Ticket(2), batch(1, vec![entry(2, 1, "b")]));
    wait(&told, &Event::Full);
    wait(&told, &Event::HasRoom);
    wait(&told, &Event::Persisted(Ticket(2)));
    drop(writer);
    assert_eq!(recover(folder.path()).unwrap().unwrap().entries.len(), 2);
}

#[test]
fn a_broken_disk_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Arc::new(Faulty::default());
    let (writer, _, told) = open(folder.path(), faulty.clone());
    persist(&writer, &told, 1, batch(1, vec![entry(1, 1, "a")]));
    faulty.broken.store(1, Ordering::SeqCst);
    writer.persist(Ticket(2), batch(1, vec![entry(2, 1, "b")]));
    let event = told.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(event, Event::Failed(_)), "{event:?}");
    drop(writer);
}

#[test]
fn a_writer_ends_though_the_disk_stays_full() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Arc::new(Faulty::default());
    let (writer, _, told) = open(folder.path(), faulty.clone());
    persist(&writer, &told, 1, batch(1, vec![entry(1, 1, "a")]));
    faulty.full.store(u32::MAX, Ordering::SeqCst);
    writer.persist(Ticket(2), batch(1, vec![entry(2, 1, "b")]));
    wait(&told, &Event::Full);
    drop(writer);
    let durable = recover(folder.path()).unwrap().unwrap().entries;
    assert_eq!(
        durable.len(),
        1,
        "what was never told to be durable is given up"
    );
}
