//! Source: design section 5: "a task has exactly one terminal state". Neither the ledger nor what
//! frameworks are told for certain (with an update to acknowledge) ever names another.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_api::{FrameworkId, Index, TaskKey, TaskState};

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "every task has one terminal state";

#[derive(Debug, Default)]
pub(super) struct OneEnd {
    ends: BTreeMap<TaskKey, (Index, TaskState)>,
    told: BTreeMap<(FrameworkId, Arc<str>), TaskState>,
}

impl Invariant for OneEnd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Ledger { index, state } = fact {
            for task in state.offers.tasks() {
                let reported = task.row.reported;
                let known = self.ends.get(task.key);
                if let Some((at, end)) = known
                    && *end != reported
                {
                    return Err(format!(
                        "{} was {end} at {at} and is {reported} at {index}",
                        task.key
                    ));
                }
                if known.is_none() && reported.is_terminal() {
                    self.ends.insert(task.key.clone(), (*index, reported));
                }
            }
        }
        if let Fact::Told { framework, status } = fact
            && status.update.is_some()
        {
            let name = ((*framework).clone(), Arc::clone(&status.task));
            let known = self.told.get(&name).copied();
            if let Some(end) = known
                && end != status.state
                && status.state.is_terminal()
            {
                let (task, state) = (&status.task, status.state);
                return Err(format!(
                    "{framework} was told that {task} is {end}, then {state}"
                ));
            }
            if known.is_none() && status.state.is_terminal() {
                self.told.insert(name, status.state);
            }
        }
        Ok(())
    }
}
