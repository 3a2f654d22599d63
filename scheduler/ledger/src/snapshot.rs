//! Snapshots: the state as chunks of rows, each chunk with its own checksum.
//!
//! Written from images, so that the state moves on meanwhile. Where chunks are stored and how they
//! travel is not decided here.
//!
//! A chunk is `magic, format, kind, sequence, module, table, section version, rows, length,
//! payload, checksum`, all numbers little endian. Each section begins a chunk of its own. The last
//! chunk is the trailer: how many chunks and rows there are, and the hash of the whole state.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::entry::ModuleNumber;
use crate::hash::{StateHash, append_postcard};
use crate::limits;
use crate::table::TableNumber;

const MAGIC: [u8; 4] = *b"SHLS";
const FORMAT: u8 = 1;
const KIND_ROWS: u8 = 1;
const KIND_TRAILER: u8 = 2;
const HEAD_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;

/// Which table a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectionId {
    /// Of which module.
    pub module: ModuleNumber,
    /// Which of its tables.
    pub table: TableNumber,
}

impl SectionId {
    /// What distinguishes equal rows of different tables in hashes.
    pub(crate) fn seed(self) -> u64 {
        (u64::from(self.module.0) << 16) | u64::from(self.table.0)
    }
}

impl std::fmt::Display for SectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.module.0, self.table.0)
    }
}

/// Why chunks are not a snapshot of this version. Nothing was restored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Bits flipped, or bytes are missing.
    #[error("snapshot chunk {chunk} is damaged: {why}")]
    Damaged {
        /// Its position.
        chunk: usize,
        /// What was found.
        why: &'static str,
    },
    /// Written by a newer version.
    #[error("snapshot chunk {chunk} has format {format}, this version reads format {FORMAT}")]
    UnknownFormat {
        /// Its position.
        chunk: usize,
        /// What it has.
        format: u8,
    },
    /// The trailer is missing or counts something else.
    #[error("the snapshot is incomplete: {0}")]
    Incomplete(&'static str),
    /// A section that this version needs is not there.
    #[error("the snapshot has no section {section}")]
    Missing {
        /// Which.
        section: SectionId,
    },
    /// A section has a newer version.
    #[error("section {section} has version {version}, this version reads at most {known}")]
    Newer {
        /// Which.
        section: SectionId,
        /// What it has.
        version: u16,
        /// What is known.
        known: u16,
    },
    /// A section that this version does not know.
    #[error("section {section} is not known to this version")]
    Unknown {
        /// Which.
        section: SectionId,
    },
    /// A row cannot be read.
    #[error("row {row} of section {section} is malformed")]
    Malformed {
        /// Which section.
        section: SectionId,
        /// Its position in it.
        row: usize,
    },
    /// Rows are not in ascending order.
    #[error("the rows of section {section} are out of order")]
    Disordered {
        /// Which section.
        section: SectionId,
    },
    /// The restored state is not the one that was written.
    #[error("the restored state has hash {found}, the snapshot was written of {expected}")]
    WrongHash {
        /// Of the trailer.
        expected: StateHash,
        /// Of the restored state.
        found: StateHash,
    },
}

/// Writes sections of rows into chunks.
#[derive(Debug, Default)]
pub struct Writer {
    section: Option<(SectionId, u16)>,
    payload: Vec<u8>,
    rows_in_chunk: u32,
    rows: u64,
    count: u32,
    chunks: Vec<Bytes>,
    sink: Option<Sink>,
}

/// Where chunks go as soon as they are full.
struct Sink(Box<dyn FnMut(Bytes)>);

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

impl Writer {
    /// An empty snapshot.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// An empty snapshot whose chunks are not kept: each is given away once it is full.
    pub fn into_sink(sink: impl FnMut(Bytes) + 'static) -> Writer {
        Writer {
            sink: Some(Sink(Box::new(sink))),
            ..Writer::default()
        }
    }

    /// Begins a section; an empty one is still there when read.
    pub fn begin(&mut self, section: SectionId, version: u16) {
        self.close_chunk();
        self.section = Some((section, version));
    }

