//! Entries: what one position of the log carries, and its bytes.
//!
//! The order of entries, their index and their durability are not decided here.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use shoal_api::{Instant, Principal, RequestId, Timestamp};
use thiserror::Error;

use crate::hash::append_postcard;
use crate::limits;

/// Which module a command is for. Numbers are never used for another module again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModuleNumber(pub u16);

/// The version of the header that this build writes.
pub const HEADER_VERSION: u16 = 1;

/// The first byte of every entry: the framing of its commands.
const ENTRY_FORMAT: u8 = 1;

/// What every command carries beside its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`HEADER_VERSION`] of the writer.
    pub version: u16,
    /// Ledger time: advanced only by a leader's monotonic clock; all deadlines live on it.
    pub time: Instant,
    /// Calendar time of the proposer, for records and for cron.
    pub wall: Timestamp,
    /// In whose name.
    pub principal: Option<Principal>,
    /// Retried under the same id, applied once; its node is the origin. A counter of 0 is a command
    /// that is harmless when applied twice and is not remembered.
    pub request: RequestId,
    /// The lowest counter that the sender still waits for: outcomes below it are forgotten.
    pub lowest: u64,
}

/// One command: for one module, of a type that only that module knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// When, who, and under which request.
    pub header: Header,
    /// For whom.
    pub module: ModuleNumber,
    /// At most [`limits::COMMAND_BODY_BYTES`].
    pub body: Bytes,
}

/// What one position of the log carries: commands, applied in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// At most [`limits::COMMANDS_PER_ENTRY`].
    pub commands: Vec<Command>,
}

/// Why bytes are not an entry. Nothing changed; the entry must not be applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not even the format byte and a count.
    #[error("the entry ends before its first command")]
    Empty,
    /// Written by a newer version.
    #[error("the entry has format {0}, this version reads format {ENTRY_FORMAT}")]
    UnknownFormat(u8),
    /// The header of a command has a newer version.
    #[error("command {command} has header version {version}, this version reads {HEADER_VERSION}")]
    UnknownHeader {
        /// Its position in the entry.
        command: usize,
        /// What it has.
        version: u16,
    },
    /// A bound is exceeded.
    #[error("the entry has {what} {size}, at most {limit} are allowed")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        size: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A command cannot be read.
    #[error("command {command} of the entry is malformed or cut")]
    Malformed {
        /// Its position in the entry.
        command: usize,
    },
    /// There is more than what was counted.
    #[error("the entry has {0} bytes after its last command")]
    Trailing(usize),
}

#[derive(Serialize, Deserialize)]
struct Prefix<H> {
    header: H,
    module: ModuleNumber,
    body: u32,
}

impl Entry {
    /// The bytes of the entry.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] where [`Entry::decode`] would refuse it.
    pub fn encode(&self) -> Result<Bytes, DecodeError> {
        bound("commands", self.commands.len(), limits::COMMANDS_PER_ENTRY)?;
        let bodies: usize = self.commands.iter().map(|c| c.body.len()).sum();
        bound("bytes in bodies", bodies, limits::ENTRY_BYTES)?;
        let mut out = BytesMut::with_capacity(8 + bodies + self.commands.len() * 64);
        out.put_u8(ENTRY_FORMAT);
        out.put_u32_le(self.commands.len() as u32);
        let mut scratch = Vec::with_capacity(128);
        for command in &self.commands {
            bound(
                "bytes in a body",
                command.body.len(),
                limits::COMMAND_BODY_BYTES,
            )?;
            scratch.clear();
            let prefix = Prefix {
                header: &command.header,
                module: command.module,
                body: command.body.len() as u32,
            };
            append_postcard(&prefix, &mut scratch);
            out.put_slice(&scratch);
            out.put_slice(&command.body);
        }
        bound("bytes", out.len(), limits::ENTRY_BYTES)?;
        Ok(out.freeze())
    }

