//! What clients can take: which of them understand which kinds of resources.

use shoal_api::{Capability, FrameworkInfo, Resources, Role};

use super::bitset::Bitset;

/// The clients with each capability that decides over offers. Source: facts 7.6, 7.10.
#[derive(Clone, Debug, Default)]
pub(super) struct Abilities {
    gpus: Bitset,
    shared: Bitset,
    revocable: Bitset,
    refined: Bitset,
}

impl Abilities {
    /// What a client can take; nothing while it is not connected.
    pub(super) fn set(&mut self, client: u32, info: Option<&FrameworkInfo>) {
        let sets = [
            (&mut self.gpus, Capability::GpuResources),
            (&mut self.shared, Capability::SharedResources),
            (&mut self.revocable, Capability::RevocableResources),
            (&mut self.refined, Capability::ReservationRefinement),
        ];
        for (set, capability) in sets {
            if info.is_some_and(|info| info.can(capability)) {
                set.insert(client);
            } else {
                set.remove(client);
            }
        }
    }

    /// Those that may be offered agents with GPUs.
    pub(super) fn of_gpus(&self) -> &Bitset {
        &self.gpus
    }

    /// What a client may have of what is free on an agent.
    pub(super) fn part(&self, client: u32, role: &Role, free: &Resources) -> Resources {
        free.filter(|resource| match &resource.terms {
            None => true,
            Some(terms) => {
                terms.is_for(role)
                    && (!terms.shared || self.shared.contains(client))
                    && (!terms.revocable || self.revocable.contains(client))
                    && (terms.reservations.len() < 2 || self.refined.contains(client))
            }
        })
    }
}