    /// Adds a row to the section begun last.
    pub fn row<T: Serialize>(&mut self, row: &T) {
        let (section, version) = self.section.expect("a row belongs to a section");
        let before = self.payload.len();
        append_postcard(row, &mut self.payload);
        assert!(
            self.payload.len() - before <= limits::SNAPSHOT_ROW_BYTES,
            "a row of section {section} is larger than its bound"
        );
        self.rows_in_chunk += 1;
        self.rows += 1;
        if self.payload.len() >= limits::SNAPSHOT_CHUNK_BYTES {
            self.close_chunk();
            self.section = Some((section, version));
        }
    }

    /// Closes the snapshot with the hash of the state it was written of. Without a sink, all of its
    /// chunks come back.
    pub fn finish(mut self, hash: StateHash) -> Arc<[Bytes]> {
        self.close_chunk();
        let mut payload = Vec::with_capacity(28);
        payload.put_u32_le(self.count);
        payload.put_u64_le(self.rows);
        payload.put_u128_le(hash.0);
        let nothing = SectionId {
            module: ModuleNumber(0),
            table: TableNumber(0),
        };
        self.push(KIND_TRAILER, nothing, 0, 0, &payload);
        Arc::from(self.chunks)
    }

    fn close_chunk(&mut self) {
        let Some((section, version)) = self.section.take() else {
            return;
        };
        let payload = std::mem::take(&mut self.payload);
        let rows = std::mem::take(&mut self.rows_in_chunk);
        self.push(KIND_ROWS, section, version, rows, &payload);
        self.payload = payload;
        self.payload.clear();
    }

    fn push(&mut self, kind: u8, section: SectionId, version: u16, rows: u32, payload: &[u8]) {
        let mut out = BytesMut::with_capacity(HEAD_BYTES + payload.len() + CHECKSUM_BYTES);
        out.put_slice(&MAGIC);
        out.put_u8(FORMAT);
        out.put_u8(kind);
        out.put_u32_le(self.count);
        out.put_u16_le(section.module.0);
        out.put_u16_le(section.table.0);
        out.put_u16_le(version);
        out.put_u32_le(rows);
        out.put_u32_le(payload.len() as u32);
        debug_assert_eq!(out.len(), HEAD_BYTES);
        out.put_slice(payload);
        let checksum = xxh3_64(&out);
        out.put_u64_le(checksum);
        self.count += 1;
        match &mut self.sink {
            Some(Sink(give)) => give(out.freeze()),
            None => self.chunks.push(out.freeze()),
        }
    }
}

/// What a chunk says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkSeen {
    /// Rows of a section.
    Rows {
        /// Which.
        section: SectionId,
        /// Its version.
        version: u16,
        /// How many.
        rows: u32,
    },
    /// The end, with the hash of the state.
    Trailer(StateHash),
}

/// Looks at one chunk, the one at that position: its checksum is verified, its rows are not read.
///
/// # Errors
/// [`SnapshotError::Damaged`], or a newer format.
pub fn look_at(position: usize, bytes: &Bytes) -> Result<ChunkSeen, SnapshotError> {
    let chunk = verify(position, bytes)?;
    match (chunk.kind, chunk.payload.get(12..28)) {
        (KIND_TRAILER, Some(hash)) => {
            let hash = hash.try_into().expect("16 bytes");
            Ok(ChunkSeen::Trailer(StateHash(u128::from_le_bytes(hash))))
        }
        _ => Ok(ChunkSeen::Rows {
            section: chunk.section,
            version: chunk.version,
            rows: chunk.rows,
        }),
    }
}

/// A snapshot whose chunks are all there and undamaged; sections are taken out one by one.
#[derive(Debug)]
pub struct Snapshot {
    sections: Vec<Section>,
    rows: u64,
    hash: StateHash,
}

#[derive(Debug)]
struct Section {
    id: SectionId,
    version: u16,
    pieces: Vec<(u32, Bytes)>,
}

/// One chunk, its checksum verified.
struct Chunk {
    kind: u8,
    sequence: u32,
    section: SectionId,
    version: u16,
    rows: u32,
    payload: Bytes,
}