    /// Reads an entry; the bodies are slices of `bytes`, not copies.
    ///
    /// # Errors
    /// [`DecodeError`] names the command that cannot be read.
    pub fn decode(bytes: &Bytes) -> Result<Entry, DecodeError> {
        bound("bytes", bytes.len(), limits::ENTRY_BYTES)?;
        let format = *bytes.first().ok_or(DecodeError::Empty)?;
        if format != ENTRY_FORMAT {
            return Err(DecodeError::UnknownFormat(format));
        }
        let count = bytes.get(1..5).ok_or(DecodeError::Empty)?;
        let count = u32::from_le_bytes(count.try_into().expect("four bytes")) as usize;
        bound("commands", count, limits::COMMANDS_PER_ENTRY)?;
        let mut at = 5;
        let mut commands = Vec::with_capacity(count.min(bytes.len() / 16 + 1));
        for command in 0..count {
            let (prefix, rest) = postcard::take_from_bytes::<Prefix<Header>>(&bytes[at..])
                .map_err(|_| DecodeError::Malformed { command })?;
            if prefix.header.version > HEADER_VERSION {
                let version = prefix.header.version;
                return Err(DecodeError::UnknownHeader { command, version });
            }
            let body = prefix.body as usize;
            bound("bytes in a body", body, limits::COMMAND_BODY_BYTES)?;
            if rest.len() < body {
                return Err(DecodeError::Malformed { command });
            }
            at = bytes.len() - rest.len();
            commands.push(Command {
                header: prefix.header,
                module: prefix.module,
                body: bytes.slice(at..at + body),
            });
            at += body;
        }
        if at != bytes.len() {
            return Err(DecodeError::Trailing(bytes.len() - at));
        }
        Ok(Entry { commands })
    }
}

fn bound(what: &'static str, size: usize, limit: usize) -> Result<(), DecodeError> {
    if size > limit {
        return Err(DecodeError::TooLarge { what, size, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shoal_api::{Generation, NodeId};

    use super::*;

    fn sample() -> Entry {
        let command = |counter, body: &'static [u8]| Command {
            header: Header {
                version: HEADER_VERSION,
                time: Instant::from_nanos(7),
                wall: Timestamp::from_nanos(-3),
                principal: Some(Principal::new("ops").unwrap()),
                request: RequestId {
                    node: NodeId(9),
                    generation: Generation(2),
                    counter,
                },
                lowest: 1,
            },
            module: ModuleNumber(1),
            body: Bytes::from_static(body),
        };
        Entry {
            commands: vec![command(1, b"first"), command(2, b""), command(3, b"third")],
        }
    }

    #[test]
    fn round_trips_and_bodies_are_slices() {
        let bytes = sample().encode().unwrap();
        let entry = Entry::decode(&bytes).unwrap();
        assert_eq!(entry, sample());
        let body = &entry.commands[0].body;
        assert!(bytes.as_ptr_range().contains(&body.as_ptr()));
        let empty = Entry::default().encode().unwrap();
        assert_eq!(Entry::decode(&empty).unwrap(), Entry::default());
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = sample().encode().unwrap();
        for end in 0..bytes.len() {
            assert!(Entry::decode(&bytes.slice(..end)).is_err(), "cut at {end}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Entry::decode(&longer.into()), Err(DecodeError::Trailing(1)));
    }

    #[test]
    fn a_lying_count_or_version_is_refused() {
        let mut bytes = sample().encode().unwrap().to_vec();
        bytes[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            Entry::decode(&bytes.into()),
            Err(DecodeError::TooLarge { .. })
        ));
        let mut bytes = sample().encode().unwrap().to_vec();
        bytes[0] = 9;
        assert_eq!(
            Entry::decode(&bytes.into()),
            Err(DecodeError::UnknownFormat(9))
        );
        let mut newer = sample();
        newer.commands[1].header.version = 2;
        assert_eq!(
            Entry::decode(&newer.encode().unwrap()),
            Err(DecodeError::UnknownHeader {
                command: 1,
                version: 2
            })
        );
    }
}
