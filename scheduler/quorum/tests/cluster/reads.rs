//! Reads see everything committed before them, on any replica.

use std::time::Duration;

use crate::net::Cluster;

#[test]
fn any_replica_answers_reads() {
    let mut cluster = Cluster::founded(1, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    for round in 0..50 {
        cluster.propose(leader, &format!("{round}"));
        cluster.run(Duration::from_millis(2));
        for at in 0..3 {
            cluster.read(at, round * 3 + at as u64);
        }
    }
    cluster.until(Duration::from_secs(1), |c| c.answered == 150);
    let rounds: u64 = (0..3)
        .map(|at| {
            cluster.replicas[at]
                .quorum
                .as_ref()
                .unwrap()
                .stats()
                .read_rounds
        })
        .sum();
    assert!(rounds <= 150);
}

#[test]
fn reads_share_rounds() {
    let mut cluster = Cluster::founded(1, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let before = cluster.replicas[leader]
        .quorum
        .as_ref()
        .unwrap()
        .stats()
        .read_rounds;
    for name in 0..1000 {
        cluster.read(leader, name);
    }
    cluster.until(Duration::from_secs(1), |c| c.answered == 1000);
    let after = cluster.replicas[leader]
        .quorum
        .as_ref()
        .unwrap()
        .stats()
        .read_rounds;
    assert!(after - before <= 5, "{before} {after}");
}

#[test]
fn a_read_without_a_leader_fails_in_time() {
    let mut cluster = Cluster::founded(2, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let follower = (leader + 1) % 3;
    for at in (0..3).filter(|at| *at != follower) {
        cluster.crash(at, true);
    }
    cluster.read(follower, 1);
    cluster.run(Duration::from_secs(6));
    assert_eq!((cluster.answered, cluster.failed), (0, 1));
}

#[test]
fn a_read_waits_for_the_next_leader() {
    let mut cluster = Cluster::founded(2, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    cluster.crash(leader, true);
    cluster.read((leader + 1) % 3, 1);
    cluster.until(Duration::from_secs(2), |c| c.answered == 1);
}

#[test]
fn a_deposed_leader_answers_no_read() {
    let mut cluster = Cluster::founded(5, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    cluster.isolate(leader);
    for i in 0..30 {
        cluster.read(leader, i);
        cluster.run(Duration::from_millis(100));
        if let Some(at) = cluster.leader().filter(|at| *at != leader) {
            cluster.propose(at, &format!("new {i}"));
        }
    }
    assert_eq!(cluster.answered, 0);
    cluster.settle();
}
