//! JSON as Mesos writes and reads it.
//!
//! The generated code says what each message's fields are; [`mod@write`] and [`mod@read`] are the rules they
//! share. Source: `jsonify` and `json::parse` of Mesos, as a client sees them: proto names in
//! declaration order, enums by name, 64-bit numbers as numbers, bytes as base64, an unset field with
//! a default written unless it is deprecated; on reading, unknown fields are skipped, null is unset,
//! numbers and booleans may be texts, the last of two equal keys wins.

pub mod element;
pub mod missing;
pub mod read;
pub mod write;

use missing::Missing;

use crate::room::Part;

/// A message with both codecs. Implemented by the generated code only.
pub trait Message: prost::Message + Default {
    /// The full name, `mesos.v1.Offer` for instance.
    const NAME: &'static str;

    /// Appends the message as one line of JSON.
    fn put(&self, out: &mut Vec<u8>);

    /// The number of the field with that name in JSON; 0 if there is none.
    fn field(name: &str) -> u32;

    /// Takes the value of a field from an object.
    ///
    /// # Errors
    /// The value does not fit the field; the message is then to be thrown away.
    fn read<'de, A: serde::de::MapAccess<'de>>(
        &mut self,
        field: u32,
        map: &mut A,
    ) -> Result<(), A::Error>;

    /// Reports the required fields that are absent, here and inside.
    fn missing(&self, _report: &mut Missing) {}

    /// What the field with that number holds, if that takes memory beyond the bytes on the wire.
    fn part(_field: u32) -> Option<Part> {
        None
    }
}

/// The values of an enum by name. Implemented by the generated code only.
pub trait Names {
    /// The name of a number.
    fn name(number: i32) -> Option<&'static str>;
    /// The number of a name.
    fn number(name: &str) -> Option<i32>;
}

mod generated {
    use super::{Message, Missing, Names, Part, read, write};

    include!(concat!(env!("OUT_DIR"), "/mesos_json.rs"));
}
