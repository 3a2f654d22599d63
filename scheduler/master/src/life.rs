//! A new life of the cluster: what a forced recovery and a restore write, and how a stopped master's
//! disk is read for them.
//!
//! A life is numbered by the incarnation. What lives here is pure; where the log is, and who confirms,
//! is the shell's.

use bytes::Bytes;
use shoal_api::{
    Generation, Incarnation, Index, Instant, NodeId, Plants, RaftId, RequestId, Timestamp,
};
use shoal_ledger::entry::HEADER_VERSION;
use shoal_ledger::{Command, DecodeError, Entry, Header, SnapshotError};
use shoal_quorum::{EntryKind, Recovered, StartError, Survey};
use thiserror::Error;

use crate::charter::CharterCommand;
use crate::state::{LedgerCommand, State};

/// The first second of 2025, since 1970.
const FIRST: i64 = 1_735_689_600;
/// Lives are numbered below this: launches carry the number in their upper 24 bits.
const MOST: u64 = 1 << 24;
/// How many runs one life numbers by itself; people type these numbers, so they are kept short.
const RUN_BITS: u32 = 28;
// The API shows runs by number, and many clients hold numbers as doubles.
const _: () = assert!((MOST << RUN_BITS) + (1 << RUN_BITS) < 1 << f64::MANTISSA_DIGITS);

/// The number of the life that follows another, begun at that time.
///
/// Minutes of the calendar since 2025, so that two restores of one backup do not get the same number,
/// whose ids and fences would then mean two things; and one more than before wherever the calendar is
/// behind or makes no sense.
pub fn next(life: Incarnation, wall: Timestamp) -> Incarnation {
    let minutes = (wall.as_nanos() / 1_000_000_000 - FIRST) / 60;
    let minutes = u64::try_from(minutes).unwrap_or(0);
    let minutes = if minutes < MOST - MOST / 16 {
        minutes
    } else {
        0
    };
    Incarnation(minutes.max(life.0 + 1))
}

/// The number below a life's first run: a run never has the tasks of one that this ledger does not
/// remember, and whose tasks may still run.
pub(crate) fn last_run(life: Incarnation) -> u64 {
    life.0.min(MOST) << RUN_BITS
}

/// The bytes of the entry that begins a life. All sessions and streams end with it, and all masters
/// but `keep` are out of the ledger for ever.
pub fn entry(incarnation: Incarnation, keep: Option<RaftId>, wall: Timestamp) -> Bytes {
    let command = CharterCommand::LifeBegan { incarnation, keep };
    let (module, body) = LedgerCommand::Charter(command).encode();
    let header = Header {
        version: HEADER_VERSION,
        time: Instant::ZERO,
        wall,
        principal: None,
        // Applied again it changes nothing, so it needs no request id that is remembered.
        request: RequestId {
            node: NodeId(0),
            generation: Generation(0),
            counter: 0,
        },
        lowest: 0,
    };
    let command = Command {
        header,
        module,
        body,
    };
    let entry = Entry {
        commands: vec![command],
    };
    entry.encode().expect("one small command is an entry")
}

/// Why a disk's ledger cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// The log is none that can be continued.
    #[error("{0}")]
    Log(#[from] StartError),
    /// The snapshot is not of this version, or not what was written.
    #[error("the snapshot of index {index} cannot be read: {error}")]
    Snapshot {
        /// Of the snapshot.
        index: Index,
        /// Why.
        error: SnapshotError,
    },
    /// An entry is not of this version.
    #[error("entry {index} cannot be applied by this version: {error}")]
    Entry {
        /// Its position.
        index: Index,
        /// Why.
        error: DecodeError,
    },
}

/// A stopped master's ledger, with everything in its log applied.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The quorum as its log ends.
    pub survey: Survey,
    /// The ledger as its log ends.
    pub state: State,
    /// When the last command was proposed, by its proposer's calendar; `None` without any after the
    /// snapshot.
    pub written: Option<Timestamp>,
}

/// Reads a stopped master's ledger.
///
/// # Errors
/// [`ReplayError`] says what cannot be read; a damaged or newer disk is never read in part.
pub fn replay(recovered: &Recovered, id: RaftId) -> Result<Replayed, ReplayError> {
    let survey = recovered.survey(id)?;
    let mut state = State::new(Plants::NONE);
    let mut from = Index(0);
    if let Some(snapshot) = &recovered.snapshot {
        from = snapshot.index;
        if !snapshot.chunks.is_empty() {
            let read = State::read(&snapshot.chunks, Plants::NONE);
            state = read.map_err(|error| ReplayError::Snapshot { index: from, error })?;
        }
    }
    let mut written = None;
    let entries = recovered.entries.iter();
    for entry in entries.filter(|entry| entry.index > from && entry.index <= survey.last) {
        if entry.kind != EntryKind::Data || entry.data.is_empty() {
            continue;
        }
        let refused = |error| ReplayError::Entry {
            index: entry.index,
            error,
        };
        let decoded = Entry::decode(&entry.data).map_err(refused)?;
        written = decoded
            .commands
            .last()
            .map(|last| last.header.wall)
            .or(written);
        state.apply(entry.index, &entry.data).map_err(refused)?;
    }
    Ok(Replayed {
        survey,
        state,
        written,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_always_newer() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        assert_eq!(next(Incarnation(1), at(FIRST + 600)), Incarnation(10));
        assert_eq!(next(Incarnation(10), at(FIRST + 600)), Incarnation(11));
        for broken in [-5, 0, FIRST, i64::MAX / 1_000_000_000] {
            assert_eq!(next(Incarnation(7), at(broken)), Incarnation(8));
        }
        assert!(
            last_run(Incarnation(MOST)) < 1 << 53,
            "a number in every JSON"
        );
    }
}
