//! The founding: one quorum or none, whatever is lost, whoever crashes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{ClusterId, Dice, Instant, RaftId};
use shoal_quorum::bootstrap::{
    Bootstrap, BootstrapError, BootstrapInput, BootstrapMessage, BootstrapOutput, Candidate,
    Promise, Waiting, cluster_of,
};

#[derive(Debug, Default)]
struct Founder {
    machine: Option<Bootstrap>,
    disk: Option<Promise>,
    writing: Option<Promise>,
    ended: Option<(ClusterId, Vec<RaftId>)>,
    joined: Option<ClusterId>,
    reports: Vec<Waiting>,
}

/// Founders with a lossy network and disks that a crash may beat.
#[derive(Debug)]
struct World {
    now: Instant,
    dice: Dice,
    lost: u16,
    founders: BTreeMap<RaftId, (u8, Founder)>,
    flights: Vec<(RaftId, RaftId, BootstrapMessage)>,
}

impl World {
    fn new(seed: u64, expects: &[(u64, u8)]) -> World {
        let mut world = World {
            now: Instant::ZERO,
            dice: Dice::new(seed),
            lost: 0,
            founders: BTreeMap::new(),
            flights: Vec::new(),
        };
        for (id, expects) in expects {
            world
                .founders
                .insert(RaftId(*id), (*expects, Founder::default()));
            world.start(RaftId(*id));
        }
        world
    }

    fn start(&mut self, id: RaftId) {
        let (expects, founder) = self.founders.get_mut(&id).unwrap();
        founder.writing = None;
        let machine = Bootstrap::new(id, *expects, founder.disk.clone(), self.now);
        founder.machine = Some(machine.unwrap());
        self.poll(id);
    }

    fn step(&mut self, id: RaftId, input: BootstrapInput) {
        let now = self.now;
        if let Some(machine) = &mut self.founders.get_mut(&id).unwrap().1.machine {
            machine.step(now, input);
            self.poll(id);
        }
    }

    fn poll(&mut self, id: RaftId) {
        let founder = &mut self.founders.get_mut(&id).unwrap().1;
        let Some(machine) = &mut founder.machine else {
            return;
        };
        while let Some(output) = machine.poll_output() {
            match output {
                BootstrapOutput::Persist(promise) => {
                    assert_eq!(founder.disk, None, "a second promise");
                    founder.writing = Some(promise);
                }
                BootstrapOutput::Send { to, message } => {
                    let copy = BootstrapMessage::from_bytes(message.to_bytes()).unwrap();
                    self.flights.push((id, to, copy));
                }
                BootstrapOutput::Founded { cluster, members } => {
                    let promised = founder.disk.as_ref().map(|p| &p.members);
                    assert_eq!(
                        promised,
                        Some(&members),
                        "founded without a durable promise"
                    );
                    founder.ended = Some((cluster, members));
                }
                BootstrapOutput::Join { cluster } => founder.joined = Some(cluster),
                BootstrapOutput::Waiting(waiting) => founder.reports.push(waiting),
            }
        }
    }

    fn gossip(&mut self) {
        let ids: Vec<RaftId> = self.founders.keys().copied().collect();
        let alive = |(_, f): &&(u8, Founder)| f.machine.is_some() && f.ended.is_none();
        let candidates: Vec<Candidate> = self
            .founders
            .iter()
            .filter(|(_, f)| alive(f))
            .map(|(id, (expects, _))| Candidate {
                id: *id,
                expects: *expects,
            })
            .collect();
        let cluster = self
            .founders
            .values()
            .find_map(|(_, f)| f.ended.as_ref())
            .map(|e| e.0);
        for id in ids {
            self.step(id, BootstrapInput::Members(candidates.clone()));
            if let Some(cluster) = cluster {
                self.step(id, BootstrapInput::ClusterSeen(cluster));
            }
        }
    }

    fn round(&mut self, gossip: bool) {
        self.now = self.now + Duration::from_millis(100);
        if gossip {
            self.gossip();
        }
        for (from, to, message) in std::mem::take(&mut self.flights) {
            if !self.dice.chance(self.lost) && self.founders.contains_key(&to) {
                self.step(to, BootstrapInput::Receive { from, message });
            }
        }
        let ids: Vec<RaftId> = self.founders.keys().copied().collect();
        for id in ids {
            let founder = &mut self.founders.get_mut(&id).unwrap().1;
            if founder.machine.is_some()
                && let Some(promise) = founder.writing.take()
            {
                founder.disk = Some(promise);
                self.step(id, BootstrapInput::Persisted);
            }
            self.step(id, BootstrapInput::Wake);
        }
    }

    fn founded(&self) -> Vec<(ClusterId, Vec<RaftId>)> {
        let ended = self.founders.values().filter_map(|(_, f)| f.ended.clone());
        ended.collect()
    }
}

#[test]
fn the_expected_masters_found_one_cluster() {
    for size in [1_u8, 2, 3, 5] {
        let ids: Vec<(u64, u8)> = (1..=u64::from(size)).map(|id| (id * 7, size)).collect();
        let mut world = World::new(1, &ids);
        for _ in 0..5 {
            world.round(true);
        }
        let members: Vec<RaftId> = ids.iter().map(|(id, _)| RaftId(*id)).collect();
        let expected = (cluster_of(&members), members);
        assert_eq!(world.founded(), vec![expected; size.into()]);
    }
}

