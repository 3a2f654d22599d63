//! Membership: a wiped master comes back in place of its old self, removed ids never return, and
//! storms change nothing about agreement.

use std::time::Duration;

use shoal_api::RaftId;
use shoal_quorum::{ChangeRefusal, Input, MembershipChange, Output, Recovered};

use crate::net::{Cluster, FOUL};

fn change(cluster: &mut Cluster, change: MembershipChange) -> Option<ChangeRefusal> {
    let leader = cluster.elect();
    cluster.outcomes.clear();
    cluster.step(leader, Input::Change(change));
    cluster.outcomes.drain(..).find_map(|output| match output {
        Output::ChangeRefused { reason, .. } => Some(reason),
        _ => None,
    })
}

/// Asks until it is begun.
fn insist(cluster: &mut Cluster, wanted: MembershipChange) {
    for _ in 0..200 {
        match change(cluster, wanted) {
            None => {
                cluster.run(Duration::from_millis(200));
                return;
            }
            Some(_) => cluster.run(Duration::from_millis(100)),
        }
    }
    panic!("{wanted} was never begun");
}

#[test]
fn a_wiped_master_takes_its_own_place() {
    for seed in 0..10 {
        let mut cluster = Cluster::founded(seed, 3);
        let leader = cluster.elect();
        cluster.propose(leader, "before");
        cluster.run(Duration::from_secs(1));
        let wiped = (leader + 1 + seed as usize % 2) % 3;
        let old = cluster.replicas[wiped].id;
        cluster.crash(wiped, true);
        let new = RaftId(10);
        let at = cluster.add(10, Recovered::default());
        insist(&mut cluster, MembershipChange::AddLearner { id: new });
        insist(&mut cluster, MembershipChange::Replace { old, new });
        cluster.until(Duration::from_secs(5), |c| {
            let m = c.membership(at);
            m.voters.contains(&new) && !m.is_joint() && c.agrees()
        });
        let membership = cluster.membership(at);
        assert_eq!(membership.voters.len(), 3);
        assert_eq!(membership.removed, [old]);
        let refused = change(&mut cluster, MembershipChange::AddLearner { id: old });
        assert_eq!(refused, Some(ChangeRefusal::Removed { id: old }));
        cluster.crash(leader, true);
        cluster.elect();
        cluster.propose(at, "after");
        cluster.start(leader);
        cluster.settle();
    }
}

