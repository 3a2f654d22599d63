//! The deadlines of the machine, in one order: by time, then by the order in which they were set.

use std::collections::BTreeMap;
use std::time::Duration;

use shoal_api::Instant;

use crate::identity::Identity;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// One of SWIM's own.
    Swim(foca::Timer<Identity>),
    /// Ask seeds that are no members.
    Join,
    /// Send news to a few members.
    Gossip,
    /// Look for a failed member.
    Reconnect,
    /// A probe had no answer so far: ask others.
    Jury,
    /// A suspicion may be over.
    Suspicion,
    /// What another asked for is due.
    Errand,
    /// Synchronise with a member.
    Sync,
    /// End queries, and send answers again.
    Talk,
    /// Ask for what is missing of what nodes tell about themselves.
    Pull,
    /// Forget members that are gone for long.
    Reap,
    /// Leaving was announced for long enough.
    Leave,
    /// Having left was announced for long enough.
    Ended,
}

/// The deadlines. Bounded by its user: each timer sets itself anew at most once, and SWIM has a
/// few of its own.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    timers: BTreeMap<(Instant, u64), Timer>,
    set: u64,
}

impl Schedule {
    pub fn set(&mut self, at: Instant, timer: Timer) {
        self.set += 1;
        self.timers.insert((at, self.set), timer);
    }

    /// Moves an own timer to that time if it is later or not set.
    pub fn hasten(&mut self, at: Instant, timer: Timer) {
        let found = self.timers.iter().find(|(_, other)| **other == timer);
        match found.map(|(key, _)| *key) {
            Some(key) if key.0 <= at => {}
            Some(key) => {
                self.timers.remove(&key);
                self.set(at, timer);
            }
            None => self.set(at, timer),
        }
    }

    /// Moves a timer to that time if it is set for later.
    pub fn advance(&mut self, at: Instant, timer: Timer) {
        let found = self.timers.iter().find(|(_, other)| **other == timer);
        if let Some(key) = found.map(|(key, _)| *key).filter(|key| key.0 > at) {
            self.timers.remove(&key);
            self.set(at, timer);
        }
    }

    /// Sets an own timer if it is not set.
    pub fn ensure(&mut self, at: Instant, timer: Timer) {
        if !self.timers.values().any(|other| *other == timer) {
            self.set(at, timer);
        }
    }

    /// Moves an own timer to that time, or sets it.
    pub fn replace(&mut self, at: Instant, timer: Timer) {
        let found = self.timers.iter().find(|(_, other)| **other == timer);
        if let Some(key) = found.map(|(key, _)| *key) {
            self.timers.remove(&key);
        }
        self.set(at, timer);
    }

    pub fn next(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next timer that is due.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.timers.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Gives SWIM's timers that much more time, keeping their order.
    pub fn postpone_swim(&mut self, by: Duration) {
        let timers = std::mem::take(&mut self.timers);
        for ((at, set), timer) in timers {
            let at = match timer {
                Timer::Swim(_) | Timer::Jury | Timer::Suspicion => at + by,
                Timer::Join
                | Timer::Errand
                | Timer::Gossip
                | Timer::Reconnect
                | Timer::Sync
                | Timer::Talk
                | Timer::Pull
                | Timer::Reap
                | Timer::Leave
                | Timer::Ended => at,
            };
            self.timers.insert((at, set), timer);
        }
    }

    pub fn clear(&mut self) {
        self.timers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn order_is_by_time_then_by_setting() {
        let mut schedule = Schedule::default();
        schedule.set(at(5), Timer::Sync);
        schedule.set(at(3), Timer::Pull);
        schedule.set(at(3), Timer::Join);
        assert_eq!(schedule.next(), Some(at(3)));
        assert_eq!(schedule.take_due(at(2)), None);
        assert_eq!(schedule.take_due(at(5)), Some(Timer::Pull));
        assert_eq!(schedule.take_due(at(5)), Some(Timer::Join));
        assert_eq!(schedule.take_due(at(5)), Some(Timer::Sync));
        assert_eq!(schedule.take_due(at(5)), None);
    }

    #[test]
    fn hastening_never_delays() {
        let mut schedule = Schedule::default();
        schedule.hasten(at(9), Timer::Sync);
        schedule.hasten(at(4), Timer::Sync);
        schedule.hasten(at(6), Timer::Sync);
        assert_eq!(schedule.take_due(at(9)), Some(Timer::Sync));
        assert_eq!(schedule.next(), None);
    }
}
