//! What only a leader does: stamp and pack commands, allocate, answer offers for the built-in
//! framework, and end what ran out of time.
//!
//! All its state is soft: a new leader recomputes it from the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shoal_api::{AgentId, Dice, FrameworkId, Instant, NodeId, RequestId};
use shoal_offers::allocator::Allocator;
use shoal_offers::{Effect, OffersCommand, RemovalCause, RescindCause};

use crate::charter::CharterCommand;
use crate::guests::Guests;
use crate::leases::Leases;
use crate::master::Master;
use crate::proposals::{Decision, Waiter};
use crate::queue::Queue;
use crate::ring::Ring;
use crate::state::{LedgerCommand, Outcome, RUNS_STREAM, State, runs_framework};

/// How often the leader looks at what is due by the clock. Ours.
const LOOK: Duration = Duration::from_millis(100);
/// How often offers are looked at for their timeout, and the ring for its masters. Ours.
const LOOK_SELDOM: Duration = Duration::from_secs(1);

/// The soft state of a leadership.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) queue: Queue,
    pub(crate) leases: Leases,
    /// Askers that do not apply the ledger.
    pub(crate) guests: Guests,
    allocator: Option<Allocator>,
    dice: Dice,
    promised: BTreeMap<RequestId, Vec<AgentId>>,
    removing: BTreeSet<FrameworkId>,
    since: Instant,
    base: Instant,
    look: Instant,
    look_seldom: Instant,
    placing: usize,
    runs_dirty: bool,
    founding: bool,
}

impl Lead {
    /// A leadership that begins.
    pub(crate) fn new(now: Instant, dice: Dice) -> Lead {
        Lead {
            queue: Queue::default(),
            leases: Leases::default(),
            guests: Guests::default(),
            allocator: None,
            dice,
            promised: BTreeMap::new(),
            removing: BTreeSet::new(),
            since: now,
            base: Instant::ZERO,
            look: now,
            look_seldom: now,
            placing: 0,
            runs_dirty: true,
            founding: false,
        }
    }

    /// Ledger time at that moment: it goes on from where the ledger stands, by this leader's clock.
    pub(crate) fn ledger_time(&self, now: Instant) -> Instant {
        self.base + now.since(self.since)
    }

    /// An effect of the ledger, in order.
    pub(crate) fn follow(&mut self, effect: &Effect, state: &State, now: Instant) {
        let Some(allocator) = &mut self.allocator else {
            return;
        };
        match effect {
            Effect::SessionChanged { agent } => {
                if let Some(row) = state.offers.agent(*agent) {
                    self.leases.follow(*agent, row.presence, now);
                }
                allocator.touch(*agent);
            }
            Effect::AgentChanged { agent } => allocator.touch(*agent),
            Effect::FrameworkChanged { framework } => {
                self.runs_dirty |= *framework == runs_framework();
                allocator.framework_changed(framework);
            }
            Effect::FrameworkGone { framework } => {
                self.removing.remove(framework);
                allocator.framework_changed(framework);
            }
            Effect::Refused {
                framework,
                role,
                agent,
                resources,
                refuse,
            } => {
                allocator.declined(framework, role, *agent, resources, *refuse, now);
            }
            Effect::Revived { framework, roles } => {
                self.runs_dirty |= *framework == runs_framework();
                allocator.revived(framework, roles);
            }
            Effect::Notice { framework, .. } => {
                self.runs_dirty |= *framework == runs_framework();
            }
            Effect::AgentRunsChanged { .. }
            | Effect::UpdateDurable { .. }
            | Effect::StreamEnded { .. }
            | Effect::TaskChanged { .. }
            | Effect::VolumeDestroyed { .. }
            | Effect::TaskGone { .. } => {}
        }
    }
}

