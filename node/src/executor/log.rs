//! The checkpoint log on disk: who may write it, and what a restart finds. Its bytes are the agent's
//! [`frames`].
//!
//! Beside the log lies a mark, how long it was when it was last synced: it is written after each sync
//! without a sync of its own, and lets the last frame be missed too, not only those in the middle.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use shoal_agent::Record;
use shoal_agent::frames::{self, FramesError, MAGIC};
use shoal_disk::{Io, is_full};
use thiserror::Error;

use super::limits;

/// Bytes of the mark: a number and its sum.
const MARK: usize = 12;

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
    io: Arc<dyn Io>,
    path: PathBuf,
    folder: File,
    file: File,
    mark: File,
    length: u64,
}

impl Log {
    /// Opens a log, or makes an empty one, and gives back what it holds. A torn tail is cut.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(path: &Path, io: Arc<dyn Io>) -> Result<(Log, Vec<Record>), LogError> {
        let disk = |error| LogError::Disk {
            path: path.to_owned(),
            error,
        };
        let folder = lock(path)?;
        let mark = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.with_extension("mark"))
            .map_err(disk)?;
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(disk(error)),
        };
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) && synced(&mark) == 0 {
            let (file, length) = replace(&*io, path, &folder, &mark, &[]).map_err(disk)?;
            let log = Log {
                io,
                path: path.to_owned(),
                folder,
                file,
                mark,
                length,
            };
            return Ok((log, Vec::new()));
        }
        let read = frames::read(&bytes, synced(&mark));
        let (records, length) = read.map_err(|error| match error {
            FramesError::Unknown => LogError::Unknown {
                path: path.to_owned(),
            },
            FramesError::Damaged { offset } => LogError::Damaged {
                path: path.to_owned(),
                offset,
            },
        })?;
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
            io,
            path: path.to_owned(),
            folder,
            file,
            mark,
            length: length as u64,
        };
        Ok((log, records))
    }

    /// Writes the log anew with these frames only; they are on disk then.
    ///
    /// # Errors
    /// The disk's; the old log is still in place.
    pub fn rewrite(&mut self, frames: &[u8]) -> io::Result<()> {
        let (io, path) = (&*self.io, &self.path);
        (self.file, self.length) = replace(io, path, &self.folder, &self.mark, frames)?;
        Ok(())
    }

    /// Appends a frame; it is not on disk before [`Log::sync`], and nothing may be appended until then.
    ///
    /// # Errors
    /// The disk's: it is as if nothing had been appended, and it may be tried again.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.io.write(&self.file, frame, self.length)?;
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Brings everything appended to disk.
    ///
    /// # Errors
    /// The disk's: what was appended may be lost, and the log must not be used any more.
    pub fn sync(&self) -> io::Result<()> {
        self.io.sync(&self.file)?;
        set_mark(&*self.io, &self.mark, self.length)
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

/// How long the log was when it was last synced. Without a mark the last frame cannot be missed; with a
/// wrong one a log would be refused in vain, so it has a sum.
fn synced(mark: &File) -> u64 {
    let mut bytes = [0; MARK];
    let read = mark.read_exact_at(&mut bytes, 0);
    let length = u64::from_le_bytes(*bytes.first_chunk().expect("a mark has eight bytes"));
    if read.is_ok() && bytes == mark_of(length) {
        length
    } else {
        0
    }
}

fn mark_of(length: u64) -> [u8; MARK] {
    let mut bytes = [0; MARK];
    let (number, sum) = bytes.split_at_mut(8);
    number.copy_from_slice(&length.to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(number).to_le_bytes());
    bytes
}

/// Notes how long the log is on disk. It is a hint: a full disk is no reason to stop.
fn set_mark(io: &dyn Io, mark: &File, length: u64) -> io::Result<()> {
    match io.write(mark, &mark_of(length), 0) {
        Err(error) if is_full(&error) => Ok(()),
        written => written,
    }
}

/// Replaces a log by one that holds these frames only, atomically; the file, and how long it is.
fn replace(
    io: &dyn Io,
    path: &Path,
    folder: &File,
    mark: &File,
    frames: &[u8],
) -> io::Result<(File, u64)> {
    let next = path.with_extension("next");
    let file = File::create(&next)?;
    let bytes = [MAGIC, frames].concat();
    io.write(&file, &bytes, 0)?;
    io.sync(&file)?;
    // What the mark says is of the old log, which may have been longer.
    io.write(mark, &mark_of(0), 0)?;
    io.sync(mark)?;
    std::fs::rename(&next, path)?;
    folder.sync_all()?;
    let length = bytes.len() as u64;
    set_mark(io, mark, length)?;
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use shoal_agent::BootId;
    use shoal_agent::frames::Frames;
    use shoal_disk::System;

    use super::*;

    fn frames(numbers: &[u128]) -> Vec<u8> {
        let mut frames = Frames::default();
        for &number in numbers {
            frames.push(&Record::Booted(BootId(number)));
        }
        frames.take()
    }

    fn read(path: &Path) -> Result<Vec<u128>, LogError> {
        let (_, records) = Log::open(path, Arc::new(System))?;
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
        let (mut log, records) = Log::open(&path, Arc::new(System)).unwrap();
        assert!(records.is_empty());
        log.append(&frames(&[1, 2])).unwrap();
        log.append(&frames(&[3])).unwrap();
        log.sync().unwrap();
        assert!(matches!(read(&path), Err(LogError::Taken { .. })));
        drop(log);
        assert_eq!(read(&path).unwrap(), [1, 2, 3]);
        let (mut log, _) = Log::open(&path, Arc::new(System)).unwrap();
        log.rewrite(&frames(&[9])).unwrap();
        log.append(&frames(&[4])).unwrap();
        drop(log);
        assert_eq!(read(&path).unwrap(), [9, 4]);
        let (log, _) = Log::open(&path, Arc::new(System)).unwrap();
        assert_eq!(log.length(), std::fs::metadata(&path).unwrap().len());
    }

    #[test]
    fn a_torn_tail_is_cut_and_damage_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut log, _) = Log::open(&path, Arc::new(System)).unwrap();
        log.append(&frames(&[1, 2])).unwrap();
        let first = std::fs::read(&path).unwrap().len();
        log.append(&frames(&[3, 4])).unwrap();
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        let unmarked = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            std::fs::remove_file(path.with_extension("mark")).unwrap();
        };
        for length in 0..whole.len() {
            unmarked(&whole[..length]);
            let expected: &[u128] = if length < first { &[] } else { &[1, 2] };
            assert_eq!(read(&path).unwrap(), expected, "{length}");
        }
        // As when the file grew and its last pages were not written.
        let mut zeroed = whole.clone();
        zeroed[first..].fill(0);
        unmarked(&zeroed);
        assert_eq!(read(&path).unwrap(), [1, 2]);
        for at in 0..first {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            unmarked(&damaged);
            assert!(
                matches!(
                    read(&path),
                    Err(LogError::Damaged { offset: 8, .. } | LogError::Unknown { .. })
                ),
                "{at}"
            );
        }
    }

    #[test]
    fn what_was_synced_is_missed_at_the_end_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut log, _) = Log::open(&path, Arc::new(System)).unwrap();
        log.append(&frames(&[1, 2])).unwrap();
        log.sync().unwrap();
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(
                matches!(read(&path), Err(LogError::Damaged { offset, .. }) if offset <= length),
                "{length}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            read(&path),
            Err(LogError::Damaged { offset: 0, .. })
        ));
    }
}