#[test]
fn a_removed_replica_disturbs_nobody() {
    let mut cluster = Cluster::founded(3, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let gone = (leader + 1) % 3;
    let id = cluster.replicas[gone].id;
    assert_eq!(change(&mut cluster, MembershipChange::Remove { id }), None);
    cluster.run(Duration::from_secs(10));
    assert_eq!(cluster.leader(), Some(leader));
    assert_eq!(cluster.membership(leader).voters.len(), 2);
    cluster.crash(gone, true);
    cluster.start(gone);
    let term = cluster.replicas[leader].quorum.as_ref().unwrap().term();
    cluster.run(Duration::from_secs(10));
    assert_eq!(
        cluster.replicas[leader].quorum.as_ref().unwrap().term(),
        term
    );
}

#[test]
fn a_leader_hands_over_before_it_goes() {
    let mut cluster = Cluster::founded(4, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let id = cluster.replicas[leader].id;
    let refused = change(&mut cluster, MembershipChange::Remove { id });
    assert_eq!(refused, Some(ChangeRefusal::IsLeader { id }));
    cluster.until(Duration::from_secs(1), |c| {
        c.leader().is_some_and(|l| l != leader)
    });
    cluster.run(Duration::from_secs(1));
    insist(&mut cluster, MembershipChange::Remove { id });
    let leader = cluster.elect();
    assert_eq!(cluster.membership(leader).voters.len(), 2);
}

/// Raft ends the process when a leader commits without being a member.
#[test]
fn who_is_elected_while_being_removed_steps_down() {
    let mut elected = 0;
    for seed in 0..40 {
        let mut cluster = Cluster::founded(seed, 3);
        let leader = cluster.elect();
        cluster.run(Duration::from_secs(1));
        let (goes, stays) = ((leader + 1) % 3, (leader + 2) % 3);
        let id = cluster.replicas[goes].id;
        // The removal reaches the one that goes, and is not committed when the leader dies.
        cluster.replicas[leader].disk_stalls = true;
        cluster.replicas[stays].disk_stalls = true;
        cluster.step(leader, Input::Change(MembershipChange::Remove { id }));
        cluster.run(Duration::from_millis(20));
        cluster.crash(leader, true);
        cluster.replicas[stays].disk_stalls = false;
        cluster.replicas[leader].disk_stalls = false;
        cluster.run(Duration::from_secs(3));
        elected += u32::from(cluster.led(id));
        cluster.start(leader);
        cluster.run(Duration::from_secs(5));
        let leader = cluster.elect();
        assert_ne!(cluster.replicas[leader].id, id);
        cluster.propose(leader, "after");
        cluster.run(Duration::from_secs(1));
        assert_eq!(cluster.contains("after"), 1);
    }
    assert!(
        elected > 5,
        "only {elected} of 40 runs elected the one that goes"
    );
}

#[test]
fn what_would_lose_the_quorum_is_refused() {
    let mut cluster = Cluster::founded(5, 3);
    let leader = cluster.elect();
    cluster.run(Duration::from_secs(1));
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let (dead, alive) = (
        cluster.replicas[others[0]].id,
        cluster.replicas[others[1]].id,
    );
    cluster.crash(others[0], true);
    cluster.run(Duration::from_secs(2));
    let refused = change(&mut cluster, MembershipChange::Remove { id: alive });
    assert_eq!(refused, Some(ChangeRefusal::TooFewVoters));
    assert_eq!(
        change(&mut cluster, MembershipChange::Remove { id: dead }),
        None
    );
    cluster.run(Duration::from_secs(1));
    let stranger = RaftId(99);
    let promote = MembershipChange::Promote { id: stranger };
    let refused = change(&mut cluster, promote);
    assert_eq!(refused, Some(ChangeRefusal::NotLearner { id: stranger }));
    let add = MembershipChange::AddLearner { id: stranger };
    assert_eq!(change(&mut cluster, add), None);
    cluster.run(Duration::from_secs(1));
    let refused = change(&mut cluster, promote);
    assert_eq!(refused, Some(ChangeRefusal::NotCaughtUp { id: stranger }));
}

#[test]
fn one_grows_to_three() {
    let mut cluster = Cluster::founded(6, 1);
    cluster.elect();
    for id in [2, 3] {
        cluster.add(id, Recovered::default());
        insist(
            &mut cluster,
            MembershipChange::AddLearner { id: RaftId(id) },
        );
        insist(&mut cluster, MembershipChange::Promote { id: RaftId(id) });
    }
    cluster.settle();
    assert_eq!(cluster.membership(2).voters.len(), 3);
    cluster.crash(0, true);
    let leader = cluster.elect();
    cluster.propose(leader, "without the first");
    cluster.until(Duration::from_secs(1), |c| {
        c.contains("without the first") == 1
    });
}

/// Masters are wiped one after another in bad weather, with crashes in between.
#[test]
fn replacements_in_a_storm_keep_agreement() {
    for seed in 0..15 {
        let mut cluster = Cluster::founded(seed, 3);
        cluster.snapshot_after = 40;
        cluster.weather = FOUL;
        for new in 10..15 {
            let leader = cluster.elect();
            let voters = cluster.membership(leader).voters;
            let others: Vec<RaftId> = voters
                .into_iter()
                .filter(|id| *id != cluster.replicas[leader].id)
                .collect();
            let old = others[cluster.dice.below(others.len() as u64) as usize];
            let at = cluster.place(old).unwrap();
            cluster.crash(at, true);
            let newcomer = cluster.add(new, Recovered::default());
            insist(
                &mut cluster,
                MembershipChange::AddLearner { id: RaftId(new) },
            );
            for i in 0..30 {
                let leader = cluster.elect();
                cluster.propose(leader, &format!("{new} {i}"));
                cluster.run(Duration::from_millis(3));
                if i == 10 {
                    cluster.crash(newcomer, true);
                    cluster.start(newcomer);
                }
            }
            let new = RaftId(new);
            insist(&mut cluster, MembershipChange::Replace { old, new });
            let leader = cluster.elect();
            if cluster.dice.chance(500) {
                cluster.crash(leader, true);
                cluster.run(Duration::from_millis(400));
                cluster.start(leader);
            }
            cluster.until(Duration::from_secs(60), |c| {
                c.leader().is_some_and(|l| {
                    let m = c.membership(l);
                    m.voters.contains(&new) && !m.is_joint()
                })
            });
        }
        cluster.settle();
    }
}
