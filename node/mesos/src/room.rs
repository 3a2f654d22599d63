//! The memory that a message takes, counted before it is taken.
//!
//! An empty message is two bytes on the wire and up to thousands in memory, as it has room for all of
//! its fields; a body of a mebibyte could so take gigabytes. In protobuf a body is weighed before it is
//! read, in JSON while it is. What deliberately does not live here: the length of bodies.

use std::cell::Cell;

use prost::encoding::{WireType, decode_key, decode_varint};
use serde::de::Error;

use crate::json::Message;
use crate::limits::{MESSAGE_DEPTH, MESSAGE_MEMORY, UNWEIGHED_BYTES};

/// What one occurrence of a field takes.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// In memory, what it points to apart.
    bytes: usize,
    /// The fields in it.
    inside: Option<fn(u32) -> Option<Part>>,
}

/// Bytes that one message takes at most; on the wire it may be two.
const PART_BYTES: usize = 16 * 1024;
const _: () = assert!(UNWEIGHED_BYTES / 2 * PART_BYTES <= MESSAGE_MEMORY);

impl Part {
    /// A message.
    pub const fn message<M: Message>() -> Part {
        const {
            assert!(size_of::<M>() <= PART_BYTES);
        }
        Part {
            bytes: size_of::<M>(),
            inside: Some(M::part),
        }
    }

    /// A text, or bytes.
    pub const fn text() -> Part {
        Part {
            bytes: size_of::<String>(),
            inside: None,
        }
    }

    /// An entry of a map from texts to messages.
    pub const fn entry<M: Message>() -> Part {
        Part {
            bytes: size_of::<String>(),
            inside: Some(|field| (field == 2).then(Part::message::<M>)),
        }
    }

    /// An entry of a map from texts to texts.
    pub const fn text_entry() -> Part {
        Part {
            bytes: 2 * size_of::<String>(),
            inside: None,
        }
    }
}

/// Whether a message in protobuf takes no more memory than it may. What is no protobuf is not found
/// out here.
pub fn fits<M: Message>(body: &[u8]) -> bool {
    weigh(body, M::part, MESSAGE_MEMORY, MESSAGE_DEPTH).is_some()
}

/// The room that is left after a body, of this much; `None` if it does not fit.
fn weigh(
    mut body: &[u8],
    part: fn(u32) -> Option<Part>,
    mut room: usize,
    depth: usize,
) -> Option<usize> {
    while let Ok((field, wire)) = decode_key(&mut body) {
        let length = match wire {
            WireType::Varint => match decode_varint(&mut body) {
                Ok(_) => continue,
                Err(_) => return Some(room),
            },
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => match decode_varint(&mut body) {
                Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
                Err(_) => return Some(room),
            },
            // Their fields stand between them, as if they were this message's own.
            WireType::StartGroup | WireType::EndGroup => continue,
        };
        let Some((value, rest)) = body.split_at_checked(length) else {
            return Some(room);
        };
        body = rest;
        if wire == WireType::LengthDelimited
            && let Some(Part { bytes, inside }) = part(field)
        {
            room = room.checked_sub(bytes)?;
            if let Some(inside) = inside
                && depth > 0
            {
                room = weigh(value, inside, room, depth - 1)?;
            }
        }
    }
    Some(room)
}

thread_local! {
    /// Of the message that is being read on this thread; `None` once it did not suffice.
    static ROOM: Cell<Option<usize>> = const { Cell::new(Some(usize::MAX)) };
}

/// Reads something that [`take`]s what it needs, and says what is left; `None` if it did not suffice.
pub fn limited<T>(read: impl FnOnce() -> T) -> (T, Option<usize>) {
    ROOM.set(Some(MESSAGE_MEMORY));
    let result = read();
    (result, ROOM.replace(Some(usize::MAX)))
}

/// Takes room for a part.
///
/// # Errors
/// There is none left.
pub fn take<E: Error>(bytes: usize) -> Result<(), E> {
    let left = ROOM.get().and_then(|room| room.checked_sub(bytes));
    ROOM.set(left);
    match left {
        Some(_) => Ok(()),
        None => Err(E::custom("it takes too much memory")),
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{Codec, DecodeError};
    use crate::proto::v1::scheduler::Call;

    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn many_empty_parts_are_refused_unread_in_either_encoding() {
        let operations = field(4, &[0x12, 0].repeat(40_000));
        let protobuf = [&[0x10, 3][..], &operations].concat();
        assert_eq!(
            Codec::Protobuf.decode::<Call>(&protobuf),
            Err(DecodeError::TooMuch)
        );
        let json = format!(
            "{{\"type\":\"ACCEPT\",\"accept\":{{\"operations\":[{}{{}}]}}}}",
            "{},".repeat(40_000)
        );
        assert_eq!(
            Codec::Json.decode::<Call>(json.as_bytes()),
            Err(DecodeError::TooMuch)
        );
        let after = Codec::Json.decode::<Call>(br#"{"type":"REVIVE"}"#);
        assert!(after.is_ok(), "{after:?}");
    }

    #[test]
    fn as_many_tasks_as_an_accept_may_have_fit() {
        let resource =
            |name: &str| format!(r#"{{"name":"{name}","type":"SCALAR","scalar":{{"value":0.1}}}}"#);
        let resources = ["cpus", "mem", "disk", "gpus"].map(resource).join(",");
        let task = format!(
            r#"{{"name":"t","task_id":{{"value":"t"}},"agent_id":{{"value":"a"}},"resources":[{resources}],"command":{{"value":"true","environment":{{"variables":[{{"name":"A","value":"b"}}]}}}}}}"#
        );
        let tasks = vec![task; shoal_api::limits::TASKS_PER_ACCEPT].join(",");
        let json = format!(
            r#"{{"type":"ACCEPT","accept":{{"operations":[{{"type":"LAUNCH","launch":{{"task_infos":[{tasks}]}}}}]}}}}"#
        );
        let call: Call = Codec::Json.decode(json.as_bytes()).expect("it fits");
        let again = Codec::Protobuf.decode::<Call>(&Codec::Protobuf.encode(&call));
        assert_eq!(again, Ok(call));
    }
}
