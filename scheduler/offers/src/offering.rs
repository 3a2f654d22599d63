//! Offers: made by the allocator's plan, given back, taken back; and who wants any.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_api::call::Filters;
use shoal_api::notice::Notice;
use shoal_api::offer::Offer;
use shoal_api::{
    AgentId, AgentInfo, FrameworkId, OfferId, Plant, Resource, Resources, Role, StreamId,
};

use crate::allocator::NewOffer;
use crate::apply::Context;
use crate::effect::Effect;
use crate::limits;
use crate::notices;
use crate::outcome::{Dropped, Outcome, Refusal};
use crate::row::OfferRow;
use crate::state::Offers;

/// The new offers of one framework, with the agents they are of.
type Batch = (FrameworkId, Vec<(Offer, Arc<AgentInfo>)>);

/// Whether a role may use all of it.
pub(crate) fn is_for(resources: &Resources, role: &Role) -> bool {
    let fits = |r: &Resource| r.terms.as_ref().is_none_or(|terms| terms.is_for(role));
    resources.iter().all(fits)
}

impl Offers {
    /// Makes the offers that still fit: the plan was made of an older state.
    pub(crate) fn make_offers(
        &mut self,
        context: &Context<'_>,
        plan: Vec<NewOffer>,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let planned = plan.len();
        let mut batches: Vec<Batch> = Vec::new();
        let mut made = 0;
        for new in plan.into_iter().take(limits::OFFERS_PER_COMMAND) {
            let Some((framework, info)) = self.still_fits(&new) else {
                continue;
            };
            if !self.reserve(new.agent, &new.resources) {
                continue;
            }
            let number = self.count(|counters| &mut counters.offer);
            let offer = Offer {
                id: OfferId {
                    origin: context.origin,
                    number,
                },
                framework,
                agent: new.agent,
                role: new.role,
                resources: new.resources,
            };
            made += 1;
            if context.plants.has(Plant::OfferWithoutReserving) {
                self.release(offer.agent, &offer.resources);
            }
            self.add_offer(OfferRow {
                offer: offer.clone(),
                made: context.now(),
            });
            effects.push(Effect::AgentChanged { agent: offer.agent });
            match batches.iter_mut().find(|(to, _)| *to == offer.framework) {
                Some((_, batch)) => batch.push((offer, info)),
                None => batches.push((offer.framework.clone(), vec![(offer, info)])),
            }
        }
        for (framework, batch) in batches {
            let row = self.frameworks.get(&framework);
            notices::tell(&framework, row, effects, |_| Notice::Offers(batch));
            effects.push(Effect::FrameworkChanged { framework });
        }
        Ok(Outcome::OffersMade {
            made,
            skipped: (planned - made as usize) as u32,
        })
    }

    /// Framework and agent of a planned offer, if they still want it and can give it. The id is that
    /// of the row, so that all of a framework's rows share its text.
    fn still_fits(&self, new: &NewOffer) -> Option<(FrameworkId, Arc<AgentInfo>)> {
        let framework = self.frameworks.get(&new.framework)?;
        let wanted = framework.stream().is_some()
            && framework.info.roles.contains(&new.role)
            && !framework.suppressed.contains(&new.role);
        let agent = self.agents.get(&new.agent)?;
        let fits = wanted
            && agent.is_connected()
            && !new.resources.is_empty()
            && is_for(&new.resources, &new.role);
        let id = framework.info.id.clone()?;
        fits.then(|| (id, Arc::clone(agent.info.content())))
    }

    /// A framework gives offers back.
    pub(crate) fn decline(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        stream: StreamId,
        offers: &[OfferId],
        filters: Filters,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        self.check_stream(framework, stream)?;
        for id in offers.iter().take(limits::OFFERS_PER_CALL) {
            let own = |row: &OfferRow| row.offer.framework == *framework;
            if !self.offers.get(id).is_some_and(own) {
                continue;
            }
            let offer = self.take_offer(*id).expect("the offer was found").offer;
            if context.plants.has(Plant::DeclineTwice) {
                self.release(offer.agent, &offer.resources);
            }
            self.give_back(
                framework,
                offer.agent,
                &offer.role,
                &offer.resources,
                filters,
                effects,
            );
        }
        Ok(Outcome::Done)
    }

