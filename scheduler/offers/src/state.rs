//! The state: tables, what is derived from them, and the few moves that keep both in step.
//!
//! No rule of the offers' life is here; the commands' files have those.

use std::sync::Arc;

use shoal_api::{AgentId, FrameworkId, OfferId, Resources, TaskKey, Timestamp};
use shoal_ledger::{SectionId, Table, TableNumber};

use crate::derived::Derived;
use crate::limits;
use crate::module::NUMBER;
use crate::row::{
    AgentRow, CompletedFramework, CompletedTask, Counters, FrameworkRow, OfferRow, OperationRow,
    TaskRow,
};

pub(crate) const AGENTS: SectionId = section(1);
pub(crate) const FRAMEWORKS: SectionId = section(2);
pub(crate) const OFFERS: SectionId = section(3);
pub(crate) const TASKS: SectionId = section(4);
pub(crate) const COMPLETED_TASKS: SectionId = section(5);
pub(crate) const COMPLETED_FRAMEWORKS: SectionId = section(6);
pub(crate) const COUNTERS: SectionId = section(7);
pub(crate) const OPERATIONS: SectionId = section(8);

const fn section(table: u16) -> SectionId {
    SectionId {
        module: NUMBER,
        table: TableNumber(table),
    }
}

/// Agents, frameworks, offers and tasks. A clone is an image: it shares structure.
///
/// # Invariants
/// - per agent, free + offered + allocated = total, and nothing is negative;
/// - an offer is of a connected agent to a connected framework; a task's agent is known;
/// - a task id lives at most once, orphans apart;
/// - a task ends once: a row with a terminal state never changes it;
/// - derived indices and sums equal what the tables say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offers {
    pub(crate) agents: Table<AgentId, AgentRow>,
    pub(crate) frameworks: Table<FrameworkId, FrameworkRow>,
    pub(crate) offers: Table<OfferId, OfferRow>,
    pub(crate) tasks: Table<TaskKey, TaskRow>,
    pub(crate) completed_tasks: Table<u64, CompletedTask>,
    pub(crate) completed_frameworks: Table<FrameworkId, CompletedFramework>,
    pub(crate) counters: Table<(), Counters>,
    pub(crate) operations: Table<(FrameworkId, Arc<str>), OperationRow>,
    pub(crate) derived: Derived,
}

impl Default for Offers {
    fn default() -> Offers {
        let mut counters = Table::new(COUNTERS);
        counters.insert((), Counters::default());
        Offers {
            agents: Table::new(AGENTS),
            frameworks: Table::new(FRAMEWORKS),
            offers: Table::new(OFFERS),
            tasks: Table::new(TASKS),
            completed_tasks: Table::new(COMPLETED_TASKS),
            completed_frameworks: Table::new(COMPLETED_FRAMEWORKS),
            counters,
            operations: Table::new(OPERATIONS),
            derived: Derived::default(),
        }
    }
}

impl Offers {
    /// Nothing known.
    pub fn new() -> Offers {
        Offers::default()
    }

    /// Takes the next number of a counter.
    pub(crate) fn count(&mut self, which: impl FnOnce(&mut Counters) -> &mut u64) -> u64 {
        self.count_many(which, 1)
    }

    /// Takes the next `many` numbers of a counter; the first of them comes back.
    pub(crate) fn count_many(
        &mut self,
        which: impl FnOnce(&mut Counters) -> &mut u64,
        many: u64,
    ) -> u64 {
        self.counters
            .update(&(), |counters| {
                let counter = which(counters);
                let number = *counter;
                *counter = number.checked_add(many).expect("64 bits do not run out");
                number
            })
            .expect("the counters' row is always there")
    }

    pub(crate) fn put_agent(&mut self, id: AgentId, row: AgentRow) {
        self.derived.agent_added(id, &row);
        self.agents.insert(id, row);
    }

    pub(crate) fn put_framework(&mut self, id: &FrameworkId, row: FrameworkRow) {
        self.derived.framework_added(id, &row);
        if let Some(before) = self.frameworks.insert(id.clone(), row) {
            self.derived.framework_removed(id, &before);
        }
    }

