//! The datagram, and the frame of a stream: a head and sections, valid as a whole or dropped. Both
//! are sealed the same way and differ only in how long they may be.
//!
//! ```text
//! sealed:  version 1 | flags 1 | key id 4 | nonce 12 | sections, encrypted | tag 16
//! plain:   version 1 | flags 1 | 0 4 | hash of the label 4 | checksum 4 | sections
//! section: type 1 | length, a minimal varint of 1 to 3 bytes | body
//! ```
//!
//! The seal is ChaCha20-Poly1305 with a key of the cluster. It also covers the head and the cluster's
//! label, which is not sent, so that neither can be changed. The checksum of a plain datagram (CRC-32)
//! covers the same and stops damage only, nobody who means harm. A section of an unknown type is
//! skipped, so that a newer node can say more.
//!
//! # Why no nonce is used twice with one key
//!
//! A nonce is a number of 96 bits that a life counts up by one for each datagram, whatever key it
//! seals with. It starts at 63 random bits of the system's entropy, followed by 32 zeroes and after a
//! 0: two lives meet only if they draw the same 63 bits (or neighbours, if one sends more than 2^32
//! datagrams, 16 months at 100 a second). A million lives under one key make that less likely than
//! one in ten million; and a copied disk, which repeats node id and generation, draws other bits.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;

use crate::config::Label;
use crate::keyring::Secrecy;
use crate::limits;
use crate::stats::DropReason;

const VERSION: u8 = 1;
const NO_FLAGS: u8 = 0;
const NO_KEY: u32 = 0;
const KEY_HEAD_BYTES: usize = 1 + 1 + 4;
const NONCE_BYTES: usize = 12;
const SEALED_HEAD_BYTES: usize = KEY_HEAD_BYTES + NONCE_BYTES;
const TAG_BYTES: usize = 16;
const CHECKED_HEAD_BYTES: usize = KEY_HEAD_BYTES + 4;
const PLAIN_HEAD_BYTES: usize = CHECKED_HEAD_BYTES + 4;
const _: () = assert!(SEALED_HEAD_BYTES + TAG_BYTES == limits::ENVELOPE_BYTES);
const _: () = assert!(PLAIN_HEAD_BYTES <= limits::ENVELOPE_BYTES);

/// What carries sections, which says how long the whole may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// UDP.
    Datagram,
    /// One frame of a TCP stream.
    Frame,
}

impl Carrier {
    fn bytes(self) -> usize {
        match self {
            Carrier::Datagram => limits::DATAGRAM_BYTES,
            Carrier::Frame => limits::FRAME_BYTES,
        }
    }

    fn section_head(self) -> usize {
        match self {
            Carrier::Datagram => limits::SECTION_HEAD_BYTES,
            Carrier::Frame => limits::SECTION_HEAD_BYTES + 1,
        }
    }
}

/// The number of a sealed datagram, which is its nonce: a life counts it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(pub u128);

impl Number {
    /// The first of a life.
    fn first(entropy: u64) -> Number {
        Number(u128::from(entropy >> 1) << 32)
    }

    fn nonce(self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&self.0.to_be_bytes()[4..]);
        nonce
    }

    fn of_nonce(nonce: [u8; NONCE_BYTES]) -> Number {
        let number = nonce
            .iter()
            .fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        Number(number)
    }

    /// Whether one life counted to both, as far as one can see.
    pub fn is_of_the_run_of(self, other: Number) -> bool {
        (self.0 >> 32).abs_diff(other.0 >> 32) <= 1
    }
}

/// A label and keys, ready for sealing and opening.
#[derive(Debug)]
pub(crate) struct Seal {
    label: Label,
    hash: u32,
    secrecy: Secrecy,
    next: Number,
}

/// A datagram that was opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub sections: Vec<Section>,
    /// Its number, if it was sealed.
    pub number: Option<Number>,
}

impl Seal {
    /// The entropy must be the system's, drawn for this life.
    pub fn new(label: Label, secrecy: Secrecy, entropy: u64) -> Seal {
        let hash = crc32fast::hash(label.as_str().as_bytes());
        Seal {
            label,
            hash,
            secrecy,
            next: Number::first(entropy),
        }
    }

