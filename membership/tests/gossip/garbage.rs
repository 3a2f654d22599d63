//! Datagrams that are cut, damaged or made up: dropped and counted, and nothing else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::network::{Network, address, id, numbers, tags};
use bytes::Bytes;
use shoal_api::{Dice, Instant};
use shoal_membership::{
    DropReason, EventBody, EventName, Input, Member, Membership, Output, Profile, QueryOptions,
    QueryRequest, QueryToken, StreamId,
};

const LABEL: &[u8] = b"test";
const HEAD_BYTES: usize = 10;
const ENVELOPE_BYTES: usize = 14;

/// Makes a damaged datagram look sound, so that it is read beyond its checksum.
fn sealed(mut datagram: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&datagram[..HEAD_BYTES]);
    hasher.update(&(LABEL.len() as u32).to_be_bytes());
    hasher.update(LABEL);
    hasher.update(&datagram[ENVELOPE_BYTES..]);
    let checksum = hasher.finalize().to_be_bytes();
    datagram[HEAD_BYTES..ENVELOPE_BYTES].copy_from_slice(&checksum);
    datagram
}

/// The types of a datagram's sections.
fn kinds(datagram: &[u8]) -> Vec<u8> {
    let mut rest = &datagram[ENVELOPE_BYTES..];
    let mut kinds = Vec::new();
    while let [kind, low, high, ..] = *rest {
        let (length, head) = match low < 0x80 {
            true => (usize::from(low), 2),
            false => (usize::from(low & 0x7f) | usize::from(high) << 7, 3),
        };
        kinds.push(kind);
        rest = &rest[head + length..];
    }
    kinds
}

/// A cluster that had some of everything, and what it said: a few datagrams of each make-up.
fn recorded() -> (Network, Vec<(SocketAddr, Bytes)>) {
    let mut network = Network::new(1, Profile::Local);
    network.no_streams = true;
    network.kept = Some(Vec::new());
    network.start_all(6);
    network.run(Duration::from_secs(3));
    network.input(id(2), Input::SetTags(tags(&[("a", "b"), ("c", "d")])));
    network.cut(&[1, 2]);
    talk(&mut network);
    network.run(Duration::from_secs(15));
    network.cut(&[]);
    network.run(Duration::from_secs(10));
    network.input(id(6), Input::Leave);
    network.run(Duration::from_secs(3));
    network.crash(6);
    network.crash(5);
    network.run(Duration::from_secs(10));
    let config = network.config(5, 2);
    network.start(config, &[address(1)]);
    network.run(Duration::from_secs(5));
    talk(&mut network);
    network.run(Duration::from_secs(5));
    let mut seen = std::collections::BTreeMap::<Vec<u8>, u32>::new();
    let kept = network.kept.take().expect("it was recorded");
    let sample = kept.into_iter().filter(|(_, bytes)| {
        let count = seen.entry(kinds(bytes)).or_default();
        *count += 1;
        *count <= 4 || count.is_multiple_of(400)
    });
    let sample: Vec<_> = sample.collect();
    (network, sample)
}

/// An event, and a query that is answered by detours too.
fn talk(network: &mut Network) {
    let name = EventName::new("deploy").expect("a name");
    let body = EventBody::new(name.clone(), Bytes::from("all"), true).expect("it is short");
    network.input(id(1), Input::TellEvent(body));
    let options = QueryOptions {
        tags: vec![("number".into(), "[0-9]+".into())],
        acks: true,
        relay: 2,
        ..QueryOptions::default()
    };
    let request = QueryRequest::new(name, Bytes::from("all"), options).expect("it is short");
    let token = QueryToken(1);
    network.input(id(2), Input::Ask { token, request });
}

fn feed(machine: &mut Membership, now: Instant, bytes: Vec<u8>) -> usize {
    let from = address(99);
    let bytes = Bytes::from(bytes);
    machine.step(now, Input::Datagram { from, bytes });
    drain(machine)
}

fn drain(machine: &mut Membership) -> usize {
    let mut sent = 0;
    while let Some(output) = machine.poll_output() {
        if let Output::Datagram { bytes, .. } | Output::Frame { bytes, .. } = output {
            sent += bytes.len();
        }
    }
    sent
}

fn members(machine: &Membership) -> Vec<Member> {
    machine.members().cloned().collect()
}

#[test]
fn every_section_is_among_the_recorded() {
    let (_, sample) = recorded();
    let seen: BTreeSet<u8> = sample.iter().flat_map(|(_, bytes)| kinds(bytes)).collect();
    assert_eq!(seen, (1..=17).chain(20..=25).collect());
}

#[test]
fn a_cut_datagram_changes_nothing_and_is_counted() {
    let (mut network, sample) = recorded();
    let now = network.now;
    let machine = &mut network.nodes.get_mut(&id(1)).expect("it runs").machine;
    let before = members(machine);
    for (_, bytes) in &sample {
        for cut in 0..bytes.len() {
            let dropped = machine.stats().dropped_total();
            let sent = feed(machine, now, bytes[..cut].to_vec());
            assert_eq!(machine.stats().dropped_total(), dropped + 1, "cut at {cut}");
            assert_eq!(sent, 0);
        }
    }
    assert_eq!(members(machine), before);
}

