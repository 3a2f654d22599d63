//! The plan of faults, drawn from the seed before the run: what fails, when, and for how long.
//!
//! Each seed draws which kinds of fault it has at all, so that some runs know one kind only and many
//! of it. All faults end before the plan's end.

use std::time::Duration;

use shoal_api::{Dice, Instant};

use crate::hosts::Hosts;
use crate::network::{Death, Host, Network, Out, Side, Weather, between};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node dies and is started again.
    Crash {
        /// Which.
        host: Host,
        /// How.
        death: Death,
        /// Whether its disk is lost with it.
        wipe: bool,
    },
    /// A node does not run for a while and does not know it.
    Pause {
        /// Which.
        host: Host,
    },
    /// Two groups of hosts do not hear each other.
    Split {
        /// One group.
        group: Vec<Host>,
        /// The other; who is in neither hears both.
        rest: Vec<Host>,
    },
    /// One host is not heard by another.
    Deaf {
        /// Who is not heard.
        from: Host,
        /// By whom.
        to: Host,
    },
    /// The network is bad.
    Storm {
        /// How bad.
        weather: Weather,
    },
    /// A disk is slow.
    SlowDisk {
        /// Whose.
        host: Host,
        /// How many times slower.
        factor: u32,
    },
    /// All streams between two hosts break, and can be opened again at once.
    Reset {
        /// One.
        a: Host,
        /// The other.
        b: Host,
    },
    /// Whoever leads when it begins and the other masters do not hear each other; all else goes on.
    Depose,
    /// Who writes down a vote may die right after, and is back at once.
    Ambush,
    /// An agent that has something started may die right after, and is back sooner or later.
    AmbushAgents,
    /// An agent is told again what it was told long ago.
    Echo {
        /// Which.
        host: Host,
    },
    /// Something is wrong with a node's disk.
    Storage {
        /// Whose.
        host: Host,
        /// What.
        what: Storage,
    },
}

/// What can be wrong with a disk, besides being slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// The power fails while it writes: what was not synced is torn.
    Torn,
    /// Its node dies, and bytes of what it wrote last are others. Where they were synced, the node does
    /// not start from them, and its operator moves them away.
    Rot,
    /// It has no room for what is written while this lasts.
    Full,
    /// The next sync fails: its node must not go on, and what was not synced may be torn.
    Broken,
}

/// One fault with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub at: Instant,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

/// Which hosts what can happen to.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// All hosts that can be cut off.
    pub hosts: usize,
    /// Those that can die, the first of them.
    pub nodes: usize,
    /// Those whose disk can be lost, the first of them.
    pub wipeable: usize,
}

impl Planned {
    /// Does to network and hosts what the fault does when it begins or ends. What needs to know of
    /// nodes is not done here: it is the world's.
    pub fn strike<P: Clone>(
        &self,
        begins: bool,
        now: Instant,
        network: &mut Network<P>,
        hosts: &mut Hosts,
        out: &mut Out<P>,
    ) {
        match &self.fault {
            Fault::Crash { .. }
            | Fault::Depose
            | Fault::Ambush
            | Fault::AmbushAgents
            | Fault::Echo { .. }
            | Fault::Storage { .. } => {}
            Fault::Pause { host } => {
                if begins {
                    let state = hosts.get_mut(*host);
                    state.paused_until = state.paused_until.max(now + self.lasts);
                }
            }
            Fault::Split { group, rest } => {
                for a in group {
                    for b in rest {
                        network.set_cut(now, (*a, *b), begins, out);
                        network.set_cut(now, (*b, *a), begins, out);
                    }
                }
            }
            Fault::Deaf { from, to } => network.set_cut(now, (*from, *to), begins, out),
            Fault::Storm { weather } => {
                network.set_weather(if begins { *weather } else { Weather::FAIR });
            }
            Fault::SlowDisk { host, factor } => {
                hosts.get_mut(*host).disk_factor = if begins { *factor } else { 1 };
            }
            Fault::Reset { a, b } => {
                if begins {
                    for number in network.streams_of(*a) {
                        let ends =
                            [Side::Dialler, Side::Listener].map(|side| network.end(number, side));
                        if ends.contains(&Some(*b)) {
                            network.break_stream(now, number, out);
                        }
                    }
                }
            }
        }
    }
}

const KINDS: usize = 9;

/// Draws a plan that ends at `end`.
pub fn draw(dice: &mut Dice, targets: Targets, begin: Instant, end: Instant) -> Vec<Planned> {
    let mut kinds: Vec<usize> = (0..KINDS).filter(|_| dice.chance(500)).collect();
    if kinds.is_empty() {
        kinds.push(dice.below(KINDS as u64) as usize);
    }
    let pace = between(dice, Duration::from_secs(2), Duration::from_secs(40));
    let mut plan = Vec::new();
    let mut at = begin + pace;
    while at < end {
        let kind = kinds[dice.below(kinds.len() as u64) as usize];
        let fault = one(dice, kind, targets);
        let lasts = lasts(dice, &fault).min(end.since(at));
        plan.push(Planned { at, lasts, fault });
        // Some come in bursts: the worst happens when one falls into the consequences of another.
        at = at
            + if dice.chance(300) {
                between(dice, Duration::ZERO, Duration::from_millis(1_500))
            } else {
                between(dice, pace / 8, pace * 2)
            };
    }
    aim(&mut dice.child("elections"), begin, end, &mut plan);
    spoil(&mut dice.child("storage"), targets, begin, end, &mut plan);
    plan
}