    /// Other keys, or another policy.
    pub fn set_secrecy(&mut self, secrecy: Secrecy) {
        self.secrecy = secrecy;
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

    /// What the seal covers beside the sections and the nonce.
    fn around(&self, head: &[u8]) -> Vec<u8> {
        [head, self.label.as_str().as_bytes()].concat()
    }

    /// Takes a datagram, or a frame of a stream, apart into its sections.
    ///
    /// # Errors
    /// The reason to drop all of it.
    pub fn open(&self, carrier: Carrier, datagram: &Bytes) -> Result<Opened, DropReason> {
        if datagram.len() > carrier.bytes() {
            return Err(DropReason::Long);
        }
        if datagram.len() < PLAIN_HEAD_BYTES {
            return Err(DropReason::Short);
        }
        let mut fields = &datagram[..];
        if fields.get_u8() != VERSION {
            return Err(DropReason::Version);
        }
        if fields.get_u8() != NO_FLAGS {
            return Err(DropReason::Flags);
        }
        let (sections, number) = match fields.get_u32() {
            NO_KEY => (self.open_plain(datagram)?, None),
            key => {
                let (sections, number) = self.open_sealed(key, datagram)?;
                (sections, Some(number))
            }
        };
        let sections = split(sections).ok_or(DropReason::Sections)?;
        Ok(Opened { sections, number })
    }

    fn open_plain(&self, datagram: &Bytes) -> Result<Bytes, DropReason> {
        if !self.secrecy.policy().takes_plain() {
            return Err(DropReason::Plain);
        }
        let (head, mut rest) = datagram.split_at(CHECKED_HEAD_BYTES);
        if (&head[KEY_HEAD_BYTES..]).get_u32() != self.hash {
            return Err(DropReason::Label);
        }
        let checksum = rest.get_u32();
        if checksum != self.checksum(head, rest) {
            return Err(DropReason::Checksum);
        }
        Ok(datagram.slice(PLAIN_HEAD_BYTES..))
    }

    fn open_sealed(&self, id: u32, datagram: &Bytes) -> Result<(Bytes, Number), DropReason> {
        let (head, rest) = datagram.split_at(KEY_HEAD_BYTES);
        let Some((nonce, rest)) = rest.split_first_chunk::<NONCE_BYTES>() else {
            return Err(DropReason::Short);
        };
        let Some((sections, tag)) = rest.split_last_chunk::<TAG_BYTES>() else {
            return Err(DropReason::Short);
        };
        let around = self.around(head);
        let mut known = false;
        for key in self.secrecy.opening(id) {
            known = true;
            let mut text = sections.to_vec();
            if key.open(*nonce, &around, &mut text, *tag) {
                return Ok((Bytes::from(text), Number::of_nonce(*nonce)));
            }
        }
        Err(match known {
            true => DropReason::Forged,
            false => DropReason::Key,
        })
    }

    fn take_number(&mut self) -> Number {
        let number = self.next;
        self.next = Number(number.0 + 1);
        number
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
    let mut length = 0;
    for shift in [0, 7, 14] {
        let byte = buffer.try_get_u8().ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let minimal = shift == 0 || byte != 0;
            return minimal.then_some(length);
        }
    }
    None
}

/// A datagram or a frame being written. It never grows beyond its bound: [`Writer::room`] says what fits.
#[derive(Debug)]
pub(crate) struct Writer {
    carrier: Carrier,
    buffer: Vec<u8>,
    sections: usize,
    sealed: bool,
}

impl Writer {
    pub fn new(seal: &Seal, carrier: Carrier) -> Writer {
        let mut buffer = Vec::with_capacity(limits::DATAGRAM_BYTES);
        buffer.put_u8(VERSION);
        buffer.put_u8(NO_FLAGS);
        let key = seal.secrecy.sealing();
        buffer.put_u32(key.map_or(NO_KEY, |key| key.id().0));
        let head = match key {
            Some(_) => SEALED_HEAD_BYTES,
            None => PLAIN_HEAD_BYTES,
        };
        buffer.resize(head, 0);
        Writer {
            carrier,
            buffer,
            sections: 0,
            sealed: key.is_some(),
        }
    }

