//! A large message written field by field, in either encoding, without ever being whole in memory as a
//! message: what is held is its bytes, in pieces.

use bytes::{BufMut, Bytes};
use prost::encoding::{WireType, encode_key, encode_varint, key_len};

use crate::codec::Codec;
use crate::json::{Message, Names, write};
use crate::limits;

/// A field: its number in protobuf and its name in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field(pub u32, pub &'static str);

/// Bytes in pieces. A piece is closed once it is long enough, so that nothing is moved twice.
#[derive(Debug, Default)]
struct Rope {
    pieces: Vec<Bytes>,
    tail: Vec<u8>,
    length: usize,
}

impl Rope {
    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.length += self.tail.len();
            self.pieces
                .push(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }

    fn cut_if_long(&mut self) {
        if self.tail.len() >= limits::LISTING_CHUNK_BYTES {
            self.cut();
        }
    }

    fn len(&self) -> usize {
        self.length + self.tail.len()
    }

    fn append(&mut self, mut other: Rope) {
        if other.pieces.is_empty() {
            self.tail.extend_from_slice(&other.tail);
            self.cut_if_long();
            return;
        }
        self.cut();
        other.cut();
        self.length += other.length;
        self.pieces.append(&mut other.pieces);
    }
}

/// A message that is being written, with the messages inside of it that are open.
///
/// # Invariants
/// - JSON is one rope; in protobuf each open message has its own, since its length stands before it.
#[derive(Debug)]
pub struct Document {
    codec: Codec,
    ropes: Vec<Rope>,
    /// The open messages: their number, and whether nothing is in them yet.
    open: Vec<(u32, bool)>,
}

impl Document {
    /// A message of which nothing is written yet.
    pub fn new(codec: Codec) -> Document {
        let mut document = Document {
            codec,
            ropes: vec![Rope::default()],
            open: vec![(0, true)],
        };
        if codec == Codec::Json {
            document.tail().push(b'{');
        }
        document
    }

    /// Opens a message in a field.
    pub fn open(&mut self, field: Field) {
        match self.codec {
            Codec::Json => {
                self.name(field);
                self.tail().push(b'{');
            }
            Codec::Protobuf => self.ropes.push(Rope::default()),
        }
        self.open.push((field.0, true));
    }

    /// Closes what was opened last.
    pub fn close(&mut self) {
        let (number, _) = self.open.pop().expect("a message is open");
        match self.codec {
            Codec::Json => self.tail().push(b'}'),
            Codec::Protobuf => {
                let inner = self.ropes.pop().expect("an open message has a rope");
                let tail = self.tail();
                encode_key(number, WireType::LengthDelimited, tail);
                encode_varint(inner.len() as u64, tail);
                self.ropes
                    .last_mut()
                    .expect("the outermost rope stays")
                    .append(inner);
            }
        }
    }

    /// An enum.
    pub fn named<E: Names>(&mut self, field: Field, value: i32) {
        match self.codec {
            Codec::Json => {
                self.name(field);
                write::named::<E>(self.tail(), value);
            }
            Codec::Protobuf => {
                let tail = self.tail();
                encode_key(field.0, WireType::Varint, tail);
                encode_varint(i64::from(value) as u64, tail);
            }
        }
    }

    /// A double.
    pub fn double(&mut self, field: Field, value: f64) {
        match self.codec {
            Codec::Json => {
                self.name(field);
                write::double(self.tail(), value);
            }
            Codec::Protobuf => {
                let tail = self.tail();
                encode_key(field.0, WireType::SixtyFourBit, tail);
                tail.put_f64_le(value);
            }
        }
    }

    /// A message.
    pub fn message<M: Message>(&mut self, field: Field, message: &M) {
        match self.codec {
            Codec::Json => {
                self.name(field);
                message.put(self.tail());
            }
            Codec::Protobuf => self.put_protobuf(field, message),
        }
    }

    /// A list of messages; in JSON it is written though it is empty, as in Mesos' listings.
    pub fn list<M: Message>(&mut self, field: Field, messages: impl Iterator<Item = M>) {
        match self.codec {
            Codec::Json => {
                self.name(field);
                self.tail().push(b'[');
                for (i, message) in messages.enumerate() {
                    if i > 0 {
                        self.tail().push(b',');
                    }
                    message.put(self.tail());
                    self.ropes[0].cut_if_long();
                }
                self.tail().push(b']');
            }
            Codec::Protobuf => {
                for message in messages {
                    self.put_protobuf(field, &message);
                    let rope = self.ropes.last_mut().expect("the outermost rope stays");
                    rope.cut_if_long();
                }
            }
        }
    }

    /// The bytes, in order; never none.
    pub fn finish(mut self) -> Vec<Bytes> {
        assert_eq!(self.open.len(), 1, "a message was opened and not closed");
        if self.codec == Codec::Json {
            self.tail().push(b'}');
        }
        let mut rope = self.ropes.pop().expect("the outermost rope stays");
        rope.cut();
        rope.pieces
    }

    fn tail(&mut self) -> &mut Vec<u8> {
        let rope = self.ropes.last_mut().expect("the outermost rope stays");
        &mut rope.tail
    }

    fn name(&mut self, field: Field) {
        let (_, empty) = self.open.last_mut().expect("the document is open");
        let first = std::mem::replace(empty, false);
        let tail = self.tail();
        if !first {
            tail.push(b',');
        }
        write::word(tail, field.1);
        tail.push(b':');
    }

    fn put_protobuf<M: Message>(&mut self, field: Field, message: &M) {
        let length = message.encoded_len();
        let tail = self.tail();
        tail.reserve(length + key_len(field.0) + 10);
        encode_key(field.0, WireType::LengthDelimited, tail);
        encode_varint(length as u64, tail);
        message.encode(tail).expect("a buffer takes every message");
    }
}
