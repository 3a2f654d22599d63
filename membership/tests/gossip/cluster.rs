//! What a cluster of machines promises, in virtual time under a seeded network.

use std::time::Duration;

use crate::network::{CALM, Network, Weather, address, id, numbers, tags};
use shoal_api::Generation;
use shoal_membership::{Input, MemberEvent, MemberStatus, Output, Profile};

const SECOND: Duration = Duration::from_secs(1);

fn joined(seed: u64, profile: Profile, count: u8) -> Network {
    let mut network = Network::new(seed, profile);
    network.start_all(count);
    let all = numbers(count);
    let took = network.run_till(20 * SECOND, |network| network.agree_alive(&all));
    assert!(took.is_some(), "{count} nodes join, seed {seed}");
    network
}

#[test]
fn fifty_nodes_join_within_seconds() {
    for (profile, most) in [(Profile::Lan, 5), (Profile::Local, 3)] {
        let mut network = Network::new(1, profile);
        network.start_all(50);
        let all = numbers(50);
        let took = network.run_till(20 * SECOND, |network| network.agree_alive(&all));
        let took = took.expect("everyone knows everyone");
        assert!(took <= most * SECOND, "{profile:?} took {took:?}");
        network.run(20 * SECOND);
        assert!(network.failures().is_empty());
    }
}

#[test]
fn a_joiner_knows_everyone_at_once() {
    let mut network = joined(2, Profile::Lan, 30);
    network.run(30 * SECOND);
    let config = network.config(31, 1);
    network.start(config, &[address(7)]);
    let all = numbers(31);
    let took = network.run_till(10 * SECOND, |network| network.agree_alive(&all));
    let took = took.expect("the joiner and the others agree");
    assert!(took <= 2 * SECOND, "took {took:?}");
}

#[test]
fn a_crash_is_seen_by_all_within_its_bound() {
    for (profile, count, most) in [
        (Profile::Local, 6, Duration::from_millis(4_200)),
        (Profile::Local, 50, Duration::from_millis(4_200)),
        (Profile::Lan, 6, Duration::from_millis(4_500)),
        (Profile::Lan, 50, Duration::from_millis(6_000)),
    ] {
        for seed in 0..3 {
            let mut network = joined(seed, profile, count);
            network.run(5 * SECOND);
            network.crash(3);
            let took = network.run_till(60 * SECOND, |network| {
                network.all_see(3, MemberStatus::Failed)
            });
            let took = took.expect("a crash is seen");
            assert!(took <= most, "{profile:?} {count} seed {seed}: {took:?}");
            assert!(network.failures().iter().all(|(_, _, of)| *of == id(3)));
        }
    }
}

#[test]
fn loss_delay_and_doubles_fail_nobody() {
    for (profile, count, minutes) in [
        (Profile::Lan, 20, 5),
        (Profile::Lan, 3, 15),
        (Profile::Local, 6, 10),
    ] {
        let mut network = joined(4, profile, count);
        network.weather = Weather {
            loss_per_mille: 100,
            double_per_mille: 50,
            delay_max: Duration::from_millis(30),
        };
        network.no_streams = true;
        network.run(minutes * 60 * SECOND);
        assert_eq!(network.failures(), [], "{profile:?} {count}");
        let doubts: u64 = (network.nodes.values())
            .map(|node| node.machine.stats().vouched + node.machine.stats().suspicions)
            .sum();
        assert!(doubts > 0, "the weather was bad enough to doubt somebody");
        let renewals: u64 = (network.nodes.values())
            .map(|node| node.machine.stats().renewals)
            .sum();
        assert_eq!(renewals, 0, "a refuted suspicion costs no identity");
        network.weather = CALM;
        let all = numbers(count);
        let calm = network.run_till(30 * SECOND, |network| network.agree_alive(&all));
        assert!(calm.is_some());
    }
}

#[test]
fn joining_works_under_loss() {
    for seed in 0..5 {
        let mut network = Network::new(seed, Profile::Local);
        network.weather.loss_per_mille = 200;
        network.start_all(12);
        let all = numbers(12);
        let took = network.run_till(30 * SECOND, |network| network.agree_alive(&all));
        assert!(took.is_some(), "seed {seed}");
    }
}

