//! Source: design section 5: "All replicas at one index have one hash." It also finds entries that
//! were applied and then lost, as others take their place.

use std::collections::BTreeMap;

use shoal_api::{Index, RaftId};
use shoal_ledger::StateHash;

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "replicas' hashes are equal at one index";

/// Indexes that are remembered, behind the highest seen. A replica that is further behind catches up
/// through them or through a snapshot, whose hash is compared again at the next index.
const REMEMBERED: u64 = 200_000;

#[derive(Debug, Default)]
pub(super) struct EqualHashes {
    hashes: BTreeMap<Index, (RaftId, StateHash)>,
}

impl Invariant for EqualHashes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Applied {
            replica,
            index,
            hash,
        } = fact
        else {
            return Ok(());
        };
        let (first, expected) = *self.hashes.entry(*index).or_insert((*replica, *hash));
        if expected != *hash {
            return Err(format!(
                "at index {index} replica {first} had {expected:?}, {replica} has {hash:?}"
            ));
        }
        while self.hashes.len() as u64 > REMEMBERED {
            self.hashes.pop_first();
        }
        Ok(())
    }
}
