//! Source: design sections 3 and 5: gossip sees a dead machine within seconds, and its lease then ends
//! within seconds more. Asked in the calm, where nothing else delays it.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "a lost agent is noticed in time";

#[derive(Debug)]
pub(super) struct LossesAreNoticed;

impl Invariant for LossesAreNoticed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Unnoticed(what) = fact {
            return Err(what.clone());
        }
        Ok(())
    }
}
