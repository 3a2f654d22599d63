//! Every identity, index and epoch, each its own type.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use thiserror::Error;

use crate::limits;

/// Why a text is not an id, a name or a role. Nothing changed; the caller must send another text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The text has no characters.
    #[error("{kind} is empty")]
    Empty { kind: &'static str },
    /// The text is longer than its bound.
    #[error("{kind} has {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        kind: &'static str,
        bytes: usize,
        limit: usize,
    },
    /// The text is `.` or `..`, which name folders.
    #[error("{kind} '{text}' is disallowed")]
    Reserved { kind: &'static str, text: String },
    /// The text has a character that ids may not have.
    #[error("{kind} '{text}' contains invalid characters")]
    BadCharacter { kind: &'static str, text: String },
    /// The text does not have the form of this id.
    #[error("{kind} '{text}' is malformed, expected {form}")]
    Malformed {
        kind: &'static str,
        text: String,
        form: &'static str,
    },
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl $name {
            /// The one after this.
            pub fn next(self) -> $name {
                $name(self.0.checked_add(1).expect(concat!(stringify!($name), " ran out of numbers")))
            }
        }
    };
}

number!(/// The life of a node: raised and synced at each start, before it speaks. From 1.
    Generation);
number!(/// The life of a cluster: raised by a restore from backup or a forced recovery. From 1.
    Incarnation);
number!(/// The session of an agent: raised by each `SessionOpened`. From 1.
    Epoch);
number!(/// A position in the Raft log. From 1; 0 is before the first entry.
    Index);
number!(/// A Raft term. From 1.
    Term);
number!(/// The identity of a voter, minted with its data directory and never used again. Never 0.
    RaftId);
number!(/// Tells two uses of one task id apart: the incarnation in the upper 16 bits, below it a counter of
    /// the ledger's launches. Never used again.
    LaunchIndex);

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                let malformed = || IdError::Malformed {
                    kind: stringify!($name),
                    text: text.to_owned(),
                    form: "32 hexadecimal digits",
                };
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(malformed());
                }
                u128::from_str_radix(text, 16).map($name).map_err(|_| malformed())
            }
        }
    };
}

bits!(/// The identity of a node: 128 random bits, minted with its data directory.
    NodeId);
bits!(/// The identity of a cluster: minted by the bootstrap.
    ClusterId);

/// Writes 128 bits in the form of a UUID.
fn write_uuid(f: &mut fmt::Formatter<'_>, bits: u128) -> fmt::Result {
    let b = bits;
    write!(
        f,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (b >> 96) as u32,
        (b >> 80) as u16,
        (b >> 64) as u16,
        (b >> 48) as u16,
        b & 0xffff_ffff_ffff
    )
}

fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut bits = 0_u128;
    for (i, &byte) in bytes.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = (byte as char).to_digit(16)?;
        bits = (bits << 4) | u128::from(digit);
    }
    Some(bits)
}

/// What stands for Mesos' master id in agent, framework and offer ids: a hash of cluster id and
/// incarnation, so that a restored cluster never assigns an id again. Shown as a UUID.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Origin(pub u128);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, self.0)
    }
}

macro_rules! assigned {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name {
            /// Cluster and incarnation that assigned it.
            pub origin: Origin,
            /// The ledger's counter.
            pub number: u64,
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}-", $letter, "{}"), self.origin, self.number)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                let malformed = || IdError::Malformed {
                    kind: stringify!($name),
                    text: text.chars().take(64).collect(),
                    form: concat!("a UUID, '-", $letter, "' and a number"),
                };
                let (origin, number) =
                    text.split_at_checked(36).ok_or_else(malformed)?;
                let number = number.strip_prefix(concat!("-", $letter)).ok_or_else(malformed)?;
                if number.is_empty()
                    || !number.bytes().all(|b| b.is_ascii_digit())
                    || (number.len() > 1 && number.starts_with('0'))
                {
                    return Err(malformed());
                }
                let origin = Origin(parse_uuid(origin).ok_or_else(malformed)?);
                let number = number.parse().map_err(|_| malformed())?;
                Ok($name { origin, number })
            }
        }
    };
}

assigned!(/// An agent, as the ledger knows it: `<origin>-S<n>`.
    AgentId, "S");
assigned!(/// An offer: `<origin>-O<n>`.
    OfferId, "O");

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Serialize, Deserialize)]
        pub struct $name(SmolStr);

        impl $name {
            /// Takes the text if it is well formed.
            ///
            /// # Errors
            /// [`IdError`] says what is wrong with it.
            pub fn new(text: &str) -> Result<$name, IdError> {
                $check($kind, text)?;
                Ok($name(SmolStr::new(text)))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        // Ids are compared far more often than made, and most comparisons that end in "equal" are of
        // clones: those share their text, and need not look at it.
        impl PartialEq for $name {
            fn eq(&self, other: &$name) -> bool {
                let (own, other) = (self.as_str(), other.as_str());
                std::ptr::eq(own, other) || own == other
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &$name) -> Ordering {
                let (own, other) = (self.as_str(), other.as_str());
                if std::ptr::eq(own, other) {
                    return Ordering::Equal;
                }
                own.cmp(other)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &$name) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                $name::new(text)
            }
        }
    };
}

fn check_length(kind: &'static str, text: &str, limit: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if text.len() > limit {
        return Err(IdError::TooLong {
            kind,
            bytes: text.len(),
            limit,
        });
    }
    Ok(())
}

/// The rule of Mesos for ids that a client chooses.
fn check_id(kind: &'static str, text: &str) -> Result<(), IdError> {
    check_length(kind, text, limits::ID_BYTES)?;
    if text == "." || text == ".." {
        return Err(IdError::Reserved {
            kind,
            text: text.to_owned(),
        });
    }
    if text
        .chars()
        .any(|c| c.is_control() || c == '/' || c == '\\')
    {
        return Err(IdError::BadCharacter {
            kind,
            text: text.to_owned(),
        });
    }
    Ok(())
}

