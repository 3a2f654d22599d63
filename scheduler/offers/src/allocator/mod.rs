//! The allocator: who is offered what, by weighted dominant resource fairness.
//!
//! Soft state of the leader: decline filters, past allocations and a copy of what shares need. It
//! reads the ledger through [`View`], only where it was told that something changed, and answers with
//! a [`Plan`] that is proposed as one entry. What deliberately does not live here: the offers
//! themselves and their timeouts (ledger facts), suppression (ledger state), quotas, and shares by
//! hierarchy: a role with a slash is a role like any other, but that it may have what is reserved above it.
//!
//! A pass visits only touched agents, in random order; on each, roles in the order of their weighted
//! dominant shares, in each role its frameworks likewise; the first that may have it gets all that is
//! free there and that its role and capabilities allow; what is reserved for others waits for the next
//! pass. Ties: fewer past allocations, then the name. Source: Mesos, facts 7.1 to 7.4, 7.11.

mod abilities;
mod agents;
mod bitset;
mod filters;
pub mod limits;
mod plan;
mod ranking;
mod share;
#[cfg(test)]
mod tests;
mod tournament;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shoal_api::{AgentId, Dice, FrameworkId, Instant, Plant, Plants, Resources, Role};

use abilities::Abilities;
use agents::{Agents, is_offerable};
use bitset::Bitset;
use filters::Filters;
use limits::OFFERS_PER_PLAN;
use ranking::Ranking;
use share::{Scalars, Totals};

pub use plan::{NewOffer, Plan, Report};
pub use view::{AgentView, FrameworkView, View};

/// The leader's allocator. Made when a master becomes leader, dropped when it ceases to be.
///
/// # Invariants
/// - an agent with an unsettled promise is in no further plan;
/// - a client's promises are the sum of those of the agents;
/// - a client without a subscription, usage or promise has no slot.
#[derive(Clone, Debug)]
pub struct Allocator {
    dice: Dice,
    agents: Agents,
    frameworks: BTreeMap<FrameworkId, BTreeSet<Role>>,
    ranking: Ranking,
    filters: Filters,
    totals: Totals,
    abilities: Abilities,
    touched: Bitset,
    dirty_agents: BTreeSet<AgentId>,
    dirty_frameworks: BTreeSet<FrameworkId>,
    uncounted_kinds: usize,
    eligible: Bitset,
    plants: Plants,
}

impl Allocator {
    /// An allocator that has read all of the ledger and touched all agents.
    pub fn new(dice: Dice, view: &impl View) -> Allocator {
        let mut allocator = Allocator {
            dice,
            agents: Agents::default(),
            frameworks: BTreeMap::new(),
            ranking: Ranking::default(),
            filters: Filters::default(),
            totals: Totals::default(),
            abilities: Abilities::default(),
            touched: Bitset::default(),
            dirty_agents: view.agent_ids().into_iter().collect(),
            dirty_frameworks: view.framework_ids().into_iter().collect(),
            uncounted_kinds: 0,
            eligible: Bitset::default(),
            plants: Plants::NONE,
        };
        allocator.refresh(view);
        allocator
    }

    /// The same with a deliberate defect, for the simulator.
    #[must_use]
    pub fn with_plants(self, plants: Plants) -> Allocator {
        Allocator { plants, ..self }
    }

    /// The ledger changed an agent: what is free there, its session, its resources. It is visited by
    /// the next pass.
    pub fn touch(&mut self, agent: AgentId) {
        self.dirty_agents.insert(agent);
    }

    /// All agents are visited by the next pass.
    pub fn touch_all(&mut self) {
        for slot in self.agents.slots() {
            self.touched.insert(slot);
        }
    }

    /// The ledger changed a framework: its stream, roles, suppression, or what it holds. Roles that
    /// begin to want offers touch all agents.
    pub fn framework_changed(&mut self, framework: &FrameworkId) {
        self.dirty_frameworks.insert(framework.clone());
    }

    /// A framework gave up resources of an agent, and does not want them again for a while.
    pub fn declined(
        &mut self,
        framework: &FrameworkId,
        role: &Role,
        agent: AgentId,
        resources: &Resources,
        refuse: Duration,
        now: Instant,
    ) {
        let client = self.ranking.find(framework, role);
        if let (Some(client), Some(slot)) = (client, self.agents.find(agent)) {
            let evicted = self.filters.refuse(client, slot, resources, refuse, now);
            if let Some(evicted) = evicted {
                self.touched.insert(evicted);
            }
        }
    }

