//! Targets of the fuzzer: datagrams as they arrive, and sections in envelopes that are right, fed to a
//! whole machine.
//!
//! Each says whether anything was accepted, and panics if a promise is broken. The machine checks its
//! own invariants after each step.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Generation, Instant, Name, NodeId};

use crate::envelope::{Carrier, Seal, Writer};
use crate::limits;
use crate::{Config, Input, Key, Keyring, Label, Membership, Output, Policy, Secrecy};

fn name(number: u8) -> Name {
    Name::new(&format!("n{number}")).expect("a name")
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7946))
}

/// A key that all have.
fn secrecy(policy: Policy) -> Secrecy {
    let key = Keyring::new(Key::new([7; 32]));
    Secrecy::new(policy, Some(key)).expect("there is a key")
}

fn machine(number: u8, policy: Policy) -> Membership {
    let mut config = Config::new(
        NodeId(u128::from(number)),
        Generation(2),
        name(number),
        label(),
        address(number),
        u64::from(number),
    );
    config.secrecy = secrecy(policy);
    Membership::new(config, Instant::ZERO).expect("a good configuration")
}

fn label() -> Label {
    Label::new("shoal").expect("a label")
}

/// A machine that is fed, with what it answers held to the limits.
struct Fed {
    machine: Membership,
    now: Instant,
}

impl Fed {
    /// Node 1, which knows node 2, and takes what is sealed and what is not.
    fn new() -> Fed {
        let mut fed = Fed {
            machine: machine(1, Policy::Incoming),
            now: Instant::ZERO,
        };
        for (from, bytes) in recorded() {
            fed.take(*from, bytes.clone());
        }
        fed
    }

    fn take(&mut self, from: SocketAddr, bytes: Bytes) {
        self.step(Input::Datagram { from, bytes });
    }

    /// Lets time pass, with whatever becomes due.
    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        for _ in 0..8 {
            match self.machine.next_deadline() {
                Some(due) if due <= self.now => self.step(Input::Wake),
                Some(_) | None => return,
            }
        }
    }

    fn step(&mut self, input: Input) {
        self.machine.step(self.now, input);
        let mut sent = 0;
        while let Some(output) = self.machine.poll_output() {
            if let Output::Datagram { bytes, .. } = output {
                assert!(bytes.len() <= limits::DATAGRAM_BYTES, "a datagram is short");
                sent += 1;
            }
        }
        assert!(sent <= 64, "one step sends {sent} datagrams");
    }

    /// What was received and not dropped.
    fn accepted(&self) -> u64 {
        let stats = self.machine.stats();
        stats.received_total() - stats.dropped_total()
    }
}

/// What node 2 sends node 1 while it joins through it, in order.
fn recorded() -> &'static [(SocketAddr, Bytes)] {
    static RECORDED: OnceLock<Vec<(SocketAddr, Bytes)>> = OnceLock::new();
    RECORDED.get_or_init(|| record(Policy::Incoming))
}

fn record(policy: Policy) -> Vec<(SocketAddr, Bytes)> {
    let (mut one, mut two) = (machine(1, policy), machine(2, policy));
    let seeds = vec![address(1)];
    two.step(Instant::ZERO, Input::Join { seeds });
    let mut recorded = Vec::new();
    for round in 0..40 {
        let now = Instant::ZERO + Duration::from_millis(50 * round);
        for machine in [&mut one, &mut two] {
            if machine.next_deadline().is_some_and(|due| due <= now) {
                machine.step(now, Input::Wake);
            }
        }
        while let Some(output) = two.poll_output() {
            if let Output::Datagram { to, bytes } = output
                && to == address(1)
            {
                recorded.push((address(2), bytes.clone()));
                let from = address(2);
                one.step(now, Input::Datagram { from, bytes });
            }
        }
        while let Some(output) = one.poll_output() {
            if let Output::Datagram { bytes, .. } = output {
                let from = address(1);
                two.step(now, Input::Datagram { from, bytes });
            }
        }
    }
    recorded
}

/// One datagram as it arrives.
pub fn datagram(input: &[u8]) -> bool {
    let mut fed = Fed::new();
    let before = fed.accepted();
    fed.take(address(2), Bytes::copy_from_slice(input));
    let accepted = fed.accepted() > before;
    fed.wait(Duration::from_secs(2));
    accepted
}

/// Datagrams that a node sends, plain and sealed.
pub fn datagrams() -> Vec<Vec<u8>> {
    let sent = |policy| {
        let recorded = record(policy);
        let mut all: Vec<Vec<u8>> = recorded.iter().map(|(_, bytes)| bytes.to_vec()).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(12);
        all
    };
    [sent(Policy::Incoming), sent(Policy::Required)].concat()
}

/// Several sets of sections, each after who sends it and a length of two bytes, big end first, and each
/// in an envelope of its own.
pub fn sections(mut input: &[u8]) -> bool {
    let mut seal = Seal::new(label(), secrecy(Policy::Incoming), 1);
    let mut fed = Fed::new();
    let before = fed.accepted();
    while let Some((head, rest)) = input.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (sections, rest) = rest.split_at(length.min(rest.len()));
        let mut writer = Writer::new(&seal, Carrier::Datagram);
        writer.raw(sections);
        fed.take(address(2 + head[0] % 4), writer.finish(&mut seal));
        fed.wait(Duration::from_millis(u64::from(head[0]) * 20));
        input = rest;
    }
    fed.accepted() > before
}

/// The sections of what a node sends, one by one and all in one.
pub fn sections_sent() -> Vec<Vec<u8>> {
    let seal = Seal::new(label(), secrecy(Policy::Incoming), 1);
    let mut all = Vec::new();
    let mut together = Vec::new();
    for (_, bytes) in recorded() {
        let mut sections = Vec::new();
        let opened = seal
            .open(Carrier::Datagram, bytes)
            .expect("a node's own datagram");
        for section in opened.sections {
            sections.push(section.kind);
            let length = section.body.len();
            if length >= 0x80 {
                sections.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
            } else {
                sections.push(length as u8);
            }
            sections.extend(section.body);
        }
        let length = u16::try_from(sections.len()).expect("a datagram is short");
        let one = [&[0][..], &length.to_be_bytes(), &sections].concat();
        together.extend(&one);
        all.push(one);
    }
    all.sort_unstable();
    all.dedup();
    all.truncate(24);
    together.truncate(3_000);
    all.push(together);
    all
}
