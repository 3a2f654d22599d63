//! The keeper's journal: what it intended, started and saw end.
//!
//! It protects against the death of the keeper, not of the machine: records are handed to the kernel
//! and never synced, since no process outlives the machine. After a power cut the tail may be missing
//! or damaged; it is cut at the first record that is not whole, and all that ran is known to be gone
//! by the boot id.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::BootId;
use crate::protocol::{End, Failure};

pub(crate) const MAGIC: &[u8; 8] = b"shoalkj1";

/// One thing that happened. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// A process is about to be started.
    Intended { key: String },
    /// It was.
    Started {
        key: String,
        pid: u32,
        /// In the kernel's ticks since boot: tells two processes of one number apart.
        started: u64,
        boot: BootId,
        at: i64,
    },
    /// It was not.
    NotStarted {
        key: String,
        failure: Failure,
        at: i64,
    },
    /// It ended.
    Ended { key: String, end: End, at: i64 },
    /// Nobody will ask for it again.
    Forgotten { key: String },
}

/// The file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Journal {
    /// Opens the journal, or makes an empty one, and gives back what it holds.
    pub fn open(path: &Path) -> io::Result<(Journal, Vec<Record>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole_header = bytes.starts_with(MAGIC);
        if !whole_header && !MAGIC.starts_with(&bytes) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is not a journal of this version", path.display()),
            ));
        }
        let (records, mut length) = if whole_header {
            read_records(&bytes)
        } else {
            (Vec::new(), 0)
        };
        file.set_len(length as u64)?;
        file.seek(io::SeekFrom::End(0))?;
        if length == 0 {
            file.write_all(MAGIC)?;
            length = MAGIC.len();
        }
        let journal = Journal {
            path: path.to_owned(),
            file,
            length: length as u64,
        };
        Ok((journal, records))
    }

    /// Appends a record.
    pub fn append(&mut self, record: &Record) -> io::Result<()> {
        let bytes = encode(record);
        if let Err(error) = self.file.write_all(&bytes) {
            // Half a record would hide all that follow it.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Replaces all records by these.
    pub fn replace(&mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        for record in records {
            bytes.extend(encode(record));
        }
        let next = self.path.with_extension("next");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&next)?;
        file.write_all(&bytes)?;
        drop(file);
        std::fs::rename(&next, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.length = bytes.len() as u64;
        Ok(())
    }
}

pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = postcard::to_extend(record, vec![0; 8]).expect("a record is always encodable");
    let length = u32::try_from(bytes.len() - 8).expect("a record is short");
    let sum = crc32fast::hash(&bytes[8..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// All whole records after the header, and where they end.
pub(crate) fn read_records(bytes: &[u8]) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut at = MAGIC.len();
    while let Some((record, length)) = read_record(&bytes[at..]) {
        records.push(record);
        at += length;
    }
    (records, at)
}

fn read_record(bytes: &[u8]) -> Option<(Record, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let body = rest.get(..length)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    let record = postcard::from_bytes(body).ok()?;
    Some((record, 8 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        vec![
            Record::Intended { key: "a".into() },
            Record::Started {
                key: "a".into(),
                pid: 7,
                started: 99,
                boot: BootId(5),
                at: 1,
            },
            Record::Ended {
                key: "a".into(),
                end: End::Code(3),
                at: 2,
            },
        ]
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, empty) = Journal::open(&path).unwrap();
        assert!(empty.is_empty());
        for record in records() {
            journal.append(&record).unwrap();
        }
        assert_eq!(Journal::open(&path).unwrap().1, records());
        journal.replace(&records()[..1]).unwrap();
        journal.append(&records()[2]).unwrap();
        let expected = vec![records()[0].clone(), records()[2].clone()];
        assert_eq!(Journal::open(&path).unwrap().1, expected);
    }

    #[test]
    fn a_torn_or_damaged_tail_is_cut_and_can_be_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for record in records() {
            journal.append(&record).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut journal, read) = Journal::open(&path).unwrap();
            assert_eq!(read, records()[..read.len()]);
            journal.append(&records()[0]).unwrap();
            assert_eq!(Journal::open(&path).unwrap().1.len(), read.len() + 1);
        }
        for at in MAGIC.len()..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            let (_, read) = Journal::open(&path).unwrap();
            assert!(read.len() < 3);
            assert_eq!(read, records()[..read.len()]);
        }
        std::fs::write(&path, b"something else").unwrap();
        assert!(Journal::open(&path).is_err());
    }
}
