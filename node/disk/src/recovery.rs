//! What a restart finds: the log read to its end, a torn tail cut, damage refused.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shoal_api::Index;
use shoal_quorum::{HardState, LogEntry, Recovered};
use thiserror::Error;

use crate::log::{PREFIX, Position, Sealed, mark_path, segment_path};
use crate::record::{HEAD, Record};
use crate::snapshot;

/// Why a log cannot be continued. The node must not serve from it.
#[derive(Debug, Error)]
pub enum DamageError {
    /// The kernel refuses.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Bytes that were durable are not what was written.
    #[error(
        "{} is damaged at byte {offset}: something acknowledged is missing; move the data directory \
         away, and the node comes back as a new one and gets its state from the others", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
    /// A whole segment is missing.
    #[error("{} is missing; move the data directory away to come back as a new node", .0.display())]
    Missing(PathBuf),
}

impl DamageError {
    pub(crate) fn io(what: &'static str, path: &Path, error: io::Error) -> DamageError {
        DamageError::Io {
            what,
            path: path.to_owned(),
            error,
        }
    }
}

/// What a folder holds, and where writing goes on.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) recovered: Option<Recovered>,
    pub(crate) position: Position,
}

/// Reads the log in a folder; `None` if nothing was ever written there. Changes nothing.
///
/// # Errors
/// [`DamageError`] names file and place.
pub fn recover(folder: &Path) -> Result<Option<Recovered>, DamageError> {
    Ok(read(folder)?.recovered)
}

/// What the records so far add up to.
#[derive(Default)]
pub(crate) struct Replay {
    hard_state: HardState,
    entries: Vec<LogEntry>,
    reset: Index,
    any: bool,
}

impl Replay {
    fn take(&mut self, record: Record) {
        self.any = true;
        if let Some(index) = record.snapshot {
            self.reset = index;
            self.entries.clear();
        }
        if let Some(first) = record.entries.first() {
            let keep = self
                .entries
                .partition_point(|entry| entry.index < first.index);
            self.entries.truncate(keep);
            self.entries.extend(record.entries);
        }
        self.hard_state = record.hard_state.unwrap_or(self.hard_state);
    }

    fn last(&self) -> Index {
        self.entries.last().map_or(self.reset, |entry| entry.index)
    }
}

/// Reads everything and cuts a torn tail in memory; [`cut`] does so on disk.
pub(crate) fn read(folder: &Path) -> Result<Found, DamageError> {
    if !folder.exists() {
        return Ok(Found::default());
    }
    let snapshot = snapshot::load(folder)?;
    let durable = mark(folder);
    let numbers = segments(folder).map_err(|error| DamageError::io("list", folder, error))?;
    let mut replay = Replay::default();
    let mut sealed = VecDeque::new();
    let mut current = None;
    let mut sequence = None;
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 && numbers[at - 1] + 1 != *number {
            return Err(DamageError::Missing(segment_path(
                folder,
                numbers[at - 1] + 1,
            )));
        }
        let is_last = at + 1 == numbers.len();
        let path = segment_path(folder, *number);
        let end = segment(&path, is_last, durable, &mut sequence, &mut replay)?;
        if is_last {
            current = Some((*number, end));
        } else {
            sealed.push_back(Sealed {
                number: *number,
                last: replay.last(),
            });
        }
    }
    let any = replay.any || snapshot.is_some();
    let last = replay.last();
    let position = Position {
        sealed,
        current,
        last,
        sequence: sequence.unwrap_or(0),
        hard_state: replay.hard_state,
        snapshot: snapshot.as_ref().map(|snapshot| snapshot.index),
    };
    let recovered = any.then_some(Recovered {
        hard_state: replay.hard_state,
        snapshot,
        entries: replay.entries,
    });
    Ok(Found {
        recovered,
        position,
    })
}

/// Reads one segment and says where its last whole record ends.
fn segment(
    path: &Path,
    is_last: bool,
    durable: u64,
    sequence: &mut Option<u64>,
    replay: &mut Replay,
) -> Result<u64, DamageError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| DamageError::io("read", path, error))?;
    scan(&Bytes::from(bytes), is_last, durable, sequence, replay).map_err(|offset| {
        DamageError::Damaged {
            path: path.to_owned(),
            offset,
        }
    })
}

/// Reads the bytes of one segment and says where its last whole record ends, or where it is damaged.
pub(crate) fn scan(
    bytes: &Bytes,
    is_last: bool,
    durable: u64,
    sequence: &mut Option<u64>,
    replay: &mut Replay,
) -> Result<u64, u64> {
    let mut at = 0;
    while let Some((record, length)) = Record::decode(&bytes.slice(at..)) {
        // A segment's first record repeats the sequence before it.
        let expected = match *sequence {
            Some(before) if at == 0 => Some(before),
            Some(before) => before.checked_add(1),
            None => Some(record.sequence),
        };
        if Some(record.sequence) != expected {
            break;
        }
        *sequence = Some(record.sequence);
        at += length;
        replay.take(record);
    }
    let missing = sequence.map_or(0, |sequence| sequence.saturating_add(1));
    let rest = bytes.slice(at..);
    let empty = rest.iter().all(|byte| *byte == 0);
    let damaged = match is_last {
        // What was written and not synced may be there in part, in any order; what was is missed.
        true => durable >= missing || (!empty && later(&rest) >= missing),
        false => !empty,
    };
    // A segment has its name only once its first record is durable.
    if damaged || at == 0 {
        return Err(at as u64);
    }
    Ok(at as u64)
}

/// The highest sequence that any whole record after a gap says to be durable.
pub(crate) fn later(rest: &Bytes) -> u64 {
    let mut durable = 0;
    let mut at = 1;
    while at + HEAD <= rest.len() {
        match Record::decode(&rest.slice(at..)) {
            Some((record, length)) => {
                durable = durable.max(record.synced);
                at += length;
            }
            None => at += 1,
        }
    }
    durable
}

fn mark(folder: &Path) -> u64 {
    let mut bytes = [0; 8];
    let read = File::open(mark_path(folder)).and_then(|file| file.read_exact_at(&mut bytes, 0));
    // Without a mark the last record cannot be missed; with a wrong one a log would be refused in vain.
    read.map_or(0, |()| u64::from_le_bytes(bytes))
}

/// The numbers of the segments, in order.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(Ok(number)) = number.map(|number| u64::from_str_radix(number, 16)) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what a crash left behind: unfinished files, and the torn tail, which is zeros again.
pub(crate) fn cut(folder: &Path, position: &Position) -> io::Result<()> {
    snapshot::sweep(folder)?;
    let Some((number, end)) = position.current else {
        return Ok(());
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(segment_path(folder, number))?;
    let size = file.metadata()?.len();
    let zeros = vec![0; 1 << 20];
    let mut at = end;
    while at < size {
        let length = zeros
            .len()
            .min(usize::try_from(size - at).unwrap_or(usize::MAX));
        let mut piece = vec![0; length];
        file.read_exact_at(&mut piece, at)?;
        if piece.iter().any(|byte| *byte != 0) {
            file.write_all_at(&zeros[..length], at)?;
        }
        at += length as u64;
    }
    file.sync_data()
}
