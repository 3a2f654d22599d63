//! Snapshots: the log stays short, and who lacks too much of it gets an image.

use std::time::Duration;

use shoal_api::RaftId;
use shoal_quorum::{Input, MembershipChange, Recovered};

use crate::net::{Cluster, FOUL};

fn fill(cluster: &mut Cluster, count: u32) {
    for i in 0..count {
        let leader = cluster.elect();
        cluster.propose(leader, &format!("fill {i}"));
        if i % 10 == 0 {
            cluster.run(Duration::from_millis(5));
        }
    }
    cluster.run(Duration::from_millis(200));
}

#[test]
fn the_log_stays_short_and_a_restart_continues_from_the_snapshot() {
    let mut cluster = Cluster::founded(1, 3);
    cluster.snapshot_after = 50;
    for at in 0..3 {
        cluster.crash(at, false);
        cluster.start(at);
    }
    fill(&mut cluster, 400);
    for at in 0..3 {
        let log = cluster.replicas[at].disk.durable.entries.len();
        assert!(log < 120, "{log} entries on disk");
        cluster.crash(at, true);
        cluster.start(at);
        cluster.run(Duration::from_secs(1));
    }
    cluster.settle();
}

#[test]
fn a_follower_that_missed_too_much_gets_a_snapshot() {
    for seed in 0..5 {
        let mut cluster = Cluster::founded(seed, 3);
        cluster.snapshot_after = 50;
        let leader = cluster.elect();
        let late = (leader + 1) % 3;
        cluster.crash(late, true);
        for at in (0..3).filter(|at| *at != late) {
            cluster.crash(at, true);
            cluster.start(at);
        }
        fill(&mut cluster, 300);
        cluster.weather = FOUL;
        cluster.start(late);
        cluster.until(Duration::from_secs(30), |c| {
            c.replicas[late]
                .quorum
                .as_ref()
                .unwrap()
                .stats()
                .snapshots_installed
                > 0
        });
        cluster.settle();
    }
}

#[test]
fn a_newcomer_learns_from_a_snapshot_that_names_it() {
    let mut cluster = Cluster::founded(7, 3);
    let leader = cluster.elect();
    fill(&mut cluster, 20);
    let newcomer = cluster.add(9, Recovered::default());
    let change = MembershipChange::AddLearner { id: RaftId(9) };
    cluster.step(leader, Input::Change(change));
    cluster.until(Duration::from_secs(3), |c| c.agrees());
    let membership = cluster.membership(newcomer);
    assert_eq!(membership.learners, [RaftId(9)]);
    let stats = cluster.replicas[leader].quorum.as_ref().unwrap().stats();
    assert_eq!((stats.snapshots_sent, stats.snapshots_failed), (1, 0));
    cluster.crash(newcomer, false);
    cluster.start(newcomer);
    cluster.settle();
}

#[test]
fn a_crash_amid_an_install_is_survived() {
    for seed in 0..10 {
        let mut cluster = Cluster::founded(seed, 3);
        cluster.elect();
        fill(&mut cluster, 30);
        let newcomer = cluster.add(9, Recovered::default());
        let leader = cluster.elect();
        let change = MembershipChange::AddLearner { id: RaftId(9) };
        cluster.step(leader, Input::Change(change));
        for _ in 0..20 {
            let pause = Duration::from_micros(cluster.dice.below(9_000));
            cluster.run(pause);
            cluster.crash(newcomer, true);
            cluster.start(newcomer);
        }
        cluster.settle();
    }
}
