//! Source: SWIM: a suspect that hears of it refutes, and is not declared dead. Asked only while no fault
//! is at work and none was a moment ago.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "nobody who answers is declared dead";

#[derive(Debug)]
pub(super) struct TheLivingAreNotFailed;

impl Invariant for TheLivingAreNotFailed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::DeclaredDead(what) = fact {
            return Err(what.clone());
        }
        Ok(())
    }
}
