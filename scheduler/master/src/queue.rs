//! The leader's queue: commands of all masters, packed into entries.
//!
//! One entry takes everything that queued while the last ones were under way, so a burst of a thousand
//! commands costs one append and one sync.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use shoal_api::{Instant, RequestId, Timestamp};
use shoal_ledger::entry::HEADER_VERSION;
use shoal_ledger::limits::COMMAND_BODY_BYTES;
use shoal_ledger::{Command, Entry, Header};

use crate::limits::{COMMANDS_PER_ENTRY, ENTRIES_IN_FLIGHT, ENTRY_BYTES, QUEUED_AT_LEADER};
use crate::peer::Forwarded;

#[derive(Debug)]
struct Queued {
    forwarded: Forwarded,
    lowest: u64,
}

/// Commands that wait for an entry, and the entries that wait for their commit.
///
/// # Invariants
/// - a request is queued or in flight at most once;
/// - at most [`QUEUED_AT_LEADER`] commands wait, at most [`ENTRIES_IN_FLIGHT`] entries fly.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: VecDeque<Queued>,
    seen: BTreeSet<RequestId>,
    flying: usize,
    dropped: u64,
}

impl Queue {
    /// Takes a command unless it is here already; drops it when full, as its sender tries again.
    pub fn push(&mut self, forwarded: Forwarded, lowest: u64) {
        if self.waiting.len() >= QUEUED_AT_LEADER || forwarded.body.len() > COMMAND_BODY_BYTES {
            self.dropped += 1;
            return;
        }
        if self.seen.insert(forwarded.request) {
            self.waiting.push_back(Queued { forwarded, lowest });
        }
    }

    /// A command of this leadership's entries was applied.
    pub fn applied(&mut self, request: RequestId) {
        self.seen.remove(&request);
    }

    /// An entry of this leadership was applied.
    pub fn entry_applied(&mut self) {
        self.flying = self.flying.saturating_sub(1);
    }

    /// The quorum did not take an entry: its commands are tried again by their senders.
    pub fn entry_dropped(&mut self, entry: &Entry) {
        self.flying = self.flying.saturating_sub(1);
        for command in &entry.commands {
            self.seen.remove(&command.header.request);
        }
    }

    /// Commands dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next entry to propose, if anything waits and another entry may fly.
    pub fn next_entry(&mut self, time: Instant, wall: Timestamp) -> Option<Bytes> {
        if self.waiting.is_empty() || self.flying >= ENTRIES_IN_FLIGHT {
            return None;
        }
        let mut commands = Vec::with_capacity(self.waiting.len().min(COMMANDS_PER_ENTRY));
        let mut bytes = 0;
        while commands.len() < COMMANDS_PER_ENTRY && bytes < ENTRY_BYTES {
            let Some(Queued { forwarded, lowest }) = self.waiting.pop_front() else {
                break;
            };
            bytes += forwarded.body.len();
            commands.push(Command {
                header: Header {
                    version: HEADER_VERSION,
                    time,
                    wall,
                    principal: forwarded.principal,
                    request: forwarded.request,
                    lowest,
                },
                module: forwarded.module,
                body: forwarded.body,
            });
        }
        self.flying += 1;
        Some(
            Entry { commands }
                .encode()
                .expect("the bounds of an entry were kept"),
        )
    }
}
