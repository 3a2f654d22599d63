//! Source: design section 5: "per agent, free + offered + allocated + delegated = total, never
//! negative". Counted anew from rows, beside the ledger's own check.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "free, offered and allocated are the total of each agent";

/// The ledger's own check looks at everything, at every so many indexes.
const CHECK_EVERY: u64 = 64;

#[derive(Debug)]
pub(super) struct OffersConserve;

impl Invariant for OffersConserve {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Ledger { index, state } = fact else {
            return Ok(());
        };
        for (id, row) in state.offers.agents() {
            let mut sum = row.free.clone();
            let offered = state.offers.offers_on(id).map(|row| &row.offer.resources);
            let allocated = state
                .offers
                .tasks_of_agent(id)
                .filter(|task| task.row.holds())
                .map(|task| &task.row.assignment.spec.resources);
            for part in offered.chain(allocated) {
                sum.add(part)
                    .map_err(|error| format!("at {index} on agent {id}: {error}"))?;
            }
            if sum != row.info.resources {
                let total = &row.info.resources;
                return Err(format!(
                    "at {index} agent {id} has {total}, but its parts are {sum}"
                ));
            }
        }
        if index.0.is_multiple_of(CHECK_EVERY) {
            return state
                .check()
                .map_err(|violation| format!("at {index}: {violation}"));
        }
        Ok(())
    }
}
