//! What follows from the tables and is kept for speed: indices and sums.
//!
//! Not hashed and not in snapshots: rebuilt at restore, compared with a rebuilt one by `check`.

use shoal_api::{
    AgentId, FrameworkId, Instant, LaunchIndex, NodeId, OfferId, Resources, Role, TaskKey,
};
use shoal_ledger::Sorted;

use crate::quantities::Quantities;
use crate::row::{AgentRow, Connection, FrameworkRow, OfferRow, TaskRow};

/// Indices and sums over the tables.
///
/// # Invariants
/// - equal to what is built from the tables anew, after every command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Derived {
    /// The agent of each node.
    pub(crate) nodes: Sorted<NodeId, AgentId>,
    /// Offers by agent.
    pub(crate) offers_on: Sorted<(AgentId, OfferId), ()>,
    /// Offers by framework.
    pub(crate) offers_of: Sorted<(FrameworkId, OfferId), ()>,
    /// Tasks by agent, in the order of their launches.
    pub(crate) tasks_on: Sorted<AgentId, Sorted<(LaunchIndex, TaskKey), ()>>,
    /// Tasks with a report that is not acknowledged.
    pub(crate) waiting: Sorted<TaskKey, ()>,
    /// Frameworks without a stream, by when they are removed.
    pub(crate) deadlines: Sorted<(Instant, FrameworkId), ()>,
    /// Allocated and offered, by framework and role.
    pub(crate) used: Sorted<(FrameworkId, Role), Usage>,
}

/// What a framework has and was offered in one role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Scalars.
    pub(crate) quantities: Quantities,
    /// Offers and tasks that hold them.
    pub(crate) holders: u64,
}

impl Derived {
    pub(crate) fn agent_added(&mut self, id: AgentId, row: &AgentRow) {
        self.nodes.insert(row.info.node, id);
    }

    pub(crate) fn framework_added(&mut self, id: &FrameworkId, row: &FrameworkRow) {
        if let Connection::Disconnected { deadline, .. } = row.connection {
            self.deadlines.insert((deadline, id.clone()), ());
        }
    }

    pub(crate) fn framework_removed(&mut self, id: &FrameworkId, row: &FrameworkRow) {
        if let Connection::Disconnected { deadline, .. } = row.connection {
            self.deadlines.remove(&(deadline, id.clone()));
        }
    }

    pub(crate) fn offer_added(&mut self, row: &OfferRow) {
        let offer = &row.offer;
        self.offers_on.insert((offer.agent, offer.id), ());
        self.offers_of
            .insert((offer.framework.clone(), offer.id), ());
        self.take(&offer.framework, &offer.role, &offer.resources);
    }

    pub(crate) fn offer_removed(&mut self, row: &OfferRow) {
        let offer = &row.offer;
        self.offers_on.remove(&(offer.agent, offer.id));
        self.offers_of.remove(&(offer.framework.clone(), offer.id));
        self.give(&offer.framework, &offer.role, &offer.resources);
    }

    pub(crate) fn task_added(&mut self, key: &TaskKey, row: &TaskRow) {
        let assignment = &row.assignment;
        let own = (key.launch, key.clone());
        match self.tasks_on.get_mut(&assignment.agent) {
            Some(tasks) => {
                tasks.insert(own, ());
            }
            None => {
                let tasks = [(own, ())].into_iter().collect();
                self.tasks_on.insert(assignment.agent, tasks);
            }
        }
        if !row.pending.is_empty() {
            self.waiting.insert(key.clone(), ());
        }
        if row.holds() {
            self.take(&key.framework, &assignment.role, &assignment.spec.resources);
        }
    }

    pub(crate) fn task_removed(&mut self, key: &TaskKey, row: &TaskRow) {
        let assignment = &row.assignment;
        if let Some(tasks) = self.tasks_on.get_mut(&assignment.agent) {
            tasks.remove(&(key.launch, key.clone()));
            if tasks.is_empty() {
                self.tasks_on.remove(&assignment.agent);
            }
        }
        if !row.pending.is_empty() {
            self.waiting.remove(key);
        }
        if row.holds() {
            self.give(&key.framework, &assignment.role, &assignment.spec.resources);
        }
    }

    pub(crate) fn take(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let key = (framework.clone(), role.clone());
        if let Some(usage) = self.used.get_mut(&key) {
            usage.quantities.add(resources);
            usage.holders += 1;
            return;
        }
        let mut usage = Usage::default();
        usage.quantities.add(resources);
        usage.holders = 1;
        self.used.insert(key, usage);
    }

    pub(crate) fn give(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let key = (framework.clone(), role.clone());
        let usage = self.used.get_mut(&key).expect("what is given was taken");
        usage.quantities.subtract(resources);
        usage.holders -= 1;
        if usage.holders == 0 {
            self.used.remove(&key);
        }
    }
}
