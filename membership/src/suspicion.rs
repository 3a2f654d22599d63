//! Suspicions that this node raised, and how long each suspect has to refute: long at first, and
//! shorter with each other member that could not reach the suspect either.
//!
//! *Source*: Lifeguard's suspicion. Ours is that others are asked for their opinion (see `jury`)
//! and not waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shoal_api::{Instant, NodeId};

use crate::identity::Identity;
use crate::limits;
use crate::machine::Membership;
use crate::schedule::Timer;
use crate::swim::Fired;

/// The most that this node's bad health multiplies a suspect's time with: who lost everybody else
/// must say so in the end.
const PATIENCE: u32 = 3;
/// Times that others are asked about one suspicion.
const ASKS: u32 = 8;

/// One suspicion.
#[derive(Clone, Debug)]
struct Suspicion {
    identity: Identity,
    incarnation: u16,
    /// What `foca` is to be given once the time is over.
    timer: foca::Timer<Identity>,
    since: Instant,
    confirmed: BTreeSet<NodeId>,
    /// When to ask others again.
    ask: Instant,
    asks: u32,
}

/// All of them, one per suspect.
#[derive(Debug, Default)]
pub(crate) struct Suspicions {
    held: BTreeMap<NodeId, Suspicion>,
}

impl Suspicions {
    /// This process stood still for that long: everybody gets it on top.
    pub fn postpone(&mut self, by: Duration) {
        for suspicion in self.held.values_mut() {
            suspicion.since = suspicion.since + by;
            suspicion.ask = suspicion.ask + by;
        }
    }

    pub fn clear(&mut self) {
        self.held.clear();
    }
}

/// How long a suspect has with that many confirmations of those wanted: the longest time with
/// none, the shortest with all.
pub(crate) fn time_left(
    least: Duration,
    most: Duration,
    confirmed: usize,
    wanted: usize,
) -> Duration {
    if wanted == 0 || confirmed >= wanted {
        return least;
    }
    let part = (confirmed as f64 + 1.0).ln() / (wanted as f64 + 1.0).ln();
    most - most.saturating_sub(least).mul_f64(part)
}

impl Membership {
    /// Confirmations after which a suspect has the shortest time.
    fn wanted_confirmations(&self) -> usize {
        self.timing.confirmations.min(self.size().saturating_sub(2))
    }

    /// Raises a suspicion, or adds to the one that stands.
    pub(crate) fn suspect(
        &mut self,
        timer: foca::Timer<Identity>,
        identity: Identity,
        incarnation: u16,
        confirmed: BTreeSet<NodeId>,
    ) {
        let now = self.now;
        let held = self.suspicions.held.get_mut(&identity.node);
        let known =
            held.filter(|held| held.identity == identity && held.incarnation == incarnation);
        if let Some(known) = known {
            known.confirmed.extend(confirmed);
            known.timer = timer;
        } else {
            self.stats.suspicions += 1;
            let suspicion = Suspicion {
                identity,
                incarnation,
                timer,
                since: now,
                confirmed,
                ask: now,
                asks: 0,
            };
            let old = self.suspicions.held.insert(identity.node, suspicion);
            // A second suspicion of one node means that the first was refuted.
            self.stats.suspicions_refuted += u64::from(old.is_some());
        }
        self.plan_suspicions();
    }

    /// Another member could not reach the suspect either.
    pub(crate) fn confirm(&mut self, identity: Identity, incarnation: u16, by: NodeId) {
        let held = self.suspicions.held.get_mut(&identity.node);
        let known =
            held.filter(|held| held.identity == identity && held.incarnation == incarnation);
        if let Some(known) = known
            && known.confirmed.len() < limits::CONFIRMATIONS
            && known.confirmed.insert(by)
        {
            self.stats.confirmations += 1;
            self.plan_suspicions();
        }
    }

    fn due(&self, suspicion: &Suspicion) -> Instant {
        let (least, most) = self.timing.suspicion(self.size());
        let factor = self.health.factor().min(PATIENCE);
        let wanted = self.wanted_confirmations();
        let time = time_left(
            least * factor,
            most * factor,
            suspicion.confirmed.len(),
            wanted,
        );
        suspicion.since + time
    }

    /// Whether others are to be asked about it, now or later.
    fn asks(&self, suspicion: &Suspicion) -> bool {
        suspicion.confirmed.len() < self.wanted_confirmations() && suspicion.asks < ASKS
    }

    fn plan_suspicions(&mut self) {
        let held = self.suspicions.held.values();
        let next = held.map(|suspicion| match self.asks(suspicion) {
            true => self.due(suspicion).min(suspicion.ask),
            false => self.due(suspicion),
        });
        if let Some(next) = next.min() {
            self.schedule.replace(next, Timer::Suspicion);
        }
    }

    /// Ends suspicions whose time is over, and asks others about the rest.
    pub(crate) fn look_at_suspicions(&mut self) {
        let now = self.now;
        let held = self.suspicions.held.values();
        let over: Vec<_> = held
            .filter(|suspicion| self.due(suspicion) <= now)
            .map(|suspicion| suspicion.identity.node)
            .collect();
        for node in over {
            let Some(suspicion) = self.suspicions.held.remove(&node) else {
                continue;
            };
            let (fired, wanted) = self.swim.fire(suspicion.timer);
            match fired {
                Fired::Declared => self.stats.declared += 1,
                Fired::Refuted => self.stats.suspicions_refuted += 1,
                Fired::Plain => {}
            }
            self.absorb(wanted);
            if fired == Fired::Declared {
                self.tell_dead(suspicion.identity);
            }
        }
        let held = self.suspicions.held.values();
        let doubtful: Vec<_> = held
            .filter(|suspicion| suspicion.ask <= now && self.asks(suspicion))
            .map(|suspicion| (suspicion.identity, suspicion.incarnation))
            .collect();
        let pause = self.timing.jury * 2 * self.health.factor();
        for (identity, incarnation) in doubtful {
            if let Some(suspicion) = self.suspicions.held.get_mut(&identity.node) {
                suspicion.asks += 1;
                suspicion.ask = now + pause;
            }
            if self.table.stands(&identity, incarnation) {
                self.ask_jury(identity, incarnation, true);
            }
        }
        self.plan_suspicions();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_confirmation_shortens_the_time() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(6));
        let times: Vec<_> = (0..5)
            .map(|confirmed| time_left(least, most, confirmed, 3).as_millis())
            .collect();
        assert_eq!(times, [6_000, 3_500, 2_037, 1_000, 1_000]);
        assert_eq!(
            time_left(least, most, 0, 0),
            least,
            "nobody else can be asked"
        );
    }
}
