//! Source: Raft, "election safety": at most one leader can be elected in a given term.

use std::collections::BTreeMap;

use shoal_api::{RaftId, Term};

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "one leader per term";

#[derive(Debug, Default)]
pub(super) struct OneLeader {
    leaders: BTreeMap<Term, RaftId>,
}

impl Invariant for OneLeader {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Leads { replica, term } = fact {
            let first = *self.leaders.entry(*term).or_insert(*replica);
            if first != *replica {
                return Err(format!("both {first} and {replica} lead in term {term}"));
            }
        }
        Ok(())
    }
}
