//! Events, queries and removals over a network that loses, doubles, delays and cuts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::Name;
use shoal_membership::{
    EventBody, EventName, Input, MemberEvent, MemberStatus, Output, Profile, QueryEnd,
    QueryOptions, QueryRequest, QueryToken,
};

use crate::network::{CALM, Network, Weather, address, id, numbers, tags};

const SECOND: Duration = Duration::from_secs(1);

const STORM: Weather = Weather {
    loss_per_mille: 200,
    double_per_mille: 100,
    delay_max: Duration::from_millis(60),
};

fn joined(seed: u64, profile: Profile, count: u8) -> Network {
    let mut network = Network::new(seed, profile);
    network.start_all(count);
    let all = numbers(count);
    let took = network.run_till(20 * SECOND, |network| network.agree_alive(&all));
    assert!(took.is_some(), "{count} nodes join, seed {seed}");
    network
}

fn name(text: &str) -> EventName {
    EventName::new(text).expect("a name")
}

fn tell(network: &mut Network, number: u8, payload: Bytes) {
    let body = EventBody::new(name("deploy"), payload, false).expect("it is short");
    network.input(id(number), Input::TellEvent(body));
}

fn ask(network: &mut Network, number: u8, token: u64, options: QueryOptions) {
    let request = QueryRequest::new(name("load"), Bytes::from("how much?"), options);
    let (request, token) = (request.expect("it is short"), QueryToken(token));
    network.input(id(number), Input::Ask { token, request });
}

/// Acknowledgements and answers that this node got.
fn replies(network: &Network, number: u8) -> (usize, usize) {
    let replies = &network.nodes[&id(number)].replies;
    let answers = replies.iter().filter(|(_, reply)| reply.answer.is_some());
    let answers = answers.count();
    (replies.len() - answers, answers)
}

fn told(network: &Network, count: usize) -> bool {
    network.nodes.values().all(|node| node.told.len() == count)
}

#[test]
fn an_event_is_heard_once_by_all() {
    for (weather, count, most) in [
        (CALM, 50, Duration::from_millis(600)),
        (STORM, 15, 5 * SECOND),
    ] {
        for seed in 0..3 {
            let mut network = joined(seed, Profile::Lan, count);
            network.weather = weather;
            let largest = Bytes::from(vec![7; 1_024 - "deploy".len()]);
            tell(&mut network, 3, largest);
            let took = network.run_till(20 * SECOND, |network| told(network, 1));
            let took = took.expect("all hear of it");
            assert!(took <= most, "seed {seed}: {took:?}");
            network.run(10 * SECOND);
            assert!(told(&network, 1), "and none twice, seed {seed}");
            let queued = network.nodes.values().map(|node| node.machine.queued());
            assert!(queued.max() <= Some((0, 0)), "it ends");
        }
    }
}

#[test]
fn events_of_many_are_ordered_by_cause() {
    let mut network = joined(7, Profile::Local, 10);
    network.weather = STORM;
    for round in 0..20_u8 {
        let number = 1 + round % 10;
        let before = network.nodes[&id(number)].told.len();
        tell(&mut network, number, vec![round].into());
        let node = &network.nodes[&id(number)];
        assert_eq!(node.told.len(), before + 1, "who tells hears it at once");
        network.run(Duration::from_millis(300));
    }
    let took = network.run_till(60 * SECOND, |network| told(network, 20));
    assert!(took.is_some(), "all hear of all");
    let sorted = |number: u8| {
        let mut events: Vec<_> = (network.nodes[&id(number)].told.iter())
            .map(|(_, event)| event.clone())
            .collect();
        events.sort();
        events
    };
    assert!((2..=10).all(|number| sorted(number) == sorted(1)));
    let own = |number: u8| {
        let told = network.nodes[&id(number)].told.iter();
        told.filter(|(_, event)| event.payload[0] % 10 == number - 1)
            .map(|(_, event)| (event.ltime, event.payload[0]))
            .collect::<Vec<_>>()
    };
    for number in 1..=10 {
        assert!(own(number).is_sorted(), "later events have later times");
    }
}

