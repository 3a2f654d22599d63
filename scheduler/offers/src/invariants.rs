//! Every invariant of the state, checked by looking at everything.

use std::collections::BTreeMap;

use shoal_api::{AgentId, FrameworkId, Resources, TaskId, TaskKey};
use shoal_ledger::{Module, Violation};

use crate::limits;
use crate::offering;
use crate::row::{AgentRow, OfferRow, Presence, Standing, TaskRow};
use crate::state::Offers;

fn violation(invariant: &'static str, detail: String) -> Violation {
    Violation {
        module: Offers::NUMBER,
        invariant,
        detail,
    }
}

fn ensure(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(violation(invariant, detail()))
    }
}

impl Offers {
    /// Checks everything.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn invariants(&self) -> Result<(), Violation> {
        for (id, row) in self.agents.iter() {
            self.check_agent(*id, row)?;
        }
        for (_, row) in self.offers.iter() {
            self.check_offer(row)?;
        }
        let mut lives: BTreeMap<(&FrameworkId, &TaskId), &TaskKey> = BTreeMap::new();
        for (key, row) in self.tasks.iter() {
            self.check_task(key, row)?;
            if row.standing == Standing::Launched {
                let twice = lives.insert((&key.framework, &key.task), key);
                ensure(twice.is_none(), "a task id lives once", || key.to_string())?;
            }
        }
        for (id, row) in self.frameworks.iter() {
            let own = row.info.id.as_ref() == Some(id);
            let subset = row.suppressed.is_subset(&row.info.roles);
            let gone = self.completed_frameworks.contains(id);
            ensure(own && subset && !gone, "frameworks are sound", || {
                id.to_string()
            })?;
        }
        let bounded = self.completed_tasks.len() <= limits::COMPLETED_TASKS
            && self.completed_frameworks.len() <= limits::COMPLETED_FRAMEWORKS;
        ensure(bounded, "completed rows are bounded", String::new)?;
        ensure(
            self.derived == self.derive(),
            "indices and sums follow the tables",
            String::new,
        )?;
        ensure(
            self.hash() == self.rehash(),
            "hashes follow rows",
            String::new,
        )
    }

    fn check_agent(&self, id: AgentId, row: &AgentRow) -> Result<(), Violation> {
        const CONSERVED: &str = "free + offered + allocated = total";
        let mut sum = row.free.clone();
        let mut add = |what: &Resources, who: String| {
            sum.add(what)
                .map_err(|why| violation(CONSERVED, format!("agent {id}, {who}: {why}")))
        };
        for offer in self.offers_on(id) {
            add(&offer.offer.resources, format!("offer {}", offer.offer.id))?;
        }
        for task in self.tasks_of_agent(id).filter(|task| task.row.holds()) {
            let resources = &task.row.assignment.spec.resources;
            add(resources, format!("task {}", task.key))?;
        }
        ensure(sum == row.info.resources, CONSERVED, || {
            format!("agent {id}: {sum} of {}", row.info.resources)
        })
    }

    fn check_offer(&self, row: &OfferRow) -> Result<(), Violation> {
        let offer = &row.offer;
        let framework = self.frameworks.get(&offer.framework);
        let agent = self.agents.get(&offer.agent);
        let sound = framework.is_some_and(|f| f.stream().is_some())
            && agent.is_some_and(AgentRow::is_connected)
            && !offer.resources.is_empty();
        ensure(
            offering::is_for(&offer.resources, &offer.role),
            "reserved resources are offered to their role or below it",
            || offer.id.to_string(),
        )?;
        ensure(
            sound,
            "an offer is of a connected agent to a connected framework",
            || offer.id.to_string(),
        )
    }

    fn check_task(&self, key: &TaskKey, row: &TaskRow) -> Result<(), Violation> {
        let assignment = &row.assignment;
        let agent = self.agents.get(&assignment.agent);
        ensure(
            assignment.key == *key && agent.is_some(),
            "a task's agent is known",
            || key.to_string(),
        )?;
        let lost = agent.is_some_and(AgentRow::is_unreachable) && row.holds();
        ensure(
            row.unreachable_since.is_some() == lost,
            "tasks that run are unreachable exactly while their agent is",
            || key.to_string(),
        )?;
        if let (Some(since), Some(Presence::Unreachable { since: own })) =
            (row.unreachable_since, agent.map(|agent| agent.presence))
        {
            ensure(since == own, "a task is lost when its agent is", || {
                key.to_string()
            })?;
        }
        let end = row.pending.iter().position(|r| r.state.is_terminal());
        let last_only = end.is_none_or(|at| at + 1 == row.pending.len());
        let waits = row.holds() || end.is_some();
        ensure(
            last_only && waits,
            "an ended task waits for one acknowledgement of its end",
            || key.to_string(),
        )?;
        let abandoned = row.standing == Standing::Abandoned;
        let killed = !abandoned || (row.kill.is_some() && row.holds() && row.pending.is_empty());
        ensure(
            killed,
            "what a framework left behind is being killed",
            || key.to_string(),
        )?;
        ensure(
            !abandoned || !self.frameworks.contains(&key.framework),
            "abandoned tasks have no framework",
            || key.to_string(),
        )?;
        let bounded = row.pending.len() <= limits::PENDING_PER_TASK
            && row.statuses.len() <= limits::STATUSES_PER_TASK;
        ensure(bounded, "reports are bounded", || key.to_string())
    }
}