fn check_name(kind: &'static str, text: &str) -> Result<(), IdError> {
    check_length(kind, text, limits::NAME_BYTES)?;
    check_id(kind, text)
}

/// The rule of Mesos for roles: `*`, or components between slashes.
fn check_role(kind: &'static str, text: &str) -> Result<(), IdError> {
    check_length(kind, text, limits::ROLE_BYTES)?;
    if text == "*" {
        return Ok(());
    }
    if text.contains([' ', '\t', '\n', '\u{b}', '\u{c}', '\r', '\u{7f}']) {
        return Err(IdError::BadCharacter {
            kind,
            text: text.to_owned(),
        });
    }
    for component in text.split('/') {
        if component.is_empty()
            || matches!(component, "." | ".." | "*")
            || component.starts_with('-')
        {
            return Err(IdError::Reserved {
                kind,
                text: text.to_owned(),
            });
        }
    }
    Ok(())
}

fn check_principal(kind: &'static str, text: &str) -> Result<(), IdError> {
    check_length(kind, text, limits::ID_BYTES)
}

text!(/// A framework: assigned by the ledger as `<origin>-<4 digits>`, or brought along by the framework.
    FrameworkId, "FrameworkID", check_id);
text!(/// A task's id, chosen by its framework; it may be used again once its task has ended.
    TaskId, "TaskID", check_id);
text!(/// A role in whose name resources are offered.
    Role, "role", check_role);
text!(/// Who a caller says to be.
    Principal, "principal", check_principal);
text!(/// A node's name: a label, held by one living node at a time.
    Name, "name", check_name);

impl Role {
    /// The role of whoever names none.
    pub fn any() -> Role {
        Role(SmolStr::new_static("*"))
    }
}

/// One subscription of a framework; a newer one replaces it. 128 random bits, shown as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub u128);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, self.0)
    }
}

impl FromStr for StreamId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<StreamId, IdError> {
        parse_uuid(text)
            .map(StreamId)
            .ok_or_else(|| IdError::Malformed {
                kind: "Mesos-Stream-Id",
                text: text.chars().take(64).collect(),
                form: "a UUID",
            })
    }
}

/// A task's sandbox on its agent, which Mesos calls its container. Shown as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContainerId(pub u128);

impl ContainerId {
    /// Of the task with that launch on that agent. Whoever knows the launch knows it: the agent that
    /// makes the sandbox, and every master.
    pub fn of(agent: AgentId, launch: LaunchIndex) -> ContainerId {
        // Each step can be undone, so that two launches of a cluster never have one id.
        let mut mixed = agent.origin.0 ^ (u128::from(launch.0) << 64) ^ u128::from(agent.number);
        for _ in 0..3 {
            mixed ^= mixed >> 67;
            mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            mixed = mixed.rotate_left(43);
        }
        ContainerId(mixed)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, self.0)
    }
}

/// The 16 bytes that identify one status update, minted by the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UpdateId(pub u128);

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, self.0)
    }
}

/// Who asked for a ledger command: retried under the same id, applied once.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RequestId {
    /// The node that asked.
    pub node: NodeId,
    /// Its life.
    pub generation: Generation,
    /// Its counter, from 1.
    pub counter: u64,
}

/// One task of one framework, in one use of its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// Whose task.
    pub framework: FrameworkId,
    /// The framework's own id for it.
    pub task: TaskId,
    /// Which use of that id.
    pub launch: LaunchIndex,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.framework, self.task, self.launch)
    }
}

/// How new a command to an agent is; compared in the order of its fields.
///
/// The agent persists the highest that it obeyed and refuses a lower one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fence {
    /// The life of the cluster.
    pub incarnation: Incarnation,
    /// The session.
    pub epoch: Epoch,
    /// The applied index of the master that sent it.
    pub index: Index,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_ids_round_trip() {
        let id = AgentId {
            origin: Origin(0xd57482ac_1e1d_44cb_912a_2e916fc1add9),
            number: 12,
        };
        assert_eq!(id.to_string(), "d57482ac-1e1d-44cb-912a-2e916fc1add9-S12");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "x",
            "d57482ac-1e1d-44cb-912a-2e916fc1add9-S",
            "d57482ac-1e1d-44cb-912a-2e916fc1add9-S01",
            "d57482ac-1e1d-44cb-912a-2e916fc1add9-O1",
            "ééééééééééééééééééééééé",
        ] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_container_is_of_one_launch() {
        let agent = |number| AgentId {
            origin: Origin(0xd57482ac_1e1d_44cb_912a_2e916fc1add9),
            number,
        };
        let launches = [1, 2, 1 << 40, u64::MAX].map(LaunchIndex);
        let agents = [agent(0), agent(1), agent(1 << 40)];
        let all: std::collections::BTreeSet<ContainerId> = agents
            .into_iter()
            .flat_map(|agent| launches.map(|launch| ContainerId::of(agent, launch)))
            .collect();
        assert_eq!(all.len(), agents.len() * launches.len());
    }

    #[test]
    fn client_ids_follow_the_mesos_rule() {
        for good in ["a", "task-1", "…", "a b"] {
            assert!(TaskId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", &"x".repeat(256)] {
            assert!(TaskId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn roles_follow_the_mesos_rule() {
        for good in ["*", "a", "a/b", "eng/-x-".trim_end_matches("/-x-")] {
            assert!(Role::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "a/*", "..", "-a", "a b", "a\tb"] {
            assert!(Role::new(bad).is_err(), "{bad:?}");
        }
    }
}
