//! Faults that aim: leaders cut off from their peers, voters that die with their vote, agents that die
//! as their tasks begin.

use std::collections::BTreeMap;
use std::time::Duration;

use shoal_api::{Dice, Instant, RaftId, Term};
use shoal_quorum::Batch;

use crate::faults::{Fault, Planned};
use crate::network::{Host, Network, Out};

/// What of it is going on.
#[derive(Debug)]
pub struct Aimed {
    /// Who was cut off, by the number of the fault.
    deposed: BTreeMap<usize, Host>,
    /// Ambushes that lie in wait.
    ambushes: u32,
    /// Those that wait for agents.
    agents: u32,
    /// What each host wrote last.
    votes: BTreeMap<Host, (Term, Option<RaftId>)>,
    dice: Dice,
}

impl Aimed {
    /// Nothing yet.
    pub fn new(dice: Dice) -> Aimed {
        Aimed {
            deposed: BTreeMap::new(),
            ambushes: 0,
            agents: 0,
            votes: BTreeMap::new(),
            dice,
        }
    }

    /// A fault begins or ends. The masters are the first hosts.
    pub fn strike<P: Clone>(
        &mut self,
        (number, planned, begins): (usize, &Planned, bool),
        (leader, masters): (Option<Host>, usize),
        now: Instant,
        network: &mut Network<P>,
        out: &mut Out<P>,
    ) {
        let waits = match planned.fault {
            Fault::Ambush => Some(&mut self.ambushes),
            Fault::AmbushAgents => Some(&mut self.agents),
            Fault::Crash { .. }
            | Fault::Pause { .. }
            | Fault::Split { .. }
            | Fault::Deaf { .. }
            | Fault::Storm { .. }
            | Fault::SlowDisk { .. }
            | Fault::Reset { .. }
            | Fault::Echo { .. }
            | Fault::Storage { .. }
            | Fault::Depose => None,
        };
        if let Some(waits) = waits {
            *waits = if begins { *waits + 1 } else { *waits - 1 };
        }
        if planned.fault != Fault::Depose {
            return;
        }
        let deposed = if begins {
            leader.inspect(|leader| {
                self.deposed.insert(number, *leader);
            })
        } else {
            self.deposed.remove(&number)
        };
        let Some(deposed) = deposed else { return };
        for other in (0..masters).map(Host).filter(|other| *other != deposed) {
            network.set_cut(now, (deposed, other), begins, out);
            network.set_cut(now, (other, deposed), begins, out);
        }
    }

    /// A host's write is durable; returns when the host dies of it, if it does.
    pub fn written(&mut self, host: Host, batch: &Batch, now: Instant) -> Option<Instant> {
        let state = batch.hard_state?;
        let vote = (state.term, state.vote);
        let before = self.votes.insert(host, vote);
        if self.ambushes == 0 || before == Some(vote) || !self.dice.chance(500) {
            return None;
        }
        Some(now + Duration::from_micros(self.dice.below(8_000)))
    }

    /// An agent has something started; returns when it dies of it, if it does.
    pub fn started(&mut self, now: Instant) -> Option<Instant> {
        if self.agents == 0 || !self.dice.chance(300) {
            return None;
        }
        Some(now + Duration::from_micros(self.dice.below(2_000)))
    }

    /// After which who died in an ambush is back.
    pub fn back(&mut self, is_agent: bool) -> Duration {
        let most = match (is_agent, self.dice.chance(500)) {
            (false, _) | (true, true) => 100,
            (true, false) => 25_000,
        };
        Duration::from_millis(5 + self.dice.below(most))
    }
}
