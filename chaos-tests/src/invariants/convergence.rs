//! Source: design section 4: "The only loops are retry-until-acknowledged and reconcile-until-equal"
//! (style, rule 8): once faults stop, both must end.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "the world converges after faults stop";

#[derive(Debug)]
pub(super) struct Convergence;

impl Invariant for Convergence {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Unsettled(what) = fact {
            return Err(what.clone());
        }
        Ok(())
    }
}
