//! The writing half: appends to a buffer, never fails.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Names;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// An object being written: puts the commas.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object.
    pub fn new(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// Starts a field; the key comes with its comma in front, `,"name":`. The caller appends the
    /// value to what is returned.
    pub fn field(&mut self, key: &'static str) -> &mut Vec<u8> {
        let key = key.as_bytes();
        debug_assert!(key.starts_with(b",\"") && key.ends_with(b"\":"));
        self.out
            .extend_from_slice(if self.empty { &key[1..] } else { key });
        self.empty = false;
        self.out
    }

    /// Starts a field whose name is known only at run time.
    pub fn entry(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        text(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// `true` or `false`.
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// An integer as a number, whatever its width.
pub fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// The shortest text that reads back as the same double, always with a point or an exponent; what is
/// not finite is a quoted word.
pub fn double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        serde_json::to_writer(out, &value).expect("a buffer takes every number");
        return;
    }
    let word = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    self::word(out, word);
}

/// A text that is known to need no escapes.
pub fn word(out: &mut Vec<u8>, word: &str) {
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

/// A text, escaped where it must be.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut done = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[done..i]);
        escape(out, byte);
        done = i + 1;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.push(b'\\');
    out.push(short);
}

/// Bytes as base64 with padding.
pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let size = base64::encoded_len(bytes.len(), true).expect("a buffer's base64 fits in memory");
    out.push(b'"');
    let start = out.len();
    out.resize(start + size, 0);
    STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("the room was computed by the same library");
    out.push(b'"');
}

/// The name of an enum's value; a number that has none stands for itself.
pub fn named<E: Names>(out: &mut Vec<u8>, number: i32) {
    match E::name(number) {
        Some(name) => word(out, name),
        None => integer(out, number),
    }
}

/// An array.
pub fn list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        put(out, item);
    }
    out.push(b']');
}

/// A map, as an object.
pub fn map<T>(out: &mut Vec<u8>, items: &BTreeMap<String, T>, put: impl Fn(&mut Vec<u8>, &T)) {
    let mut object = Object::new(out);
    for (name, item) in items {
        put(object.entry(name), item);
    }
    object.end();
}