    /// Bytes that the body of one more section may have.
    pub fn room(&self) -> usize {
        if self.sections == limits::SECTIONS {
            return 0;
        }
        let tail = if self.sealed { TAG_BYTES } else { 0 };
        (self.carrier.bytes() - tail - self.buffer.len())
            .saturating_sub(self.carrier.section_head())
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
        let mut length = body.len();
        while length >= 0x80 {
            self.buffer.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.buffer.put_u8(length as u8);
        self.buffer.put_slice(body);
        self.sections += 1;
    }

    /// Adds a section whose body is a message.
    pub fn message(&mut self, kind: u8, message: &impl Message) {
        self.section(kind, &message.encode_to_vec());
    }

    /// Adds bytes that may be sections or not.
    #[cfg(feature = "fuzzing")]
    pub fn raw(&mut self, sections: &[u8]) {
        let room = self.room() + limits::SECTION_HEAD_BYTES;
        self.buffer.put_slice(&sections[..sections.len().min(room)]);
    }

    /// The whole of it, sealed if this node seals.
    pub fn finish(mut self, seal: &mut Seal) -> Bytes {
        match self.sealed {
            true => self.seal(seal),
            false => self.check(seal),
        }
        assert!(self.buffer.len() <= self.carrier.bytes());
        Bytes::from(self.buffer)
    }

    fn seal(&mut self, seal: &mut Seal) {
        let nonce = seal.take_number().nonce();
        let (head, sections) = self.buffer.split_at_mut(SEALED_HEAD_BYTES);
        head[KEY_HEAD_BYTES..].copy_from_slice(&nonce);
        let key = seal.secrecy.sealing().expect("keys change between steps");
        let tag = key.seal(nonce, &seal.around(&head[..KEY_HEAD_BYTES]), sections);
        self.buffer.put_slice(&tag);
    }

    fn check(&mut self, seal: &Seal) {
        self.buffer[KEY_HEAD_BYTES..CHECKED_HEAD_BYTES].copy_from_slice(&seal.hash.to_be_bytes());
        let (head, rest) = self.buffer.split_at(CHECKED_HEAD_BYTES);
        let checksum = seal.checksum(head, &rest[4..]);
        self.buffer[CHECKED_HEAD_BYTES..PLAIN_HEAD_BYTES].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{Key, Keyring, Policy};

    fn plain(label: &str) -> Seal {
        let label = Label::new(label).expect("a short label");
        Seal::new(label, Secrecy::default(), 0)
    }

    fn sealed(label: &str, key: u8) -> Seal {
        let ring = Keyring::new(Key::new([key; 32]));
        let mut seal = plain(label);
        seal.set_secrecy(Secrecy::required(ring));
        seal.next = Number::first(u64::from(key) << 40);
        seal
    }

    fn sample(seal: &mut Seal) -> Bytes {
        let mut writer = Writer::new(seal, Carrier::Datagram);
        writer.section(1, &[7; 200]);
        writer.section(200, b"");
        writer.section(2, b"abc");
        writer.finish(seal)
    }

    #[test]
    fn round_trip() {
        for mut seal in [plain("a"), sealed("a", 1)] {
            let good = sample(&mut seal);
            let sections = seal.open(Carrier::Datagram, &good).expect("valid").sections;
            let kinds: Vec<_> = sections.iter().map(|s| (s.kind, s.body.len())).collect();
            assert_eq!(kinds, [(1, 200), (200, 0), (2, 3)]);
        }
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_dropped() {
        for mut seal in [plain("a"), sealed("a", 1)] {
            let good = sample(&mut seal);
            for cut in 0..good.len() {
                assert!(
                    seal.open(Carrier::Datagram, &good.slice(..cut)).is_err(),
                    "cut at {cut}"
                );
            }
            for bit in 0..good.len() * 8 {
                let mut bad = good.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    seal.open(Carrier::Datagram, &bad.into()).is_err(),
                    "bit {bit}"
                );
            }
        }
    }

    #[test]
    fn each_reason_is_told_apart() {
        let mut ours = plain("a");
        let good = sample(&mut ours).to_vec();
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            ours.open(Carrier::Datagram, &bad.into())
                .expect_err("damaged")
        };
        assert_eq!(with(0, 9), DropReason::Version);
        assert_eq!(with(1, 1), DropReason::Flags);
        assert_eq!(with(5, 1), DropReason::Key);
        assert_eq!(with(20, 1), DropReason::Checksum);
        let foreign = plain("b").open(Carrier::Datagram, &good.clone().into());
        assert_eq!(foreign, Err(DropReason::Label));
        assert_eq!(
            ours.open(Carrier::Datagram, &Bytes::new()),
            Err(DropReason::Short)
        );
        let long = Bytes::from(vec![VERSION; limits::DATAGRAM_BYTES + 1]);
        assert_eq!(ours.open(Carrier::Datagram, &long), Err(DropReason::Long));
        let empty = Writer::new(&ours, Carrier::Datagram).finish(&mut ours);
        assert_eq!(
            ours.open(Carrier::Datagram, &empty),
            Err(DropReason::Sections)
        );
    }

    #[test]
    fn without_the_key_nothing_is_read_and_nothing_is_said() {
        let mut ours = sealed("a", 1);
        let good = sample(&mut ours);
        assert!(!good.windows(7).any(|window| window == [7; 7]), "encrypted");
        assert_eq!(
            sealed("a", 2).open(Carrier::Datagram, &good),
            Err(DropReason::Key)
        );
        assert_eq!(
            plain("a").open(Carrier::Datagram, &good),
            Err(DropReason::Key)
        );
        assert_eq!(
            sealed("b", 1).open(Carrier::Datagram, &good),
            Err(DropReason::Forged)
        );
        let refused = ours.open(Carrier::Datagram, &sample(&mut plain("a")));
        assert_eq!(refused, Err(DropReason::Plain));
        let mut renamed = sample(&mut sealed("a", 2)).to_vec();
        renamed[2..6].copy_from_slice(&good[2..6]);
        assert_eq!(
            ours.open(Carrier::Datagram, &renamed.into()),
            Err(DropReason::Forged)
        );
    }

    #[test]
    fn nonces_count_up_whatever_the_key() {
        let mut ours = sealed("a", 1);
        let mut numbers = Vec::new();
        for key in [1, 1, 2, 2, 1] {
            let ring = Keyring::new(Key::new([key; 32]));
            ours.set_secrecy(Secrecy::required(ring));
            let datagram = sample(&mut ours);
            numbers.push(
                ours.open(Carrier::Datagram, &datagram)
                    .expect("valid")
                    .number
                    .expect("sealed"),
            );
        }
        let steps: Vec<_> = numbers
            .iter()
            .map(|number| number.0 - numbers[0].0)
            .collect();
        assert_eq!(steps, [0, 1, 2, 3, 4]);
        assert!(numbers[0].0 >> 95 == 0 && Number::first(u64::MAX).0 >> 95 == 0);
        assert!(numbers[0].is_of_the_run_of(numbers[4]));
        assert!(!numbers[0].is_of_the_run_of(Number::first(u64::MAX)));
    }

    #[test]
    fn each_step_of_the_migration_hears_the_steps_beside_it() {
        let ring = Keyring::new(Key::new([1; 32]));
        let steps = [
            Policy::Off,
            Policy::Incoming,
            Policy::Outgoing,
            Policy::Required,
        ];
        let mut seals = steps.map(|policy| {
            let keyring = (policy != Policy::Off).then(|| ring.clone());
            let mut seal = plain("a");
            seal.set_secrecy(Secrecy::new(policy, keyring).expect("it has a key"));
            seal
        });
        for (from, to, hears) in [(0, 1, true), (1, 0, true), (1, 2, true), (2, 1, true)]
            .into_iter()
            .chain([
                (2, 3, true),
                (3, 2, true),
                (0, 3, false),
                (3, 0, false),
                (2, 0, false),
            ])
        {
            let datagram = sample(&mut seals[from]);
            assert_eq!(
                seals[to].open(Carrier::Datagram, &datagram).is_ok(),
                hears,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn room_is_exact() {
        for mut seal in [plain(""), sealed("", 1)] {
            for carrier in [Carrier::Datagram, Carrier::Frame] {
                let mut writer = Writer::new(&seal, carrier);
                writer.section(1, &vec![0; writer.room()]);
                assert_eq!(writer.room(), 0);
                let whole = writer.finish(&mut seal);
                assert_eq!(whole.len(), carrier.bytes());
                assert!(seal.open(carrier, &whole).is_ok());
            }
        }
    }

    #[test]
    fn a_frame_is_too_long_for_a_datagram() {
        let mut seal = sealed("", 1);
        let mut writer = Writer::new(&seal, Carrier::Frame);
        writer.section(1, &vec![0; limits::DATAGRAM_BYTES]);
        let frame = writer.finish(&mut seal);
        let refused = seal.open(Carrier::Datagram, &frame);
        assert_eq!(refused, Err(DropReason::Long));
    }
}
