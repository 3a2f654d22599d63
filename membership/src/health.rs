//! This node's own health, as far as its probes tell: a node that hears badly blames others for
//! what is its own fault, and so it takes more time for everything before it blames anyone.
//!
//! *Source*: Lifeguard's local health multiplier.

/// The worst score; every wait is that many times and once longer. Source: memberlist.
const WORST: u32 = 7;

/// 0 is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health(u32);

impl Health {
    /// The score, 0 to 7.
    pub fn score(self) -> u32 {
        self.0
    }

    /// What waits are multiplied with, 1 to 8.
    pub fn factor(self) -> u32 {
        self.0 + 1
    }

    pub fn improve(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    pub fn worsen(&mut self, by: u32) {
        self.0 = self.0.saturating_add(by).min(WORST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_in_its_range() {
        let mut health = Health::default();
        health.improve();
        assert_eq!((health.score(), health.factor()), (0, 1));
        health.worsen(3);
        health.improve();
        assert_eq!(health.score(), 2);
        health.worsen(u32::MAX);
        assert_eq!(health.factor(), 8);
    }
}
