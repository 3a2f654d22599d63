//! Source: issue and design section 5: launching is idempotent, "a lost message costs a retry, never
//! a task"; a task (framework, id, launch index) is started once, on whichever side of a partition,
//! and no id of a framework runs in two places at one time.

use std::collections::{BTreeMap, BTreeSet};

use shoal_api::{FrameworkId, LaunchIndex, NodeId, TaskId};

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "no task twice";

#[derive(Debug, Default)]
pub(super) struct NoTaskTwice {
    started: BTreeSet<(FrameworkId, TaskId, LaunchIndex)>,
    running: BTreeMap<(FrameworkId, TaskId), NodeId>,
}

impl Invariant for NoTaskTwice {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Started { node, task, .. } = fact {
            let name = (task.framework.clone(), task.task.clone());
            if !self
                .started
                .insert((name.0.clone(), name.1.clone(), task.launch))
            {
                return Err(format!("{task} is started again, on node {node}"));
            }
            if let Some(other) = self.running.insert(name, *node) {
                return Err(format!("{task} runs on node {node} and on node {other}"));
            }
        }
        if let Fact::Stopped { task } = fact {
            self.running
                .remove(&(task.framework.clone(), task.task.clone()));
        }
        Ok(())
    }
}
