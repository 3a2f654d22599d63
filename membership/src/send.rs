//! Writing datagrams: every one says who sent it; SWIM's carry a rumour and news beside it.

use std::borrow::Cow;

use foca::{Member, State};
use prost::Message;
use shoal_api::member::MemberStatus;

use crate::codec::SwimPacket;
use crate::envelope::{Carrier, Writer};
use crate::identity::Identity;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{Life, kind, wire};
use crate::news::Topic;
use crate::schedule::Timer;
use crate::stats::Traffic;
use crate::streams::Via;
use crate::timing;

impl Membership {
    /// A datagram that says who sent it.
    pub(crate) fn writer(&self, carrier: Carrier) -> Writer {
        let mut writer = Writer::new(&self.seal, carrier);
        let life = self.table.me().life();
        writer.message(kind::SENDER, &wire::Life::from(life));
        writer
    }

    /// Sends one section.
    pub(crate) fn send_message(&mut self, to: impl Into<Via>, kind: u8, message: &impl Message) {
        let via = to.into();
        let mut writer = self.writer(via.carrier());
        writer.message(kind, message);
        self.send(via, Traffic::of(kind), writer);
    }

    /// Sends a packet of SWIM's, and what else the receiver should know.
    pub(crate) fn send_swim(&mut self, to: Identity, packet: &[u8]) {
        let read = SwimPacket::decode(packet).expect("SWIM writes what this node reads");
        let mut acknowledges = false;
        match &read.header.message {
            foca::Message::Ping(number) => self.begin_probe(to, *number),
            foca::Message::PingReq { .. } => self.count_relay(),
            foca::Message::Ack(_) => acknowledges = true,
            foca::Message::IndirectPing { .. }
            | foca::Message::IndirectAck { .. }
            | foca::Message::ForwardedAck { .. }
            | foca::Message::Announce
            | foca::Message::Feed
            | foca::Message::Gossip
            | foca::Message::Broadcast
            | foca::Message::TurnUndead => {}
        }
        let traffic = Traffic::of_swim(&read.header.message);
        let via = self.swim_road(&to);
        let mut writer = self.writer(via.carrier());
        writer.section(kind::SWIM, &self.amended(packet, read));
        if acknowledges {
            let coordinate = self.vivaldi.coordinate().to_bytes();
            writer.section(kind::COORDINATE, &coordinate);
        }
        let suspect = self
            .table
            .get(to.node)
            .filter(|row| row.identity == to && matches!(row.member.status, MemberStatus::Suspect));
        if let Some(row) = suspect {
            let rumour = wire::Rumour {
                identity: to.to_bytes(),
                incarnation: u32::from(row.incarnation),
                gone: false,
            };
            writer.message(kind::RUMOUR, &rumour);
        }
        self.add_news(&mut writer);
        self.add_broadcasts(&mut writer);
        self.send(via, traffic, writer);
    }

    /// SWIM queues every death it declares until it has spread it, even while there is nobody to
    /// hear it; what this node declared while it was out of touch must not spread afterwards. And
    /// SWIM leaves at incarnation 0, which whoever knows a newer one would take for stale.
    fn amended<'a>(&self, packet: &'a [u8], mut read: SwimPacket) -> Cow<'a, [u8]> {
        let all = read.updates.len();
        (read.updates)
            .retain(|update| update.state() != State::Down || !self.table.doubts(update.id()));
        let mut changed = read.updates.len() != all;
        let me = self.swim.identity();
        for update in &mut read.updates {
            if *update.id() == me && update.state() == State::Down {
                *update = Member::new(me, u16::MAX, State::Down);
                changed = true;
            }
        }
        if changed {
            Cow::Owned(read.encode())
        } else {
            Cow::Borrowed(packet)
        }
    }

    /// Adds news that fit. False if none did.
    pub(crate) fn add_news(&mut self, writer: &mut Writer) -> bool {
        let news = self.news.take(writer.room());
        if let Some(news) = &news {
            writer.message(kind::NEWS, news);
        }
        news.is_some()
    }

    /// Sends as many messages as fit a number of datagrams, or one stream, as the repeated field 1 of a section.
    pub(crate) fn send_packed<M: Message>(
        &mut self,
        to: impl Into<Via>,
        kind: u8,
        datagrams: usize,
        messages: impl IntoIterator<Item = M>,
    ) {
        let via = to.into();
        let most = match via {
            Via::Datagram(_) => datagrams,
            Via::Stream(..) => limits::STREAM_FRAMES,
        };
        let mut sent = 0;
        let mut writer = self.writer(via.carrier());
        let mut body = Vec::new();
        for message in messages {
            let length = prost::encoding::message::encoded_len(1, &message);
            if body.len() + length > writer.room() {
                writer.section(kind, &body);
                body.clear();
                let full = std::mem::replace(&mut writer, self.writer(via.carrier()));
                self.send(via, Traffic::of(kind), full);
                sent += 1;
                if sent == most {
                    return;
                }
            }
            prost::encoding::message::encode(1, &message, &mut body);
        }
        if !body.is_empty() {
            writer.section(kind, &body);
            self.send(via, Traffic::of(kind), writer);
        }
    }

    /// Queues a piece of news.
    pub(crate) fn spread(&mut self, topic: Topic, life: Life) {
        let times = u32::from(self.timing.transmissions(self.size()));
        if self.news.add(topic, life, times) {
            self.stats.news_dropped += 1;
        }
        let soon = timing::jittered(&mut self.dice, self.timing.gossip_first());
        self.schedule.ensure(self.now + soon, Timer::Gossip);
    }

    /// A round of gossip, and the next one if there is more to say. What SWIM has to spread takes
    /// the news along; without any of it, the news go alone.
    pub(crate) fn gossip(&mut self) {
        let updates = self.swim.backlog() > 0 || self.phase == Phase::Lingering;
        if updates {
            let wanted = self.swim.gossip();
            self.absorb(wanted);
        }
        // Broadcasts may be too long to ride along.
        if !updates || !self.talk.queue.is_empty() {
            self.gossip_once();
        }
        if self.wants_gossip() || self.phase == Phase::Lingering {
            self.set_timer(Timer::Gossip, self.timing.gossip);
        }
    }

    /// Whether there is something to spread, and somebody to hear it.
    pub(crate) fn wants_gossip(&self) -> bool {
        let something = self.swim.backlog() > 0 || !self.news.is_empty();
        let something = something || !self.talk.queue.is_empty();
        something && self.table.others_up() > 0
    }

    pub(crate) fn gossip_once(&mut self) {
        if self.news.is_empty() && self.talk.queue.is_empty() {
            return;
        }
        for to in self.choose_up(self.timing.fanout) {
            if self.send_broadcasts(to.address) {
                continue;
            }
            let Some(news) = self.news.take(self.news_room()) else {
                continue;
            };
            self.send_message(to.address, kind::NEWS, &news);
        }
    }

    fn news_room(&self) -> usize {
        limits::DATAGRAM_BYTES
            - limits::ENVELOPE_BYTES
            - (limits::SECTION_HEAD_BYTES + limits::LIFE_BYTES)
            - limits::SECTION_HEAD_BYTES
    }

    /// That many random living others, or all.
    pub(crate) fn choose_up(&mut self, count: usize) -> Vec<Identity> {
        self.table.choose_up(count, &mut self.dice)
    }
}
