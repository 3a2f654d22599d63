//! The leader's watch over leases: agents without a session, and what dead masters held.
//!
//! All of it is soft: a new leader starts every watch anew, which only makes it more patient.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shoal_api::member::MemberStatus;
use shoal_api::{AgentId, Instant, NodeId, Plant};
use shoal_offers::{DisconnectCause, OffersCommand, Presence};

use crate::master::Master;
use crate::proposals::{Decision, Waiter};
use crate::state::{LedgerCommand, RUNS_HOLDER, State};

/// Agents that must vanish together before their removal pauses. Source: the blueprint.
const VANISH_LEAST: usize = 5;
/// One part of so many must vanish before their removal pauses. Source: the blueprint.
const VANISH_PART: usize = 5;
/// How long removal pauses at most. Source: the blueprint.
const PAUSE_MOST: Duration = Duration::from_secs(600);

/// One agent without a session.
#[derive(Clone, Copy, Debug)]
struct Watch {
    since: Instant,
    restarting: Duration,
    ending: bool,
}

/// Agents without a session and masters that died.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    watches: BTreeMap<AgentId, Watch>,
    dead_masters: BTreeMap<NodeId, Instant>,
    streams_ended: BTreeSet<NodeId>,
    paused_since: Option<Instant>,
    look: bool,
}

impl Leases {
    /// The watches over a ledger that this leader has just taken over.
    pub(crate) fn over(state: &State, now: Instant) -> Leases {
        let mut leases = Leases {
            look: true,
            ..Leases::default()
        };
        for (agent, row) in state.offers.agents() {
            leases.follow(agent, row.presence, now);
        }
        leases
    }

    /// An agent's presence is another.
    pub(crate) fn follow(&mut self, agent: AgentId, presence: Presence, now: Instant) {
        match presence {
            Presence::Connected { .. } | Presence::Unreachable { .. } => {
                self.watches.remove(&agent);
            }
            Presence::Disconnected { restarting, .. } => {
                let restarting = restarting.unwrap_or_default();
                self.watches.insert(
                    agent,
                    Watch {
                        since: now,
                        restarting,
                        ending: false,
                    },
                );
            }
        }
    }

    /// Something happened that may end a lease: look at once.
    pub(crate) fn look_now(&mut self) {
        self.look = true;
    }

    /// Whether removal is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }
}

impl Master {
    /// As leader: closes what dead masters held and ends leases that ran out.
    pub(crate) fn keep_leases(&mut self) {
        self.watch_masters();
        let Some(lead) = &mut self.lead else { return };
        lead.leases.look = false;
        let total = self.state.offers.agents().count();
        let away = lead.leases.watches.len();
        let many = away >= VANISH_LEAST && away * VANISH_PART > total;
        match (many, lead.leases.paused_since) {
            (true, None) => lead.leases.paused_since = Some(self.now),
            (false, Some(_)) => lead.leases.paused_since = None,
            (true, Some(_)) | (false, None) => {}
        }
        if lead
            .leases
            .paused_since
            .is_some_and(|since| self.now.since(since) < PAUSE_MOST)
        {
            return;
        }
        if self.config.plants.has(Plant::LeasesForever) {
            return;
        }
        let tuning = &self.config.tuning;
        let mut over = Vec::new();
        for (agent, watch) in &mut lead.leases.watches {
            let Some(row) = self.state.offers.agent(*agent) else {
                continue;
            };
            let patience = match self.members.status(row.info.node) {
                Some(MemberStatus::Failed | MemberStatus::Left) => tuning.lease_failed,
                Some(MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving)
                | None => tuning.lease_alive,
            };
            if !watch.ending && self.now.since(watch.since) >= patience + watch.restarting {
                watch.ending = true;
                over.push((*agent, row.epoch));
            }
        }
        for (agent, epoch) in over {
            self.stats.leases_ended += 1;
            let command = OffersCommand::LeaseEnded { agent, epoch };
            self.submit(
                LedgerCommand::Offers(command),
                Waiter::Decision(Decision::Other),
            );
        }
    }

    /// Masters that the gossip does not see hold no stream any more, and after a while no session.
    fn watch_masters(&mut self) {
        let nodes: Vec<NodeId> = self.state.charter.masters().map(|info| info.node).collect();
        for node in nodes {
            let gone = node != self.config.node && node != RUNS_HOLDER && self.has_failed(node);
            let Some(lead) = &mut self.lead else { return };
            if !gone {
                lead.leases.dead_masters.remove(&node);
                lead.leases.streams_ended.remove(&node);
                continue;
            }
            let since = *lead.leases.dead_masters.entry(node).or_insert(self.now);
            let first = lead.leases.streams_ended.insert(node);
            if first {
                for (framework, stream) in self.state.streams_of(node) {
                    let cause = DisconnectCause::HolderDied;
                    let command = OffersCommand::Disconnected {
                        framework,
                        stream,
                        cause,
                    };
                    self.submit(
                        LedgerCommand::Offers(command),
                        Waiter::Decision(Decision::Other),
                    );
                }
            }
            if self.now.since(since) >= self.config.tuning.redial {
                if let Some(lead) = &mut self.lead {
                    lead.leases.dead_masters.insert(node, self.now);
                }
                for (agent, epoch) in self.state.sessions_of(node) {
                    let command = OffersCommand::SessionClosed {
                        agent,
                        epoch,
                        restarting: None,
                    };
                    self.submit(
                        LedgerCommand::Offers(command),
                        Waiter::Decision(Decision::Other),
                    );
                }
            }
        }
    }

    fn has_failed(&self, node: NodeId) -> bool {
        match self.members.status(node) {
            Some(MemberStatus::Failed | MemberStatus::Left) => true,
            Some(MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving) | None => {
                false
            }
        }
    }
}
