//! The datagram: a fixed head and sections, valid as a whole or dropped.
//!
//! ```text
//! version 1 | flags 1 | key id 4 | hash of the label 4 | checksum 4 | sections
//! section: type 1 | length, a minimal varint of 1 or 2 bytes | body
//! ```
//!
//! Key id 0 means "not encrypted"; no other key exists yet. The checksum (CRC-32) covers the head
//! before it, the label itself, which is not sent, and the sections. A section of an unknown type
//! is skipped, so that a newer node can say more.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;

use crate::config::Label;
use crate::limits;
use crate::stats::DropReason;

const VERSION: u8 = 1;
const NO_FLAGS: u8 = 0;
const NO_KEY: u32 = 0;
const CHECKED_HEAD_BYTES: usize = limits::ENVELOPE_BYTES - 4;
const _: () = assert!(CHECKED_HEAD_BYTES == 1 + 1 + 4 + 4);

/// A label, ready for sealing and opening.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    label: Label,
    hash: u32,
}

impl Seal {
    pub fn new(label: Label) -> Seal {
        let hash = crc32fast::hash(label.as_str().as_bytes());
        Seal { label, hash }
    }

    fn checksum(&self, head: &[u8], sections: &[u8]) -> u32 {
        let label = self.label.as_str().as_bytes();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(head);
        hasher.update(&(label.len() as u32).to_be_bytes());
        hasher.update(label);
        hasher.update(sections);
        hasher.finalize()
    }

    /// Takes a datagram apart into its sections.
    ///
    /// # Errors
    /// The reason to drop all of it.
    pub fn open(&self, datagram: &Bytes) -> Result<Vec<Section>, DropReason> {
        if datagram.len() > limits::DATAGRAM_BYTES {
            return Err(DropReason::Long);
        }
        if datagram.len() < limits::ENVELOPE_BYTES {
            return Err(DropReason::Short);
        }
        let (head, mut rest) = datagram.split_at(CHECKED_HEAD_BYTES);
        let mut fields = head;
        if fields.get_u8() != VERSION {
            return Err(DropReason::Version);
        }
        if fields.get_u8() != NO_FLAGS {
            return Err(DropReason::Flags);
        }
        if fields.get_u32() != NO_KEY {
            return Err(DropReason::Key);
        }
        if fields.get_u32() != self.hash {
            return Err(DropReason::Label);
        }
        let checksum = rest.get_u32();
        if checksum != self.checksum(head, rest) {
            return Err(DropReason::Checksum);
        }
        split(datagram.slice(limits::ENVELOPE_BYTES..)).ok_or(DropReason::Sections)
    }
}

/// One section: its type and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub kind: u8,
    pub body: Bytes,
}

fn split(mut rest: Bytes) -> Option<Vec<Section>> {
    let mut sections = Vec::new();
    while rest.has_remaining() {
        if sections.len() == limits::SECTIONS {
            return None;
        }
        let kind = rest.try_get_u8().ok()?;
        let length = get_length(&mut rest)?;
        if length > rest.remaining() {
            return None;
        }
        let body = rest.split_to(length);
        sections.push(Section { kind, body });
    }
    (!sections.is_empty()).then_some(sections)
}

fn get_length(buffer: &mut Bytes) -> Option<usize> {
    let low = buffer.try_get_u8().ok()?;
    if low < 0x80 {
        return Some(usize::from(low));
    }
    let high = buffer.try_get_u8().ok()?;
    let minimal = high != 0 && high < 0x80;
    minimal.then_some(usize::from(low & 0x7f) | usize::from(high) << 7)
}

/// A datagram being written. It never grows beyond its bound: [`Writer::room`] says what fits.
#[derive(Debug)]
pub(crate) struct Writer {
    buffer: Vec<u8>,
    sections: usize,
}

impl Writer {
    pub fn new(seal: &Seal) -> Writer {
        let mut buffer = Vec::with_capacity(limits::DATAGRAM_BYTES);
        buffer.put_u8(VERSION);
        buffer.put_u8(NO_FLAGS);
        buffer.put_u32(NO_KEY);
        buffer.put_u32(seal.hash);
        buffer.put_u32(0);
        assert_eq!(buffer.len(), limits::ENVELOPE_BYTES);
        Writer {
            buffer,
            sections: 0,
        }
    }

