//! Clusters with keys: strangers are not heard, what is sent again has no effect, keys are rotated
//! and plain clusters become encrypted without losing anybody.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use shoal_membership::{
    DropReason, Input, Key, Keyring, Member, MemberStatus, Membership, Output, Policy, Profile,
    Secrecy,
};

use crate::network::{Network, address, id, numbers, tags};

fn key(byte: u8) -> Key {
    Key::new([byte; shoal_membership::KEY_BYTES])
}

fn required(bytes: &[u8]) -> Secrecy {
    let ring = Keyring::of(bytes.iter().map(|byte| key(*byte))).expect("a few keys");
    Secrecy::required(ring)
}

fn start(network: &mut Network, number: u8, generation: u64, secrecy: Secrecy) {
    let mut config = network.config(number, generation);
    config.secrecy = secrecy;
    network.start(config, &[address(1)]);
}

fn cluster(seed: u64, count: u8, secrecy: &Secrecy) -> Network {
    let mut network = Network::new(seed, Profile::Local);
    for number in 1..=count {
        start(&mut network, number, 1, secrecy.clone());
    }
    let met = network.run_till(Duration::from_secs(20), |network| {
        network.agree_alive(&numbers(count))
    });
    assert!(met.is_some(), "{count} nodes meet");
    network
}

fn set_all(network: &mut Network, count: u8, secrecy: &Secrecy) {
    for number in 1..=count {
        network.input(id(number), Input::SetSecrecy(secrecy.clone()));
        // Not all at once: in between, each step must bear the one before it.
        network.run(Duration::from_millis(700));
    }
}

fn members(machine: &Membership) -> Vec<Member> {
    machine.members().cloned().collect()
}

fn feed(network: &mut Network, number: u8, bytes: Bytes) -> Vec<Output> {
    let now = network.now;
    let node = network.nodes.get_mut(&id(number)).expect("it runs");
    let from = address(99);
    node.machine.step(now, Input::Datagram { from, bytes });
    std::iter::from_fn(|| node.machine.poll_output()).collect()
}

/// A cluster of six that had some of everything: a restart, a leave, a crash, a partition, tags.
fn eventful() -> (Network, Vec<(SocketAddr, Bytes)>) {
    let secrecy = required(&[1]);
    let mut network = Network::new(11, Profile::Local);
    network.kept = Some(Vec::new());
    for number in 1..=6 {
        start(&mut network, number, 1, secrecy.clone());
    }
    network.run(Duration::from_secs(3));
    network.input(id(2), Input::SetTags(tags(&[("a", "b"), ("c", "d")])));
    network.cut(&[1, 2]);
    network.run(Duration::from_secs(15));
    network.cut(&[]);
    network.run(Duration::from_secs(20));
    network.input(id(6), Input::Leave);
    network.run(Duration::from_secs(3));
    network.crash(6);
    network.crash(5);
    network.run(Duration::from_secs(10));
    start(&mut network, 5, 2, secrecy);
    network.run(Duration::from_secs(20));
    let kept = network.kept.take().expect("it was recorded");
    (network, kept)
}

#[test]
fn what_a_node_was_sent_before_has_no_effect_when_it_is_sent_again() {
    let (mut network, kept) = eventful();
    let before = members(network.machine(1));
    let dropped = |network: &Network| {
        let stats = network.machine(1).stats();
        stats.dropped(DropReason::Replayed) + stats.dropped(DropReason::OldLife)
    };
    // The first time those count that the partition held back, as they were never heard.
    for new in [true, false] {
        let (mut count, begin) = (0, dropped(&network));
        for (_, bytes) in kept.iter().filter(|(to, _)| *to == address(1)) {
            let said = feed(&mut network, 1, bytes.clone());
            // A past life of a node is told that it is past, by one datagram.
            assert!(new || said.len() <= 1, "{said:?}");
            assert_eq!(members(network.machine(1)), before);
            count += 1;
        }
        assert!(count > 200, "only {count} datagrams were recorded");
        assert!(new || dropped(&network) - begin == count);
    }
}