#[test]
fn leaving_is_left_and_never_failed() {
    for loss_per_mille in [0, 100] {
        let mut network = joined(5, Profile::Local, 12);
        network.weather.loss_per_mille = loss_per_mille;
        network.input(id(4), Input::Leave);
        let left = |network: &Network| network.nodes[&id(4)].outputs == [Output::Left];
        let took = network.run_till(5 * SECOND, left).expect("it leaves");
        assert!(took <= 2 * SECOND, "took {took:?}");
        assert_eq!(network.machine(4).next_deadline(), None);
        network.crash(4);
        let seen = network.run_till(10 * SECOND, |network| {
            network.all_see(4, MemberStatus::Left)
        });
        assert!(seen.is_some());
        assert_eq!(network.failures(), []);
        let leaving_first = network.nodes.values().all(|node| {
            let statuses = node.events.iter().filter_map(|(_, event)| match event {
                MemberEvent::StatusChanged(member) if member.id == id(4) => Some(member.status),
                _ => None,
            });
            statuses.eq([MemberStatus::Leaving, MemberStatus::Left])
        });
        assert!(leaving_first || loss_per_mille > 0);
    }
}

#[test]
fn who_is_alone_leaves_at_once() {
    let mut network = Network::new(6, Profile::Lan);
    network.start_all(1);
    network.input(id(1), Input::Leave);
    network.run(Duration::from_millis(1));
    assert_eq!(network.nodes[&id(1)].outputs, [Output::Left]);
    assert!(network.machine(1).has_left());
}

#[test]
fn a_restart_is_the_same_member_with_a_newer_life() {
    let mut network = joined(7, Profile::Local, 6);
    // Quickly, before anyone notices; then after it was seen failed.
    for (generation, away) in [(2, SECOND / 10), (3, 10 * SECOND)] {
        network.crash(5);
        network.run(away);
        let mut config = network.config(5, generation);
        config.tags = tags(&[("life", &generation.to_string())]);
        network.start(config, &[address(2)]);
        let life = generation.to_string();
        let seen = network.run_till(5 * SECOND, |network| {
            network.agree_alive(&numbers(6))
                && network.nodes.values().all(|node| {
                    let member = node.machine.member(id(5)).expect("known");
                    member.generation == Generation(generation)
                        && member.tags.get("life").is_some_and(|tag| **tag == *life)
                })
        });
        assert!(seen.is_some(), "generation {generation}");
    }
    network.run(20 * SECOND);
    assert!(network.agree_alive(&numbers(6)));
    assert_eq!(network.machine(1).members().count(), 6);
}

#[test]
fn an_older_life_is_refused_and_told() {
    let mut network = joined(8, Profile::Local, 4);
    network.crash(4);
    let newer = network.config(4, 2);
    network.start(newer, &[address(1)]);
    network.run(5 * SECOND);
    let newer = network.crash(4);
    // The older life comes back from elsewhere.
    let mut older = network.config(4, 1);
    older.gossip = address(44);
    network.start(older, &[address(1)]);
    network.run(2 * SECOND);
    assert_eq!(
        network.nodes[&id(4)].outputs,
        [Output::Superseded { by: Generation(2) }]
    );
    assert_eq!(network.machine(4).next_deadline(), None);
    network.nodes.insert(id(4), newer);
    network.run(15 * SECOND);
    assert!(network.agree_alive(&numbers(4)));
    for at in 1..=3 {
        let member = network.machine(at).member(id(4)).expect("known");
        assert_eq!(
            (member.generation, member.gossip),
            (Generation(2), address(4))
        );
    }
}

#[test]
fn an_address_may_belong_to_another_node_later() {
    let mut network = joined(9, Profile::Local, 5);
    network.crash(5);
    let mut other = network.config(6, 1);
    other.gossip = address(5);
    network.start(other, &[address(1)]);
    let settled = network.run_till(10 * SECOND, |network| {
        network.all_see(5, MemberStatus::Failed) && network.agree_alive(&[1, 2, 3, 4, 6])
    });
    assert!(settled.is_some());
    network.run(60 * SECOND);
    assert!(network.agree_alive(&[1, 2, 3, 4, 6]));
    let others = network.failures();
    assert!(others.iter().all(|(_, _, of)| *of == id(5)), "{others:?}");
}

