//! The checkpoint log on disk: frames of records, each whole or not there.
//!
//! A frame is one append and one sync. Before its body it has its length, a sum of the body and a sum
//! of both, so that a frame which a crash tore is told from one that was damaged later: nothing whole
//! can follow a torn frame, as the next one is written only once the last is on disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use shoal_agent::Record;
use thiserror::Error;

use super::limits;

const MAGIC: &[u8; 8] = b"shoalcp1";
const HEADER: usize = 12;

/// Why the agent cannot rely on its log. Nothing changed.
#[derive(Debug, Error)]
pub enum LogError {
    /// The disk failed.
    #[error("checkpoint log {path}: {error}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not what this version writes.
    #[error("{path} is not a checkpoint log of this version: it may be of a newer one")]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// Another agent writes it.
    #[error(
        "another agent writes the checkpoint log {path}: stop it, or give this one a folder of its own"
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// Something in the middle is not what was written.
    #[error(
        "checkpoint log {path} is damaged at byte {offset}: the disk lost what was written there; \
         move the agent's folder away to start as a new agent, its tasks are then lost"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: usize,
    },
}

/// The open log. Whoever has it open is the only one: its folder is locked.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    folder: File,
    file: File,
    length: u64,
}

impl Log {
    /// Opens a log, or makes an empty one, and gives back what it holds. A torn tail is cut.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(path: &Path) -> Result<(Log, Vec<Record>), LogError> {
        let disk = |error| LogError::Disk {
            path: path.to_owned(),
            error,
        };
        let folder = lock(path)?;
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(disk(error)),
        };
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            let (file, length) = replace(path, &folder, &[]).map_err(disk)?;
            let log = Log {
                path: path.to_owned(),
                folder,
                file,
                length,
            };
            return Ok((log, Vec::new()));
        }
        if !bytes.starts_with(MAGIC) {
            return Err(LogError::Unknown {
                path: path.to_owned(),
            });
        }
        let (records, length) = read_frames(path, &bytes)?;
        let file = OpenOptions::new().write(true).open(path).map_err(disk)?;
        if length < bytes.len() {
            tracing::warn!(
                path = %path.display(),
                bytes = bytes.len() - length,
                "the tail of the checkpoint log was torn by a crash and is cut"
            );
            file.set_len(length as u64).map_err(disk)?;
            file.sync_all().map_err(disk)?;
        }
        let log = Log {
            path: path.to_owned(),
            folder,
            file,
            length: length as u64,
        };
        Ok((log, records))
    }

    /// Writes the log anew with these frames only.
    ///
    /// # Errors
    /// The disk's; the old log is still in place.
    pub fn rewrite(&mut self, frames: &[u8]) -> io::Result<()> {
        (self.file, self.length) = replace(&self.path, &self.folder, frames)?;
        Ok(())
    }

    /// Appends frames; they are not on disk before [`Log::sync`].
    ///
    /// # Errors
    /// The disk's: it is as if nothing had been appended, and it may be tried again.
    pub fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        self.file.write_all_at(frames, self.length)?;
        self.length += frames.len() as u64;
        Ok(())
    }

    /// Brings everything appended to disk.
    ///
    /// # Errors
    /// The disk's: what was appended may be lost, and the log must not be used any more.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// Locks the folder of a log. An agent that ends may still be writing its last frames.
fn lock(path: &Path) -> Result<File, LogError> {
    let disk = |error| LogError::Disk {
        path: path.to_owned(),
        error,
    };
    let folder = File::open(path.parent().expect("a log is in a folder")).map_err(disk)?;
    let since = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if since.elapsed() > limits::LOCK_WAIT => {
                return Err(LogError::Taken {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(limits::LOCK_AGAIN),
            Err(TryLockError::Error(error)) => return Err(disk(error)),
        }
    }
}

/// Replaces a log by one that holds these frames only, atomically; the file, and how long it is.
fn replace(path: &Path, folder: &File, frames: &[u8]) -> io::Result<(File, u64)> {
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(MAGIC)?;
    file.write_all(frames)?;
    file.sync_all()?;
    std::fs::rename(&next, path)?;
    folder.sync_all()?;
    Ok((file, (MAGIC.len() + frames.len()) as u64))
}

/// Collects records into frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where the last frame begins, if it is open.
    open: Option<usize>,
}

