//! Source: design section 4: `TaskStatus` goes into the ledger "(now durable: agent may forget)", not
//! before. With convergence this means that updates are told until they are acknowledged.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "an agent forgets an update only when the ledger has it";

#[derive(Debug)]
pub(super) struct UpdatesAreKept;

impl Invariant for UpdatesAreKept {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Confirmed {
            node,
            task,
            sequence,
            recorded: Some(recorded),
        } = fact
            && recorded < sequence
        {
            return Err(format!(
                "node {node} is told that update {sequence} of {task} is durable, the ledger has {recorded}"
            ));
        }
        Ok(())
    }
}
