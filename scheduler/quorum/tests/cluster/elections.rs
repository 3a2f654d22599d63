//! Elections: one leader a term, soon, and by one seed in one way.

use std::time::Duration;

use shoal_quorum::{Input, Output, TransferOutcome};

use crate::net::{Cluster, FOUL};

#[test]
fn a_founded_quorum_elects_at_once() {
    for size in [1, 2, 3, 5] {
        let mut cluster = Cluster::founded(size, size);
        let took = cluster.until(Duration::from_secs(1), |c| c.leader().is_some());
        assert!(took < Duration::from_millis(100), "{size} took {took:?}");
    }
}

#[test]
fn a_broken_stream_elects_long_before_the_timeout() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let mut cluster = Cluster::founded(seed, 3);
        let leader = cluster.elect();
        cluster.run(Duration::from_secs(3));
        cluster.crash(leader, true);
        times.push(cluster.until(Duration::from_secs(10), |c| c.leader().is_some()));
    }
    times.sort();
    assert!(times[19] < Duration::from_millis(200), "{times:?}");
}

#[test]
fn without_a_hint_the_timeout_elects() {
    for seed in 0..20 {
        let mut cluster = Cluster::founded(seed, 3);
        let leader = cluster.elect();
        cluster.run(Duration::from_secs(3));
        cluster.crash(leader, false);
        let took = cluster.until(Duration::from_secs(10), |c| c.leader().is_some());
        assert!(took > Duration::from_millis(600), "{took:?}");
    }
}

#[test]
fn a_false_hint_disturbs_nobody() {
    let mut cluster = Cluster::founded(3, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let peer = cluster.replicas[leader].id;
    let term = cluster.replicas[leader].quorum.as_ref().unwrap().term();
    let follower = (leader + 1) % 3;
    for _ in 0..10 {
        cluster.step(follower, Input::StreamBroken { peer });
        cluster.run(Duration::from_millis(700));
        assert_eq!(cluster.leader(), Some(leader));
    }
    assert_eq!(
        cluster.replicas[leader].quorum.as_ref().unwrap().term(),
        term
    );
}

#[test]
fn a_leader_without_majority_steps_down() {
    let mut cluster = Cluster::founded(4, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    cluster.isolate(leader);
    cluster.run(Duration::from_secs(4));
    let old = cluster.replicas[leader].quorum.as_ref().unwrap();
    assert!(!old.is_leader());
    let confirmed = old.confirmed().unwrap();
    assert!(cluster.now.since(confirmed) > Duration::from_millis(3_500));
    assert!(cluster.leader().is_some_and(|l| l != leader));
    cluster.settle();
}

#[test]
fn leadership_is_handed_over_without_a_pause() {
    for seed in 0..10 {
        let mut cluster = Cluster::founded(seed, 3);
        let leader = cluster.elect();
        cluster.run(Duration::from_secs(2));
        cluster.step(leader, Input::Transfer { to: None });
        let took = cluster.until(Duration::from_secs(5), |c| {
            c.leader().is_some_and(|l| l != leader)
        });
        assert!(took < Duration::from_millis(60), "{took:?}");
        assert!(matches!(
            cluster.outcomes[..],
            [Output::TransferEnded(TransferOutcome::Done)]
        ));
    }
}

#[test]
fn a_transfer_to_nobody_is_refused() {
    let mut cluster = Cluster::founded(1, 1);
    let leader = cluster.elect();
    cluster.step(leader, Input::Transfer { to: None });
    assert!(matches!(
        cluster.outcomes[..],
        [Output::TransferEnded(TransferOutcome::NoCandidate)]
    ));
}

#[test]
fn one_seed_gives_one_trace() {
    let trace = |seed| {
        let mut cluster = Cluster::founded(seed, 3);
        cluster.weather = FOUL;
        cluster.snapshot_after = 40;
        for round in 0..60_u64 {
            let at = cluster.dice.below(3) as usize;
            match round % 6 {
                0 if cluster.runs(at) => cluster.crash(at, round % 4 == 0),
                1 => cluster.isolate(at),
                2 => cluster.cut.clear(),
                _ => {}
            }
            for at in 0..3 {
                if round % 6 == 4 && !cluster.runs(at) {
                    cluster.start(at);
                }
                cluster.propose(at, &format!("{round} {at}"));
                cluster.read(at, round * 3 + at as u64);
            }
            cluster.run(Duration::from_millis(300));
        }
        assert!(cluster.highest() > 20);
        cluster.trace
    };
    let first: Vec<u64> = (0..8).map(trace).collect();
    let again: Vec<u64> = (0..8).map(trace).collect();
    assert_eq!(first, again);
}