impl Frames {
    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        let body = record.encode();
        let begin = *self.open.get_or_insert_with(|| {
            let begin = self.bytes.len();
            self.bytes.resize(begin + HEADER, 0);
            begin
        });
        let length = u32::try_from(body.len()).expect("a record is short");
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(body);
        if self.bytes.len() - begin >= limits::FRAME_BYTES {
            self.close();
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether there is so much that it should be written.
    pub fn is_long(&self) -> bool {
        self.bytes.len() >= limits::FRAME_BYTES
    }

    /// The frames so far.
    pub fn take(&mut self) -> Vec<u8> {
        self.close();
        std::mem::take(&mut self.bytes)
    }

    fn close(&mut self) {
        let Some(begin) = self.open.take() else {
            return;
        };
        let body = &self.bytes[begin + HEADER..];
        let length = u32::try_from(body.len()).expect("a frame is bounded");
        let header = header(length, crc32(body));
        self.bytes[begin..begin + HEADER].copy_from_slice(&header);
    }
}

fn header(length: u32, sum: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    let of_both = crc32(&header[..8]);
    header[8..].copy_from_slice(&of_both.to_le_bytes());
    header
}

fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The body of the frame at the beginning of these bytes, if it is whole.
fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<HEADER>()?;
    let number = |at: usize| {
        let four = head[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(four)
    };
    if *head != header(number(0), number(4)) {
        return None;
    }
    let body = rest.get(..number(0) as usize)?;
    (crc32(body) == number(4)).then_some(body)
}

/// All records, and where the last whole frame ends.
fn read_frames(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, usize), LogError> {
    let damaged = |offset| LogError::Damaged {
        path: path.to_owned(),
        offset,
    };
    let mut records = Vec::new();
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let Some(body) = whole_frame(&bytes[at..]) else {
            let more = (at + 1..bytes.len()).any(|later| whole_frame(&bytes[later..]).is_some());
            if more {
                return Err(damaged(at));
            }
            break;
        };
        read_records(body, &mut records).ok_or_else(|| damaged(at))?;
        at += HEADER + body.len();
    }
    Ok((records, at))
}

fn read_records(mut body: &[u8], records: &mut Vec<Record>) -> Option<()> {
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        records.push(Record::decode(record).ok()?);
        body = rest;
    }
    body.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use shoal_agent::BootId;

    use super::*;

    fn frames(numbers: &[u128]) -> Vec<u8> {
        let mut frames = Frames::default();
        for &number in numbers {
            frames.push(&Record::Booted(BootId(number)));
        }
        frames.take()
    }

    fn read(path: &Path) -> Result<Vec<u128>, LogError> {
        let (_, records) = Log::open(path)?;
        let number = |record| match record {
            Record::Booted(BootId(number)) => number,
            other => panic!("{other:?}"),
        };
        Ok(records.into_iter().map(number).collect())
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut log, records) = Log::open(&path).unwrap();
        assert!(records.is_empty());
        log.append(&frames(&[1, 2])).unwrap();
        log.append(&frames(&[3])).unwrap();
        log.sync().unwrap();
        assert!(matches!(read(&path), Err(LogError::Taken { .. })));
        drop(log);
        assert_eq!(read(&path).unwrap(), [1, 2, 3]);
        let (mut log, _) = Log::open(&path).unwrap();
        log.rewrite(&frames(&[9])).unwrap();
        log.append(&frames(&[4])).unwrap();
        drop(log);
        assert_eq!(read(&path).unwrap(), [9, 4]);
        let (log, _) = Log::open(&path).unwrap();
        assert_eq!(log.length(), std::fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn a_torn_tail_is_cut_and_damage_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut log, _) = Log::open(&path).unwrap();
        log.append(&frames(&[1, 2])).unwrap();
        let first = std::fs::read(&path).unwrap().len();
        log.append(&frames(&[3, 4])).unwrap();
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let expected: &[u128] = if length < first { &[] } else { &[1, 2] };
            assert_eq!(read(&path).unwrap(), expected, "{length}");
        }
        // As when the file grew and its last pages were not written.
        let mut zeroed = whole.clone();
        zeroed[first..].fill(0);
        std::fs::write(&path, &zeroed).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2]);
        for at in 0..first {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            std::fs::write(&path, &damaged).unwrap();
            assert!(
                matches!(
                    read(&path),
                    Err(LogError::Damaged { offset: 8, .. } | LogError::Unknown { .. })
                ),
                "{at}"
            );
        }
    }
}
