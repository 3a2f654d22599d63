//! What the gossip is measured by: each makes a world of its own and says what it saw.

use std::time::Duration;

use shoal_membership::{MemberStatus, Profile};

use super::world::{Sums, World};

const SECOND: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);

/// A world in which that many members know each other.
///
/// # Panics
/// When they do not within five minutes.
pub fn settled(seed: u64, members: u32, loss_per_mille: u16) -> World {
    let mut world = World::new(seed, Profile::Lan);
    world.start(1, Duration::ZERO, None);
    world.run(SECOND);
    world.start(members - 1, 2 * SECOND, None);
    world.run(3 * SECOND);
    let met = world.run_till(300 * SECOND, SECOND, |world| {
        world.complete(members as usize)
    });
    assert!(met.is_some(), "{members} members do not meet");
    // What there is to tell has been told.
    world.run(20 * SECOND);
    world.loss_per_mille = loss_per_mille;
    world.run(10 * SECOND);
    world.wronged.clear();
    world
}

/// The time from a crash until the last member holds the crashed one for failed; none if that takes
/// more than a minute.
pub fn crash(world: &mut World, victim: u32) -> Option<Duration> {
    world.watched = Some(victim);
    world.seen.clear();
    world.crash(victim);
    let start = world.now();
    let others = world.running();
    world.run_till(60 * SECOND, LOOK, |world| {
        let failed = |seen: &&super::world::Seen| seen.status == MemberStatus::Failed;
        world.seen.iter().filter(failed).count() >= others
    })?;
    let last = world.seen.iter().map(|seen| seen.at).max()?;
    Some(last.since(start))
}

/// The times of some crashes, each in a world of its own, in order.
pub fn crashes(members: u32, loss_per_mille: u16, runs: u64) -> Vec<Option<Duration>> {
    let mut times: Vec<_> = (0..runs)
        .map(|seed| {
            let mut world = settled(seed, members, loss_per_mille);
            let wait = Duration::from_millis(u64::from(world.draw(1_000)));
            world.run(wait);
            let victim = 1 + world.draw(members - 1);
            crash(&mut world, victim)
        })
        .collect();
    times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
    times
}

/// What happened to a cluster in which nothing failed.
#[derive(Clone, Copy, Debug)]
pub struct Quiet {
    /// Times that a member which was well was declared failed, by any.
    pub wronged: u64,
    /// Members that this happened to.
    pub victims: usize,
    /// What was counted meanwhile, over all members.
    pub sums: Sums,
    /// How long it ran.
    pub time: Duration,
    /// Members.
    pub members: u32,
}

impl Quiet {
    /// Bytes per second and member, sent.
    pub fn bytes(&self) -> f64 {
        self.sums.bytes as f64 / f64::from(self.members) / self.time.as_secs_f64()
    }

    /// Packets per second and member, sent.
    pub fn packets(&self) -> f64 {
        self.sums.packets as f64 / f64::from(self.members) / self.time.as_secs_f64()
    }

    /// Microseconds per second and member in the machine.
    pub fn micros(&self) -> f64 {
        self.sums.busy.as_secs_f64() * 1e6 / f64::from(self.members) / self.time.as_secs_f64()
    }
}

/// Watches a world in which nothing is to fail.
pub fn quiet(world: &mut World, time: Duration) -> Quiet {
    let before = world.sums();
    world.wronged.clear();
    world.run(time);
    let after = world.sums();
    Quiet {
        wronged: world.wronged.values().sum(),
        victims: world.wronged.len(),
        sums: Sums {
            bytes: after.bytes - before.bytes,
            packets: after.packets - before.packets,
            suspicions: after.suspicions - before.suspicions,
            vouched: after.vouched - before.vouched,
            refutations: after.refutations - before.refutations,
            renewals: after.renewals - before.renewals,
            busy: after.busy - before.busy,
        },
        time,
        members: world.running() as u32,
    }
}

/// How long a join took: until all others saw it, and until the joiner saw all.
pub fn join(world: &mut World) -> (Option<Duration>, Option<Duration>) {
    let others = world.running();
    let joiner = others as u32;
    world.watched = Some(joiner);
    world.seen.clear();
    let through = world.draw(joiner);
    let start = world.now();
    world.start(1, Duration::ZERO, Some(through));
    let mut sees_all = None;
    world.run_till(60 * SECOND, Duration::from_millis(10), |world| {
        if sees_all.is_none() && world.living(joiner) == others + 1 {
            sees_all = Some(world.now().since(start));
        }
        world.seen.len() >= others && sees_all.is_some()
    });
    let seen = world.seen.len() >= others;
    let last = world.seen.iter().map(|seen| seen.at).max();
    (last.filter(|_| seen).map(|at| at.since(start)), sees_all)
}

/// How long that many members take that start at once until each knows all.
pub fn cold_start(seed: u64, members: u32) -> Option<Duration> {
    let mut world = World::new(seed, Profile::Lan);
    world.start(1, Duration::ZERO, None);
    world.run(Duration::from_millis(100));
    world.start(members - 1, SECOND, None);
    world.run_till(300 * SECOND, LOOK, |world| {
        world.running() == members as usize && world.complete(members as usize)
    })
}

/// How long two halves take to be whole again after they were apart for some time.
pub fn halves(seed: u64, members: u32, apart: Duration) -> Option<Duration> {
    let mut world = settled(seed, members, 0);
    world.cut(0..members / 2);
    world.run(apart);
    world.heal();
    world.run_till(300 * SECOND, SECOND / 4, |world| {
        world.complete(members as usize)
    })
}

/// Members that others which are well declared failed, while one of a hundred hears nothing or says
/// nothing.
pub fn one_way(seed: u64, members: u32, deaf: bool, time: Duration) -> Quiet {
    let mut world = settled(seed, members, 0);
    for _ in 0..(members / 100).max(1) {
        let index = world.draw(members);
        world.one_way(index, deaf);
    }
    quiet(&mut world, time)
}