impl Snapshot {
    /// Verifies all chunks: checksums, order, completeness.
    ///
    /// # Errors
    /// [`SnapshotError`] names the damaged chunk.
    pub fn open(chunks: &[Bytes]) -> Result<Snapshot, SnapshotError> {
        let (last, body) = chunks
            .split_last()
            .ok_or(SnapshotError::Incomplete("it has no chunks"))?;
        let mut snapshot = Snapshot {
            sections: Vec::new(),
            rows: 0,
            hash: StateHash::EMPTY,
        };
        for (position, bytes) in body.iter().enumerate() {
            let chunk = verify(position, bytes)?;
            if chunk.kind != KIND_ROWS {
                return Err(SnapshotError::Incomplete("a trailer stands in the middle"));
            }
            snapshot.rows += u64::from(chunk.rows);
            snapshot.place(chunk);
        }
        let trailer = verify(body.len(), last)?;
        if trailer.kind != KIND_TRAILER || trailer.payload.len() != 28 {
            return Err(SnapshotError::Incomplete("its trailer is missing"));
        }
        let (chunk_count, rest) = trailer.payload.split_at(4);
        let (row_count, hash) = rest.split_at(8);
        if chunk_count != (body.len() as u32).to_le_bytes() {
            return Err(SnapshotError::Incomplete("its trailer counts other chunks"));
        }
        if row_count != snapshot.rows.to_le_bytes() {
            return Err(SnapshotError::Incomplete("its trailer counts other rows"));
        }
        let hash: [u8; 16] = hash.try_into().expect("28 bytes were checked");
        snapshot.hash = StateHash(u128::from_le_bytes(hash));
        Ok(snapshot)
    }

    /// The hash of the state that was written.
    pub fn hash(&self) -> StateHash {
        self.hash
    }

    /// How many rows there are in all sections.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes a section's rows out.
    ///
    /// # Errors
    /// The section is missing or newer than `known`; later, for each row: it is malformed.
    pub fn take<T: DeserializeOwned>(
        &mut self,
        id: SectionId,
        known: u16,
    ) -> Result<SectionRows<T>, SnapshotError> {
        let at = self
            .sections
            .iter()
            .position(|section| section.id == id)
            .ok_or(SnapshotError::Missing { section: id })?;
        let section = self.sections.remove(at);
        if section.version > known {
            return Err(SnapshotError::Newer {
                section: id,
                version: section.version,
                known,
            });
        }
        Ok(SectionRows {
            id,
            pieces: section.pieces.into_iter(),
            current: Bytes::new(),
            left: 0,
            row: 0,
            done: false,
            marker: std::marker::PhantomData,
        })
    }

    /// Ends the reading: every section must have been taken, and the restored state be the written.
    ///
    /// # Errors
    /// [`SnapshotError::Unknown`] or [`SnapshotError::WrongHash`].
    pub fn finish(self, restored: StateHash) -> Result<(), SnapshotError> {
        if let Some(section) = self.sections.first() {
            return Err(SnapshotError::Unknown {
                section: section.id,
            });
        }
        if restored != self.hash {
            return Err(SnapshotError::WrongHash {
                expected: self.hash,
                found: restored,
            });
        }
        Ok(())
    }

    fn place(&mut self, chunk: Chunk) {
        let piece = (chunk.rows, chunk.payload);
        match self.sections.last_mut() {
            Some(section) if section.id == chunk.section && section.version == chunk.version => {
                section.pieces.push(piece);
            }
            Some(_) | None => self.sections.push(Section {
                id: chunk.section,
                version: chunk.version,
                pieces: vec![piece],
            }),
        }
    }
}

fn verify(position: usize, bytes: &Bytes) -> Result<Chunk, SnapshotError> {
    let damaged = |why| SnapshotError::Damaged {
        chunk: position,
        why,
    };
    if bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
        return Err(damaged("it is too short"));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if content[..4] != MAGIC {
        return Err(damaged("it does not begin as a chunk"));
    }
    if xxh3_64(content).to_le_bytes() != checksum {
        return Err(damaged("its checksum differs"));
    }
    if content[4] != FORMAT {
        return Err(SnapshotError::UnknownFormat {
            chunk: position,
            format: content[4],
        });
    }
    let u16_at = |at: usize| u16::from_le_bytes([content[at], content[at + 1]]);
    let u32_at =
        |at: usize| u32::from_le_bytes(content[at..at + 4].try_into().expect("four bytes"));
    let chunk = Chunk {
        kind: content[5],
        sequence: u32_at(6),
        section: SectionId {
            module: ModuleNumber(u16_at(10)),
            table: TableNumber(u16_at(12)),
        },
        version: u16_at(14),
        rows: u32_at(16),
        payload: bytes.slice(HEAD_BYTES..content.len()),
    };
    if u32_at(20) as usize != chunk.payload.len() {
        return Err(damaged("its length differs"));
    }
    if chunk.sequence as usize != position {
        return Err(damaged("it stands at another position"));
    }
    Ok(chunk)
}

