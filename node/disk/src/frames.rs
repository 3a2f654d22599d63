//! Frames: how snapshots and backups hold pieces of bytes, each with its checksum.
//!
//! ```text
//! { length u32 | crc32 u32 | piece }* | end u32 | count u32
//! ```
//!
//! What deliberately does not live here: what the pieces are, and the magic before them.

use std::io::{self, Read};

use bytes::{BufMut, Bytes};

use crate::limits::CHUNK_BYTES;

/// Stands where a length would: no piece is that long, while one may well be empty.
pub(crate) const END: u32 = u32::MAX;
const _: () = assert!(CHUNK_BYTES < END as usize);

/// What stands before a piece.
pub(crate) fn before(piece: &[u8]) -> [u8; 8] {
    assert!(
        piece.len() <= CHUNK_BYTES,
        "a piece of {} bytes",
        piece.len()
    );
    pair(
        u32::try_from(piece.len()).expect("the bound fits"),
        crc32fast::hash(piece),
    )
}

/// What stands after so many pieces.
pub(crate) fn end(count: u32) -> [u8; 8] {
    pair(END, count)
}

fn pair(first: u32, second: u32) -> [u8; 8] {
    let mut out = [0; 8];
    let mut rest = &mut out[..];
    rest.put_u32_le(first);
    rest.put_u32_le(second);
    out
}

/// Why the next piece cannot be read.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The kernel refuses.
    Io(io::Error),
    /// These bytes were not written so.
    Damaged {
        /// The beginning of the frame.
        offset: u64,
        /// What was found.
        why: &'static str,
    },
}

/// Reads frames one by one, from behind the magic; holds one piece at a time.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    reader: R,
    offset: u64,
    count: u32,
    ended: bool,
}

impl<R: Read> Frames<R> {
    /// From a reader that stands at that offset of its file.
    pub(crate) fn new(reader: R, offset: u64) -> Frames<R> {
        Frames {
            reader,
            offset,
            count: 0,
            ended: false,
        }
    }

    /// The next piece; `None` after the last, once the count and the end of the file are as they must
    /// be. `uncounted` pieces, heads, are not in the count.
    pub(crate) fn next(&mut self, uncounted: u32) -> Result<Option<Bytes>, FrameError> {
        if self.ended {
            return Ok(None);
        }
        let offset = self.offset;
        let damaged = |why| FrameError::Damaged { offset, why };
        let mut head = [0; 8];
        self.fill(&mut head, offset)?;
        let [a, b, c, d, e, f, g, h] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        let check = u32::from_le_bytes([e, f, g, h]);
        if length == END {
            if Some(check) != self.count.checked_sub(uncounted) {
                return Err(damaged("it counts other pieces than are there"));
            }
            let more = self.reader.read(&mut [0]).map_err(FrameError::Io)?;
            if more > 0 {
                return Err(damaged("more follows after its end"));
            }
            self.ended = true;
            return Ok(None);
        }
        if length as usize > CHUNK_BYTES {
            return Err(damaged("a piece says to be longer than any may be"));
        }
        let mut piece = vec![0; length as usize];
        self.fill(&mut piece, offset)?;
        if crc32fast::hash(&piece) != check {
            return Err(damaged("a checksum does not match"));
        }
        self.offset += 8 + u64::from(length);
        self.count += 1;
        Ok(Some(Bytes::from(piece)))
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    fn fill(&mut self, bytes: &mut [u8], offset: u64) -> Result<(), FrameError> {
        match self.reader.read_exact(bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(FrameError::Damaged {
                    offset,
                    why: "it is cut off",
                })
            }
            result => result.map_err(FrameError::Io),
        }
    }
}