#[test]
fn a_frame_is_judged_as_a_datagram() {
    let (mut network, sample) = recorded();
    let now = network.now;
    let machine = &mut network.nodes.get_mut(&id(1)).expect("it runs").machine;
    let before = members(machine);
    let mut frames = 0;
    for (_, bytes) in &sample {
        for cut in (0..bytes.len()).step_by(7) {
            frames += 1;
            let dropped = machine.stats().dropped_total();
            let input = Input::Frame {
                stream: StreamId::Accepted(frames),
                from: address(99),
                bytes: bytes.slice(..cut),
            };
            machine.step(now, input);
            assert_eq!(machine.stats().dropped_total(), dropped + 1, "cut at {cut}");
            assert_eq!(drain(machine), 0);
        }
    }
    // Nobody opened these: nothing is even read.
    let dropped = machine.stats().dropped_total();
    for stream in [StreamId::Opened(0), StreamId::Opened(u64::MAX)] {
        let bytes = Bytes::from_static(b"garbage");
        let from = address(99);
        let input = Input::Frame {
            stream,
            from,
            bytes,
        };
        machine.step(now, input);
        machine.step(now, Input::Closed { stream });
    }
    assert_eq!(machine.stats().dropped_total(), dropped);
    assert_eq!(members(machine), before);
}

#[test]
fn a_cut_datagram_with_a_good_checksum_is_whole_sections_or_dropped() {
    let (mut network, sample) = recorded();
    let now = network.now;
    let machine = &mut network.nodes.get_mut(&id(1)).expect("it runs").machine;
    for (to, bytes) in sample.iter().filter(|(to, _)| *to == address(1)) {
        let whole: BTreeSet<usize> = boundaries(bytes);
        for cut in ENVELOPE_BYTES..bytes.len() {
            let dropped = machine.stats().dropped_total();
            feed(machine, now, sealed(bytes[..cut].to_vec()));
            let refused = machine.stats().dropped_total() > dropped;
            assert!(refused || whole.contains(&cut), "to {to}, cut at {cut}");
        }
    }
}

/// Where a datagram's sections end.
fn boundaries(datagram: &[u8]) -> BTreeSet<usize> {
    let mut at = ENVELOPE_BYTES;
    let mut ends = BTreeSet::new();
    while at < datagram.len() {
        let low = datagram[at + 1];
        at += match low < 0x80 {
            true => 2 + usize::from(low),
            false => 3 + (usize::from(low & 0x7f) | usize::from(datagram[at + 2]) << 7),
        };
        ends.insert(at);
    }
    ends
}

#[test]
fn damage_behind_a_good_checksum_breaks_nobody() {
    let (mut network, sample) = recorded();
    let mut dice = Dice::new(5);
    for (to, bytes) in sample {
        let Some((node, now)) = (network.nodes.iter())
            .find(|(_, node)| node.address == to)
            .map(|(node, _)| (*node, network.now))
        else {
            continue;
        };
        for _ in 0..150 {
            let mut bad = bytes.to_vec();
            for _ in 0..=dice.below(3) {
                let at = ENVELOPE_BYTES + dice.below((bad.len() - ENVELOPE_BYTES) as u64) as usize;
                match dice.below(3) {
                    0 => bad[at] = dice.next_u64() as u8,
                    1 => bad[at] ^= 1 << dice.below(8),
                    _ => drop(bad.splice(at..at, [dice.next_u64() as u8])),
                }
            }
            bad.truncate(1_400);
            // The machine asserts its own soundness after each step.
            let machine = &mut network.nodes.get_mut(&node).expect("it runs").machine;
            let sent = feed(machine, now, sealed(bad));
            assert!(sent <= 64 * 1_400, "one datagram made it send {sent} bytes");
        }
    }
    // What was planted may name nodes that never were; the real ones still see each other.
    let meet = network.run_till(Duration::from_secs(60), |network| {
        numbers(5).into_iter().all(|at| {
            let ended = network.machine(at).next_deadline().is_none();
            ended || network.machine(at).is_joined()
        })
    });
    assert!(meet.is_some());
}

#[test]
fn random_bytes_are_dropped() {
    let (mut network, _) = recorded();
    let now = network.now;
    let mut dice = Dice::new(6);
    let machine = &mut network.nodes.get_mut(&id(1)).expect("it runs").machine;
    let before = members(machine);
    for length in 0..=1_401_u64 {
        for plausible in [false, true] {
            let mut bytes: Vec<_> = (0..length).map(|_| dice.next_u64() as u8).collect();
            if plausible && bytes.len() >= ENVELOPE_BYTES {
                let label = crc32fast::hash(LABEL).to_be_bytes();
                bytes[..6].copy_from_slice(&[1, 0, 0, 0, 0, 0]);
                bytes[6..HEAD_BYTES].copy_from_slice(&label);
                bytes = sealed(bytes);
            }
            let dropped = machine.stats().dropped_total();
            assert_eq!(feed(machine, now, bytes), 0);
            assert_eq!(machine.stats().dropped_total(), dropped + 1);
        }
    }
    assert_eq!(members(machine), before);
    for reason in [DropReason::Short, DropReason::Version, DropReason::Long] {
        assert!(machine.stats().dropped(reason) > 0, "{}", reason.as_str());
    }
}

#[test]
fn another_cluster_is_not_heard() {
    let mut network = Network::new(7, Profile::Local);
    network.start_all(2);
    let mut stranger = network.config(3, 1);
    stranger.label = shoal_membership::Label::new("other").expect("a label");
    network.start(stranger, &[address(1)]);
    network.run(Duration::from_secs(5));
    assert!(network.agree_alive(&[1, 2]));
    assert!(!network.machine(3).is_joined());
    assert!(network.machine(1).stats().dropped(DropReason::Label) > 0);
}