/// The rows of one section, decoded one by one.
#[derive(Debug)]
pub struct SectionRows<T> {
    id: SectionId,
    pieces: std::vec::IntoIter<(u32, Bytes)>,
    current: Bytes,
    left: u32,
    row: usize,
    done: bool,
    marker: std::marker::PhantomData<T>,
}

impl<T: DeserializeOwned> SectionRows<T> {
    fn malformed(&mut self) -> Option<Result<T, SnapshotError>> {
        self.done = true;
        Some(Err(SnapshotError::Malformed {
            section: self.id,
            row: self.row,
        }))
    }
}

impl<T: DeserializeOwned> Iterator for SectionRows<T> {
    type Item = Result<T, SnapshotError>;

    fn next(&mut self) -> Option<Result<T, SnapshotError>> {
        if self.done {
            return None;
        }
        while self.left == 0 {
            if !self.current.is_empty() {
                return self.malformed();
            }
            (self.left, self.current) = self.pieces.next()?;
        }
        match postcard::take_from_bytes::<T>(&self.current) {
            Ok((row, rest)) => {
                let used = self.current.len() - rest.len();
                self.current = self.current.slice(used..);
                self.left -= 1;
                self.row += 1;
                Some(Ok(row))
            }
            Err(_) => self.malformed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SectionId = SectionId {
        module: ModuleNumber(1),
        table: TableNumber(1),
    };
    const B: SectionId = SectionId {
        module: ModuleNumber(1),
        table: TableNumber(2),
    };

    fn sample() -> Arc<[Bytes]> {
        let mut writer = Writer::new();
        writer.begin(A, 1);
        for row in 0..2_000_u64 {
            writer.row(&(row, vec![7_u8; 300]));
        }
        writer.begin(B, 3);
        writer.finish(StateHash(5))
    }

    #[test]
    fn sections_come_back_whole() {
        let chunks = sample();
        assert!(chunks.len() > 4, "{} chunks", chunks.len());
        let mut snapshot = Snapshot::open(&chunks).unwrap();
        assert!(snapshot.take::<u64>(B, 3).unwrap().next().is_none());
        let rows: Vec<(u64, Vec<u8>)> = snapshot
            .take(A, 1)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(rows.len(), 2_000);
        assert!(rows.iter().enumerate().all(|(i, row)| row.0 == i as u64));
        snapshot.finish(StateHash(5)).unwrap();
    }

    #[test]
    fn a_flipped_bit_a_lost_or_a_moved_chunk_is_found() {
        let chunks = sample();
        for (at, chunk) in chunks.iter().enumerate() {
            for bit in [0, 37, 80, chunk.len() * 8 - 1] {
                let mut bytes = chunk.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut all = chunks.to_vec();
                all[at] = bytes.into();
                assert!(Snapshot::open(&all).is_err(), "chunk {at} bit {bit}");
            }
            let mut fewer = chunks.to_vec();
            fewer.remove(at);
            assert!(Snapshot::open(&fewer).is_err(), "without chunk {at}");
        }
        let mut moved = chunks.to_vec();
        moved.swap(0, 1);
        assert!(Snapshot::open(&moved).is_err());
        assert!(Snapshot::open(&[]).is_err());
    }

    #[test]
    fn what_is_unknown_or_newer_or_different_is_refused() {
        let mut snapshot = Snapshot::open(&sample()).unwrap();
        assert!(matches!(
            snapshot.take::<u64>(B, 2),
            Err(SnapshotError::Newer { version: 3, .. })
        ));
        assert!(matches!(
            snapshot.take::<u64>(B, 3),
            Err(SnapshotError::Missing { .. })
        ));
        assert_eq!(
            snapshot.finish(StateHash(5)),
            Err(SnapshotError::Unknown { section: A })
        );
        let mut snapshot = Snapshot::open(&sample()).unwrap();
        let mut rows = snapshot.take::<String>(A, 1).unwrap();
        assert!(rows.any(|row| row.is_err()));
        drop(snapshot.take::<u64>(B, 3).unwrap());
        assert!(matches!(
            snapshot.finish(StateHash(6)),
            Err(SnapshotError::WrongHash { .. })
        ));
    }
}
