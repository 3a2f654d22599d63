//! What the agent shows of its tasks to whoever looks.
//!
//! Tasks that were forgotten are remembered here for people, a bounded number of them and in memory
//! only; nothing is decided by them.

use std::sync::Arc;

use shoal_api::task::Assignment;
use shoal_api::{AgentId, ContainerId, StatusUpdate, TaskState};

use crate::book::Standing;
use crate::limits;
use crate::machine::Agent;

/// A task as the agent shows it.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// What runs or ran.
    pub assignment: Arc<Assignment>,
    /// Its sandbox.
    pub container: ContainerId,
    /// Its latest state.
    pub state: TaskState,
    /// The latest update that the ledger has, and those that it lacks; in order.
    pub updates: Vec<StatusUpdate>,
    /// Whether the agent has forgotten it.
    pub forgotten: bool,
}

/// The agent as it shows itself.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// Its id, once the ledger gave it one.
    pub agent: Option<AgentId>,
    /// Tasks in order of key, then those that are forgotten, the oldest first.
    pub tasks: Vec<TaskView>,
}

impl TaskView {
    pub(crate) fn of(standing: &Standing, forgotten: bool) -> TaskView {
        let updates = standing.durable.iter().chain(&standing.pending);
        TaskView {
            assignment: Arc::clone(&standing.assignment),
            container: standing.container,
            state: standing.state(),
            updates: updates.cloned().collect(),
            forgotten,
        }
    }
}

impl Agent {
    /// Everything that it shows.
    pub fn view(&self) -> AgentView {
        let held = self.book.tasks.values();
        let held = held.map(|standing| TaskView::of(standing, false));
        AgentView {
            agent: self.id(),
            tasks: held.chain(self.forgotten.iter().cloned()).collect(),
        }
    }

    /// Keeps a task that is about to be forgotten; the oldest makes room.
    pub(crate) fn remember(&mut self, view: TaskView) {
        if self.forgotten.len() >= limits::FORGOTTEN {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(view);
    }
}
