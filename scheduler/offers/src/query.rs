//! Questions to the state that change nothing.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::notice::TaskStatus;
use shoal_api::task::Assignment;
use shoal_api::{
    AgentId, FrameworkId, Instant, LaunchIndex, NodeId, OfferId, StreamId, TaskId, TaskKey,
};

use crate::notices;
use crate::outcome::Refusal;
use crate::row::{
    AgentRow, CompletedFramework, CompletedTask, Connection, FrameworkRow, OfferRow, TaskRow,
};
use crate::state::Offers;

/// What an agent should do about a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Run it, unless it is known to the agent.
    Run(Arc<Assignment>),
    /// End it. An agent that does not know it answers with its end.
    Kill {
        /// Which.
        task: TaskKey,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// Forget it.
    Forget(TaskKey),
}

/// A task with its key.
#[derive(Clone, Copy, Debug)]
pub struct TaskRef<'a> {
    /// Which.
    pub key: &'a TaskKey,
    /// Its row.
    pub row: &'a TaskRow,
}

impl Offers {
    /// All agents, in order of id.
    pub fn agents(&self) -> impl Iterator<Item = (AgentId, &AgentRow)> {
        self.agents.iter().map(|(id, row)| (*id, row))
    }

    /// One agent.
    pub fn agent(&self, id: AgentId) -> Option<&AgentRow> {
        self.agents.get(&id)
    }

    /// The agent of a node.
    pub fn agent_of(&self, node: NodeId) -> Option<AgentId> {
        self.derived.nodes.get(&node).copied()
    }

    /// All frameworks that were not removed, in order of id.
    pub fn frameworks(&self) -> impl Iterator<Item = (&FrameworkId, &FrameworkRow)> {
        self.frameworks.iter()
    }

    /// One framework.
    pub fn framework(&self, id: &FrameworkId) -> Option<&FrameworkRow> {
        self.frameworks.get(id)
    }

    /// Removed frameworks.
    pub fn completed_frameworks(
        &self,
    ) -> impl Iterator<Item = (&FrameworkId, &CompletedFramework)> {
        self.completed_frameworks.iter()
    }

    /// Whether a framework may call on this stream.
    ///
    /// # Errors
    /// What the call is to be answered with.
    pub fn check_stream(
        &self,
        framework: &FrameworkId,
        stream: StreamId,
    ) -> Result<&FrameworkRow, Refusal> {
        let row = self
            .frameworks
            .get(framework)
            .ok_or(Refusal::UnknownFramework)?;
        let (own, _) = row.stream().ok_or(Refusal::NotSubscribed)?;
        if own != stream {
            return Err(Refusal::OtherStream(framework.clone()));
        }
        Ok(row)
    }

    /// All offers that are out, in order of id.
    pub fn offers(&self) -> impl Iterator<Item = &OfferRow> {
        self.offers.iter().map(|(_, row)| row)
    }

    /// One offer.
    pub fn offer(&self, id: OfferId) -> Option<&OfferRow> {
        self.offers.get(&id)
    }

    /// A framework's offers, in order of id.
    pub fn offers_of(&self, framework: &FrameworkId) -> impl Iterator<Item = &OfferRow> {
        let from = (framework.clone(), first_offer());
        let own = framework.clone();
        self.derived
            .offers_of
            .range(from..)
            .take_while(move |((framework, _), ())| *framework == own)
            .map(|((_, id), ())| self.offers.get(id).expect("indexed offers exist"))
    }

    /// An agent's offers, in order of id.
    pub fn offers_on(&self, agent: AgentId) -> impl Iterator<Item = &OfferRow> {
        self.derived
            .offers_on
            .range((agent, first_offer())..)
            .take_while(move |((on, _), ())| *on == agent)
            .map(|((_, id), ())| self.offers.get(id).expect("indexed offers exist"))
    }

