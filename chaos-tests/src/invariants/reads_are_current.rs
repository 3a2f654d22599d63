//! Source: design section 6: listings are answered after a ReadIndex, never from a leader's lease.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "a read sees all that was acknowledged before it";

#[derive(Debug)]
pub(super) struct ReadsAreCurrent;

impl Invariant for ReadsAreCurrent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Read {
            key,
            acknowledged,
            value,
        } = fact
            && value < acknowledged
        {
            return Err(format!(
                "write {acknowledged} of counter {key} was acknowledged before a read that saw {value}"
            ));
        }
        Ok(())
    }
}
