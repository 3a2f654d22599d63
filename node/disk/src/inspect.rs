//! Looking at files without changing anything, also while their node writes them, also damaged ones.
//!
//! What lives here says what a file holds and where it stops making sense. What deliberately does not:
//! whether the whole is a log that can be continued ([`crate::recover`]), and what entries mean.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use shoal_api::{Index, Term};
use shoal_quorum::{HardState, LogEntry, Membership};

use crate::directory::{self, DirectoryError, Identity};
use crate::frames::{FrameError, Frames};
use crate::record::Record;
use crate::recovery::later;
use crate::snapshot::{self, Head};
use crate::{backup, log};

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A node's data directory.
    DataDirectory,
    /// The folder of a master's log and snapshots.
    Log,
    /// A segment of a log.
    Segment,
    /// A snapshot.
    Snapshot,
    /// A backup.
    Backup,
    /// None of these.
    Foreign,
}

/// Says what a path is, by what is in it.
///
/// # Errors
/// It cannot be read.
pub fn kind_of(path: &Path) -> io::Result<Kind> {
    if path.metadata()?.is_dir() {
        if path.join(directory::IDENTITY).exists() {
            return Ok(Kind::DataDirectory);
        }
        let holds_log = !segments(path)?.is_empty() || !snapshots(path)?.is_empty();
        return Ok(if holds_log { Kind::Log } else { Kind::Foreign });
    }
    let mut head = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut head)?;
    let named = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    Ok(
        if head == snapshot::MAGIC || named.starts_with(snapshot::PREFIX) {
            Kind::Snapshot
        } else if head == backup::MAGIC {
            Kind::Backup
        } else if Record::begins(&head) || named.starts_with(log::PREFIX) {
            Kind::Segment
        } else {
            Kind::Foreign
        },
    )
}

/// The segments in a folder, oldest first.
///
/// # Errors
/// It cannot be listed.
pub fn segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let numbers = crate::recovery::segments(folder)?;
    Ok(numbers
        .into_iter()
        .map(|number| log::segment_path(folder, number))
        .collect())
}

/// The snapshots in a folder, oldest first.
///
/// # Errors
/// It cannot be listed.
pub fn snapshots(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(snapshot::list(folder)?
        .into_iter()
        .map(|(_, path)| path)
        .collect())
}

/// One record of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSeen {
    /// Where it begins.
    pub offset: u64,
    /// Its number; each is one above the last.
    pub sequence: u64,
    /// The last number that was durable when it was written.
    pub synced: u64,
    /// Raft's state with it, if it changed.
    pub hard_state: Option<HardState>,
    /// The log was replaced by the snapshot of that index.
    pub snapshot: Option<Index>,
    /// Its entries.
    pub entries: Vec<LogEntry>,
}

/// How a file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it must; here is its end.
    Whole(u64),
    /// What follows was not durable: a crash cut it, or its node writes it at this moment.
    Torn(u64),
    /// From here on it is not what was written.
    Damaged {
        /// Where.
        offset: u64,
        /// What was found.
        why: &'static str,
    },
}

/// Reads a segment, record by record, until it makes no sense any more.
///
/// # Errors
/// The file cannot be read.
pub fn read_segment(path: &Path, seen: impl FnMut(RecordSeen)) -> io::Result<Ending> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(walk(&Bytes::from(bytes), seen))
}

/// Goes through the bytes of a segment.
pub(crate) fn walk(bytes: &Bytes, mut seen: impl FnMut(RecordSeen)) -> Ending {
    let (mut at, mut sequence) = (0, None);
    while let Some((record, length)) = Record::decode(&bytes.slice(at..)) {
        if sequence.is_some_and(|before: u64| before.checked_add(1) != Some(record.sequence)) {
            let why = "a record has another number than the one that must follow";
            return Ending::Damaged {
                offset: at as u64,
                why,
            };
        }
        sequence = Some(record.sequence);
        seen(RecordSeen {
            offset: at as u64,
            sequence: record.sequence,
            synced: record.synced,
            hard_state: record.hard_state,
            snapshot: record.snapshot,
            entries: record.entries,
        });
        at += length;
    }
    let (rest, offset) = (bytes.slice(at..), at as u64);
    let missing = sequence.map_or(0, |sequence: u64| sequence.saturating_add(1));
    if sequence.is_none() {
        let why = "it has no first record, which is durable before the file has its name";
        Ending::Damaged { offset, why }
    } else if rest.iter().all(|byte| *byte == 0) {
        Ending::Whole(offset)
    } else if later(&rest) >= missing {
        let why = "a record that a later one calls durable is not there";
        Ending::Damaged { offset, why }
    } else {
        Ending::Torn(offset)
    }
}