impl Master {
    /// Does what a leader does; nothing before it holds all that was ever acknowledged.
    pub(crate) fn lead_on(&mut self) {
        if !self.quorum.is_settled_leader() || !self.take_over() {
            return;
        }
        let Some(lead) = &mut self.lead else { return };
        if lead.look <= self.now {
            lead.look = self.now + LOOK;
            self.remove_overdue();
            self.keep_leases();
            self.keep_quorum();
        }
        let Some(lead) = &mut self.lead else { return };
        if lead.look_seldom <= self.now {
            lead.look_seldom = self.now + LOOK_SELDOM;
            self.rescind_overdue();
            self.keep_ring();
        }
        self.place_runs();
        self.allocate();
    }

    /// The first act of a leadership; true once it is done.
    fn take_over(&mut self) -> bool {
        let founded = self.state.charter.identity().is_some();
        let Some(lead) = &mut self.lead else {
            return false;
        };
        if !founded {
            if !lead.founding {
                lead.founding = true;
                let cluster = self.config.cluster;
                let command = LedgerCommand::Charter(CharterCommand::Founded { cluster });
                self.submit(command, Waiter::Decision(Decision::Other));
            }
            return false;
        }
        if lead.allocator.is_none() {
            lead.base = self.state.charter.time();
            lead.since = self.now;
            lead.leases = Leases::over(&self.state, self.now);
            let allocator = Allocator::new(lead.dice.clone(), &self.state.offers);
            lead.allocator = Some(allocator.with_plants(self.config.plants));
        }
        true
    }

    /// Frameworks that stayed away for too long.
    fn remove_overdue(&mut self) {
        let Some(lead) = &mut self.lead else { return };
        let time = lead.ledger_time(self.now);
        let mut overdue = Vec::new();
        for (deadline, framework) in self.state.offers.failover_deadlines() {
            if deadline > time {
                break;
            }
            if lead.removing.insert(framework.clone()) {
                overdue.push((deadline, framework.clone()));
            }
        }
        for (deadline, framework) in overdue {
            let cause = RemovalCause::FailoverTimeout { deadline };
            let command = OffersCommand::FrameworkRemoved { framework, cause };
            self.submit(
                LedgerCommand::Offers(command),
                Waiter::Decision(Decision::Other),
            );
        }
    }

    /// Offers that were out for too long, if there is such a thing.
    fn rescind_overdue(&mut self) {
        let Some(timeout) = self.config.tuning.offer_timeout else {
            return;
        };
        let Some(lead) = &self.lead else { return };
        let time = lead.ledger_time(self.now);
        let runs = runs_framework();
        let offers: Vec<_> = self
            .state
            .offers
            .offers()
            .filter(|row| row.offer.framework != runs && time.since(row.made) >= timeout)
            .map(|row| row.offer.id)
            .collect();
        if !offers.is_empty() {
            let command = OffersCommand::Rescinded {
                offers,
                cause: RescindCause::Timeout,
            };
            self.submit(
                LedgerCommand::Offers(command),
                Waiter::Decision(Decision::Other),
            );
        }
    }

    /// One pass of the allocator, if anything changed that it looks at.
    fn allocate(&mut self) {
        let Some(lead) = &mut self.lead else { return };
        let Some(allocator) = &mut lead.allocator else {
            return;
        };
        let due = allocator.next_deadline().is_some_and(|due| due <= self.now);
        if !due && !allocator.is_wanted() {
            return;
        }
        let plan = allocator.allocate(self.now, &self.state.offers);
        if plan.offers.is_empty() {
            return;
        }
        self.stats.offers += plan.offers.len() as u64;
        let agents: Vec<AgentId> = plan.agents().collect();
        let command = LedgerCommand::Offers(OffersCommand::OffersMade {
            offers: plan.offers,
        });
        if let Some(request) = self.decide(command, Decision::Offers)
            && let Some(lead) = &mut self.lead
        {
            lead.promised.insert(request, agents);
        }
    }

