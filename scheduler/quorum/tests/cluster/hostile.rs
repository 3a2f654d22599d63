//! Whatever a peer sends, a replica goes on: damaged, repeated and reordered messages end no process.

use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Generation, Instant, RaftId};
use shoal_quorum::{Config, Input, MembershipChange, Message, Output, Quorum, Recovered, found};

use crate::net::Cluster;

/// The messages of a cluster that elects, replicates, reads and sends a snapshot.
fn tape(seed: u64) -> Vec<(RaftId, RaftId, Bytes)> {
    let mut cluster = Cluster::founded(seed, 3);
    cluster.tape = Some(Vec::new());
    let leader = cluster.elect();
    cluster.add(4, Recovered::default());
    let add = MembershipChange::AddLearner { id: RaftId(4) };
    cluster.step(leader, Input::Change(add));
    for i in 0..20 {
        cluster.propose(leader, &format!("entry {i}"));
        cluster.read((leader + 1) % 3, i);
        cluster.run(Duration::from_millis(30));
    }
    cluster.step(leader, Input::Transfer { to: None });
    cluster.run(Duration::from_millis(500));
    cluster.tape.take().expect("it was wanted")
}

fn damaged(bytes: &Bytes, dice: &mut Dice) -> Bytes {
    let mut bytes = bytes.to_vec();
    for _ in 0..dice.below(4) {
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] = match dice.below(3) {
            0 => bytes[at] ^ (1 << dice.below(8)),
            1 => 0xff,
            _ => dice.next_u64() as u8,
        };
    }
    if dice.chance(50) {
        bytes.truncate(dice.below(bytes.len() as u64) as usize);
    }
    Bytes::from(bytes)
}

#[test]
fn damaged_messages_end_no_process() {
    let tapes = [tape(1), tape(2)];
    let mut refused = 0;
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let id = RaftId(1 + dice.below(4));
        let founders = [1, 2, 3].map(RaftId);
        let start = if founders.contains(&id) {
            found(&founders)
        } else {
            Recovered::default()
        };
        let mut now = Instant::ZERO;
        let config = Config::new(id, Generation(1), seed);
        let mut quorum = Quorum::new(config, now, start).expect("it starts");
        let tape = &tapes[dice.below(2) as usize];
        let mut at = 0;
        for _ in 0..400 {
            // Mostly along the tape, so that what comes is nearly right.
            at = if dice.chance(100) {
                dice.below(tape.len() as u64) as usize
            } else {
                at + 1
            };
            let Some((from, to, bytes)) = tape.get(at % tape.len()) else {
                continue;
            };
            if *to == id {
                let bytes = if dice.chance(300) {
                    damaged(bytes, &mut dice)
                } else {
                    bytes.clone()
                };
                if let Ok(message) = Message::from_bytes(bytes) {
                    quorum.step(
                        now,
                        Input::Receive {
                            from: *from,
                            message,
                        },
                    );
                }
            }
            now = now + Duration::from_millis(dice.below(30));
            if dice.chance(500) {
                quorum.step(now, Input::Wake);
            }
            while let Some(output) = quorum.poll_output() {
                if let Output::Persist { ticket, .. } = output {
                    quorum.step(now, Input::Persisted { ticket });
                }
            }
        }
        refused += quorum.stats().refused;
    }
    assert!(refused > 100, "hardly anything was damaged: {refused}");
}
