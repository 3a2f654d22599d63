//! Source: design section 5: a retry goes "under the same request id, which apply de-duplicates".

use std::collections::BTreeMap;

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "a request is applied once";

/// Each write of a counter adds one, so that the value after the n-th is n if each was applied exactly
/// once. Each subscription has a stream of its own, so that two frameworks with one stream are one
/// subscription applied twice; so are two runs of one name, as each order here names another.
#[derive(Debug)]
pub(super) struct AppliedOnce;

impl Invariant for AppliedOnce {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Counted { key, write, value } = fact
            && value != write
        {
            return Err(format!("counter {key} is {value} after its write {write}"));
        }
        if let Fact::Ledger { index, state } = fact {
            let mut streams = BTreeMap::new();
            for (id, row) in state.offers.frameworks() {
                if let Some((stream, _)) = row.stream()
                    && let Some(other) = streams.insert(stream, id)
                {
                    return Err(format!(
                        "at {index} both {other} and {id} have stream {stream}"
                    ));
                }
            }
        }
        Ok(())
    }
}
