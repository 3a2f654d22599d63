//! Source: facts 3.4 and design section 4: whoever holds an offer is told when it is taken back; the master
//! that holds the stream says so before anything else that follows.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "a framework is told of each offer that is taken back";

#[derive(Debug)]
pub(super) struct RescindsAreTold;

impl Invariant for RescindsAreTold {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Unrescinded(what) = fact {
            return Err(what.clone());
        }
        Ok(())
    }
}
