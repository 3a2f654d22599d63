//! All deadlines of the machine in one table.

use std::collections::{BTreeMap, BTreeSet};

use shoal_api::{Instant, TaskKey};

/// What a deadline is for. There is at most one of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Dial the next master.
    Dial,
    /// The attempt to open a session takes too long.
    Attempt,
    /// The master has been silent for too long.
    Silence,
    /// The head of a task's updates goes out again.
    Resend(TaskKey),
    /// A task gets its next signal.
    Kill(TaskKey),
}

/// Deadlines by what they are for, and in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    at: BTreeMap<Timer, Instant>,
    order: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(&timer);
        self.at.insert(timer.clone(), at);
        self.order.insert((at, timer));
    }

    /// Takes a deadline away.
    pub fn stop(&mut self, timer: &Timer) {
        if let Some((timer, at)) = self.at.remove_entry(timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// Takes the earliest deadline that is not after `now`.
    pub fn expired(&mut self, now: Instant) -> Option<Timer> {
        let (at, _) = self.order.first()?;
        if *at > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }
}
