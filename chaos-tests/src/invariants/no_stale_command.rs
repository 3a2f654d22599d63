//! Source: design section 5, rule 1: "The agent persists the highest [fence] with the command's own
//! checkpoint and refuses less."

use std::collections::BTreeMap;

use shoal_api::{Fence, NodeId};

use super::{Fact, Invariant};

#[derive(Debug, Default)]
pub(super) struct NoStaleCommand {
    highest: BTreeMap<NodeId, Fence>,
}

impl Invariant for NoStaleCommand {
    fn name(&self) -> &'static str {
        "nothing is commanded by a stale session"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Obeyed { node, fence } = fact {
            let highest = self.highest.entry(*node).or_default();
            if *fence < *highest {
                return Err(format!("node {node} obeyed {fence:?} after {highest:?}"));
            }
            *highest = *fence;
        }
        Ok(())
    }
}
