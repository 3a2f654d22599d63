//! User events: a name and a payload that somebody tells all members.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::lamport::LamportTime;
use crate::limits;

/// Why an event or the name of a query is refused. Nothing was told to anybody.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// The name is empty or too long.
    #[error("name has {bytes} bytes, 1 to {limit} are allowed", limit = limits::EVENT_NAME_BYTES)]
    NameLength { bytes: usize },
    /// The name has a character that no line of a log should have.
    #[error("name has a control character")]
    NameCharacter,
    /// Name and payload are too long together.
    #[error("name and payload have {bytes} bytes, at most {limit} are allowed", limit = limits::EVENT_BYTES)]
    Length { bytes: usize },
}

/// The name of an event or of a query: 1 to [`limits::EVENT_NAME_BYTES`] bytes of text without
/// control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName(Arc<str>);

impl EventName {
    /// Takes the text if it can be a name.
    ///
    /// # Errors
    /// [`EventError`] says what is wrong with it.
    pub fn new(text: &str) -> Result<EventName, EventError> {
        if text.is_empty() || text.len() > limits::EVENT_NAME_BYTES {
            return Err(EventError::NameLength { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(EventError::NameCharacter);
        }
        Ok(EventName(Arc::from(text)))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nodes use it among themselves, so that it is not for people and their scripts.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with(limits::INTERNAL_PREFIX)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventName({:?})", &*self.0)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an event says. Name and payload have at most [`limits::EVENT_BYTES`] together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBody {
    name: EventName,
    payload: Bytes,
    coalesce: bool,
}

impl EventBody {
    /// Takes them if they are short enough. `coalesce` allows whoever acts on events to act on
    /// the newest of one name only, when several come at once.
    ///
    /// # Errors
    /// [`EventError`] when they are too long.
    pub fn new(name: EventName, payload: Bytes, coalesce: bool) -> Result<EventBody, EventError> {
        let bytes = name.as_str().len() + payload.len();
        if bytes > limits::EVENT_BYTES {
            return Err(EventError::Length { bytes });
        }
        Ok(EventBody {
            name,
            payload,
            coalesce,
        })
    }

    pub(crate) fn at(self, ltime: LamportTime) -> UserEvent {
        UserEvent {
            ltime,
            name: self.name,
            payload: self.payload,
            coalesce: self.coalesce,
        }
    }
}

/// An event that was told. Two with the same time, name and payload are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserEvent {
    /// Later than all events that its teller had heard of.
    pub ltime: LamportTime,
    /// What it is called.
    pub name: EventName,
    /// Whatever its teller put in.
    pub payload: Bytes,
    /// Whether the newest of its name is enough when several come at once.
    pub coalesce: bool,
}

impl UserEvent {
    /// A number that tells events apart, for comparing what two nodes have heard.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        mix(&self.ltime.0.to_be_bytes());
        mix(&(self.name.as_str().len() as u64).to_be_bytes());
        mix(self.name.as_str().as_bytes());
        mix(&self.payload);
        hash
    }
}
