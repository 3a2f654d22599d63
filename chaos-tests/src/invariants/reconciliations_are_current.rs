//! Source: facts 5.1: a reconciliation answers with the latest state. It is answered after the ledger was
//! certain, so a task that was there when it was asked, and is there still, is not called gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_api::{FrameworkId, Index, Reason, TaskState};
use shoal_offers::TaskRef;

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "a reconciliation is answered from the newest ledger";

type Name = (FrameworkId, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct ReconciliationsAreCurrent {
    /// Since when the ledger has a task.
    since: BTreeMap<Name, Index>,
    /// The ledger's index when it was first asked about.
    asked: BTreeMap<Name, Index>,
    newest: Index,
}

impl Invariant for ReconciliationsAreCurrent {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Ledger { index, state } = fact {
            let before = std::mem::take(&mut self.since);
            // A task may well be gone although it has a row, when its agent lost its disk.
            let there = |task: &TaskRef<'_>| task.row.reported != TaskState::Gone;
            for task in state.offers.tasks().filter(there) {
                let name = (
                    task.key.framework.clone(),
                    Arc::from(task.key.task.as_str()),
                );
                let since = before.get(&name).copied().unwrap_or(*index);
                self.since.insert(name, since);
            }
            self.newest = *index;
        }
        if let Fact::Reconciles { framework, tasks } = fact {
            for task in *tasks {
                let name = ((*framework).clone(), Arc::clone(&task.task));
                self.asked.entry(name).or_insert(self.newest);
            }
        }
        if let Fact::Told { framework, status } = fact
            && status.reason == Some(Reason::Reconciliation)
            && status.update.is_none()
            && matches!(status.state, TaskState::Gone | TaskState::Unknown)
        {
            let name = ((*framework).clone(), Arc::clone(&status.task));
            if let (Some(since), Some(asked)) = (self.since.get(&name), self.asked.get(&name))
                && since <= asked
            {
                let (task, state) = (&status.task, status.state);
                return Err(format!(
                    "{framework} asked about {task} at {asked} and is told {state}; the ledger has it since {since}"
                ));
            }
        }
        Ok(())
    }
}