#[test]
fn who_was_cut_off_is_told_and_a_newcomer_only_if_it_wants() {
    let mut network = joined(8, Profile::Local, 6);
    network.cut(&[6]);
    tell(&mut network, 1, Bytes::from("while away"));
    network.run(2 * SECOND);
    assert_eq!(network.nodes[&id(6)].told.len(), 0);
    network.cut(&[]);
    let took = network.run_till(60 * SECOND, |network| told(network, 1));
    assert!(took.is_some(), "who was away hears of it");
    for (number, replay) in [(7, false), (8, true)] {
        let mut config = network.config(number, 1);
        config.replay_events = replay;
        network.start(config, &[address(2)]);
    }
    let all = numbers(8);
    network.run_till(20 * SECOND, |network| network.agree_alive(&all));
    network.run_till(20 * SECOND, |network| {
        !network.nodes[&id(8)].told.is_empty()
    });
    assert_eq!(network.nodes[&id(7)].told.len(), 0);
    assert_eq!(network.nodes[&id(8)].told.len(), 1);
    let clocks = network.machine(7).clocks();
    assert_eq!(clocks, network.machine(1).clocks());
    // One that restarts with its clocks hears what it missed, and nothing again.
    network.crash(7);
    network.run(SECOND);
    tell(&mut network, 1, Bytes::from("while down"));
    network.run(2 * SECOND);
    let mut config = network.config(7, 2);
    config.clocks = clocks;
    network.start(config, &[address(3)]);
    let heard = |network: &Network| !network.nodes[&id(7)].told.is_empty();
    assert!(network.run_till(20 * SECOND, heard).is_some());
    network.run(10 * SECOND);
    let told = &network.nodes[&id(7)].told;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.payload, Bytes::from("while down"));
}

#[test]
fn a_query_is_answered_once_by_each_that_is_meant() {
    for (weather, relay) in [(CALM, 0), (STORM, 0), (STORM, 2)] {
        let mut network = joined(9, Profile::Lan, 15);
        network.weather = weather;
        let options = QueryOptions {
            acks: true,
            relay,
            timeout: Some(15 * SECOND),
            ..QueryOptions::default()
        };
        ask(&mut network, 4, 1, options);
        let took = network.run_till(15 * SECOND, |network| replies(network, 4) == (15, 15));
        assert!(took.is_some(), "{:?}", replies(&network, 4));
        network.run(16 * SECOND);
        assert_eq!(replies(&network, 4), (15, 15));
        for node in network.nodes.values() {
            assert_eq!(node.queries.len(), 1);
            assert_eq!(node.machine.queries_open(), (0, 0));
        }
        let end = QueryEnd::Deadline;
        let token = QueryToken(1);
        assert_eq!(
            network.nodes[&id(4)].outputs,
            [Output::QueryEnded { token, end }]
        );
    }
}

#[test]
fn filters_choose_by_name_and_by_tag() {
    let mut network = joined(10, Profile::Local, 6);
    let tag = |key: &str, value: &str| vec![(Arc::from(key), Arc::from(value))];
    network.input(id(2), Input::SetTags(tags(&[("db", "mongo")])));
    for (nodes, tags, expected) in [
        (vec!["node-3", "node-5", "none"], vec![], 2),
        (vec![], tag("number", "[1-4]"), 3),
        (vec![], tag("db", "mon.*"), 1),
        (vec!["node-3"], tag("db", "mongo"), 0),
    ] {
        let before = replies(&network, 1);
        let options = QueryOptions {
            nodes: (nodes.iter())
                .map(|name| Name::new(name).expect("a name"))
                .collect(),
            tags,
            acks: true,
            ..QueryOptions::default()
        };
        ask(&mut network, 1, 1, options);
        network.run(5 * SECOND);
        let after = replies(&network, 1);
        assert_eq!(
            (after.0 - before.0, after.1 - before.1),
            (expected, expected)
        );
    }
}

