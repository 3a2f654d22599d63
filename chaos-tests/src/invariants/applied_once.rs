//! Source: design section 5: a retry goes "under the same request id, which apply de-duplicates".

use super::{Fact, Invariant};

/// Each write adds one, so that the value after the n-th is n if each was applied exactly once.
#[derive(Debug)]
pub(super) struct AppliedOnce;

impl Invariant for AppliedOnce {
    fn name(&self) -> &'static str {
        "a request is applied once"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Counted { key, write, value } = fact
            && value != write
        {
            return Err(format!("counter {key} is {value} after its write {write}"));
        }
        Ok(())
    }
}
