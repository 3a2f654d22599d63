//! Source: house style: a bug asserts and crashes. What only a bug can make happen stops the run.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "no assertion fails";

#[derive(Debug)]
pub(super) struct NoFailedAssertion;

impl Invariant for NoFailedAssertion {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Panicked(why) = fact {
            return Err(why.clone());
        }
        Ok(())
    }
}
