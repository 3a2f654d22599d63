//! Source: design section 5: a removed framework's tasks are killed; what it left behind is in the
//! ledger until its agent confirms the end, and nothing else is without a framework.

use shoal_offers::Standing;

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "a task has a framework or is being killed";

#[derive(Debug)]
pub(super) struct TasksHaveOwners;

impl Invariant for TasksHaveOwners {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Ledger { index, state } = fact else {
            return Ok(());
        };
        for task in state.offers.tasks() {
            let owned = match task.row.standing {
                Standing::Launched => state.offers.framework(&task.key.framework).is_some(),
                Standing::Abandoned => task.row.kill.is_some(),
                Standing::Orphan => true,
            };
            if !owned {
                return Err(format!("at {index} nobody answers for {}", task.key));
            }
        }
        Ok(())
    }
}