/// What stands at the head of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHead {
    /// The last entry it covers.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The membership at that index.
    pub membership: Membership,
}

/// Reads a snapshot: the head, if it makes sense, and chunk by chunk with its offset.
///
/// # Errors
/// The file cannot be read.
pub fn read_snapshot(
    path: &Path,
    chunk: impl FnMut(u64, Bytes),
) -> io::Result<(Option<SnapshotHead>, Ending)> {
    walk_snapshot(BufReader::new(File::open(path)?), chunk)
}

/// Goes through the bytes of a snapshot.
pub(crate) fn walk_snapshot(
    mut reader: impl Read,
    mut chunk: impl FnMut(u64, Bytes),
) -> io::Result<(Option<SnapshotHead>, Ending)> {
    let mut magic = Vec::new();
    reader.by_ref().take(8).read_to_end(&mut magic)?;
    let damaged = |offset, why| Ok((None, Ending::Damaged { offset, why }));
    if magic != snapshot::MAGIC {
        return damaged(0, "it does not begin as a snapshot");
    }
    let mut frames = Frames::new(reader, 8);
    let head = match frames.next(1) {
        Ok(Some(head)) => head,
        Ok(None) => return damaged(8, "it has no head"),
        Err(FrameError::Damaged { offset, why }) => return damaged(offset, why),
        Err(FrameError::Io(error)) => return Err(error),
    };
    let Ok(Head {
        index,
        term,
        membership,
    }) = postcard::from_bytes(&head)
    else {
        return damaged(8, "its head makes no sense");
    };
    let head = Some(SnapshotHead {
        index,
        term,
        membership,
    });
    loop {
        let offset = frames.offset();
        match frames.next(1) {
            Ok(Some(piece)) => chunk(offset, piece),
            Ok(None) => return Ok((head, Ending::Whole(offset + 8))),
            Err(FrameError::Damaged { offset, why }) => {
                return Ok((head, Ending::Damaged { offset, why }));
            }
            Err(FrameError::Io(error)) => return Err(error),
        }
    }
}

/// Who a data directory's node is, without holding it.
///
/// # Errors
/// [`DirectoryError`]; a halted node is none.
pub fn identity(folder: &Path) -> Result<Identity, DirectoryError> {
    directory::read_identity(folder)?.ok_or_else(|| DirectoryError::NotOfANode(folder.to_owned()))
}

/// Why a node halted, if it did.
pub fn halted(folder: &Path) -> Option<String> {
    let why = std::fs::read_to_string(folder.join(directory::HALTED)).ok()?;
    Some(why.trim().to_owned())
}

