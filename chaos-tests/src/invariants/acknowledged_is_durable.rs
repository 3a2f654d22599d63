//! Source: design section 5: "Nothing is acknowledged to anyone before it is committed and on disk".

use std::collections::BTreeMap;

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "acknowledged means durable";

#[derive(Debug, Default)]
pub(super) struct AcknowledgedIsDurable {
    counters: BTreeMap<u64, u64>,
}

impl Invariant for AcknowledgedIsDurable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::NotDone(detail) = fact {
            return Err(detail.clone());
        }
        if let Fact::Counted { key, write, .. } = fact {
            self.counters.insert(*key, *write);
        }
        if let Fact::Settled {
            replica,
            key,
            value,
        } = fact
            && let Some(promised) = self.counters.get(key)
            && promised > value
        {
            return Err(format!(
                "write {promised} of counter {key} was acknowledged, but replica {replica} has {value}"
            ));
        }
        Ok(())
    }
}
