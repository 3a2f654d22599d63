//! JSON that leaves in pieces while it is being written.

use bytes::Bytes;

use crate::limits;

/// Puts the commas, and hands its buffer on when it is full. Holds at most
/// [`limits::LISTING_CHUNK_BYTES`] and what one entry adds.
pub struct Stream<'a> {
    out: Vec<u8>,
    /// Whether the innermost object or array has nothing in it yet.
    empty: bool,
    sink: &'a mut dyn FnMut(Bytes),
}

impl<'a> Stream<'a> {
    /// Nothing is written yet.
    pub fn new(sink: &'a mut dyn FnMut(Bytes)) -> Stream<'a> {
        Stream {
            out: Vec::with_capacity(limits::LISTING_CHUNK_BYTES),
            empty: true,
            sink,
        }
    }

    /// Opens an object or an array as the value of a key or of an item.
    pub fn open(&mut self, bracket: char) {
        self.out.push(bracket as u8);
        self.empty = true;
    }

    /// Closes what was opened last.
    pub fn close(&mut self, bracket: char) {
        self.out.push(bracket as u8);
        self.empty = false;
    }

    /// Starts a field of an object; the caller appends the value, or opens one.
    pub fn key(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        &mut self.out
    }

    /// Starts an item of an array; the caller appends the value, or opens one.
    pub fn item(&mut self) -> &mut Vec<u8> {
        if self.out.len() >= limits::LISTING_CHUNK_BYTES {
            self.hand_on();
        }
        self.separate();
        &mut self.out
    }

    /// Hands on what is left.
    pub fn finish(mut self) {
        if !self.out.is_empty() {
            self.hand_on();
        }
    }

    fn separate(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }

    fn hand_on(&mut self) {
        let next = Vec::with_capacity(limits::LISTING_CHUNK_BYTES);
        let full = std::mem::replace(&mut self.out, next);
        (self.sink)(Bytes::from(full));
    }
}