/// Whether a process holds a data directory, by the kernel's list of locks: taking the lock, even for a
/// moment, could keep a node from starting.
///
/// # Errors
/// The kernel does not say.
pub fn is_held(folder: &Path) -> io::Result<bool> {
    let inode = match folder.join(directory::LOCK).metadata() {
        Ok(lock) => lock.ino(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let locks = std::fs::read_to_string("/proc/locks")?;
    let of = |line: &str| {
        line.split_whitespace()
            .nth(5)?
            .rsplit(':')
            .next()?
            .parse()
            .ok()
    };
    let flocks = locks.lines().filter(|line| line.contains(" FLOCK "));
    Ok(flocks.filter_map(of).any(|held: u64| held == inode))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shoal_api::RaftId;
    use shoal_quorum::{Batch, EntryKind, Snapshot};

    use super::*;
    use crate::{DataDirectory, Minted, append};

    fn batch(index: u64) -> Batch {
        Batch {
            entries: vec![LogEntry {
                index: Index(index),
                term: Term(1),
                kind: EntryKind::Data,
                data: Bytes::from_static(b"entry"),
            }],
            ..Batch::default()
        }
    }

    fn look(path: &Path) -> (Vec<Index>, Ending) {
        let mut found = Vec::new();
        let ending = read_segment(path, |record| {
            found.extend(record.entries.iter().map(|entry| entry.index));
        });
        (found, ending.unwrap())
    }

    #[test]
    fn a_segment_says_how_far_it_makes_sense() {
        let folder = tempfile::tempdir().unwrap();
        for index in 1..=3 {
            append(folder.path(), &batch(index)).unwrap();
        }
        let path = segments(folder.path()).unwrap().remove(0);
        assert_eq!(kind_of(&path).unwrap(), Kind::Segment);
        let (found, ending) = look(&path);
        assert_eq!(found, [Index(1), Index(2), Index(3)]);
        let Ending::Whole(end) = ending else {
            panic!("{ending:?}");
        };
        let good = std::fs::read(&path).unwrap();
        let flipped = |at: u64| {
            let mut bad = good.clone();
            bad[usize::try_from(at).unwrap()] ^= 1;
            std::fs::write(&path, bad).unwrap();
            look(&path)
        };
        let (found, ending) = flipped(end - 1);
        assert_eq!(found.len(), 2);
        assert!(
            matches!(ending, Ending::Torn(_)),
            "nothing after it calls it durable"
        );
        let (_, ending) = flipped(2);
        assert!(
            matches!(ending, Ending::Damaged { offset: 0, .. }),
            "{ending:?}"
        );
        // The third calls the second durable.
        std::fs::write(&path, &good).unwrap();
        let mut offsets = Vec::new();
        read_segment(&path, |record| offsets.push(record.offset)).unwrap();
        let (found, ending) = flipped(offsets[2] + 30);
        assert_eq!(found, [Index(1)]);
        let at = offsets[2];
        assert!(
            matches!(ending, Ending::Damaged { offset, .. } if offset == at),
            "{ending:?}"
        );
    }

    #[test]
    fn a_snapshot_says_how_far_it_makes_sense() {
        let folder = tempfile::tempdir().unwrap();
        let taken = Snapshot {
            index: Index(5),
            term: Term(2),
            membership: Membership::of(&[RaftId(1)]),
            chunks: Arc::new([Bytes::from_static(b"first"), Bytes::from_static(b"second")]),
        };
        let batch = Batch {
            snapshot: Some(taken),
            ..Batch::default()
        };
        append(folder.path(), &batch).unwrap();
        let path = snapshots(folder.path()).unwrap().remove(0);
        assert_eq!(kind_of(&path).unwrap(), Kind::Snapshot);
        let mut chunks = 0;
        let (head, ending) = read_snapshot(&path, |_, _| chunks += 1).unwrap();
        assert_eq!((head.unwrap().index, chunks), (Index(5), 2));
        assert!(matches!(ending, Ending::Whole(_)));
        let mut bad = std::fs::read(&path).unwrap();
        let at = bad.windows(6).position(|bytes| bytes == b"second").unwrap();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let (_, ending) = read_snapshot(&path, |_, _| {}).unwrap();
        let expected = at as u64 - 8;
        assert!(matches!(ending, Ending::Damaged { offset, .. } if offset == expected));
    }

    #[test]
    fn a_held_directory_is_seen_without_touching_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kind_of(folder.path()).unwrap(), Kind::Foreign);
        assert!(!is_held(folder.path()).unwrap());
        let minted = Minted {
            node: shoal_api::NodeId(1),
            raft: RaftId(1),
        };
        let held = DataDirectory::open(folder.path(), || Ok(minted)).unwrap();
        assert!(is_held(folder.path()).unwrap());
        assert_eq!(identity(folder.path()).unwrap(), held.identity());
        assert_eq!(kind_of(folder.path()).unwrap(), Kind::DataDirectory);
        drop(held);
        assert!(!is_held(folder.path()).unwrap());
    }
}