#[test]
fn one_missing_founds_nothing_and_is_told_after_a_minute() {
    let mut world = World::new(1, &[(1, 3), (2, 3)]);
    for _ in 0..610 {
        world.round(true);
    }
    assert_eq!(world.founded(), []);
    let (_, founder) = &world.founders[&RaftId(1)];
    assert_eq!((founder.disk.as_ref(), founder.reports.len()), (None, 1));
    let text = founder.reports[0].to_string();
    assert_eq!(text, "waiting for 3 masters to found a cluster, 2 seen");
}

#[test]
fn one_too_many_founds_nothing() {
    let mut world = World::new(1, &[(1, 3), (2, 3), (3, 3), (4, 3)]);
    for _ in 0..610 {
        world.round(true);
    }
    assert_eq!(world.founded(), []);
    let report = &world.founders[&RaftId(1)].1.reports[0];
    assert!(report.to_string().contains("too many"), "{report}");
}

#[test]
fn a_latecomer_does_not_hold_up_a_promise() {
    let mut world = World::new(1, &[(1, 3), (2, 3), (3, 3)]);
    world.gossip();
    let ids = [1, 2, 3].map(RaftId);
    let mut candidates = ids.map(|id| Candidate { id, expects: 3 }).to_vec();
    while world.founders[&RaftId(1)].1.disk.is_none() {
        world.round(false);
    }
    world.start(RaftId(3));
    candidates.push(Candidate {
        id: RaftId(4),
        expects: 3,
    });
    world.step(RaftId(3), BootstrapInput::Members(candidates));
    for _ in 0..20 {
        world.round(false);
    }
    assert_eq!(world.founded().len(), 3);
}

#[test]
fn other_numbers_do_not_mix() {
    let mut world = World::new(1, &[(1, 3), (2, 3), (3, 5)]);
    for _ in 0..610 {
        world.round(true);
    }
    assert_eq!(world.founded(), []);
    let report = &world.founders[&RaftId(1)].1.reports[0];
    assert!(
        report.to_string().ends_with("3 expects 5 masters"),
        "{report}"
    );
}

#[test]
fn who_sees_a_cluster_joins_it() {
    let mut world = World::new(1, &[(1, 3), (2, 3), (3, 3)]);
    world.step(RaftId(2), BootstrapInput::ClusterSeen(ClusterId(9)));
    for _ in 0..50 {
        world.round(false);
    }
    assert_eq!(world.founders[&RaftId(2)].1.joined, Some(ClusterId(9)));
    assert_eq!(world.founded(), []);
}

/// Losses, crashes and views that differ: never two clusters, never a set without all promises, and
/// one cluster in the end when the three are left alone.
#[test]
fn there_is_one_quorum_or_none() {
    for seed in 0..400 {
        let mut world = World::new(seed, &[(1, 3), (2, 3), (3, 3)]);
        world.lost = 300;
        let ids = [1, 2, 3].map(RaftId);
        for _ in 0..60 {
            let id = ids[world.dice.below(3) as usize];
            if world.dice.chance(150) && world.founders[&id].1.ended.is_none() {
                let founder = &mut world.founders.get_mut(&id).unwrap().1;
                founder.machine = None;
                if world.dice.chance(500)
                    && let Some(promise) = founder.writing.take()
                {
                    founder.disk = Some(promise);
                }
                world.start(id);
            }
            let gossip = world.dice.chance(200);
            world.round(gossip);
        }
        world.lost = 0;
        for _ in 0..20 {
            world.round(true);
        }
        let founded = world.founded();
        assert_eq!(founded.len(), 3, "seed {seed}: {world:#?}");
        assert!(founded.iter().all(|f| *f == founded[0]));
    }
}

#[test]
fn a_bound_founder_does_not_found_with_others() {
    let promised = Promise {
        members: [1, 2, 9].map(RaftId).to_vec(),
    };
    let mut world = World::new(1, &[(1, 3), (2, 3), (3, 3)]);
    world.founders.get_mut(&RaftId(1)).unwrap().1.disk = Some(promised);
    world.start(RaftId(1));
    for _ in 0..610 {
        world.round(true);
    }
    assert_eq!(world.founded(), []);
    let report = &world.founders[&RaftId(2)].1.reports[0];
    assert_eq!(report.differing, [RaftId(1)], "{report}");
}

#[test]
fn impossible_beginnings_and_messages_are_refused() {
    let none = Bootstrap::new(RaftId(1), 0, None, Instant::ZERO);
    assert!(matches!(none, Err(BootstrapError::Number { .. })));
    let foreign = Promise {
        members: vec![RaftId(2)],
    };
    let foreign = Bootstrap::new(RaftId(1), 1, Some(foreign), Instant::ZERO);
    assert!(matches!(foreign, Err(BootstrapError::Foreign { .. })));
    for bad in [
        &b""[..],
        b"\x0a\x02\x02\x01",
        b"\x0a\x01\x00",
        b"garbage",
        &[8; 5000],
    ] {
        assert!(
            BootstrapMessage::from_bytes(Bytes::copy_from_slice(bad)).is_err(),
            "{bad:?}"
        );
    }
}
