//! Source: Raft, persistent state: a replica's term and its vote are on disk before it answers, so that
//! what it says of them never goes back, whatever becomes of its process.

use std::collections::BTreeMap;

use shoal_api::{RaftId, Term};

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "a replica keeps its term and its vote";

#[derive(Debug, Default)]
pub(super) struct VotesAreKept {
    said: BTreeMap<RaftId, (Term, Option<RaftId>)>,
}

impl Invariant for VotesAreKept {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Says {
            replica,
            term,
            vote,
        } = fact
        else {
            return Ok(());
        };
        let (newest, voted) = self.said.entry(*replica).or_default();
        if term < newest {
            return Err(format!("{replica} speaks in term {term} after {newest}"));
        }
        if term > newest {
            (*newest, *voted) = (*term, None);
        }
        if let (Some(first), Some(vote)) = (*voted, vote)
            && first != *vote
        {
            return Err(format!(
                "{replica} votes for {first} and {vote} in term {term}"
            ));
        }
        *voted = voted.or(*vote);
        Ok(())
    }
}
