//! Answers offers for waiting slots: first fit, in order of the runs. Writes nothing.

use std::sync::Arc;

use shoal_api::call::{AgentName, Filters, Launch};
use shoal_api::offer::Offer;
use shoal_api::{OfferId, Slot, TaskSpec};

use crate::limits::PLACEMENTS_PER_PLAN;
use crate::runs::{RunRow, Runs};

/// One accept to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The offer that it uses.
    pub offer: OfferId,
    /// The rows that it claims, in the order of the launches.
    pub slots: Vec<Slot>,
    /// The tasks.
    pub launches: Vec<Launch>,
    /// For what is left of the offer.
    pub filters: Filters,
}

/// What to answer, and what was left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Offers to accept.
    pub placements: Vec<Placement>,
    /// Offers that nothing was found for.
    pub declines: Vec<OfferId>,
    /// Slots that fit no offer at hand.
    pub unplaced: usize,
    /// Slots that were not looked at, because the plan is full.
    pub deferred: usize,
}

/// Plans for `offers` as the ledger stands. Every offer is in the plan exactly once.
pub fn plan<'a>(runs: &Runs, offers: impl IntoIterator<Item = &'a Offer>) -> Plan {
    let mut plan = Plan::default();
    let mut open: Vec<(&Offer, shoal_api::Resources, Placement)> = offers
        .into_iter()
        .map(|offer| {
            let placement = Placement {
                offer: offer.id,
                slots: Vec::new(),
                launches: Vec::new(),
                filters: Filters {
                    refuse: std::time::Duration::ZERO,
                },
            };
            (offer, offer.resources.clone(), placement)
        })
        .collect();
    let mut placed = 0;
    let mut full_run = None;
    // Slots of one run ask for the same, so offers before the cursor are known to be too small.
    let mut cursor = 0;
    for slot in runs.waiting() {
        if placed == PLACEMENTS_PER_PLAN {
            plan.deferred += 1;
            break;
        }
        if full_run == Some(slot.run) {
            plan.unplaced += 1;
            continue;
        }
        let Some(row) = runs.run(slot.run) else {
            continue;
        };
        if slot.number == 0 || full_run.is_some_and(|run| run != slot.run) {
            cursor = 0;
        }
        let wanted = &row.spec.resources;
        let fit = open[cursor..]
            .iter()
            .position(|(_, free, _)| free.contains(wanted));
        let Some(at) = fit.map(|at| at + cursor) else {
            full_run = Some(slot.run);
            cursor = 0;
            plan.unplaced += 1;
            continue;
        };
        cursor = at;
        let (offer, free, placement) = &mut open[at];
        free.subtract(wanted)
            .expect("what is contained can be taken");
        let Some(spec) = task_spec(row, slot) else {
            continue;
        };
        placement.launches.push(Launch::Task {
            agent: AgentName::Id(offer.agent),
            spec,
        });
        placement.slots.push(slot);
        placed += 1;
    }
    for (_, _, placement) in open {
        if placement.launches.is_empty() {
            plan.declines.push(placement.offer);
        } else {
            plan.placements.push(placement);
        }
    }
    plan
}

fn task_spec(row: &RunRow, slot: Slot) -> Option<Arc<TaskSpec>> {
    let id = slot.task_id(&row.spec.name).ok()?;
    Some(Arc::new(TaskSpec {
        id,
        name: Arc::clone(&row.spec.name),
        resources: row.spec.resources.clone(),
        command: Some(row.spec.command.clone()),
        environment: row.spec.environment.clone(),
        user: row.spec.user.clone(),
        kill_grace: row.spec.kill_grace,
        unsupported: None,
        raw: bytes::Bytes::new(),
        digest: None,
    }))
}
