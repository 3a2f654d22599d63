//! RecordIO: a decimal length, a line feed, that many bytes, and at once the next length.
//!
//! Source: Mesos, its record framing. How records are cut into chunks carries no meaning.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::limits;

/// One record with its length in front. Records are never empty.
pub fn frame(record: &[u8]) -> Bytes {
    assert!(!record.is_empty(), "an empty record says nothing");
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(record.len()).as_bytes();
    let mut out = Vec::with_capacity(digits.len() + 1 + record.len());
    out.extend_from_slice(digits);
    out.push(b'\n');
    out.extend_from_slice(record);
    Bytes::from(out)
}

/// Why a stream cannot be read on. The decoder is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Something other than digits where a length should be.
    #[error("a record's length is not a decimal number")]
    BadLength,
    /// A record longer than [`limits::RECORD_BYTES`].
    #[error("a record is longer than {} bytes", limits::RECORD_BYTES)]
    TooLong,
}

/// Takes a stream apart, whatever the pieces in which it arrives.
///
/// Holds at most one incomplete record and what was pushed since the last [`Decoder::next_record`].
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// Of the record whose length is known and whose bytes are not all here.
    length: Option<usize>,
}

impl Decoder {
    /// Nothing has arrived.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Appends what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is to be closed.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, FrameError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.take_length()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Whether the stream may end here without cutting a record.
    pub fn is_between_records(&self) -> bool {
        self.buffer.is_empty() && self.length.is_none()
    }

    fn take_length(&mut self) -> Result<Option<usize>, FrameError> {
        let seen = self.buffer.len().min(limits::RECORD_LENGTH_DIGITS + 1);
        let head = &self.buffer[..seen];
        let end = head.iter().position(|b| *b == b'\n');
        let digits = &head[..end.unwrap_or(seen)];
        if !digits.iter().all(u8::is_ascii_digit) || end == Some(0) {
            return Err(FrameError::BadLength);
        }
        let Some(end) = end else {
            return if seen > limits::RECORD_LENGTH_DIGITS {
                Err(FrameError::TooLong)
            } else {
                Ok(None)
            };
        };
        let length = digits.iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'));
        if length > limits::RECORD_BYTES {
            return Err(FrameError::TooLong);
        }
        self.buffer.advance(end + 1);
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(pieces: &[&[u8]]) -> Result<Vec<Bytes>, FrameError> {
        let mut decoder = Decoder::new();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(record) = decoder.next_record()? {
                found.push(record);
            }
        }
        Ok(found)
    }

    #[test]
    fn what_is_framed_is_found_however_it_is_cut() {
        let stream = [frame(b"{\"a\":1}"), frame(b"x"), frame(&[b'y'; 1234])].concat();
        let whole = records(&[&stream]).unwrap();
        assert_eq!(whole.len(), 3);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(records(&bytes).unwrap(), whole);
        let odd: Vec<&[u8]> = stream.chunks(7).collect();
        assert_eq!(records(&odd).unwrap(), whole);
    }

    #[test]
    fn a_bad_length_is_refused() {
        for bad in [&b"x\n"[..], b"\n", b"-1\nx", b"1 \nx", b" 1\nx"] {
            assert_eq!(records(&[bad]), Err(FrameError::BadLength), "{bad:?}");
        }
        for long in [
            &b"99999999999\n"[..],
            b"99999999999999999999999999",
            b"67108865\n",
        ] {
            assert_eq!(records(&[long]), Err(FrameError::TooLong), "{long:?}");
        }
    }

    #[test]
    fn an_end_within_a_record_can_be_told() {
        let mut decoder = Decoder::new();
        assert!(decoder.is_between_records());
        decoder.push(b"5\nab");
        assert_eq!(decoder.next_record(), Ok(None));
        assert!(!decoder.is_between_records());
        decoder.push(b"cde");
        assert_eq!(
            decoder.next_record(),
            Ok(Some(Bytes::from_static(b"abcde")))
        );
        assert!(decoder.is_between_records());
    }
}
