//! Source: design section 5: "a resource unit is in at most one live offer". An offer that was used
//! is gone for ever, whoever leads: else its units could be in two.

use std::collections::BTreeSet;

use shoal_api::{OfferId, Resources};

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "no resource is in two live offers";

/// Used offers that are remembered; the oldest ids are forgotten.
const REMEMBERED: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct OffersDisjoint {
    used: BTreeSet<OfferId>,
}

impl Invariant for OffersDisjoint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Used { offers } = fact {
            self.used.extend(offers.iter().copied());
            while self.used.len() > REMEMBERED {
                self.used.pop_first();
            }
        }
        let Fact::Ledger { index, state } = fact else {
            return Ok(());
        };
        for (id, row) in state.offers.agents() {
            let mut offered = Resources::new();
            for live in state.offers.offers_on(id) {
                let offer = &live.offer;
                if self.used.contains(&offer.id) {
                    return Err(format!(
                        "at {index} offer {} is out again after its use",
                        offer.id
                    ));
                }
                offered
                    .add(&offer.resources)
                    .map_err(|error| format!("at {index} offer {} of {id}: {error}", offer.id))?;
            }
            if !row.info.resources.contains(&offered) {
                return Err(format!(
                    "at {index} more of agent {id} is offered than it has: {offered}"
                ));
            }
        }
        Ok(())
    }
}
