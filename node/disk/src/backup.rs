//! Backups: one file that holds the whole ledger of a cluster at one index, for a restore.
//!
//! ```text
//! magic 8 bytes | format u32 | frame of the header | frame of each chunk | end
//! ```
//!
//! Written as it arrives and read piece by piece. What deliberately does not live here: what the chunks
//! mean, and where a restore puts them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use shoal_api::{ClusterId, Incarnation, Index, Term, Timestamp};
use shoal_quorum::Membership;
use thiserror::Error;

use crate::frames::{self, FrameError, Frames};

pub(crate) const MAGIC: &[u8; 8] = b"shoalbk1";
/// The newest form that this version reads, and the one that it writes.
const FORMAT: u32 = 1;
/// Bytes before the first frame.
const HEAD: u64 = 12;

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHeader {
    /// The cluster.
    pub cluster: ClusterId,
    /// The life of it.
    pub incarnation: Incarnation,
    /// The last entry in it.
    pub index: Index,
    /// The term in which it was taken.
    pub term: Term,
    /// When, by the calendar of the master that gave it.
    pub taken: Timestamp,
    /// The software of that master, digits and dots.
    pub version: String,
    /// Who voted and learned.
    pub membership: Membership,
    /// The masters by name, with the address of their API.
    pub masters: Vec<(String, String)>,
}

/// Why a file is not a backup that can be used.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The kernel refuses.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no backup of Shoal", .0.display())]
    Foreign(PathBuf),
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer version (format {format}, this version reads {FORMAT}); use that \
         version", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        format: u32,
    },
    /// Not what was written.
    #[error("{} is damaged at byte {offset}: {why}; use another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What was found.
        why: &'static str,
    },
}

/// Gives the bytes of a backup, to be sent in order: the head, each chunk, the end.
#[derive(Debug, Default)]
pub struct BackupBytes {
    chunks: u32,
}

impl BackupBytes {
    /// The bytes before the first chunk.
    pub fn head(&self, header: &BackupHeader) -> Bytes {
        let header = postcard::to_allocvec(header).expect("a header can be encoded");
        let mut out = BytesMut::with_capacity(32 + header.len());
        out.put_slice(MAGIC);
        out.put_u32_le(FORMAT);
        out.put_slice(&frames::before(&header));
        out.put_slice(&header);
        out.freeze()
    }

    /// The bytes before a chunk; the chunk follows.
    pub fn before(&mut self, chunk: &[u8]) -> Bytes {
        self.chunks += 1;
        Bytes::copy_from_slice(&frames::before(chunk))
    }

    /// The bytes after the last chunk.
    pub fn end(self) -> Bytes {
        Bytes::copy_from_slice(&frames::end(self.chunks))
    }
}

/// A backup that is being read.
#[derive(Debug)]
pub struct Backup<R = BufReader<File>> {
    path: PathBuf,
    header: BackupHeader,
    frames: Frames<R>,
}

impl Backup {
    /// Opens a backup and reads its header.
    ///
    /// # Errors
    /// [`BackupError`] says what the file is instead.
    pub fn open(path: &Path) -> Result<Backup, BackupError> {
        let io = |error| BackupError::Io {
            path: path.to_owned(),
            error,
        };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(BackupError::Foreign(path.to_owned()));
        }
        Backup::read(path, BufReader::new(file))
    }
}

impl<R: Read> Backup<R> {
    /// Reads the header of what comes from that path.
    pub(crate) fn read(path: &Path, mut reader: R) -> Result<Backup<R>, BackupError> {
        let io = |error| BackupError::Io {
            path: path.to_owned(),
            error,
        };
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(io)?;
        let Some(format) = head.strip_prefix(MAGIC) else {
            return Err(BackupError::Foreign(path.to_owned()));
        };
        let cut = |_| damaged(path, 8, "it is cut off");
        let format = u32::from_le_bytes(format.try_into().map_err(cut)?);
        match format {
            FORMAT => {}
            0 => return Err(damaged(path, 8, "it has no format")),
            format => {
                return Err(BackupError::Newer {
                    path: path.to_owned(),
                    format,
                });
            }
        }
        let mut frames = Frames::new(reader, HEAD);
        let header = frames.next(1).map_err(|error| translate(path, error))?;
        let header = header.ok_or_else(|| damaged(path, HEAD, "it has no header"))?;
        let header = postcard::from_bytes(&header)
            .map_err(|_| damaged(path, HEAD, "its header makes no sense"))?;
        Ok(Backup {
            path: path.to_owned(),
            header,
            frames,
        })
    }

    /// What it is of.
    pub fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// The next chunk of the ledger; `None` after the last, once the file is known to be whole.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] with the place, or the kernel refuses.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, BackupError> {
        let path = &self.path;
        self.frames.next(1).map_err(|error| translate(path, error))
    }

    /// How far it has been read, in bytes.
    pub fn offset(&self) -> u64 {
        self.frames.offset()
    }
}

fn damaged(path: &Path, offset: u64, why: &'static str) -> BackupError {
    BackupError::Damaged {
        path: path.to_owned(),
        offset,
        why,
    }
}

fn translate(path: &Path, error: FrameError) -> BackupError {
    match error {
        FrameError::Io(error) => BackupError::Io {
            path: path.to_owned(),
            error,
        },
        FrameError::Damaged { offset, why } => damaged(path, offset, why),
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::RaftId;

    use super::*;

    fn header() -> BackupHeader {
        BackupHeader {
            cluster: ClusterId(7),
            incarnation: Incarnation(1),
            index: Index(9),
            term: Term(2),
            taken: Timestamp::from_nanos(5),
            version: "0.1.0".to_owned(),
            membership: Membership::of(&[RaftId(1)]),
            masters: vec![("a".to_owned(), "127.0.0.1:5050".to_owned())],
        }
    }

    fn bytes() -> Vec<u8> {
        let mut encoder = BackupBytes::default();
        let mut out = encoder.head(&header()).to_vec();
        for chunk in [&b"first"[..], b"", b"third"] {
            out.extend_from_slice(&encoder.before(chunk));
            out.extend_from_slice(chunk);
        }
        out.extend_from_slice(&encoder.end());
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<Bytes>, BackupError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup");
        std::fs::write(&path, bytes).unwrap();
        let mut backup = Backup::open(&path)?;
        let mut chunks = Vec::new();
        while let Some(chunk) = backup.next_chunk()? {
            chunks.push(chunk);
        }
        assert_eq!(backup.header(), &header());
        Ok(chunks)
    }

    #[test]
    fn a_backup_is_read_as_written_or_not_at_all() {
        let good = bytes();
        assert_eq!(read(&good).unwrap(), [&b"first"[..], b"", b"third"]);
        for at in 0..good.len() {
            assert!(read(&good[..at]).is_err(), "cut at {at}");
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(read(&bad).is_err(), "byte {at}");
        }
        let more = [&good[..], b"x"].concat();
        assert!(matches!(read(&more), Err(BackupError::Damaged { .. })));
    }

    #[test]
    fn foreign_and_newer_files_are_named_so() {
        assert!(matches!(read(b"#!/bin/sh\n"), Err(BackupError::Foreign(_))));
        assert!(matches!(read(b""), Err(BackupError::Foreign(_))));
        let mut newer = bytes();
        newer[8] = 2;
        let error = read(&newer).unwrap_err();
        assert!(
            matches!(error, BackupError::Newer { format: 2, .. }),
            "{error}"
        );
    }
}