/// Adds bad disks, and commands that come again, to every third plan. The rest of a plan does not depend
/// on it.
fn spoil(dice: &mut Dice, targets: Targets, begin: Instant, end: Instant, plan: &mut Vec<Planned>) {
    if dice.chance(667) {
        return;
    }
    let mut at = begin;
    loop {
        at = at + between(dice, Duration::from_secs(2), Duration::from_secs(20));
        if at >= end {
            return;
        }
        let host = node(dice, targets.nodes);
        let of = |what| Fault::Storage { host, what };
        let fault = match dice.below(5) {
            0 => of(Storage::Torn),
            1 => of(Storage::Rot),
            2 => of(Storage::Full),
            3 => of(Storage::Broken),
            4.. => Fault::Echo { host },
        };
        let lasts = between(dice, Duration::from_millis(200), Duration::from_secs(9));
        let lasts = lasts.min(end.since(at));
        // A node may well die while it has no room.
        if fault == of(Storage::Full) && dice.chance(700) {
            let fault = if dice.chance(400) {
                of(Storage::Torn)
            } else {
                Fault::Crash {
                    host,
                    death: Death::Process,
                    wipe: false,
                }
            };
            let (at, lasts) = (at + lasts / 2, lasts / 4);
            plan.push(Planned { at, lasts, fault });
        }
        plan.push(Planned { at, lasts, fault });
    }
}

/// Adds what aims at elections to every second plan. The rest of a plan does not depend on it.
fn aim(dice: &mut Dice, begin: Instant, end: Instant, plan: &mut Vec<Planned>) {
    if dice.chance(500) {
        return;
    }
    let mut at = begin;
    loop {
        at = at + between(dice, Duration::from_secs(3), Duration::from_secs(25));
        if at >= end {
            return;
        }
        let fault = match dice.below(3) {
            0 => Fault::Depose,
            1 => Fault::Ambush,
            2.. => Fault::AmbushAgents,
        };
        let lasts = between(dice, Duration::from_millis(400), Duration::from_secs(8));
        let lasts = lasts.min(end.since(at));
        plan.push(Planned { at, lasts, fault });
    }
}

fn node(dice: &mut Dice, count: usize) -> Host {
    Host(dice.below(count as u64) as usize)
}

fn pair(dice: &mut Dice, hosts: usize) -> (Host, Host) {
    let a = dice.below(hosts as u64) as usize;
    let b = dice.below(hosts as u64 - 1) as usize;
    (Host(a), Host(if b >= a { b + 1 } else { b }))
}

fn one(dice: &mut Dice, kind: usize, targets: Targets) -> Fault {
    let death = if dice.chance(500) {
        Death::Process
    } else {
        Death::Machine
    };
    match kind {
        0 | 1 => Fault::Crash {
            host: node(dice, targets.nodes),
            death,
            wipe: false,
        },
        2 => Fault::Crash {
            host: node(dice, targets.wipeable),
            death,
            wipe: true,
        },
        3 => Fault::Pause {
            host: node(dice, targets.nodes),
        },
        4 => {
            // Half of the time those who use the cluster hear both sides.
            let hosts = if dice.chance(500) {
                targets.hosts
            } else {
                targets.nodes
            };
            let (group, rest) = (0..hosts).map(Host).partition(|_| dice.chance(400));
            Fault::Split { group, rest }
        }
        5 => {
            let (from, to) = pair(dice, targets.hosts);
            Fault::Deaf { from, to }
        }
        6 => Fault::Storm {
            weather: Weather {
                delay_least: Duration::from_micros(200),
                delay_most: between(dice, Duration::from_millis(1), Duration::from_millis(400)),
                loss: dice.below(300) as u16,
                duplicates: dice.below(100) as u16,
            },
        },
        7 => Fault::SlowDisk {
            host: node(dice, targets.nodes),
            factor: 10 + dice.below(400) as u32,
        },
        8.. => {
            let (a, b) = pair(dice, targets.hosts);
            Fault::Reset { a, b }
        }
    }
}

fn lasts(dice: &mut Dice, fault: &Fault) -> Duration {
    let (least, most) = match fault {
        Fault::Crash { .. } => (100, 20_000),
        Fault::Pause { .. } => (200, 12_000),
        Fault::Split { .. } | Fault::Deaf { .. } => (300, 30_000),
        Fault::Storm { .. } | Fault::SlowDisk { .. } => (1_000, 40_000),
        Fault::Reset { .. }
        | Fault::Depose
        | Fault::Ambush
        | Fault::AmbushAgents
        | Fault::Echo { .. }
        | Fault::Storage { .. } => (0, 0),
    };
    let long = between(
        dice,
        Duration::from_millis(least),
        Duration::from_millis(most),
    );
    if dice.chance(700) {
        long.min(Duration::from_millis(least + (most - least) / 4))
    } else {
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_end_in_time_and_repeat() {
        let targets = Targets {
            hosts: 9,
            nodes: 8,
            wipeable: 3,
        };
        let end = Instant::ZERO + Duration::from_secs(600);
        for seed in 0..200 {
            let plan = draw(&mut Dice::new(seed), targets, Instant::ZERO, end);
            assert_eq!(
                plan,
                draw(&mut Dice::new(seed), targets, Instant::ZERO, end)
            );
            assert!(!plan.is_empty());
            assert!(plan.iter().all(|planned| planned.at + planned.lasts <= end));
        }
    }
}
