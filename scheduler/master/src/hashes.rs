//! Whether the replicas agree: each compares its hash with the others' at the same index.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shoal_api::{Index, Instant, RaftId};
use shoal_ledger::StateHash;

use crate::input::Output;
use crate::limits::HASHES;
use crate::master::Master;
use crate::peer::{LedgerMessage, PeerMessage};

/// How often a master tells the others its hash. Ours.
const SHARE: std::time::Duration = std::time::Duration::from_secs(1);

/// Recent hashes of this replica, and who disagreed.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    recent: VecDeque<(Index, StateHash)>,
    ahead: BTreeMap<RaftId, (Index, StateHash)>,
    disagree: BTreeSet<RaftId>,
    share_at: Instant,
    shared: Index,
}

impl Hashes {
    /// The state has this hash after that index.
    pub(crate) fn note(&mut self, index: Index, hash: StateHash) {
        self.recent.push_back((index, hash));
        if self.recent.len() > HASHES {
            self.recent.pop_front();
        }
    }

    fn at(&self, index: Index) -> Option<StateHash> {
        let at = self
            .recent
            .binary_search_by_key(&index, |(index, _)| *index)
            .ok()?;
        Some(self.recent[at].1)
    }
}

impl Master {
    /// Tells the others, if there is something new to tell.
    pub(crate) fn share_hash(&mut self) {
        if self.hashes.share_at > self.now {
            return;
        }
        self.hashes.share_at = self.now + SHARE;
        let Some((index, hash)) = self.hashes.recent.back().copied() else {
            return;
        };
        if index != self.hashes.shared {
            self.hashes.shared = index;
            for to in self.status.membership.members() {
                if to != self.config.raft {
                    let message = PeerMessage::Ledger(LedgerMessage::Hash { index, hash });
                    self.outputs.push_back(Output::Send { to, message });
                }
            }
        }
        let ahead = std::mem::take(&mut self.hashes.ahead);
        for (from, (index, hash)) in ahead {
            self.compare_hash(from, index, hash);
        }
    }

    /// Another master's hash: if the majority has another than this replica, this one stops.
    pub(crate) fn compare_hash(&mut self, from: RaftId, index: Index, hash: StateHash) {
        if !self.status.membership.contains(from) {
            self.stats.bad_messages += 1;
            return;
        }
        match self.hashes.at(index) {
            Some(own) if own == hash => {
                self.hashes.disagree.remove(&from);
            }
            Some(_) => {
                self.hashes.disagree.insert(from);
                let voters = &self.status.membership.voters;
                let others = voters
                    .iter()
                    .filter(|id| self.hashes.disagree.contains(id))
                    .count();
                if others * 2 > voters.len() || (voters.len() == 2 && others == 1) {
                    self.halt(format!(
                        "at index {index} this replica's state differs from that of {others} of \
                         {} masters; wipe its data directory and start it again",
                        voters.len()
                    ));
                }
            }
            None => {
                if self
                    .hashes
                    .recent
                    .back()
                    .is_none_or(|(newest, _)| index > *newest)
                {
                    self.hashes.ahead.insert(from, (index, hash));
                }
            }
        }
    }
}