    /// Resources of taken offers become free, and their framework does not want them for a while.
    pub(crate) fn give_back(
        &mut self,
        framework: &FrameworkId,
        agent: AgentId,
        role: &Role,
        resources: &Resources,
        filters: Filters,
        effects: &mut Vec<Effect>,
    ) {
        if resources.is_empty() {
            return;
        }
        self.release(agent, resources);
        if !filters.refuse.is_zero() {
            effects.push(Effect::Refused {
                framework: framework.clone(),
                role: role.clone(),
                agent,
                resources: resources.clone(),
                refuse: filters.refuse.min(limits::REFUSE_MOST),
            });
        }
        effects.push(Effect::AgentChanged { agent });
        effects.push(Effect::FrameworkChanged {
            framework: framework.clone(),
        });
    }

    /// Takes offers back and says so.
    pub(crate) fn rescind(
        &mut self,
        offers: &[OfferId],
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        for id in offers.iter().take(limits::OFFERS_PER_COMMAND) {
            self.rescind_one(*id, effects);
        }
        Ok(Outcome::Done)
    }

    pub(crate) fn rescind_one(&mut self, id: OfferId, effects: &mut Vec<Effect>) {
        let Some(OfferRow { offer, .. }) = self.take_offer(id) else {
            return;
        };
        self.release(offer.agent, &offer.resources);
        let row = self.frameworks.get(&offer.framework);
        notices::tell(&offer.framework, row, effects, |_| Notice::Rescind(id));
        effects.push(Effect::AgentChanged { agent: offer.agent });
        effects.push(Effect::FrameworkChanged {
            framework: offer.framework,
        });
    }

    /// Takes all offers of an agent back and says so.
    pub(crate) fn rescind_offers_on(&mut self, agent: AgentId, effects: &mut Vec<Effect>) {
        let ids: Vec<OfferId> = self.offers_on(agent).map(|row| row.offer.id).collect();
        for id in ids {
            self.rescind_one(id, effects);
        }
    }

    /// Takes all offers of a framework back without a word: it has no stream, or a new one.
    pub(crate) fn withdraw_offers_of(
        &mut self,
        framework: &FrameworkId,
        effects: &mut Vec<Effect>,
    ) {
        let ids: Vec<OfferId> = self.offers_of(framework).map(|row| row.offer.id).collect();
        for id in ids {
            let offer = self.take_offer(id).expect("indexed offers exist").offer;
            self.release(offer.agent, &offer.resources);
            effects.push(Effect::AgentChanged { agent: offer.agent });
        }
    }

    /// A framework wants no offers in some roles; those that are out stay.
    pub(crate) fn suppress(
        &mut self,
        framework: &FrameworkId,
        stream: StreamId,
        roles: BTreeSet<Role>,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let row = self.check_stream(framework, stream)?;
        if !roles.is_subset(&row.info.roles) {
            return Ok(Outcome::Dropped(Dropped::ForeignRole));
        }
        self.frameworks.update(framework, |row| {
            if roles.is_empty() {
                row.suppressed = row.info.roles.clone();
            } else {
                row.suppressed.extend(roles);
            }
        });
        effects.push(Effect::FrameworkChanged {
            framework: framework.clone(),
        });
        Ok(Outcome::Done)
    }

    /// A framework wants offers in some roles again.
    pub(crate) fn revive(
        &mut self,
        framework: &FrameworkId,
        stream: StreamId,
        roles: BTreeSet<Role>,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let row = self.check_stream(framework, stream)?;
        if !roles.is_subset(&row.info.roles) {
            return Ok(Outcome::Dropped(Dropped::ForeignRole));
        }
        self.frameworks.update(framework, |row| {
            if roles.is_empty() {
                row.suppressed.clear();
            } else {
                row.suppressed.retain(|role| !roles.contains(role));
            }
        });
        effects.push(Effect::Revived {
            framework: framework.clone(),
            roles,
        });
        effects.push(Effect::FrameworkChanged {
            framework: framework.clone(),
        });
        Ok(Outcome::Done)
    }
}
