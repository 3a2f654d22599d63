//! Reading datagrams: as a whole or not at all.

use std::net::SocketAddr;

use bytes::Bytes;
use foca::Message;
use prost::Message as _;

use crate::codec::SwimPacket;
use crate::identity::Identity;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{Life, Meta, Packet, Part, kind, wire};
use crate::news::Topic;
use crate::stats::{DropReason, Traffic};
use crate::streams::Via;

impl Membership {
    pub(crate) fn receive(&mut self, via: Via, bytes: &Bytes) {
        let read = self.try_receive(via, bytes);
        self.answering = None;
        self.measured = None;
        let traffic = match (via, read) {
            (Via::Stream(..), _) => Traffic::Stream,
            (Via::Datagram(_), Ok(traffic)) => traffic,
            (Via::Datagram(_), Err(_)) => Traffic::Dropped,
        };
        self.stats.count_received(traffic, bytes.len());
        if let Err(reason) = read {
            self.drop_datagram(reason);
        }
    }

    fn try_receive(&mut self, via: Via, bytes: &Bytes) -> Result<Traffic, DropReason> {
        if matches!(self.phase, Phase::Lingering | Phase::Ended) {
            return Err(DropReason::Ended);
        }
        let opened = self.seal.open(via.carrier(), bytes)?;
        let packet = Packet::read(opened.sections)?;
        self.admit(via.address(), &packet)?;
        if let Some(number) = opened.number {
            let table = &self.table;
            let member = |node| table.get(node).is_some();
            if !self.heard.take(packet.sender, number, member) {
                return Err(DropReason::Replayed);
            }
        }
        self.stats.sections_skipped += packet.skipped;
        self.answer_on(via, packet.sender.node);
        let from = self.hears_at(via, packet.sender.node);
        for part in packet.parts {
            if self.phase == Phase::Ended {
                break;
            }
            self.take(via, from, packet.sender, part);
        }
        self.hear_version(packet.sender, from);
        Ok(packet.traffic)
    }

    /// Refuses what is well formed and still must not count.
    fn admit(&mut self, from: SocketAddr, packet: &Packet) -> Result<(), DropReason> {
        let sender = packet.sender;
        if sender.node == self.config.id {
            if sender.generation > self.config.generation {
                self.end_superseded(sender.generation);
            }
            return Err(DropReason::Own);
        }
        if let Some(row) = self.table.get(sender.node) {
            let known = row.life();
            if sender.generation < known.generation {
                self.tell_newer_life(from, known);
                return Err(DropReason::OldLife);
            }
        }
        if !self.table.fits(sender.node) {
            return Err(DropReason::Full);
        }
        for part in &packet.parts {
            match part {
                Part::Swim(swim) => self.admit_swim(sender, swim)?,
                Part::Hello { identity, .. } | Part::Welcome { identity, .. } => {
                    if !is_life(identity, sender) {
                        return Err(DropReason::Body);
                    }
                }
                Part::News { .. }
                | Part::Pull(_)
                | Part::Meta(_)
                | Part::Rumour { .. }
                | Part::Digest(_)
                | Part::Entries(_)
                | Part::Want(_)
                | Part::Call(_)
                | Part::Here { .. }
                | Part::Doubt(_)
                | Part::Confirm { .. }
                | Part::Nack(_)
                | Part::Coordinate(_)
                | Part::Broadcasts(_)
                | Part::Answer(_)
                | Part::Relay { .. }
                | Part::Receipt { .. }
                | Part::EventDigest(_)
                | Part::Events(_) => {}
            }
        }
        Ok(())
    }

    fn admit_swim(&self, sender: Life, packet: &SwimPacket) -> Result<(), DropReason> {
        if !is_life(&packet.header.src, sender) {
            return Err(DropReason::Swim);
        }
        match &packet.header.message {
            Message::PingReq { target: id, .. }
            | Message::IndirectPing { origin: id, .. }
            | Message::IndirectAck { target: id, .. }
            | Message::ForwardedAck { origin: id, .. } => {
                if *id == self.swim.identity() {
                    return Err(DropReason::Refused);
                }
            }
            Message::Ping(_)
            | Message::Ack(_)
            | Message::Announce
            | Message::Feed
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => {}
        }
        Ok(())
    }

