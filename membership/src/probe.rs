//! The probe that is under way: who is probed, who answered, and what that says about this node's
//! own health.
//!
//! A probe has three stages, and the member is suspected only when all have failed:
//!
//! 1. a ping (`foca`'s);
//! 2. a ping through three others (`foca`'s), and one by stream at the same time;
//! 3. a few further members are asked for their opinion (see `jury`).

use std::collections::BTreeSet;
use std::time::Duration;

use foca::{Header, Message};
use shoal_api::{Instant, NodeId};

use crate::codec::SwimPacket;
use crate::coordinate::Coordinate;
use crate::identity::Identity;
use crate::limits;
use crate::machine::Membership;
use crate::message::{Life, kind, wire};
use crate::schedule::Timer;
use crate::stats::Traffic;

/// One probe.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub target: Identity,
    pub number: u8,
    sent: Instant,
    answered: bool,
    /// Members that were asked to ping it.
    relays: u32,
    /// Those that said that they had no answer: they heard the request, so this node is not mute.
    nacks: u32,
    /// Of the questions to the jury, or 0.
    pub round: u32,
    /// Jurors that could not reach it.
    pub confirmed: BTreeSet<NodeId>,
}

impl Membership {
    /// A ping goes out: the last probe is over.
    pub(crate) fn begin_probe(&mut self, target: Identity, number: u8) {
        self.end_probe();
        self.stats.probes += 1;
        self.probe = Some(Probe {
            target,
            number,
            sent: self.now,
            answered: false,
            relays: 0,
            nacks: 0,
            round: 0,
            confirmed: BTreeSet::new(),
        });
    }

    fn end_probe(&mut self) {
        let Some(probe) = self.probe.take() else {
            return;
        };
        let row = self.table.get(probe.target.node);
        if probe.answered {
            self.health.improve();
        } else if row.is_some_and(|row| row.is_up() && row.identity == probe.target) {
            self.stats.probes_failed += 1;
            let missing = probe.relays.saturating_sub(probe.nacks);
            self.health
                .worsen(if probe.relays == 0 { 1 } else { missing });
        }
    }

