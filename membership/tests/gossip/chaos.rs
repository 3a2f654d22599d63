//! Everything at once, over many seeds: what must never happen, and what must happen in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::network::{CALM, Network, Weather, address, id};
use shoal_api::Generation;
use shoal_membership::{Input, MemberStatus, Output, Profile};

const NODES: u8 = 8;
const SEEDS: u64 = 40;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Up,
    Left,
    Crashed,
}

struct Chaos {
    network: Network,
    lives: BTreeMap<u8, (State, u64)>,
    tag: u64,
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut network = Network::new(seed, Profile::Local);
        network.start_all(NODES);
        let lives = (1..=NODES).map(|number| (number, (State::Up, 1))).collect();
        Chaos {
            network,
            lives,
            tag: 0,
        }
    }

    fn pick(&mut self) -> u8 {
        1 + self.network.dice.below(u64::from(NODES)) as u8
    }

    fn seeds(&self, not: u8) -> Vec<std::net::SocketAddr> {
        (1..=NODES).filter(|n| *n != not).map(address).collect()
    }

    fn act(&mut self) {
        let number = self.pick();
        let (state, generation) = self.lives[&number];
        match (self.network.dice.below(12), state) {
            (0 | 1, State::Up) => {
                self.network.crash(number);
                self.lives.insert(number, (State::Crashed, generation));
            }
            (2, State::Up) => {
                self.network.input(id(number), Input::Leave);
                self.lives.insert(number, (State::Left, generation));
            }
            (0..=4, State::Crashed | State::Left) => {
                self.network.nodes.remove(&id(number));
                let config = self.network.config(number, generation + 1);
                let seeds = self.seeds(number);
                self.network.start(config, &seeds);
                self.lives.insert(number, (State::Up, generation + 1));
            }
            (3, State::Up) => {
                self.tag += 1;
                let tags = crate::network::tags(&[("tag", &self.tag.to_string())]);
                self.network.input(id(number), Input::SetTags(tags));
            }
            (4, State::Up) => self.network.pause(number, Duration::from_millis(1_500)),
            (5, _) => {
                let side: Vec<_> = (1..=NODES)
                    .filter(|_| self.network.dice.chance(400))
                    .collect();
                self.network.cut(&side);
            }
            (6 | 7, _) => self.network.cut(&[]),
            (8, _) => {
                self.network.weather = Weather {
                    loss_per_mille: self.network.dice.below(300) as u16,
                    double_per_mille: self.network.dice.below(200) as u16,
                    delay_max: Duration::from_millis(1 + self.network.dice.below(100)),
                };
            }
            (9, _) => self.network.weather = CALM,
            _ => {}
        }
        let pause = Duration::from_millis(self.network.dice.below(3_000));
        self.network.run(pause);
    }

    /// Every living node knows every node in its last life, as it is, with its last tags.
    fn settled(&self) -> bool {
        let living = self.lives.iter().filter(|(_, life)| life.0 == State::Up);
        let living: Vec<u8> = living.map(|(number, _)| *number).collect();
        living.iter().all(|at| {
            living.iter().all(|of| {
                let seen = self.network.machine(*at).member(id(*of));
                let own = self.network.machine(*of).me();
                seen.is_some_and(|seen| seen == own && seen.status == MemberStatus::Alive)
            }) && self.lives.iter().all(|(of, (state, generation))| {
                let seen = self.network.machine(*at).member(id(*of));
                // Nobody needs to have heard of a life that ended before it met anyone.
                *state == State::Up
                    || seen.is_none_or(|seen| {
                        let last = seen.generation == Generation(*generation);
                        let gone = matches!(seen.status, MemberStatus::Failed | MemberStatus::Left);
                        gone && (!last
                            || *state == State::Left
                            || seen.status == MemberStatus::Failed)
                    })
            })
        })
    }
}

#[test]
fn it_settles_after_any_chaos() {
    for seed in 0..SEEDS {
        let mut chaos = Chaos::new(seed);
        for _ in 0..40 {
            chaos.act();
        }
        chaos.network.cut(&[]);
        chaos.network.weather = CALM;
        let end = chaos.network.now + Duration::from_secs(60);
        while !chaos.settled() && chaos.network.now < end {
            chaos.network.run(Duration::from_millis(500));
        }
        let settled = chaos.settled();
        assert!(settled, "seed {seed} does not settle: {:?}", chaos.lives);
        // It stays so, and nobody was superseded or took another's name on the way.
        let start = chaos.network.now;
        chaos.network.run(Duration::from_secs(20));
        assert!(chaos.settled(), "seed {seed} does not stay settled");
        let alive = |of| {
            chaos
                .lives
                .iter()
                .any(|(n, life)| id(*n) == of && life.0 == State::Up)
        };
        let failures = chaos.network.failures();
        let mut wrong = (failures.iter()).filter(|(at, _, of)| *at > start && alive(*of));
        assert_eq!(wrong.next(), None, "seed {seed}");
        for (node, process) in &chaos.network.nodes {
            let odd = process
                .outputs
                .iter()
                .find(|output| **output != Output::Left);
            assert_eq!(odd, None, "seed {seed}, {node}");
        }
    }
}