    fn take(&mut self, via: Via, from: SocketAddr, sender: Life, part: Part) {
        match part {
            Part::Swim(packet) => self.take_swim(via, packet),
            Part::News { held, leaving } => self.take_news(from, held, leaving),
            Part::Pull(nodes) => self.answer_pull(via, &nodes),
            Part::Meta(metas) => metas.iter().for_each(|meta| self.learn(meta)),
            Part::Hello {
                identity,
                name,
                challenge,
            } => self.answer_hello(via, &identity, &name, challenge),
            Part::Welcome {
                identity,
                challenge,
                holder,
            } => self.take_welcome(via, identity, challenge, holder),
            Part::Rumour {
                identity,
                incarnation,
                gone,
            } => self.take_rumour(via, identity, incarnation, gone),
            Part::Digest(buckets) => self.answer_digest(via, &buckets),
            Part::Entries(entries) => self.take_entries(entries),
            Part::Want(buckets) => self.answer_want(via, buckets),
            Part::Call(call) => self.answer_call(
                via,
                call.identity,
                call.incarnation,
                call.suspected,
                call.round,
            ),
            Part::Here {
                identity,
                incarnation,
                round,
            } => self.take_here(identity, incarnation, round),
            Part::Doubt(doubt) => self.take_doubt(
                via,
                doubt.identity,
                doubt.incarnation,
                doubt.suspected,
                doubt.round,
            ),
            Part::Confirm {
                identity,
                incarnation,
                round,
            } => self.take_confirmation(sender, identity, incarnation, round),
            Part::Nack(number) => self.take_nack(number),
            Part::Coordinate(coordinate) => self.take_coordinate(sender.node, coordinate),
            Part::Broadcasts(heard) => self.take_broadcasts(heard),
            Part::Answer(part) => self.take_answer(Some(from), part),
            Part::Relay { to, answer } => self.relay_answer(to, &answer),
            Part::Receipt { key, answer } => self.take_receipt(key, answer),
            Part::EventDigest(digest) => self.answer_event_digest(via, digest),
            Part::Events(events) => self.take_events(events),
        }
    }

    fn take_swim(&mut self, via: Via, mut packet: SwimPacket) {
        if let Some(other) = packet.identities().find(|id| self.supersedes(id)) {
            let by = other.generation;
            self.end_superseded(by);
            return;
        }
        self.readdress(&mut packet);
        if matches!(packet.header.message, Message::TurnUndead) {
            // No member of this version says so; its word for it has an incarnation.
            self.refute(packet.header.dst, self.table.me().incarnation);
            return;
        }
        if !self.weigh_packet(&mut packet) {
            return;
        }
        self.note_answer(&packet, matches!(via, Via::Datagram(_)));
        let known = self.table.rows().count();
        let sender = usize::from(self.table.get(packet.header.src.node).is_none());
        let mut room = limits::MEMBERS.saturating_sub(known + sender);
        let before = packet.updates.len();
        packet.updates.retain(|update| {
            if self.table.get(update.id().node).is_some() {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        });
        self.stats.updates_skipped += (before - packet.updates.len()) as u64;
        let (accepted, wanted) = self.swim.receive(&packet);
        if !accepted {
            self.drop_datagram(DropReason::Refused);
        }
        self.absorb(wanted);
    }

    /// Takes what was sent to an older identity of this node as sent to it, except the word that the
    /// older one is dead. Else two nodes that renew at the same time would never hear each other:
    /// each would know the other by an identity that does not listen.
    fn readdress(&self, packet: &mut SwimPacket) {
        let mine = self.swim.identity();
        let dead = matches!(packet.header.message, Message::TurnUndead);
        let dst = &mut packet.header.dst;
        if dst.node == mine.node && *dst < mine && !dead {
            *dst = mine;
        }
    }

    fn take_news(&mut self, from: SocketAddr, held: Vec<Life>, leaving: Vec<Life>) {
        for life in held.iter().chain(&leaving) {
            if life.node == self.config.id && life.generation > self.config.generation {
                self.end_superseded(life.generation);
                return;
            }
        }
        for life in leaving {
            self.hear_leaving(life);
        }
        for life in held {
            self.hear_version(life, from);
        }
    }

    /// A life is leaving: told on, once.
    pub(crate) fn hear_leaving(&mut self, life: Life) {
        if life.node == self.config.id {
            return;
        }
        if let Some(event) = self.table.set_leaving(self.now, life) {
            self.say(event);
            self.spread(Topic::Leaving, life);
        }
    }

    /// A version is held at that address: wished for, if it is newer than what this node holds.
    pub(crate) fn hear_version(&mut self, life: Life, holder: SocketAddr) {
        let newer = self.table.get(life.node).is_some_and(|row| {
            row.is_up() && row.identity.generation == life.generation && row.version < life.version
        });
        if newer && life.node != self.config.id {
            self.wish(life.node, life.version, Some(holder));
        }
    }

    /// Takes what a node tells about itself, and tells that it is held here.
    pub(crate) fn learn(&mut self, meta: &Meta) {
        if let Some(event) = self.table.set_meta(meta) {
            self.say(event);
            self.spread(Topic::Version, meta.life);
        }
    }

    /// Another suspects this node, or holds it for dead: it is told better at once.
    fn take_rumour(&mut self, via: Via, identity: Identity, incarnation: u16, gone: bool) {
        if identity == self.swim.identity() {
            // A rumour that is only a suspicion rides on a ping, whose answer says it.
            self.refute(identity, incarnation);
            if gone {
                self.answer_call(via, identity, incarnation, false, 0);
            }
        }
    }

    /// Answers an older life of a node with the newer one, so that it can end.
    fn tell_newer_life(&mut self, to: SocketAddr, life: Life) {
        let version = life.version.max(1);
        let news = wire::News {
            held: vec![Life { version, ..life }.into()],
            leaving: Vec::new(),
        };
        debug_assert!(news.encoded_len() <= limits::LIFE_BYTES + 2);
        self.send_message(to, kind::NEWS, &news);
    }
}

fn is_life(identity: &Identity, life: Life) -> bool {
    identity.node == life.node && identity.generation == life.generation
}

#[cfg(test)]
pub(crate) mod tests {
    use foca::{Header, Member};
    use shoal_api::{Generation, Instant, Name, NodeId};

