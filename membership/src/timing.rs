//! The times of each profile, and how they grow with the cluster.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use shoal_api::Dice;

use crate::config::{Config, Profile};
use crate::limits;

/// How long the machine waits for what. Source: memberlist's LAN defaults where it has them; the
/// others and [`Profile::Local`] are ours.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// One member is probed per period.
    pub probe_period: Duration,
    /// When a probe goes through others.
    pub probe_rtt: Duration,
    /// Between rounds of gossip, while there is something to say.
    pub gossip: Duration,
    /// Between synchronisations with a random member, in a small cluster.
    pub sync: Duration,
    /// Between them after a join and while they bring something.
    pub sync_quick: Duration,
    /// Between looks for a random failed member.
    pub reconnect: Duration,
    /// Between asking the seeds, while outside.
    pub join: Duration,
    /// Between asking seeds that are no members, once inside.
    pub join_again: Duration,
    /// Before asking again for what a node tells about itself.
    pub pull: Duration,
    /// Before an answer whose receipt did not come is sent again.
    pub receipt: Duration,
    /// How long leaving is spread before it happens.
    pub leave_spread: Duration,
    /// How long having left is spread before the node falls silent.
    pub leave_linger: Duration,
    /// Between looks for members to forget.
    pub reap: Duration,
}

/// Members that each round of gossip goes to. Source: memberlist.
pub(crate) const GOSSIP_MEMBERS: usize = 3;
/// Periods that a suspect has to refute, in a cluster of at most ten. Source: memberlist.
const SUSPICION_PERIODS: f64 = 4.0;
/// Transmissions of one update per tenfold size of the cluster. Twice memberlist's: under loss,
/// gossip that nobody heard is what makes false alarms.
const TRANSMISSIONS: f64 = 8.0;
/// Rounds of gossip that a query gets, for each tenfold size of the cluster. Source: Serf.
const QUERY_ROUNDS: f64 = 16.0;
/// Quick synchronisations after a join or a fruitful one.
pub(crate) const QUICK_SYNCS: u32 = 3;

impl Timing {
    pub fn new(config: &Config) -> Timing {
        let millis = Duration::from_millis;
        let keep = config.keep_failed.min(config.keep_left);
        let reap = (keep / 10).clamp(millis(100), Duration::from_secs(15));
        match config.profile {
            Profile::Lan => Timing {
                probe_period: millis(1_000),
                probe_rtt: millis(500),
                gossip: millis(200),
                sync: millis(30_000),
                sync_quick: millis(500),
                reconnect: millis(10_000),
                join: millis(1_000),
                join_again: millis(30_000),
                pull: millis(500),
                receipt: millis(300),
                leave_spread: millis(1_000),
                leave_linger: millis(800),
                reap,
            },
            Profile::Local => Timing {
                probe_period: millis(500),
                probe_rtt: millis(200),
                gossip: millis(100),
                sync: millis(5_000),
                sync_quick: millis(200),
                reconnect: millis(2_000),
                join: millis(300),
                join_again: millis(5_000),
                pull: millis(200),
                receipt: millis(150),
                leave_spread: millis(300),
                leave_linger: millis(300),
                reap,
            },
        }
    }

    /// How long a suspect has to refute in a cluster of that many.
    pub fn suspicion(&self, members: usize) -> Duration {
        let scale = (members.max(1) as f64).log10().max(1.0);
        self.probe_period.mul_f64(SUSPICION_PERIODS * scale)
    }

    /// How long answers to a query count in a cluster of that many. Source: Serf.
    pub fn query(&self, members: usize) -> Duration {
        let tenfolds = (members as f64 + 1.0).log10().ceil().max(1.0);
        self.gossip.mul_f64(QUERY_ROUNDS * tenfolds)
    }

    /// Between synchronisations in a cluster of that many: stretched above 32 as memberlist does.
    pub fn sync_in(&self, members: usize) -> Duration {
        if members <= 32 {
            return self.sync;
        }
        let doublings = (members as f64).log2().ceil() as u32;
        self.sync * (doublings - 5 + 1)
    }

    /// What `foca` is told for a cluster of that many. Its own delays for suspicion and forgetting
    /// are overruled, as the machine schedules both.
    pub fn foca(&self, members: usize) -> foca::Config {
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: NonZeroUsize::new(GOSSIP_MEMBERS).expect("not zero"),
            max_transmissions: NonZeroU8::new(transmissions(members)).expect("not zero"),
            suspect_to_down_after: self.suspicion(members),
            remove_down_after: None,
            max_packet_size: NonZeroUsize::new(limits::SWIM_BYTES).expect("not zero"),
            notify_down_members: true,
            periodic_announce: None,
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(foca::PeriodicParams {
                frequency: self.gossip,
                num_members: NonZeroUsize::new(GOSSIP_MEMBERS).expect("not zero"),
            }),
        }
    }
}

/// How often one piece of news is sent by each node in a cluster of that many.
pub(crate) fn transmissions(members: usize) -> u8 {
    let wanted = TRANSMISSIONS * (members as f64 + 1.0).log10();
    (wanted.ceil() as u64).clamp(4, 60) as u8
}

/// A time that is up to a tenth longer, so that nodes do not beat as one.
pub(crate) fn jittered(dice: &mut Dice, time: Duration) -> Duration {
    let tenth = u64::try_from(time.as_nanos() / 10).unwrap_or(u64::MAX - 1);
    time + Duration::from_nanos(dice.below(tenth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_the_cluster() {
        let grows = |f: &dyn Fn(usize) -> Duration| f(5) == f(10) && f(10) < f(100);
        for profile in [Profile::Lan, Profile::Local] {
            let mut config = Config::new(
                shoal_api::NodeId(1),
                shoal_api::Generation(1),
                shoal_api::Name::new("a").expect("a name"),
                crate::Label::new("").expect("a label"),
                "127.0.0.1:1".parse().expect("an address"),
                1,
            );
            config.profile = profile;
            let timing = Timing::new(&config);
            assert!(grows(&|n| timing.suspicion(n)));
            assert!(grows(&|n| timing.sync_in(n)));
            assert!(timing.probe_rtt * 2 <= timing.probe_period);
        }
        assert_eq!([1, 6, 50, 1_000].map(transmissions), [4, 7, 14, 25]);
    }

    #[test]
    fn jitter_only_adds() {
        let mut dice = Dice::new(1);
        for _ in 0..1_000 {
            let time = jittered(&mut dice, Duration::from_millis(100));
            assert!((100..=110).contains(&time.as_millis()));
        }
    }
}