    pub(crate) fn remove_framework(&mut self, id: &FrameworkId) -> Option<FrameworkRow> {
        let row = self.frameworks.remove(id)?;
        self.derived.framework_removed(id, &row);
        Some(row)
    }

    /// Adds an offer whose resources were taken from what is free.
    pub(crate) fn add_offer(&mut self, row: OfferRow) {
        self.derived.offer_added(&row);
        self.offers.insert(row.offer.id, row);
    }

    /// Removes an offer; its resources are the caller's, to allocate or to [`Offers::release`].
    pub(crate) fn take_offer(&mut self, id: OfferId) -> Option<OfferRow> {
        let row = self.offers.remove(&id)?;
        self.derived.offer_removed(&row);
        Some(row)
    }

    /// Makes resources of an agent free.
    pub(crate) fn release(&mut self, agent: AgentId, resources: &Resources) {
        if resources.is_empty() {
            return;
        }
        self.agents
            .update(&agent, |row| row.free.add(resources))
            .expect("what holds resources has an agent")
            .expect("resources were taken from this agent");
    }

    /// Takes free resources of an agent; false if they are not all free.
    #[must_use]
    pub(crate) fn reserve(&mut self, agent: AgentId, resources: &Resources) -> bool {
        let free = |row: &AgentRow| row.free.contains(resources);
        if !self.agents.get(&agent).is_some_and(free) {
            return false;
        }
        self.agents
            .update(&agent, |row| row.free.subtract(resources))
            .expect("the agent was found")
            .expect("the resources were found free");
        true
    }

    /// Adds a task whose resources were taken from what is free or offered.
    pub(crate) fn add_task(&mut self, key: TaskKey, row: TaskRow) {
        self.derived.task_added(&key, &row);
        let before = self.tasks.insert(key, row);
        assert!(before.is_none(), "a launch index is used once");
    }

    /// Changes a task; indices and the agent's free resources follow.
    ///
    /// Returns false if there is no such task.
    pub(crate) fn change_task(&mut self, key: &TaskKey, change: impl FnOnce(&mut TaskRow)) -> bool {
        let changed = self.tasks.update(key, |row| {
            let (held, waited) = (row.holds(), !row.pending.is_empty());
            change(row);
            assert!(held || !row.holds(), "task {key} rose from its end");
            let ended = held && !row.holds();
            let assignment = ended.then(|| row.assignment.clone());
            (assignment, waited, !row.pending.is_empty())
        });
        let Some((ended, waited, waits)) = changed else {
            return false;
        };
        if waited && !waits {
            self.derived.waiting.remove(key);
        }
        if waits && !waited {
            self.derived.waiting.insert(key.clone(), ());
        }
        if let Some(assignment) = ended {
            let resources = &assignment.spec.resources;
            self.derived
                .give(&key.framework, &assignment.role, resources);
            self.release(assignment.agent, resources);
        }
        true
    }

    /// Moves a task to the completed ones; its resources become free if it still held them.
    pub(crate) fn complete_task(&mut self, key: &TaskKey, now: Timestamp) -> Option<TaskRow> {
        let row = self.tasks.remove(key)?;
        self.derived.task_removed(key, &row);
        if row.holds() {
            self.release(row.assignment.agent, &row.assignment.spec.resources);
        }
        let order = self.count(|counters| &mut counters.completed);
        let completed = CompletedTask {
            assignment: row.assignment.clone(),
            state: row.reported,
            statuses: row.statuses.clone(),
            ended: now,
        };
        self.completed_tasks.insert(order, completed);
        if self.completed_tasks.len() > limits::COMPLETED_TASKS {
            let oldest = *self.completed_tasks.first().expect("it is over full").0;
            self.completed_tasks.remove(&oldest);
        }
        Some(row)
    }

    /// Remembers a removed framework.
    pub(crate) fn complete_framework(&mut self, id: &FrameworkId, row: CompletedFramework) {
        self.completed_frameworks.insert(id.clone(), row);
        if self.completed_frameworks.len() > limits::COMPLETED_FRAMEWORKS {
            let oldest = self
                .completed_frameworks
                .iter()
                .min_by_key(|(_, row)| row.order)
                .map(|(id, _)| id.clone())
                .expect("it is over full");
            self.completed_frameworks.remove(&oldest);
        }
    }
}
