//! Reconciliation: what the ledger knows of tasks, said again.
//!
//! Source: facts 5.1 to 5.3. There is no "recovered" agent here: the ledger knows all of them.

use std::sync::Arc;

use shoal_api::call::{AgentName, ReconcileTask};
use shoal_api::notice::TaskStatus;
use shoal_api::{
    Capability, ContainerId, FrameworkId, FrameworkInfo, Reason, TaskId, TaskState, Timestamp,
};

use crate::notices::Word;
use crate::query::TaskRef;
use crate::state::Offers;

impl Offers {
    /// The answers to a reconciliation: of the tasks that are named, or of all that are tracked and
    /// not unreachable.
    pub fn reconcile(
        &self,
        framework: &FrameworkId,
        tasks: &[ReconcileTask],
        wall: Timestamp,
    ) -> Vec<TaskStatus> {
        let Some(row) = self.frameworks.get(framework) else {
            return Vec::new();
        };
        if tasks.is_empty() {
            return self
                .tasks_of_framework(framework)
                .filter(|task| task.row.unreachable_since.is_none())
                .map(|task| known(&row.info, task, wall))
                .collect();
        }
        tasks
            .iter()
            .map(|asked| self.reconcile_one(&row.info, framework, asked, wall))
            .collect()
    }

    pub(crate) fn reconcile_one(
        &self,
        info: &FrameworkInfo,
        framework: &FrameworkId,
        asked: &ReconcileTask,
        wall: Timestamp,
    ) -> TaskStatus {
        let task = TaskId::new(&asked.task)
            .ok()
            .and_then(|id| self.find_task(framework, &id));
        if let Some(task) = task {
            return known(info, task, wall);
        }
        let agent = match &asked.agent {
            Some(AgentName::Id(id)) => self.agents.get(id),
            Some(AgentName::Foreign(_)) | None => None,
        };
        let (state, message) = match agent {
            Some(row) if row.is_unreachable() => (
                TaskState::Unreachable,
                "Reconciliation: Task is unreachable",
            ),
            Some(_) => (
                TaskState::Gone,
                "Reconciliation: Task is unknown to the agent",
            ),
            None => (TaskState::Unknown, "Reconciliation: Task is unknown"),
        };
        let unreachable_since = agent.and_then(|row| match row.presence {
            crate::row::Presence::Unreachable { since } => Some(since),
            crate::row::Presence::Connected { .. } | crate::row::Presence::Disconnected { .. } => {
                None
            }
        });
        Word {
            task: Arc::clone(&asked.task),
            agent: asked.agent.clone(),
            state,
            reason: Reason::Reconciliation,
            message: Arc::from(message),
            wall,
            unreachable_since,
            container: None,
        }
        .status(info)
    }
}

/// The state that was sent last, which is the first unacknowledged one where there is one.
fn known(info: &FrameworkInfo, task: TaskRef<'_>, wall: Timestamp) -> TaskStatus {
    let row = task.row;
    let sent = match row.pending.first() {
        Some(out) => out.state,
        None if row.reported == TaskState::Killing && !info.can(Capability::TaskKillingState) => {
            TaskState::Running
        }
        None => row.reported,
    };
    let (state, message) = if row.unreachable_since.is_some() {
        (
            TaskState::Unreachable,
            "Reconciliation: Task is unreachable",
        )
    } else {
        (sent, "Reconciliation: Latest task state")
    };
    Word {
        task: Arc::from(task.key.task.as_str()),
        agent: Some(AgentName::Id(row.assignment.agent)),
        state,
        reason: Reason::Reconciliation,
        message: Arc::from(message),
        wall,
        unreachable_since: row.unreachable_since,
        container: Some(ContainerId::of(row.assignment.agent, task.key.launch)),
    }
    .status(info)
}
