//! Snapshots, each in a file of its own: written aside, synced, then named.
//!
//! ```text
//! magic 8 bytes | length u32 | crc32 u32 | head | { length u32 | crc32 u32 | chunk }* | end u32 | count u32
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::{Index, Term};
use shoal_quorum::{Membership, Snapshot};

use crate::file::{Io, sync_folder};
use crate::frames::{self, END};
use crate::recovery::DamageError;

pub(crate) const MAGIC: &[u8; 8] = b"shoalsn1";
pub(crate) const PREFIX: &str = "snapshot-";

#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) index: Index,
    pub(crate) term: Term,
    pub(crate) membership: Membership,
}

fn path(folder: &Path, index: Index) -> PathBuf {
    folder.join(format!("{PREFIX}{:016x}", index.0))
}

/// Writes a snapshot durably, then removes the older ones. One that a newer one overtook is not
/// written. Only one may be written at a time: they share the removal of the older ones.
pub(crate) fn save(io: &dyn Io, folder: &Path, snapshot: &Snapshot) -> io::Result<()> {
    if list(folder)?
        .last()
        .is_some_and(|(newest, _)| *newest > snapshot.index)
    {
        return Ok(());
    }
    let (index, term) = (snapshot.index, snapshot.term);
    let mut file = SnapshotFile::create(io, folder, index, term, &snapshot.membership)?;
    for chunk in snapshot.chunks.iter() {
        file.chunk(chunk)?;
    }
    file.finish()
}

/// A snapshot that is being written, chunk by chunk. It has its name once it is finished.
#[derive(Debug)]
pub struct SnapshotFile<'a> {
    io: &'a dyn Io,
    folder: &'a Path,
    index: Index,
    file: File,
    offset: u64,
    chunks: u32,
}

impl<'a> SnapshotFile<'a> {
    /// Begins one, of the state at that index.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn create(
        io: &'a dyn Io,
        folder: &'a Path,
        index: Index,
        term: Term,
        membership: &Membership,
    ) -> io::Result<SnapshotFile<'a>> {
        let head = Head {
            index,
            term,
            membership: membership.clone(),
        };
        let head = postcard::to_allocvec(&head).map_err(io::Error::other)?;
        let mut file = SnapshotFile {
            io,
            folder,
            index,
            file: File::create(path(folder, index).with_extension("tmp"))?,
            offset: 0,
            chunks: 0,
        };
        file.put(MAGIC)?;
        file.piece(&head)?;
        Ok(file)
    }

    /// Writes the next chunk.
    ///
    /// # Errors
    /// The kernel refuses; the file is left unfinished, as after a crash.
    pub fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.chunks += 1;
        self.piece(chunk)
    }

    /// Makes it durable under its name, then removes the older ones.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn finish(mut self) -> io::Result<()> {
        self.put(&frames::end(self.chunks))?;
        self.io.sync(&self.file)?;
        let target = path(self.folder, self.index);
        std::fs::rename(target.with_extension("tmp"), &target)?;
        sync_folder(self.folder)?;
        for (index, older) in list(self.folder)? {
            if index < self.index {
                std::fs::remove_file(older)?;
            }
        }
        Ok(())
    }

    fn piece(&mut self, piece: &[u8]) -> io::Result<()> {
        self.put(&frames::before(piece))?;
        self.put(piece)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.offset;
        self.offset += bytes.len() as u64;
        self.io.write(&self.file, bytes, at)
    }
}

/// All snapshots, oldest first. What a crash left unfinished is removed.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<(Index, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(number) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if let Ok(index) = u64::from_str_radix(number, 16) {
            found.push((Index(index), path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes what a crash left unfinished.
pub(crate) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The newest snapshot.
pub(crate) fn load(folder: &Path) -> Result<Option<Snapshot>, DamageError> {
    let listed = list(folder).map_err(|error| DamageError::io("list", folder, error))?;
    let Some((_, path)) = listed.last() else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| DamageError::io("read", path, error))?;
    let bytes = Bytes::from(bytes);
    parse(&bytes)
        .map(Some)
        .map_err(|offset| DamageError::Damaged {
            path: path.clone(),
            offset: offset as u64,
        })
}

/// Reads a snapshot, or says where it is damaged.
pub(crate) fn parse(bytes: &Bytes) -> Result<Snapshot, usize> {
    if bytes.get(..8) != Some(MAGIC.as_slice()) {
        return Err(0);
    }
    let number = |at: usize| -> Result<usize, usize> {
        let four = bytes.get(at..at + 4).ok_or(at)?;
        Ok(u32::from_le_bytes(four.try_into().expect("four bytes")) as usize)
    };
    let mut at = 8;
    let mut pieces = Vec::new();
    loop {
        let length = number(at)?;
        let check = number(at + 4)?;
        if length == END as usize {
            if pieces.is_empty() || check != pieces.len() - 1 || at + 8 != bytes.len() {
                return Err(at);
            }
            break;
        }
        let end = at + 8 + length;
        let piece = bytes.get(at + 8..end).ok_or(at)?;
        if crc32fast::hash(piece) as usize != check {
            return Err(at);
        }
        pieces.push(bytes.slice(at + 8..end));
        at = end;
    }
    let head: Head = postcard::from_bytes(&pieces.remove(0)).map_err(|_| 8_usize)?;
    let Head {
        index,
        term,
        membership,
    } = head;
    Ok(Snapshot {
        index,
        term,
        membership,
        chunks: Arc::from(pieces),
    })
}

#[cfg(test)]
mod tests {
    use shoal_api::RaftId;

    use super::*;
    use crate::file::System;

    fn sample(index: u64) -> Snapshot {
        Snapshot {
            index: Index(index),
            term: Term(2),
            membership: Membership::of(&[RaftId(1), RaftId(2)]),
            chunks: Arc::new([
                Bytes::from_static(b"first"),
                Bytes::new(),
                Bytes::from_static(b"second"),
            ]),
        }
    }

    #[test]
    fn the_newest_is_found_and_the_older_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
        save(&System, folder.path(), &sample(3)).unwrap();
        save(&System, folder.path(), &sample(9)).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(sample(9)));
        assert_eq!(list(folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn one_that_was_overtaken_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        save(&System, folder.path(), &sample(9)).unwrap();
        save(&System, folder.path(), &sample(3)).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(sample(9)));
        assert_eq!(list(folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let folder = tempfile::tempdir().unwrap();
        save(&System, folder.path(), &sample(3)).unwrap();
        let good = std::fs::read(path(folder.path(), Index(3))).unwrap();
        for at in 0..good.len() {
            assert!(
                parse(&Bytes::copy_from_slice(&good[..at])).is_err(),
                "cut at {at}"
            );
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(parse(&bad.into()).is_err(), "byte {at}");
        }
        assert!(parse(&good.into()).is_ok());
    }
}