    /// All tasks that have a row, in order of framework and id.
    pub fn tasks(&self) -> impl Iterator<Item = TaskRef<'_>> {
        self.tasks.iter().map(|(key, row)| TaskRef { key, row })
    }

    /// One task.
    pub fn task(&self, key: &TaskKey) -> Option<&TaskRow> {
        self.tasks.get(key)
    }

    /// A framework's tasks, in order of id.
    pub fn tasks_of_framework(
        &self,
        framework: &FrameworkId,
    ) -> impl Iterator<Item = TaskRef<'_>> + use<'_> {
        let own = framework.clone();
        self.tasks
            .range((Bound::Included(least_key(framework)), Bound::Unbounded))
            .take_while(move |(key, _)| key.framework == own)
            .map(|(key, row)| TaskRef { key, row })
    }

    /// An agent's tasks, in the order of their launches.
    pub fn tasks_of_agent(&self, agent: AgentId) -> impl Iterator<Item = TaskRef<'_>> {
        let tasks = self.derived.tasks_on.get(&agent);
        let keys = tasks.into_iter().flat_map(|tasks| tasks.iter());
        keys.map(|((_, key), ())| TaskRef {
            key,
            row: self.tasks.get(key).expect("indexed tasks exist"),
        })
    }

    /// The newest use of a task's id that has a row.
    pub fn find_task(&self, framework: &FrameworkId, task: &TaskId) -> Option<TaskRef<'_>> {
        self.uses_of(framework, task).last()
    }

    /// All uses of a task's id that have a row: one, and orphans.
    pub(crate) fn uses_of(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
    ) -> impl Iterator<Item = TaskRef<'_>> + use<'_> {
        let key = |launch| TaskKey {
            framework: framework.clone(),
            task: task.clone(),
            launch: LaunchIndex(launch),
        };
        self.tasks
            .range(key(0)..=key(u64::MAX))
            .map(|(key, row)| TaskRef { key, row })
    }

    /// Ended tasks kept for people, the oldest first.
    pub fn completed_tasks(&self) -> impl DoubleEndedIterator<Item = &CompletedTask> {
        let all: Vec<&CompletedTask> = self.completed_tasks.iter().map(|(_, row)| row).collect();
        all.into_iter()
    }

    /// What an agent should do, all of it: runs and kills.
    pub fn desired(&self, agent: AgentId) -> impl Iterator<Item = Desired> {
        self.tasks_of_agent(agent)
            .filter_map(|task| desired(task.key, task.row))
    }

    /// What an agent should do about one task; nothing while its end waits for an acknowledgement.
    pub fn desired_of(&self, agent: AgentId, key: &TaskKey) -> Option<Desired> {
        match self.tasks.get(key) {
            Some(row) if row.assignment.agent == agent => desired(key, row),
            Some(_) | None => Some(Desired::Forget(key.clone())),
        }
    }

    /// What is out at a framework: the first unacknowledged update of each of its tasks.
    pub fn pending_updates(
        &self,
        framework: &FrameworkId,
    ) -> impl Iterator<Item = (&TaskKey, TaskStatus)> {
        let own = framework.clone();
        let row = self.frameworks.get(framework);
        self.derived
            .waiting
            .range((Bound::Included(least_key(framework)), Bound::Unbounded))
            .take_while(move |(key, ())| key.framework == own)
            .filter_map(move |(key, ())| Some((key, self.pending_update(key, row?)?)))
    }

    /// What is out of one task: its first unacknowledged update.
    pub fn head_update(&self, key: &TaskKey) -> Option<TaskStatus> {
        self.pending_update(key, self.frameworks.get(&key.framework)?)
    }

    fn pending_update(&self, key: &TaskKey, framework: &FrameworkRow) -> Option<TaskStatus> {
        let row = self.tasks.get(key)?;
        let head = row.pending.first()?;
        Some(notices::update_status(&framework.info, key, row, head))
    }

    /// When frameworks without a stream are removed, the earliest first.
    pub fn failover_deadlines(&self) -> impl Iterator<Item = (Instant, &FrameworkId)> {
        self.derived
            .deadlines
            .iter()
            .map(|((deadline, framework), ())| (*deadline, framework))
    }

    /// The frameworks whose streams a master holds.
    pub fn streams_of(
        &self,
        master: NodeId,
    ) -> impl Iterator<Item = (&FrameworkId, StreamId, &FrameworkRow)> {
        self.frameworks
            .iter()
            .filter_map(move |(id, row)| match row.connection {
                Connection::Connected { stream, holder } if holder == master => {
                    Some((id, stream, row))
                }
                Connection::Connected { .. } | Connection::Disconnected { .. } => None,
            })
    }
}

fn desired(key: &TaskKey, row: &TaskRow) -> Option<Desired> {
    if !row.holds() {
        return None;
    }
    if let Some(kill) = row.kill {
        return Some(Desired::Kill {
            task: key.clone(),
            grace: kill.grace,
        });
    }
    Some(Desired::Run(Arc::clone(row.assignment.content())))
}

fn first_offer() -> OfferId {
    OfferId {
        origin: shoal_api::Origin(0),
        number: 0,
    }
}

/// Not after any key of that framework: no id is less than one control-free character.
pub(crate) fn least_key(framework: &FrameworkId) -> TaskKey {
    TaskKey {
        framework: framework.clone(),
        task: TaskId::new(" ").expect("a space is an id"),
        launch: LaunchIndex(0),
    }
}

/// Not after any role.
pub(crate) fn least_role() -> shoal_api::Role {
    shoal_api::Role::new("\0").expect("roles may have control characters")
}
