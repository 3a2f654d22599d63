//! What is acknowledged stays, through loss, crashes, partitions and stalled disks.

use std::time::Duration;

use bytes::Bytes;
use shoal_quorum::Input;

use crate::net::{Cluster, FOUL};

#[test]
fn many_proposals_of_a_step_go_into_one_batch() {
    let mut cluster = Cluster::founded(1, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let writes = cluster.replicas[leader].writes.len();
    let propose = |i: u32| Input::Propose {
        data: Bytes::from(format!("p{i}")),
    };
    cluster.step_many(leader, (0..500).map(propose).collect());
    assert_eq!(cluster.replicas[leader].writes.len(), writes + 1);
    let highest = cluster.highest();
    cluster.until(Duration::from_secs(1), |c| c.highest() == highest + 500);
}

#[test]
fn a_follower_returns_proposals() {
    let mut cluster = Cluster::founded(1, 3);
    let leader = cluster.elect();
    cluster.propose((leader + 1) % 3, "x");
    assert_eq!(cluster.dropped, 1);
}

#[test]
fn a_full_disk_refuses_new_work() {
    let mut cluster = Cluster::founded(1, 1);
    cluster.elect();
    cluster.step(0, Input::DiskFull);
    cluster.propose(0, "x");
    assert_eq!(cluster.dropped, 1);
    cluster.step(0, Input::DiskHasRoom);
    cluster.propose(0, "x");
    cluster.until(Duration::from_secs(1), |c| c.contains("x") == 1);
}

#[test]
fn a_leader_commits_while_its_own_disk_stands_still() {
    let mut cluster = Cluster::founded(2, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    cluster.replicas[leader].disk_stalls = true;
    cluster.propose(leader, "overlap");
    cluster.until(Duration::from_millis(500), |c| c.contains("overlap") == 1);
    let behind = cluster.replicas[leader].state.index;
    assert!(
        behind < cluster.highest(),
        "it applies only what its own disk has"
    );
    cluster.settle();
}

#[test]
fn a_leader_whose_disk_stands_still_gives_way() {
    let mut cluster = Cluster::founded(2, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    cluster.replicas[leader].disk_stalls = true;
    cluster.propose(leader, "stuck");
    let took = cluster.until(Duration::from_secs(4), |c| {
        c.leader().is_some_and(|l| l != leader)
    });
    assert!(took > Duration::from_millis(1_900), "{took:?}");
    assert_eq!(cluster.contains("stuck"), 1);
    cluster.settle();
}

#[test]
fn a_leader_whose_disk_is_full_gives_way() {
    let mut cluster = Cluster::founded(2, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    cluster.step(leader, Input::DiskFull);
    cluster.until(Duration::from_secs(1), |c| {
        c.leader().is_some_and(|l| l != leader)
    });
}

#[test]
fn a_quorum_with_stalled_disks_commits_nothing() {
    let mut cluster = Cluster::founded(2, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    for at in (0..3).filter(|at| *at != leader) {
        cluster.replicas[at].disk_stalls = true;
    }
    cluster.propose(leader, "early");
    cluster.run(Duration::from_millis(400));
    assert_eq!(cluster.contains("early"), 0);
    cluster.settle();
}

#[test]
fn a_sole_voter_survives_crashes() {
    let mut cluster = Cluster::founded(3, 1);
    for round in 0..50 {
        cluster.elect();
        cluster.propose(0, &format!("r{round}"));
        if round % 2 == 0 {
            let name = format!("r{round}");
            cluster.until(Duration::from_secs(1), |c| c.contains(&name) == 1);
        }
        cluster.crash(0, true);
        cluster.start(0);
    }
    cluster.settle();
    for round in (0..50).step_by(2) {
        assert_eq!(cluster.contains(&format!("r{round}")), 1);
    }
}

/// Chaos for a while, then peace: everything that was applied anywhere is everywhere, in one order.
/// Returns how much was applied and how many reads were answered.
fn storm(seed: u64, size: u64) -> (u64, u64) {
    let mut cluster = Cluster::founded(seed, size);
    cluster.weather = FOUL;
    cluster.snapshot_after = 60;
    let count = cluster.replicas.len();
    let mut reads = 0;
    for round in 0..120_u64 {
        let at = cluster.dice.below(size) as usize;
        let noticed = cluster.dice.chance(500);
        match cluster.dice.below(8) {
            0 if cluster.runs(at) => cluster.crash(at, noticed),
            1 => cluster.isolate(at),
            2 => cluster.cut.clear(),
            3 => cluster.replicas[at].disk_stalls ^= true,
            4 => cluster.step(at, Input::Transfer { to: None }),
            _ => {}
        }
        for at in 0..count {
            if !cluster.runs(at) && cluster.dice.chance(300) {
                cluster.start(at);
            }
            for i in 0..cluster.dice.below(8) {
                cluster.propose(at, &format!("{round}-{at}-{i}"));
            }
            reads += 1;
            if cluster.runs(at) {
                cluster.read(at, reads);
            }
        }
        let pause = Duration::from_millis(cluster.dice.below(400));
        cluster.run(pause);
    }
    for at in 0..count {
        if !cluster.runs(at) {
            cluster.start(at);
        }
    }
    cluster.settle();
    while cluster.contains("after the storm") == 0 {
        let leader = cluster.elect();
        cluster.propose(leader, "after the storm");
        cluster.run(Duration::from_millis(100));
    }
    cluster.settle();
    (cluster.highest(), cluster.answered)
}

/// Storms of all seeds; they must not be so bad that nothing ever happens.
fn storms(seeds: std::ops::Range<u64>, size: u64) {
    let count = seeds.end - seeds.start;
    let runs: Vec<(u64, u64)> = seeds.map(|seed| storm(seed, size)).collect();
    assert!(runs.iter().map(|run| run.0).sum::<u64>() > 60 * count);
    assert!(runs.iter().map(|run| run.1).sum::<u64>() > 40 * count);
}

#[test]
fn three_replicas_agree_after_any_storm() {
    storms(0..25, 3);
}

#[test]
fn five_replicas_agree_after_any_storm() {
    storms(100..110, 5);
}
