//! Logical time: what orders events and queries of nodes whose clocks need not agree.

use std::fmt;

use crate::limits;

/// A point in the logical time of events, or of queries: later than all that its teller had heard
/// of. Starts at 1; 0 means that nothing was ever heard. Source: Lamport 1978.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LamportTime(pub u64);

impl LamportTime {
    /// The next time, as a new event takes it.
    pub(crate) fn tick(&mut self) -> LamportTime {
        self.0 = self.0.saturating_add(1);
        *self
    }

    /// Takes note that somebody is that far.
    pub(crate) fn witness(&mut self, other: LamportTime) {
        *self = (*self).max(other);
    }

    /// Whether a time can be true here: one that jumps too far ahead would use up all times.
    pub(crate) fn may_hear(self, other: LamportTime) -> bool {
        other.0 > 0 && other.0.saturating_sub(self.0) <= limits::LAMPORT_JUMP
    }

    /// Whether a time lies so far back that what was heard then is forgotten.
    pub(crate) fn forgot(self, other: LamportTime) -> bool {
        other.0.saturating_add(limits::LAMPORT_WINDOW) <= self.0
    }
}

impl fmt::Display for LamportTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How far a node has heard. To be kept on disk, so that a restarted node does not take what it
/// has already heard for news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Of user events.
    pub event: LamportTime,
    /// Of queries.
    pub query: LamportTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_only_rises_and_never_jumps_to_its_end() {
        let mut time = LamportTime::default();
        assert_eq!(time.tick(), LamportTime(1));
        time.witness(LamportTime(9));
        time.witness(LamportTime(3));
        assert_eq!(time.tick(), LamportTime(10));
        assert!(!time.may_hear(LamportTime(u64::MAX)) && !time.may_hear(LamportTime(0)));
        assert!(time.may_hear(LamportTime(1_000_000)));
        let window = limits::LAMPORT_WINDOW;
        let late = LamportTime(window + 5);
        assert!(late.forgot(LamportTime(5)) && !late.forgot(LamportTime(6)));
    }
}