#[test]
fn a_partition_heals() {
    for (profile, count, cut, apart, most) in [
        (Profile::Local, 6, 1, 60, 15),
        (Profile::Local, 6, 3, 60, 15),
        (Profile::Local, 6, 3, 3, 15),
        (Profile::Local, 30, 10, 60, 30),
        (Profile::Lan, 6, 2, 60, 60),
    ] {
        for seed in 0..3 {
            let mut network = joined(seed, profile, count);
            network.run(5 * SECOND);
            network.cut(&numbers(cut));
            network.run(apart * SECOND);
            if apart > 10 {
                assert_eq!(network.status(count, 1), Some(MemberStatus::Failed));
                assert_eq!(network.status(1, count), Some(MemberStatus::Failed));
            }
            let healed_at = network.now;
            network.cut(&[]);
            let all = numbers(count);
            let took = network.run_till(most * SECOND, |network| network.agree_alive(&all));
            assert!(took.is_some(), "{profile:?} {count} seed {seed}");
            network.run(30 * SECOND);
            assert!(network.agree_alive(&all));
            if apart > 10 {
                let within_a_side: Vec<_> = network
                    .failures()
                    .into_iter()
                    .filter(|(time, _, _)| *time > healed_at)
                    .collect();
                assert_eq!(
                    within_a_side,
                    [],
                    "healing kills nobody: {profile:?} {count} {seed} {healed_at}"
                );
            }
        }
    }
}

#[test]
fn tags_reach_all_within_seconds() {
    for (profile, loss_per_mille, most) in [
        (Profile::Lan, 0, 3),
        (Profile::Local, 0, 2),
        (Profile::Lan, 100, 6),
    ] {
        let mut network = joined(10, profile, 40);
        network.run(5 * SECOND);
        network.weather.loss_per_mille = loss_per_mille;
        for round in 0..5 {
            let tag = round.to_string();
            network.input(id(9), Input::SetTags(tags(&[("round", &tag)])));
            let took = network.run_till(30 * SECOND, |network| {
                network.nodes.values().all(|node| {
                    let member = node.machine.member(id(9)).expect("known");
                    member.tags.get("round").is_some_and(|seen| **seen == *tag)
                })
            });
            let took = took.expect("all see the tags");
            assert!(took <= most * SECOND, "{profile:?} took {took:?}");
        }
    }
}

#[test]
fn a_living_holder_keeps_its_name_and_a_gone_one_loses_it() {
    let mut network = joined(11, Profile::Local, 4);
    let mut twin = network.config(9, 1);
    twin.name = network.machine(3).me().name.clone().expect("a name");
    let name = twin.name.clone();
    network.start(twin, &[address(1)]);
    network.run(3 * SECOND);
    let holder = id(3);
    assert_eq!(
        network.nodes[&id(9)].outputs,
        [Output::NameRefused { name, holder }]
    );
    assert_eq!(network.machine(9).name_holder(), Some(holder));
    assert_eq!(network.machine(1).member(id(9)), None, "it stays outside");
    network.crash(3);
    let taken = network.run_till(10 * SECOND, |network| network.agree_alive(&[1, 2, 4, 9]));
    assert!(taken.is_some(), "the name is free once its holder failed");
    assert_eq!(network.machine(9).name_holder(), None);
}

#[test]
fn twins_that_come_at_once_are_told_apart() {
    let mut network = Network::new(12, Profile::Local);
    network.start_all(2);
    for number in [8, 7] {
        let mut config = network.config(number, 1);
        config.name = "twin".parse().expect("a name");
        network.start(config, &[address(number - 6)]);
    }
    network.run(5 * SECOND);
    let refused = |network: &Network, number| network.nodes[&id(number)].outputs.len();
    // Whoever came second is refused by its seed, or the higher id when both slipped in.
    assert_eq!(refused(&network, 7) + refused(&network, 8), 1);
}

#[test]
fn the_gone_are_forgotten_once_and_for_all() {
    let mut network = Network::new(13, Profile::Local);
    network.keep = 30 * SECOND;
    network.start_all(5);
    network.run(5 * SECOND);
    network.crash(5);
    network.input(id(4), Input::Leave);
    network.run(3 * SECOND);
    network.crash(4);
    network.run(7 * SECOND);
    // A late joiner hears of both, and forgets them with the others.
    let config = network.config(6, 1);
    network.start(config, &[address(1)]);
    network.run(3 * SECOND);
    assert_eq!(network.status(6, 4), Some(MemberStatus::Left));
    assert_eq!(network.status(6, 5), Some(MemberStatus::Failed));
    let name = network
        .machine(6)
        .member(id(5))
        .and_then(|m| m.name.clone());
    assert_eq!(name, Some("node-5".parse().expect("a name")));
    network.run(60 * SECOND);
    for at in [1, 2, 3, 6] {
        assert_eq!(network.machine(at).members().count(), 4);
        let reaped = (network.nodes[&id(at)].events.iter())
            .filter(|(_, event)| matches!(event, MemberEvent::Reaped(_)))
            .count();
        assert_eq!(reaped, 2, "each is reaped once at {at}");
    }
}

