//! The times of each profile, and how they grow with the cluster.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use shoal_api::Dice;

use crate::config::{Config, ConfigError, Profile, Tuning};
use crate::limits;

/// How long the machine waits for what. Source: memberlist's defaults where it has them and the
/// test of them held; else ours.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// One member is probed per period.
    pub probe_period: Duration,
    /// When a probe goes through others, and by stream.
    pub probe_rtt: Duration,
    /// When others are asked for their opinion, after that.
    pub indirect: Duration,
    /// How long a juror tries.
    pub jury: Duration,
    /// The shortest time that a suspect has in a cluster of at most 50.
    pub suspicion: Duration,
    /// The longest time is so many times the shortest.
    pub suspicion_stretch: u32,
    /// Confirmations after which a suspect has the shortest time.
    pub confirmations: usize,
    /// Between rounds of gossip, while there is something to say.
    pub gossip: Duration,
    /// Members that each round of gossip goes to.
    pub fanout: usize,
    /// Transmissions of one update per tenfold size of the cluster.
    pub retransmit: u32,
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

/// Rounds of gossip that a query gets, for each tenfold size of the cluster. Source: Serf.
const QUERY_ROUNDS: f64 = 16.0;
/// Members that an indirect probe goes through. Source: memberlist.
const RELAYS: usize = 3;
/// The decimal logarithm of the size up to which suspects have the same time: 50 members.
const PATIENT_SIZE: f64 = 1.7;
/// Quick synchronisations after a join or a fruitful one.
pub(crate) const QUICK_SYNCS: u32 = 3;

impl Timing {
    pub fn new(config: &Config) -> Timing {
        let keep = config.keep_failed.min(config.keep_left);
        let reap = (keep / 10).clamp(Duration::from_millis(100), Duration::from_secs(15));
        let mut timing = Timing {
            reap,
            ..Timing::of(config.profile)
        };
        timing.tune(&config.tuning);
        timing
    }

    fn tune(&mut self, tuning: &Tuning) {
        if let Some(interval) = tuning.probe_interval {
            let scale = interval.as_secs_f64() / self.probe_period.as_secs_f64();
            self.probe_period = interval;
            for stage in [&mut self.probe_rtt, &mut self.indirect, &mut self.jury] {
                *stage = stage.mul_f64(scale);
            }
        }
        if let Some(timeout) = tuning.probe_timeout {
            self.probe_rtt = timeout;
            self.indirect = timeout;
            self.jury = timeout;
        }
        for (own, tuned) in [
            (&mut self.suspicion, tuning.suspicion),
            (&mut self.gossip, tuning.gossip_interval),
            (&mut self.sync, tuning.sync_interval),
            (&mut self.reconnect, tuning.reconnect_interval),
        ] {
            *own = tuned.unwrap_or(*own);
        }
        if let Some(fanout) = tuning.gossip_fanout {
            self.fanout = fanout as usize;
        }
        self.retransmit = tuning.retransmit.unwrap_or(self.retransmit);
    }

    /// Whether the stages of a probe fit the time between two probes.
    pub fn check(&self) -> Result<(), ConfigError> {
        let stages = self.probe_rtt + self.indirect + self.jury;
        if stages > self.probe_period {
            return Err(ConfigError::Probe {
                timeout: self.probe_rtt,
                interval: self.probe_period,
            });
        }
        Ok(())
    }