    /// Bytes that the body of one more section may have.
    pub fn room(&self) -> usize {
        if self.sections == limits::SECTIONS {
            return 0;
        }
        (limits::DATAGRAM_BYTES - self.buffer.len()).saturating_sub(limits::SECTION_HEAD_BYTES)
    }

    /// Adds a section; its body must fit [`Writer::room`].
    pub fn section(&mut self, kind: u8, body: &[u8]) {
        assert!(
            body.len() <= self.room(),
            "a section of {} bytes does not fit {}",
            body.len(),
            self.room()
        );
        self.buffer.put_u8(kind);
        if body.len() < 0x80 {
            self.buffer.put_u8(body.len() as u8);
        } else {
            self.buffer.put_u8((body.len() & 0x7f) as u8 | 0x80);
            self.buffer.put_u8((body.len() >> 7) as u8);
        }
        self.buffer.put_slice(body);
        self.sections += 1;
    }

    /// Adds a section whose body is a message.
    pub fn message(&mut self, kind: u8, message: &impl Message) {
        self.section(kind, &message.encode_to_vec());
    }

    /// The datagram, checksum and all.
    pub fn finish(mut self, seal: &Seal) -> Bytes {
        let (head, rest) = self.buffer.split_at(CHECKED_HEAD_BYTES);
        let checksum = seal.checksum(head, &rest[4..]);
        self.buffer[CHECKED_HEAD_BYTES..limits::ENVELOPE_BYTES]
            .copy_from_slice(&checksum.to_be_bytes());
        assert!(self.buffer.len() <= limits::DATAGRAM_BYTES);
        Bytes::from(self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(label: &str) -> Seal {
        Seal::new(Label::new(label).expect("a short label"))
    }

    fn sample(seal: &Seal) -> Bytes {
        let mut writer = Writer::new(seal);
        writer.section(1, &[7; 200]);
        writer.section(200, b"");
        writer.section(2, b"abc");
        writer.finish(seal)
    }

    #[test]
    fn round_trip() {
        let seal = seal("a");
        let sections = seal.open(&sample(&seal)).expect("valid");
        let kinds: Vec<_> = sections.iter().map(|s| (s.kind, s.body.len())).collect();
        assert_eq!(kinds, [(1, 200), (200, 0), (2, 3)]);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_dropped() {
        let seal = seal("a");
        let good = sample(&seal);
        for cut in 0..good.len() {
            assert!(seal.open(&good.slice(..cut)).is_err(), "cut at {cut}");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(seal.open(&bad.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn each_reason_is_told_apart() {
        let ours = seal("a");
        let good = sample(&ours).to_vec();
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            ours.open(&bad.into()).expect_err("damaged")
        };
        assert_eq!(with(0, 9), DropReason::Version);
        assert_eq!(with(1, 1), DropReason::Flags);
        assert_eq!(with(5, 1), DropReason::Key);
        assert_eq!(with(20, 1), DropReason::Checksum);
        assert_eq!(seal("b").open(&good.clone().into()), Err(DropReason::Label));
        assert_eq!(ours.open(&Bytes::new()), Err(DropReason::Short));
        let long = Bytes::from(vec![VERSION; limits::DATAGRAM_BYTES + 1]);
        assert_eq!(ours.open(&long), Err(DropReason::Long));
        let empty = Writer::new(&ours).finish(&ours);
        assert_eq!(ours.open(&empty), Err(DropReason::Sections));
    }

    #[test]
    fn room_is_exact() {
        let seal = seal("");
        let mut writer = Writer::new(&seal);
        writer.section(1, &vec![0; writer.room()]);
        assert_eq!(writer.room(), 0);
        let datagram = writer.finish(&seal);
        assert_eq!(datagram.len(), limits::DATAGRAM_BYTES);
        assert!(seal.open(&datagram).is_ok());
    }
}