    pub(crate) fn count_relay(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.relays += 1;
        }
    }

    /// The probe of that member, while it is not answered.
    fn unanswered(&mut self, target: &Identity) -> Option<&mut Probe> {
        let probe = self.probe.as_mut()?;
        (probe.target == *target && !probe.answered).then_some(probe)
    }

    /// The first stage is over without an answer: the second begins, and a stream is part of it.
    pub(crate) fn second_stage(&mut self, target: &Identity) {
        let Some(number) = self.unanswered(target).map(|probe| probe.number) else {
            return;
        };
        self.stats.probes_indirect += 1;
        self.open_probe(*target, number);
        let time = self.timing.indirect * self.health.factor();
        self.schedule.replace(self.now + time, Timer::Jury);
    }

    /// The second stage is over, too: others are asked, unless there was an answer meanwhile.
    pub(crate) fn third_stage(&mut self) {
        let Some(target) = self.probe.as_ref().map(|probe| probe.target) else {
            return;
        };
        let row = self.table.get(target.node);
        let row = row.filter(|row| row.is_up() && row.identity == target);
        let Some((incarnation, suspected)) = row.map(|row| (row.incarnation, row.is_suspect()))
        else {
            return;
        };
        if self.unanswered(&target).is_some() {
            let round = self.ask_jury(target, incarnation, suspected);
            if let Some(probe) = self.unanswered(&target) {
                probe.round = round;
            }
            // Nothing more can come after the jurors' answers, so the probe ends with them.
            let time = (self.timing.jury + self.timing.jury / 4) * self.health.factor();
            let end = Timer::Swim(self.swim.probe_end());
            self.schedule.advance(self.now + time, end);
        }
    }

    /// Takes note of what a checked packet answers.
    pub(crate) fn note_answer(&mut self, packet: &SwimPacket, direct: bool) {
        let src = packet.header.src;
        let now = self.now;
        match &packet.header.message {
            Message::Ack(number) => {
                let Some(probe) = self
                    .unanswered(&src)
                    .filter(|probe| probe.number == *number)
                else {
                    return;
                };
                probe.answered = true;
                let trip = now.since(probe.sent);
                if direct {
                    self.stats.count_trip(trip);
                    self.measured = Some((src.node, trip));
                }
            }
            Message::ForwardedAck {
                origin,
                probe_number,
            } => {
                let origin = *origin;
                if let Some(probe) = self
                    .unanswered(&origin)
                    .filter(|p| p.number == *probe_number)
                {
                    probe.answered = true;
                }
            }
            Message::PingReq {
                target,
                probe_number,
            } => self.remember_relay(src, *target, *probe_number),
            Message::IndirectAck {
                target,
                probe_number,
            } => self.forget_relay(target.node, src.node, *probe_number),
            Message::Ping(_)
            | Message::IndirectPing { .. }
            | Message::Announce
            | Message::Feed
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => {}
        }
    }

    /// A relay had no answer of the member that is probed.
    pub(crate) fn take_nack(&mut self, number: u8) {
        if let Some(probe) = &mut self.probe
            && probe.number == number
            && probe.nacks < probe.relays
        {
            probe.nacks += 1;
        }
    }

    /// A juror vouches for the member that is probed: as good as its own answer.
    pub(crate) fn vouch(&mut self, identity: Identity, incarnation: u16, round: u32) {
        let me = self.swim.identity();
        let Some(probe) = self.unanswered(&identity) else {
            return;
        };
        if round == 0 || probe.round != round {
            return;
        }
        probe.answered = true;
        let answer = SwimPacket {
            header: Header {
                src: identity,
                src_incarnation: incarnation,
                dst: me,
                message: Message::Ack(probe.number),
            },
            updates: Vec::new(),
        };
        self.stats.vouched += 1;
        let (_accepted, wanted) = self.swim.receive(&answer);
        self.absorb(wanted);
    }

    /// A juror could not reach the member either.
    pub(crate) fn take_confirmation(
        &mut self,
        by: Life,
        identity: Identity,
        incarnation: u16,
        round: u32,
    ) {
        if by.node == identity.node || self.table.get(by.node).is_none() {
            return;
        }
        if let Some(probe) = self.unanswered(&identity)
            && probe.round == round
            && round != 0
            && probe.confirmed.len() < limits::CONFIRMATIONS
        {
            probe.confirmed.insert(by.node);
        }
        self.confirm(identity, incarnation, by.node);
    }

    /// What jurors said about the member while it was probed.
    pub(crate) fn confirmations(&self, identity: &Identity) -> BTreeSet<NodeId> {
        match &self.probe {
            Some(probe) if probe.target == *identity => probe.confirmed.clone(),
            Some(_) | None => BTreeSet::new(),
        }
    }

    /// The coordinate of a member that was just measured.
    pub(crate) fn take_coordinate(&mut self, node: NodeId, coordinate: Coordinate) {
        if let Some((measured, trip)) = self.measured.take()
            && measured == node
        {
            self.vivaldi.update(node, &coordinate, trip, &mut self.dice);
        }
        if let Some(row) = self.table.get_mut(node) {
            row.coordinate = Some(Box::new(coordinate));
        }
    }

    /// The round trip time between two members, as their coordinates tell it; none while one of
    /// them is not known. *Source*: Serf.
    pub fn rtt(&self, a: NodeId, b: NodeId) -> Option<Duration> {
        let of = |node: NodeId| match node == self.config.id {
            true => Some(self.vivaldi.coordinate()),
            false => self.table.get(node)?.coordinate.as_deref(),
        };
        Some(of(a)?.distance(of(b)?))
    }

    /// This node's health score: 0 is healthy, 7 is worst.
    pub fn health(&self) -> u32 {
        self.health.score()
    }

    pub(crate) fn send_nack(&mut self, to: std::net::SocketAddr, number: u8) {
        let nack = wire::Nack {
            number: u32::from(number),
        };
        let mut writer = self.writer(crate::envelope::Carrier::Datagram);
        writer.message(kind::NACK, &nack);
        self.send(to.into(), Traffic::Probe, writer);
    }
}