    /// Submits a decision; `None` if too much waits.
    fn decide(&mut self, command: LedgerCommand, decision: Decision) -> Option<RequestId> {
        if !self.proposals.has_room() {
            return None;
        }
        let waiter = Waiter::Decision(decision);
        Some(
            self.proposals
                .submit(None, command.encode(), waiter, Instant::NEVER),
        )
    }

    pub(crate) fn decision_settled(
        &mut self,
        request: RequestId,
        decision: Decision,
        _outcome: &Outcome,
    ) {
        let Some(lead) = &mut self.lead else { return };
        match decision {
            Decision::Offers => {
                if let (Some(agents), Some(allocator)) =
                    (lead.promised.remove(&request), &mut lead.allocator)
                {
                    allocator.settled(agents);
                }
            }
            Decision::BuiltIn => {
                lead.placing = lead.placing.saturating_sub(1);
                lead.runs_dirty = true;
            }
            Decision::Other => {}
        }
    }

    /// Answers the offers of the built-in framework.
    fn place_runs(&mut self) {
        let Some(lead) = &mut self.lead else { return };
        if !lead.runs_dirty || lead.placing > 0 {
            return;
        }
        lead.runs_dirty = false;
        if !self.state.runs.is_waiting() {
            return;
        }
        let framework = runs_framework();
        let offers: Vec<_> = self
            .state
            .offers
            .offers_of(&framework)
            .map(|row| &row.offer)
            .collect();
        let plan = shoal_builtin::plan(&self.state.runs, offers);
        for placement in plan.placements {
            let accept = OffersCommand::Accepted {
                framework: framework.clone(),
                stream: RUNS_STREAM,
                offers: vec![Ok(placement.offer)],
                launches: placement.launches,
                filters: placement.filters,
                claim: None,
            };
            let command = LedgerCommand::Claim {
                slots: placement.slots,
                accept,
            };
            if self.decide(command, Decision::BuiltIn).is_some()
                && let Some(lead) = &mut self.lead
            {
                lead.placing += 1;
            }
        }
        if !plan.declines.is_empty() {
            let command = OffersCommand::Declined {
                framework,
                stream: RUNS_STREAM,
                offers: plan.declines,
                filters: shoal_api::call::Filters::default(),
            };
            self.decide(LedgerCommand::Offers(command), Decision::Other);
        }
    }

    /// The ring holds the voters that the gossip sees.
    fn keep_ring(&mut self) {
        let membership = &self.status.membership;
        let mut nodes: Vec<NodeId> = self
            .state
            .charter
            .masters()
            .filter(|info| membership.voters.contains(&info.raft))
            .map(|info| info.node)
            .filter(|node| *node == self.config.node || self.members.is_alive(*node))
            .collect();
        nodes.sort_unstable();
        if !nodes.is_empty() && self.state.charter.ring().ne(nodes.iter().copied()) {
            let command = LedgerCommand::Charter(CharterCommand::RingSet(nodes));
            self.submit(command, Waiter::Decision(Decision::Other));
        }
    }

    /// The ring is another: agents whose home is elsewhere are pointed there.
    pub(crate) fn ring_changed(&mut self) {
        let ring = Ring::new(self.state.charter.ring());
        let open: Vec<_> = self.sessions.open().collect();
        for (agent, conn) in open {
            self.point_home(&ring, agent, conn);
        }
    }

    /// Points an agent to its home master, if that is another one that is there.
    pub(crate) fn point_home(&mut self, ring: &Ring, agent: AgentId, conn: crate::input::Conn) {
        let Some(row) = self.state.offers.agent(agent) else {
            return;
        };
        let Some(home) = ring.home(row.info.node) else {
            return;
        };
        if home == self.config.node || !self.members.is_alive(home) {
            return;
        }
        if let Some(info) = self.state.charter.master_on(home) {
            let peer = info.peer.clone();
            self.tell_agent(conn, shoal_api::session::MasterMessage::Move { peer });
        }
    }
}