#[test]
fn what_others_were_sent_before_changes_no_view() {
    let (mut network, kept) = eventful();
    let before = members(network.machine(1));
    for (_, bytes) in kept.into_iter().filter(|(to, _)| *to != address(1)) {
        feed(&mut network, 1, bytes);
        assert_eq!(members(network.machine(1)), before);
    }
    network.run(Duration::from_secs(20));
    assert!(network.agree_alive(&[1, 2, 3, 4, 5]));
    assert_eq!(network.status(1, 6), Some(MemberStatus::Left));
}

#[test]
fn an_acknowledgement_of_the_dead_does_not_keep_them_alive() {
    let mut network = cluster(12, 3, &required(&[1]));
    network.kept = Some(Vec::new());
    network.run(Duration::from_secs(200));
    let kept = network.kept.take().expect("it was recorded");
    network.crash(3);
    let mut ours = kept.iter().filter(|(to, _)| *to == address(1)).cycle();
    let declared = network.run_till(Duration::from_secs(20), |network| {
        network.status(1, 3) == Some(MemberStatus::Failed)
    });
    assert!(declared.is_some(), "it is declared");
    for _ in 0..5_000 {
        let (_, bytes) = ours.next().expect("some were recorded");
        feed(&mut network, 1, bytes.clone());
        assert_eq!(network.status(1, 3), Some(MemberStatus::Failed));
    }
}

#[test]
fn a_node_without_the_key_is_not_heard() {
    let mut network = cluster(13, 3, &required(&[1]));
    start(&mut network, 4, 1, required(&[2]));
    start(&mut network, 5, 1, Secrecy::default());
    network.run(Duration::from_secs(10));
    assert!(network.agree_alive(&[1, 2, 3]));
    for stranger in [4, 5] {
        assert!(!network.machine(stranger).is_joined());
        assert!(network.machine(1).member(id(stranger)).is_none());
    }
    let stats = network.machine(1).stats();
    assert!(stats.dropped(DropReason::Key) > 0, "another key");
    assert!(stats.dropped(DropReason::Plain) > 0, "no key");
    assert!(network.machine(4).stats().dropped_total() == 0, "no answer");
}

#[test]
fn keys_are_rotated_and_nobody_is_lost() {
    let mut network = cluster(14, 5, &required(&[1]));
    for step in [&[1, 2][..], &[2, 1], &[2]] {
        set_all(&mut network, 5, &required(step));
        network.run(Duration::from_secs(5));
        assert!(network.agree_alive(&numbers(5)), "{step:?}");
    }
    assert_eq!(network.failures(), []);
    let dropped: u64 = (1..=5)
        .map(|number| network.machine(number).stats().dropped_total())
        .sum();
    assert_eq!(dropped, 0, "not one datagram was refused");
    start(&mut network, 6, 1, required(&[1]));
    network.run(Duration::from_secs(5));
    assert!(!network.machine(6).is_joined(), "the old key opens nothing");
}

#[test]
fn a_plain_cluster_becomes_encrypted_and_nobody_is_lost() {
    let mut network = cluster(15, 5, &Secrecy::default());
    for policy in [Policy::Incoming, Policy::Outgoing, Policy::Required] {
        let secrecy = Secrecy::new(policy, Some(Keyring::new(key(1)))).expect("it has a key");
        set_all(&mut network, 5, &secrecy);
        network.run(Duration::from_secs(5));
        assert!(network.agree_alive(&numbers(5)), "{policy:?}");
    }
    assert_eq!(network.failures(), []);
    let dropped: u64 = (1..=5)
        .map(|number| network.machine(number).stats().dropped_total())
        .sum();
    assert_eq!(dropped, 0, "not one datagram was refused");
}
