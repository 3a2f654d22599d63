//! The machine's part of broadcasts: each goes on once to others, and into effect once here.

use bytes::Bytes;
use prost::Message;
use shoal_api::NodeId;
use shoal_api::member::MemberEvent;

use super::events::Hearing;
use super::user_event::{EventBody, UserEvent};
use super::wire::{self, Heard, What};
use crate::identity::Identity;
use crate::io::Output;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::schedule::Timer;
use crate::timing;

impl Membership {
    /// Tells everyone an event, this node too.
    pub(crate) fn tell_event(&mut self, body: EventBody) {
        if self.phase != Phase::Running {
            return;
        }
        let event = body.at(self.talk.clocks.event.tick());
        self.stats.events_told += 1;
        let broadcast = wire::Broadcast {
            event: Some(wire::Event::from(&event)),
            ..wire::Broadcast::default()
        };
        self.hear_event(event);
        self.broadcast(broadcast.encode_to_vec().into());
    }

    pub(crate) fn take_broadcasts(&mut self, heard: Vec<Heard>) {
        for Heard { bytes, what } in heard {
            if self.phase == Phase::Ended {
                return;
            }
            let news = match what {
                What::Event(event) => self.hear_event(event),
                What::Query(asking) => self.hear_query(*asking),
                What::Removal { identity, prune } => self.hear_removal(identity, prune),
                What::Unknown => self.hear_unknown(&bytes),
            };
            if news {
                self.broadcast(bytes);
            }
        }
    }

    /// Takes an event; true if it is worth passing on.
    fn hear_event(&mut self, event: UserEvent) -> bool {
        if !self.talk.clocks.event.may_hear(event.ltime) {
            self.stats.broadcasts_refused += 1;
            return false;
        }
        self.talk.clocks.event.witness(event.ltime);
        let clock = self.talk.clocks.event;
        let hearing = self.talk.events.hear(clock, &event);
        match hearing {
            Hearing::New => {
                self.stats.events_heard += 1;
                self.outputs.push_back(Output::UserEvent(event));
            }
            Hearing::Before => self.stats.events_before += 1,
            Hearing::Known => self.stats.broadcasts_known += 1,
            Hearing::Old => self.stats.broadcasts_refused += 1,
        }
        matches!(hearing, Hearing::New | Hearing::Before)
    }

    fn hear_unknown(&mut self, bytes: &Bytes) -> bool {
        if !self.talk.unknown.insert(bytes.clone()) {
            self.stats.broadcasts_known += 1;
            return false;
        }
        self.talk.unknown_order.push_back(bytes.clone());
        if self.talk.unknown_order.len() > limits::UNKNOWN_KEPT
            && let Some(oldest) = self.talk.unknown_order.pop_front()
        {
            self.talk.unknown.remove(&oldest);
        }
        true
    }

    /// Queues a broadcast, to be told at the next round, which comes very soon.
    pub(crate) fn broadcast(&mut self, bytes: Bytes) {
        let times = u32::from(self.timing.transmissions(self.size()));
        if self.talk.queue.add(bytes, times) {
            self.stats.broadcasts_dropped += 1;
        }
        let soon = timing::jittered(&mut self.dice, self.timing.gossip / limits::BROADCAST_HASTE);
        self.schedule.hasten(self.now + soon, Timer::Gossip);
    }

    /// Takes a gone member off the list: it counts as left, or is forgotten at once.
    pub(crate) fn remove_member(&mut self, node: NodeId, prune: bool) {
        let Some(row) = self.table.get(node) else {
            return;
        };
        let identity = row.identity;
        if self.phase != Phase::Running || !self.hear_removal(identity, prune) {
            return;
        }
        self.broadcast(removal(identity, prune));
    }

    /// Only who is gone, and has not come back under another identity since, is taken off. True if
    /// it is worth passing on.
    fn hear_removal(&mut self, identity: Identity, prune: bool) -> bool {
        let Some(row) = self.table.get(identity.node) else {
            return prune && self.table.note_pruned(identity);
        };
        if row.is_up() || row.identity != identity {
            return false;
        }
        if prune {
            self.table.remove(identity.node);
            self.table.note_pruned(identity);
            self.swim.forget(identity);
            self.say(MemberEvent::Reaped(identity.node));
            return true;
        }
        let event = self.table.set_removed(identity);
        let news = event.is_some();
        if let Some(event) = event {
            self.say(event);
        }
        news
    }

    /// Somebody still knows a member that was pruned: that is told again.
    pub(crate) fn repeat_prune(&mut self, identity: Identity) {
        self.broadcast(removal(identity, true));
    }
}

fn removal(identity: Identity, prune: bool) -> Bytes {
    let removal = wire::Removal {
        identity: identity.to_bytes(),
        prune,
    };
    let broadcast = wire::Broadcast {
        removal: Some(removal),
        ..wire::Broadcast::default()
    };
    broadcast.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Part;
    use crate::receive::tests::machine;

    fn heard(item: &[u8]) -> Option<Vec<Heard>> {
        let items = vec![Bytes::copy_from_slice(item)];
        let section = wire::Broadcasts { items };
        match section.check()? {
            Part::Broadcasts(heard) => Some(heard),
            other => panic!("{other:?} is none"),
        }
    }

    #[test]
    fn what_a_newer_version_broadcasts_is_passed_on_once() {
        let mut machine = machine();
        // Field 15 of a broadcast, which no version knows, with three bytes.
        let item = [0x7a, 3, 1, 2, 3];
        machine.take_broadcasts(heard(&item).expect("it reads"));
        machine.take_broadcasts(heard(&item).expect("it reads"));
        assert_eq!(machine.queued().1, 1);
        assert_eq!(machine.stats().broadcasts_known, 1);
        let bodies = machine.talk.queue.take(100, 1);
        assert!(bodies[0].ends_with(&item), "as it came");
        for number in 0..limits::UNKNOWN_KEPT as u16 + 10 {
            let [high, low] = number.to_be_bytes();
            let item = [0x7a, 2, high, low];
            machine.take_broadcasts(heard(&item).expect("it reads"));
        }
        assert_eq!(machine.talk.unknown.len(), limits::UNKNOWN_KEPT);
    }

    #[test]
    fn what_says_two_things_or_too_much_is_malformed() {
        for bad in [
            &[][..],
            &[0x7a, 9],
            &[0x0a, 0, 0x12, 0],
            &vec![0; limits::BROADCAST_BYTES + 1],
        ] {
            assert!(heard(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_is_refused() {
        let mut machine = machine();
        let name = crate::EventName::new("x").expect("a name");
        let body = EventBody::new(name, Bytes::new(), false).expect("short");
        let far = body.at(crate::LamportTime(u64::MAX));
        assert!(!machine.hear_event(far));
        assert_eq!(machine.stats().broadcasts_refused, 1);
        assert_eq!(machine.clocks(), crate::Clocks::default());
    }
}