#[test]
fn clusters_that_were_formed_apart_find_each_other() {
    let mut network = Network::new(14, Profile::Local);
    for number in 1..=6 {
        let config = network.config(number, 1);
        let seeds: Vec<_> = (1..=6).map(address).collect();
        network.start(config, &seeds);
    }
    network.cut(&[1, 2, 3]);
    network.run(10 * SECOND);
    assert!(network.agree_alive(&[1, 2, 3]) && network.agree_alive(&[4, 5, 6]));
    network.cut(&[]);
    let met = network.run_till(10 * SECOND, |network| network.agree_alive(&numbers(6)));
    assert!(met.is_some());
}

#[test]
fn a_node_joins_before_its_seed_is_there() {
    let mut network = Network::new(15, Profile::Local);
    let config = network.config(2, 1);
    network.start(config, &[address(1), address(2)]);
    network.run(7 * SECOND);
    let config = network.config(1, 1);
    network.start(config, &[]);
    let met = network.run_till(2 * SECOND, |network| network.agree_alive(&[1, 2]));
    assert!(met.is_some());
}

#[test]
fn a_stalled_node_blames_nobody() {
    let mut network = joined(16, Profile::Local, 6);
    for _ in 0..10 {
        network.pause(2, Duration::from_millis(1_700));
        network.run(4 * SECOND);
    }
    assert_eq!(network.failures(), []);
    // A pause that falls between two of its deadlines is none to it.
    assert!(network.machine(2).stats().stalls >= 5);
    assert_eq!(network.machine(2).stats().declared, 0);
}

#[test]
fn one_seed_one_trace() {
    let run = |seed| {
        let mut network = Network::new(seed, Profile::Local);
        network.weather = Weather {
            loss_per_mille: 50,
            double_per_mille: 20,
            delay_max: Duration::from_millis(20),
        };
        network.start_all(8);
        network.run(10 * SECOND);
        network.cut(&[1, 2]);
        network.run(10 * SECOND);
        network.cut(&[]);
        network.crash(7);
        network.input(id(6), Input::Leave);
        network.run(10 * SECOND);
        network.trace()
    };
    assert_eq!(run(17), run(17));
    assert_ne!(run(17), run(18));
}

#[test]
fn where_datagrams_are_filtered_streams_carry_on() {
    let mut network = Network::new(8, Profile::Local);
    network.no_datagrams = true;
    network.start_all(4);
    let all = numbers(4);
    let took = network.run_till(60 * SECOND, |network| network.agree_alive(&all));
    assert!(took.is_some(), "they join by stream");
    network.run(60 * SECOND);
    assert!(network.agree_alive(&all), "and answer probes by stream");
    assert_eq!(network.failures(), []);
}

#[test]
fn where_streams_are_filtered_datagrams_carry_on() {
    let mut network = Network::new(9, Profile::Local);
    network.no_streams = true;
    network.start_all(8);
    let all = numbers(8);
    let took = network.run_till(20 * SECOND, |network| network.agree_alive(&all));
    assert!(took.is_some(), "they join by datagram");
    let synced = network.run_till(30 * SECOND, |network| {
        let machines = network.nodes.values().map(|node| &node.machine);
        machines
            .map(|machine| machine.stats().syncs_fruitful)
            .sum::<u64>()
            > 0
    });
    assert!(synced.is_some(), "and synchronise by datagram");
}

#[test]
fn a_node_that_hears_nothing_kills_nobody() {
    let mut network = joined(11, Profile::Lan, 12);
    network.deaf = Some(id(5));
    network.run(180 * SECOND);
    let failures = network.failures();
    let wrong: Vec<_> = failures
        .iter()
        .filter(|(_, at, of)| *at != id(5) && *of != id(5))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(network.all_see(5, MemberStatus::Failed));
    network.deaf = None;
    let all = numbers(12);
    let back = network.run_till(60 * SECOND, |network| network.agree_alive(&all));
    assert!(back.is_some(), "it hears again, and all is well");
    let renewed = network
        .nodes
        .values()
        .map(|node| node.machine.stats().renewals);
    assert_eq!(
        renewed.sum::<u64>(),
        0,
        "a death that is refuted costs no identity"
    );
}

#[test]
fn round_trips_are_known_of_everyone() {
    let mut network = joined(12, Profile::Local, 5);
    network.run(60 * SECOND);
    for a in 1..=5 {
        for b in 1..a {
            let told = network
                .machine(1)
                .rtt(id(a), id(b))
                .expect("both are known");
            assert!(told < Duration::from_millis(4), "{a} to {b}: {told:?}");
        }
    }
    assert_eq!(network.machine(1).rtt(id(1), id(77)), None);
}
