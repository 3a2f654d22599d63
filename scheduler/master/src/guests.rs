//! Guests: who forwards commands to the leader and does not apply the ledger, so must be told.

use std::collections::BTreeMap;

use bytes::Bytes;
use shoal_api::{RaftId, RequestId};

use crate::limits::OUTSTANDING;

/// Who asked for what, and what is to be told. Soft state of a leadership.
///
/// # Invariants
/// - at most [`OUTSTANDING`] requests are remembered; a guest that is forgotten asks again.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    asked: BTreeMap<RequestId, RaftId>,
    answers: BTreeMap<RaftId, Vec<(RequestId, Bytes)>>,
}

impl Guests {
    /// A guest forwarded a command.
    pub(crate) fn asks(&mut self, request: RequestId, guest: RaftId) {
        if self.asked.len() >= OUTSTANDING {
            self.asked.pop_first();
        }
        self.asked.insert(request, guest);
    }

    /// A command was applied, with this encoded outcome; of interest if a guest asked for it.
    pub(crate) fn applied(&mut self, request: RequestId, outcome: &Bytes) {
        if let Some(guest) = self.asked.remove(&request) {
            let answers = self.answers.entry(guest).or_default();
            answers.push((request, outcome.clone()));
        }
    }

    /// What is to be told, by guest.
    pub(crate) fn take_answers(&mut self) -> BTreeMap<RaftId, Vec<(RequestId, Bytes)>> {
        std::mem::take(&mut self.answers)
    }
}