#[test]
fn queries_that_are_too_many_or_too_late_are_refused() {
    let mut network = joined(11, Profile::Local, 3);
    network.nodes.get_mut(&id(2)).expect("it runs").answers = false;
    for token in 0..=shoal_membership::limits::QUERIES_ASKED as u64 {
        ask(&mut network, 1, token, QueryOptions::default());
    }
    let refused = Output::QueryEnded {
        token: QueryToken(shoal_membership::limits::QUERIES_ASKED as u64),
        end: QueryEnd::TooMany,
    };
    assert_eq!(network.nodes[&id(1)].outputs, [refused]);
    network.run(20 * SECOND);
    let late = network.nodes[&id(2)].queries[0].key;
    let body = shoal_membership::AnswerBody::new(Bytes::from("late")).expect("short");
    let before = replies(&network, 1);
    network.input(id(2), Input::Answer { query: late, body });
    network.run(SECOND);
    assert_eq!(replies(&network, 1), before);
    assert_eq!(network.machine(2).stats().answers_late, 1);
    network.input(id(1), Input::Leave);
    ask(&mut network, 1, 999, QueryOptions::default());
    let token = QueryToken(999);
    let end = QueryEnd::Leaving;
    let said = &network.nodes[&id(1)].outputs;
    assert!(said.contains(&Output::QueryEnded { token, end }));
}

#[test]
fn who_failed_is_taken_off_the_list_everywhere() {
    for prune in [false, true] {
        let mut network = joined(12, Profile::Local, 8);
        network.input(id(1), Input::Remove { node: id(3), prune });
        network.run(2 * SECOND);
        assert!(network.agree_alive(&numbers(8)), "who lives stays");
        network.crash(3);
        let failed = network.run_till(60 * SECOND, |network| {
            network.all_see(3, MemberStatus::Failed)
        });
        assert!(failed.is_some());
        network.cut(&[8]);
        network.input(id(1), Input::Remove { node: id(3), prune });
        network.run(SECOND);
        network.cut(&[]);
        let gone = |network: &Network| match prune {
            true => network
                .nodes
                .values()
                .all(|node| node.machine.member(id(3)).is_none()),
            false => network.all_see(3, MemberStatus::Left),
        };
        assert!(
            network.run_till(60 * SECOND, gone).is_some(),
            "prune {prune}"
        );
        let since = network.now;
        network.run(20 * SECOND);
        assert!(gone(&network), "it does not come back");
        let heard_again = network.nodes.values().any(|node| {
            let events = node.events.iter();
            events
                .filter(|(at, _)| *at > since)
                .any(|(_, event)| match event {
                    MemberEvent::Joined(member)
                    | MemberEvent::StatusChanged(member)
                    | MemberEvent::Updated(member) => member.id == id(3),
                    MemberEvent::Reaped(_) => false,
                })
        });
        assert!(!heard_again);
        // A newer life of it is welcome.
        let config = network.config(3, 2);
        network.start(config, &[address(2)]);
        let all = numbers(8);
        let back = network.run_till(20 * SECOND, |network| network.agree_alive(&all));
        assert!(back.is_some(), "prune {prune}");
    }
}

#[test]
fn who_was_only_cut_off_comes_back_after_its_removal() {
    let mut network = joined(13, Profile::Local, 6);
    network.cut(&[5]);
    let failed =
        |network: &Network| (1..=4).all(|at| network.status(at, 5) == Some(MemberStatus::Failed));
    assert!(network.run_till(60 * SECOND, failed).is_some());
    let remove = Input::Remove {
        node: id(5),
        prune: false,
    };
    network.input(id(2), remove);
    network.run(2 * SECOND);
    assert_eq!(network.status(4, 5), Some(MemberStatus::Left));
    network.cut(&[]);
    let all = numbers(6);
    let back = network.run_till(120 * SECOND, |network| network.agree_alive(&all));
    assert!(back.is_some());
}
