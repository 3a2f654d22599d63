//! Joining by address only: a seed is asked who it is, and announced to once that is known; and
//! looking for members that failed.

use std::net::SocketAddr;

use shoal_api::member::MemberStatus;
use shoal_api::{Name, NodeId};

use crate::identity::Identity;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{Life, kind, wire};
use crate::schedule::Timer;
use crate::streams::Via;
use crate::timing;

impl Membership {
    /// Adds seeds and asks all that are no members at once.
    pub(crate) fn join(&mut self, seeds: Vec<SocketAddr>) {
        if self.phase != Phase::Running {
            return;
        }
        for seed in seeds {
            if seed == self.config.gossip || self.seeds.contains(&seed) {
                continue;
            }
            if self.seeds.len() == limits::SEEDS {
                self.stats.seeds_ignored += 1;
                continue;
            }
            self.seeds.push(seed);
        }
        if !self.seeds.is_empty() {
            self.schedule.hasten(self.now, Timer::Join);
        }
    }

    /// Without any living member, the seeds are asked again soon.
    pub(crate) fn hasten_join(&mut self) {
        if self.phase == Phase::Running && !self.seeds.is_empty() {
            self.schedule
                .hasten(self.now + self.timing.join, Timer::Join);
        }
    }

    /// Asks every seed that is not the address of a living member who it is.
    pub(crate) fn ask_seeds(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.challenges = [self.dice.next_u64(), self.challenges[0]];
        let hello = wire::Hello {
            identity: self.swim.identity().to_bytes(),
            name: self.config.name.as_str().to_owned(),
            challenge: self.challenges[0],
        };
        let strangers: Vec<_> = (self.seeds.iter().copied())
            .filter(|seed| {
                let mut up = self.table.rows().filter(|row| row.is_up());
                !up.any(|row| row.identity.address == *seed)
            })
            .collect();
        // Where datagrams do not get through, a stream may.
        let by_stream = !self.is_joined() && self.asked_in_vain > 0;
        self.asked_in_vain = self.asked_in_vain.saturating_add(1);
        for seed in strangers {
            self.send_message(seed, kind::HELLO, &hello);
            if by_stream {
                self.open_join(seed, &hello);
            }
        }
        let time = if self.is_joined() {
            self.timing.join_again
        } else {
            self.timing.join
        };
        self.set_timer(Timer::Join, time);
    }

    /// Says who this node is, or that the asker's name is taken.
    pub(crate) fn answer_hello(&mut self, to: Via, asker: &Identity, name: &Name, challenge: u64) {
        if self.phase != Phase::Running {
            return;
        }
        self.talk.events.settle();
        let holder = self.table.holder_of(name, asker.node);
        let welcome = wire::Welcome {
            identity: self.swim.identity().to_bytes(),
            challenge,
            holder: holder.map(|node| {
                let generation = self.config.generation;
                wire::Life::from(Life {
                    node,
                    generation,
                    version: 0,
                })
            }),
        };
        self.send_message(to, kind::WELCOME, &welcome);
    }

    /// A seed said who it is: announce to it and ask for all it knows.
    pub(crate) fn take_welcome(
        &mut self,
        from: Via,
        seed: Identity,
        challenge: u64,
        holder: Option<NodeId>,
    ) {
        let asked = challenge != 0 && self.challenges.contains(&challenge);
        if !asked || self.phase != Phase::Running {
            return;
        }
        match holder {
            Some(holder) if holder != self.config.id => {
                self.refuse_name(holder);
                self.end_exchange(from);
            }
            Some(_) | None => {
                if !self.is_joined() {
                    self.name_holder = None;
                }
                let wanted = self.swim.announce(seed);
                self.absorb(wanted);
                self.quick_syncs = timing::QUICK_SYNCS;
                self.talk.events.await_begin();
                self.asked_in_vain = 0;
                match from {
                    Via::Datagram(address) => self.open_sync(address),
                    Via::Stream(..) => self.send_digest(from),
                }
                let soon = timing::jittered(&mut self.dice, self.timing.sync_quick);
                self.schedule.hasten(self.now + soon, Timer::Sync);
            }
        }
    }

    /// Announces to a random failed member: if it lives, it hears that it is held for dead, and
    /// says so.
    pub(crate) fn reconnect(&mut self) {
        let failed: Vec<_> = (self.table.others())
            .filter(|row| row.member.status == MemberStatus::Failed)
            .map(|row| row.identity)
            .collect();
        if !failed.is_empty() && self.phase == Phase::Running {
            let chosen = failed[self.dice.below(failed.len() as u64) as usize];
            let wanted = self.swim.announce(chosen);
            self.absorb(wanted);
            self.tell_dead(chosen);
            self.stats.reconnects += 1;
        }
        self.set_timer(Timer::Reconnect, self.timing.reconnect);
    }
}
