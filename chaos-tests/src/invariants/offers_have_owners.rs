//! Source: design section 5 and the ledger's own list: an offer is of a connected agent to a connected
//! framework. Asked at every index, while the ledger's own check comes seldom.

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "an offer is of a connected agent to a connected framework";

#[derive(Debug)]
pub(super) struct OffersHaveOwners;

impl Invariant for OffersHaveOwners {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Ledger { index, state } = fact else {
            return Ok(());
        };
        for row in state.offers.offers() {
            let offer = &row.offer;
            let agent = state.offers.agent(offer.agent);
            if agent.is_none_or(|agent| !agent.is_connected()) {
                let (id, agent) = (offer.id, offer.agent);
                return Err(format!(
                    "at {index} offer {id} is of {agent}, which has no session"
                ));
            }
            let framework = state.offers.framework(&offer.framework);
            if framework.is_none_or(|framework| framework.stream().is_none()) {
                let (id, framework) = (offer.id, &offer.framework);
                return Err(format!(
                    "at {index} offer {id} is to {framework}, which has no stream"
                ));
            }
        }
        Ok(())
    }
}
