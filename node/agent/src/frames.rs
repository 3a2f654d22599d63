//! The checkpoint log as bytes: frames of records, each whole or not there.
//!
//! A frame is one append and one sync. Before its body it has its length, a sum of the body and a sum
//! of both, so that a frame which a crash tore is told from one that was damaged later: nothing whole
//! can follow a torn frame, as the next one is written only once the last is on disk. What deliberately
//! does not live here: files, and who may write them.

use thiserror::Error;

use crate::limits;
use crate::record::Record;

/// What a checkpoint log begins with.
pub const MAGIC: &[u8; 8] = b"shoalcp1";
const HEADER: usize = 12;

/// Why bytes are not a checkpoint log that can be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramesError {
    /// They do not begin as one.
    #[error("not a checkpoint log of this version")]
    Unknown,
    /// Something that was on disk is not what was written.
    #[error("damaged at byte {offset}")]
    Damaged {
        /// Where.
        offset: usize,
    },
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
        let header = header(length, crc32fast::hash(body));
        self.bytes[begin..begin + HEADER].copy_from_slice(&header);
    }
}

/// The first of whole frames that follow each other, and the rest of them.
///
/// # Panics
/// If the bytes are not what [`Frames::take`] gave.
pub fn split_first(frames: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, _) = frames.split_first_chunk::<4>()?;
    Some(frames.split_at(HEADER + u32::from_le_bytes(*length) as usize))
}

/// All records of a log, the magic in front, and where its last whole frame ends: what follows was torn
/// by a crash and is to be cut. `synced` is how long the log is known to have been on disk, 0 if that is
/// not known.
///
/// # Errors
/// [`FramesError`]; nothing of it may be relied on then.
pub fn read(bytes: &[u8], synced: u64) -> Result<(Vec<Record>, usize), FramesError> {
    if (bytes.len() as u64) < synced {
        let offset = bytes.len();
        return Err(FramesError::Damaged { offset });
    }
    if !bytes.starts_with(MAGIC) {
        return Err(FramesError::Unknown);
    }
    let mut records = Vec::new();
    let mut at = MAGIC.len();
    while at < bytes.len() {
        let Some(body) = whole_frame(&bytes[at..]) else {
            let more = (at + 1..bytes.len()).any(|later| whole_frame(&bytes[later..]).is_some());
            if more {
                return Err(FramesError::Damaged { offset: at });
            }
            break;
        };
        read_records(body, &mut records).ok_or(FramesError::Damaged { offset: at })?;
        at += HEADER + body.len();
    }
    if (at as u64) < synced {
        return Err(FramesError::Damaged { offset: at });
    }
    Ok((records, at))
}

fn header(length: u32, sum: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    let of_both = crc32fast::hash(&header[..8]);
    header[8..].copy_from_slice(&of_both.to_le_bytes());
    header
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
    (crc32fast::hash(body) == number(4)).then_some(body)
}

fn read_records(mut body: &[u8], records: &mut Vec<Record>) -> Option<()> {
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        records.push(Record::decode(record).ok()?);
        body = rest;
    }
    body.is_empty().then_some(())
}