    /// A framework wants to see everything again in some of its roles; none stands for all.
    pub fn revived(&mut self, framework: &FrameworkId, roles: &BTreeSet<Role>) {
        let own = self.frameworks.get(framework).cloned().unwrap_or_default();
        for role in own
            .iter()
            .filter(|role| roles.is_empty() || roles.contains(role))
        {
            if let Some(client) = self.ranking.find(framework, role) {
                self.filters.forget_client(client);
            }
        }
        self.framework_changed(framework);
        self.touch_all();
    }

    /// The ledger has answered to a plan, or never will: these agents can be planned again.
    pub fn settled(&mut self, agents: impl IntoIterator<Item = AgentId>) {
        for id in agents {
            self.touch(id);
            let Some(slot) = self.agents.find(id) else {
                continue;
            };
            let agent = self.agents.get_mut(slot).expect("a found slot is in use");
            if let Some((client, scalars)) = agent.promised.take() {
                self.ranking.settle(client, &scalars, &self.totals);
                let framework = self.ranking.client(client).framework.clone();
                self.dirty_frameworks.insert(framework);
            }
        }
    }

    /// When a pass is due although nothing happens: the next filters end.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.filters.next_end()
    }

    /// Whether a pass has something to visit.
    pub fn is_wanted(&self) -> bool {
        !self.dirty_agents.is_empty() || !self.dirty_frameworks.is_empty() || self.touched.len() > 0
    }

    /// Decline filters that stand.
    pub fn filters(&self) -> usize {
        self.filters.len()
    }

    /// One pass over the touched agents.
    ///
    /// The caller proposes the plan and says [`Allocator::settled`] of its agents when the ledger
    /// has answered; until then they are left alone.
    pub fn allocate(&mut self, now: Instant, view: &impl View) -> Plan {
        let touched = &mut self.touched;
        self.filters.expire(now, |agent| touched.insert(agent));
        self.refresh(view);
        self.ranking.refresh(&self.totals);
        let mut visits: Vec<u32> = self.touched.iter().collect();
        self.touched.clear();
        self.dice.shuffle(&mut visits);
        let mut plan = Plan::default();
        for slot in visits {
            if plan.offers.len() == OFFERS_PER_PLAN {
                self.touched.insert(slot);
                plan.report.postponed += 1;
                continue;
            }
            self.visit(slot, &mut plan);
        }
        plan.report.uncounted_kinds = self.uncounted_kinds;
        plan.report.dropped_filters = self.filters.dropped();
        plan
    }

    fn visit(&mut self, slot: u32, plan: &mut Plan) {
        let report = &mut plan.report;
        report.visited += 1;
        let Some(agent) = self.agents.get_mut(slot).filter(|agent| agent.connected) else {
            report.not_connected += 1;
            return;
        };
        if agent.promised.is_some() {
            report.unsettled += 1;
            return;
        }
        if !is_offerable(&agent.free) {
            report.too_small += 1;
            return;
        }
        self.eligible.copy_from(self.ranking.active());
        if agent.has_gpus {
            self.eligible.intersect(self.abilities.of_gpus());
        }
        if self.eligible.len() == 0 {
            report.no_taker += 1;
            return;
        }
        let found = if agent.is_plain {
            self.filters.apply(slot, &agent.free, &mut self.eligible);
            self.ranking
                .first(&self.eligible)
                .map(|winner| (winner, std::mem::take(&mut agent.free), agent.free_scalars))
        } else {
            let free = std::mem::take(&mut agent.free);
            self.first_with_part(slot, free)
        };
        let Some((winner, resources, scalars)) = found else {
            plan.report.filtered += 1;
            return;
        };
        let agent = self.agents.get_mut(slot).expect("a visited slot is in use");
        agent.promised = Some((winner, scalars));
        self.ranking.promise(winner, &scalars, &self.totals);
        let client = self.ranking.client(winner);
        plan.offers.push(NewOffer {
            framework: client.framework.clone(),
            role: client.role.clone(),
            agent: agent.id,
            resources,
        });
    }

    /// The first in order that may have a part of what is free on an agent and did not refuse it,
    /// with that part. Without one the agent keeps what is free.
    fn first_with_part(&mut self, slot: u32, free: Resources) -> Option<(u32, Resources, Scalars)> {
        while let Some(client) = self.ranking.first(&self.eligible) {
            let role = &self.ranking.client(client).role;
            let part = self.abilities.part(client, role, &free);
            if is_offerable(&part) && !self.filters.blocks(slot, client, &part) {
                let scalars = self.totals.scalars(&part).0;
                return Some((client, part, scalars));
            }
            self.eligible.remove(client);
        }
        let agent = self.agents.get_mut(slot).expect("a visited slot is in use");
        agent.free = free;
        None
    }

    /// Reads again what the ledger changed.
    fn refresh(&mut self, view: &impl View) {
        for id in std::mem::take(&mut self.dirty_agents) {
            self.refresh_agent(id, view);
        }
        for id in std::mem::take(&mut self.dirty_frameworks) {
            self.refresh_framework(&id, view);
        }
    }

    fn refresh_agent(&mut self, id: AgentId, view: &impl View) {
        let found = self.agents.find(id);
        let Some(seen) = view.agent(id) else {
            if let Some(slot) = found {
                self.forget_agent(slot);
            }
            return;
        };
        let slot = found.unwrap_or_else(|| self.agents.add(id, &seen));
        let (free_scalars, beyond) = self.totals.scalars(&seen.free);
        let counted = if seen.counted {
            self.totals.scalars(&seen.info.resources).0
        } else {
            Scalars::default()
        };
        self.uncounted_kinds += beyond;
        let agent = self.agents.get_mut(slot).expect("a found slot is in use");
        if !Arc::ptr_eq(&agent.info, seen.info) {
            if agent.info.attributes != seen.info.attributes {
                self.filters.forget_agent(slot);
            }
            agent.info = Arc::clone(seen.info);
        }
        if agent.counted != counted {
            self.totals.replace(&agent.counted, &counted);
            agent.counted = counted;
            self.ranking.totals_changed();
        }
        agent.connected = seen.connected;
        agent.has_gpus = seen.info.resources.named("gpus").next().is_some();
        agent.is_plain = seen.free.is_plain();
        agent.free = seen.free;
        agent.free_scalars = free_scalars;
        self.touched.insert(slot);
    }

    fn forget_agent(&mut self, slot: u32) {
        let agent = self.agents.remove(slot);
        if let Some((client, scalars)) = agent.promised {
            self.ranking.settle(client, &scalars, &self.totals);
            let framework = self.ranking.client(client).framework.clone();
            self.dirty_frameworks.insert(framework);
        }
        self.filters.forget_agent(slot);
        self.touched.remove(slot);
        self.totals.replace(&agent.counted, &Scalars::default());
        self.ranking.totals_changed();
    }

    fn refresh_framework(&mut self, id: &FrameworkId, view: &impl View) {
        let seen = view.framework(id);
        let mut roles = self.frameworks.remove(id).unwrap_or_default();
        let mut used = BTreeMap::new();
        if let Some(seen) = &seen {
            roles.extend(seen.info.roles.iter().cloned());
            for (role, resources) in &seen.used {
                roles.insert(role.clone());
                used.insert(role.clone(), self.totals.scalars(resources).0);
            }
        }
        let mut kept = BTreeSet::new();
        for role in roles {
            let connected = seen.as_ref().filter(|seen| seen.connected);
            let subscribed = connected.is_some_and(|seen| seen.info.roles.contains(&role));
            let wants = subscribed && seen.as_ref().is_some_and(|s| !s.suppressed.contains(&role));
            let slot = self.ranking.slot(id, &role);
            self.ranking.set_weight(&role, view.weight(&role));
            let amounts = used.get(&role).copied().unwrap_or_default();
            self.ranking.set_used(slot, amounts, &self.totals);
            self.abilities.set(slot, connected.map(|seen| seen.info));
            if !subscribed && !self.plants.has(Plant::FiltersOutliveFramework) {
                self.filters.forget_client(slot);
            }
            if self.ranking.set_active(slot, wants) {
                self.touch_all();
            }
            let idle = amounts.is_zero() && self.ranking.client(slot).promised.is_zero();
            let known = seen.as_ref().is_some_and(|s| s.info.roles.contains(&role));
            if !known && idle {
                self.ranking.remove(slot);
            } else {
                kept.insert(role);
            }
        }
        if !kept.is_empty() {
            self.frameworks.insert(id.clone(), kept);
        }
    }
}
