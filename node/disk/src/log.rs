//! The log: segments of records, written at the end and removed from the front.
//!
//! Every segment begins with a record of the hard state, so that older ones can go. Beside the log
//! lies a mark, the last sequence known to be durable: it is written after each sync without a sync
//! of its own, and lets the last record be missed too, not only those in the middle.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use shoal_api::Index;
use shoal_quorum::{Batch, HardState};

use crate::file::{Io, is_full, sync_folder};
use crate::limits::SEGMENT_BYTES;
use crate::record::Record;

pub(crate) const PREFIX: &str = "log-";
const MARK: &str = "mark";

pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number:016x}"))
}

pub(crate) fn mark_path(folder: &Path) -> PathBuf {
    folder.join(MARK)
}

/// A segment that is only read any more.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) number: u64,
    /// The last entry in it or before it.
    pub(crate) last: Index,
}

/// Where the log stands when it is opened for writing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    pub(crate) sealed: VecDeque<Sealed>,
    /// The number of the segment that is written, and where its end is.
    pub(crate) current: Option<(u64, u64)>,
    pub(crate) last: Index,
    pub(crate) sequence: u64,
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Option<Index>,
}

/// The writing end of the log. Not shared: one thread owns it.
///
/// # Invariants
/// - records are written in the order of their sequence, without gaps;
/// - `synced` never exceeds what a sync has returned for.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    file: Option<File>,
    mark: File,
    number: u64,
    offset: u64,
    size: u64,
    position: Position,
    written: u64,
    synced: u64,
    scratch: Vec<u8>,
}

impl Log {
    /// Opens the log for writing where recovery found its end.
    pub(crate) fn open(folder: &Path, position: Position) -> io::Result<Log> {
        let mark = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(mark_path(folder))?;
        let mut log = Log {
            folder: folder.to_owned(),
            file: None,
            mark,
            number: 0,
            offset: 0,
            size: 0,
            written: position.sequence,
            synced: position.sequence,
            position,
            scratch: Vec::new(),
        };
        if let Some((number, end)) = log.position.current {
            let path = segment_path(folder, number);
            let file = OpenOptions::new().write(true).open(path)?;
            log.size = file.metadata()?.len();
            (log.file, log.number, log.offset) = (Some(file), number, end);
        }
        Ok(log)
    }

    /// Writes batches as records; they are durable after the next [`Log::sync`]. Written again after
    /// an error they land in the same place.
    pub(crate) fn write(&mut self, io: &dyn Io, batches: &[&Batch]) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let mut sequence = self.written;
        for batch in batches {
            sequence += 1;
            let record = Record {
                sequence,
                synced: self.synced,
                hard_state: batch.hard_state,
                snapshot: batch.snapshot.as_ref().map(|snapshot| snapshot.index),
                entries: batch.entries.clone(),
            };
            record.encode(&mut bytes);
        }
        let result = self.place(io, &bytes);
        self.scratch = bytes;
        result?;
        self.written = sequence;
        for batch in batches {
            self.position.hard_state = batch.hard_state.unwrap_or(self.position.hard_state);
            if let Some(snapshot) = &batch.snapshot {
                self.position.snapshot = Some(snapshot.index);
                self.position.last = snapshot.index;
            }
            if let Some(entry) = batch.entries.last() {
                self.position.last = entry.index;
            }
        }
        Ok(())
    }

    fn place(&mut self, io: &dyn Io, bytes: &[u8]) -> io::Result<()> {
        let room = self.size.saturating_sub(self.offset);
        if self.file.is_none() || room < bytes.len() as u64 {
            self.next_segment(io, bytes.len() as u64)?;
        }
        let file = self.file.as_ref().expect("a segment is open");
        io.write(file, bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Begins a segment with a record of the hard state, under its final name only when that is there.
    fn next_segment(&mut self, io: &dyn Io, least: u64) -> io::Result<()> {
        if let Some(file) = &self.file {
            // What is in the old segment must not be newer on disk than what the new one relies on.
            // A failed sync must not be tried again, not even for want of room.
            io.sync(file).map_err(io::Error::other)?;
        }
        let number = self.number + 1;
        let path = segment_path(&self.folder, number);
        let temporary = path.with_extension("tmp");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)?;
        let mut head = Vec::new();
        let record = Record {
            sequence: self.written,
            synced: self.synced,
            hard_state: Some(self.position.hard_state),
            snapshot: None,
            entries: Vec::new(),
        };
        record.encode(&mut head);
        let size = SEGMENT_BYTES.max(least + head.len() as u64);
        io.allocate(&file, size)?;
        io.write(&file, &head, 0)?;
        io.sync(&file)?;
        std::fs::rename(&temporary, &path)?;
        sync_folder(&self.folder)?;
        if self.file.is_some() {
            let sealed = Sealed {
                number: self.number,
                last: self.position.last,
            };
            self.position.sealed.push_back(sealed);
        }
        (self.file, self.number, self.offset, self.size) =
            (Some(file), number, head.len() as u64, size);
        Ok(())
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&mut self, io: &dyn Io) -> io::Result<()> {
        if let Some(file) = &self.file {
            io.sync(file)?;
        }
        self.synced = self.written;
        // A hint of its own accord: losing it makes damage to the last record look like a torn tail. A
        // full disk is no reason to stop.
        match io.write(&self.mark, &self.synced.to_le_bytes(), 0) {
            Err(error) if is_full(&error) => Ok(()),
            written => written,
        }
    }

    /// Removes segments that hold nothing after that index.
    pub(crate) fn compact(&mut self, through: Index) -> io::Result<()> {
        while let Some(oldest) = self.position.sealed.front() {
            if oldest.last > through {
                return Ok(());
            }
            std::fs::remove_file(segment_path(&self.folder, oldest.number))?;
            self.position.sealed.pop_front();
        }
        Ok(())
    }
}