    fn of(profile: Profile) -> Timing {
        let millis = Duration::from_millis;
        let lan = Timing {
            probe_period: millis(1_000),
            probe_rtt: millis(300),
            indirect: millis(250),
            jury: millis(250),
            suspicion: millis(1_100),
            suspicion_stretch: 4,
            confirmations: 3,
            gossip: millis(200),
            fanout: 3,
            retransmit: 8,
            sync: millis(30_000),
            sync_quick: millis(500),
            reconnect: millis(10_000),
            join: millis(1_000),
            join_again: millis(30_000),
            pull: millis(500),
            receipt: millis(300),
            leave_spread: millis(1_000),
            leave_linger: millis(800),
            reap: millis(15_000),
        };
        match profile {
            Profile::Lan => lan,
            Profile::Wan => Timing {
                probe_period: millis(3_000),
                probe_rtt: millis(1_000),
                indirect: millis(1_000),
                jury: millis(800),
                suspicion: millis(5_000),
                gossip: millis(500),
                fanout: 4,
                sync: millis(60_000),
                sync_quick: millis(1_500),
                reconnect: millis(30_000),
                join: millis(3_000),
                pull: millis(1_500),
                receipt: millis(1_000),
                leave_spread: millis(3_000),
                leave_linger: millis(2_000),
                ..lan
            },
            Profile::Local => Timing {
                probe_period: millis(500),
                probe_rtt: millis(170),
                indirect: millis(150),
                jury: millis(150),
                suspicion: millis(2_000),
                suspicion_stretch: 2,
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
                ..lan
            },
        }
    }

    #[cfg(test)]
    pub fn sample() -> Timing {
        Timing::of(Profile::Lan)
    }

    /// How long a suspect has to refute in a cluster of that many, at least and at most.
    pub fn suspicion(&self, members: usize) -> (Duration, Duration) {
        let scale = (members.max(1) as f64).log10().max(PATIENT_SIZE) / PATIENT_SIZE;
        let least = self.suspicion.mul_f64(scale);
        (least, least * self.suspicion_stretch)
    }

    /// When the first round of gossip goes out after silence: soon, so that news hop from member to
    /// member, and not at once, so that what comes together goes together.
    pub fn gossip_first(&self) -> Duration {
        self.gossip / 10
    }

    /// How often one piece of news is sent by each node in a cluster of that many. Twice what
    /// memberlist sends: under loss, gossip that nobody heard is what makes false alarms.
    pub fn transmissions(&self, members: usize) -> u8 {
        let wanted = f64::from(self.retransmit) * (members as f64 + 1.0).log10();
        (wanted.ceil() as u64).clamp(4, 250) as u8
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
    /// are overruled, as the machine schedules both, and gossip.
    pub fn foca(&self, members: usize) -> foca::Config {
        foca::Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: NonZeroUsize::new(RELAYS).expect("not zero"),
            max_transmissions: NonZeroU8::new(self.transmissions(members)).expect("not zero"),
            suspect_to_down_after: self.suspicion(members).1,
            remove_down_after: None,
            max_packet_size: NonZeroUsize::new(limits::SWIM_BYTES).expect("not zero"),
            notify_down_members: false,
            periodic_announce: None,
            periodic_announce_to_down_members: None,
            periodic_gossip: None,
        }
    }
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
    fn tuning_overrules_the_profile_and_must_fit() {
        let mut timing = Timing::of(Profile::Lan);
        timing.tune(&Tuning {
            probe_interval: Some(Duration::from_secs(2)),
            gossip_fanout: Some(5),
            ..Tuning::default()
        });
        assert_eq!(timing.probe_rtt, Duration::from_millis(600));
        assert_eq!((timing.fanout, timing.retransmit), (5, 8));
        assert!(timing.check().is_ok());
        timing.tune(&Tuning {
            probe_timeout: Some(Duration::from_secs(1)),
            ..Tuning::default()
        });
        assert!(matches!(timing.check(), Err(ConfigError::Probe { .. })));
    }

    #[test]
    fn patience_grows_with_the_cluster() {
        let grows = |f: &dyn Fn(usize) -> Duration| f(5) == f(10) && f(10) < f(100);
        for profile in [Profile::Lan, Profile::Wan, Profile::Local] {
            let timing = Timing::of(profile);
            assert!(grows(&|n| timing.suspicion(n).0));
            assert!(grows(&|n| timing.suspicion(n).1));
            assert!(grows(&|n| timing.sync_in(n)));
            let stages = timing.probe_rtt + timing.indirect + timing.jury;
            assert!(stages < timing.probe_period, "all stages fit one period");
        }
        let lan = Timing::of(Profile::Lan);
        assert_eq!(
            [1, 6, 50, 1_000].map(|n| lan.transmissions(n)),
            [4, 7, 14, 25]
        );
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