    use super::*;
    use crate::envelope::{Carrier, Writer};
    use crate::identity::tests::identity;
    use crate::{Config, Input, Label};

    pub(crate) fn machine() -> Membership {
        let config = Config::new(
            NodeId(1),
            Generation(1),
            Name::new("me").expect("a name"),
            Label::new("").expect("a label"),
            "10.0.0.1:1".parse().expect("an address"),
            1,
        );
        Membership::new(config, Instant::ZERO).expect("a good configuration")
    }

    fn gossip(machine: &mut Membership, from: Identity, named: &[Identity]) -> Bytes {
        let packet = SwimPacket {
            header: Header {
                src: from,
                src_incarnation: 0,
                dst: machine.swim.identity(),
                message: Message::Gossip,
            },
            updates: named.iter().map(|id| Member::alive(*id)).collect(),
        };
        let mut writer = Writer::new(&machine.seal, Carrier::Datagram);
        let life = Life {
            node: from.node,
            generation: from.generation,
            version: 1,
        };
        writer.message(kind::SENDER, &wire::Life::from(life));
        writer.section(kind::SWIM, &packet.encode());
        writer.finish(&mut machine.seal)
    }

    fn feed(machine: &mut Membership, bytes: Bytes) {
        let from = "10.0.0.2:1".parse().expect("an address");
        machine.step(Instant::ZERO, Input::Datagram { from, bytes });
        while machine.poll_output().is_some() {}
    }

    #[test]
    fn the_table_is_bounded() {
        let mut machine = machine();
        let named = |node: u128| identity(node, 1, 0, "10.0.0.3:1");
        let sender = identity(2, 1, 0, "10.0.0.2:1");
        let beyond = limits::MEMBERS as u128 + 40;
        for first in (3..beyond).step_by(30) {
            let some: Vec<_> = (first..first + 30).map(named).collect();
            let bytes = gossip(&mut machine, sender, &some);
            feed(&mut machine, bytes);
        }
        assert_eq!(machine.members().count(), limits::MEMBERS);
        assert!(machine.stats().updates_skipped > 0);
        let stranger = gossip(&mut machine, named(u128::MAX), &[]);
        feed(&mut machine, stranger);
        assert_eq!(machine.stats().dropped(DropReason::Full), 1);
    }

    #[test]
    fn a_newer_life_of_this_node_ends_it() {
        for how in 0..2 {
            let mut machine = machine();
            let newer = identity(1, 2, 0, "10.0.0.9:1");
            let bytes = match how {
                0 => gossip(&mut machine, newer, &[]),
                _ => gossip(&mut machine, identity(2, 1, 0, "10.0.0.2:1"), &[newer]),
            };
            feed(&mut machine, bytes);
            assert_eq!(machine.next_deadline(), None);
            let again = gossip(&mut machine, identity(3, 1, 0, "10.0.0.3:1"), &[]);
            feed(&mut machine, again);
            assert_eq!(machine.stats().dropped(DropReason::Ended), 1);
        }
    }
}
