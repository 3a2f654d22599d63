//! Writing datagrams: every one says who sent it; SWIM's carry a rumour and news beside it.

use std::borrow::Cow;
use std::net::SocketAddr;

use foca::State;
use prost::Message;
use shoal_api::member::MemberStatus;

use crate::codec::SwimPacket;
use crate::envelope::Writer;
use crate::identity::Identity;
use crate::io::Output;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{Life, kind, wire};
use crate::news::Topic;
use crate::schedule::Timer;
use crate::timing;

impl Membership {
    /// A datagram that says who sent it.
    pub(crate) fn writer(&self) -> Writer {
        let mut writer = Writer::new(&self.seal);
        let life = self.table.me().life();
        writer.message(kind::SENDER, &wire::Life::from(life));
        writer
    }

    pub(crate) fn send(&mut self, to: SocketAddr, writer: Writer) {
        let bytes = writer.finish(&mut self.seal);
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += bytes.len() as u64;
        self.outputs.push_back(Output::Datagram { to, bytes });
    }

    /// Sends one section.
    pub(crate) fn send_message(&mut self, to: SocketAddr, kind: u8, message: &impl Message) {
        let mut writer = self.writer();
        writer.message(kind, message);
        self.send(to, writer);
    }

    /// Sends a packet of SWIM's, and what else the receiver should know.
    pub(crate) fn send_swim(&mut self, to: Identity, packet: &[u8]) {
        let mut writer = self.writer();
        writer.section(kind::SWIM, &self.without_doubted(packet));
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
        self.send(to.address, writer);
    }

    /// SWIM queues every death it declares until it has spread it, even while there is nobody to
    /// hear it; what this node declared while it was out of touch must not spread afterwards.
    fn without_doubted<'a>(&self, packet: &'a [u8]) -> Cow<'a, [u8]> {
        let mut read = SwimPacket::decode(packet).expect("SWIM writes what this node reads");
        let all = read.updates.len();
        (read.updates)
            .retain(|update| update.state() != State::Down || !self.table.doubts(update.id()));
        if read.updates.len() == all {
            Cow::Borrowed(packet)
        } else {
            Cow::Owned(read.encode())
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

    /// Sends as many messages as fit a number of datagrams, as the repeated field 1 of a section.
    pub(crate) fn send_packed<M: Message>(
        &mut self,
        to: SocketAddr,
        kind: u8,
        datagrams: usize,
        messages: impl IntoIterator<Item = M>,
    ) {
        let mut sent = 0;
        let mut writer = self.writer();
        let mut body = Vec::new();
        for message in messages {
            let length = prost::encoding::message::encoded_len(1, &message);
            if body.len() + length > writer.room() {
                writer.section(kind, &body);
                body.clear();
                let full = std::mem::replace(&mut writer, self.writer());
                self.send(to, full);
                sent += 1;
                if sent == datagrams {
                    return;
                }
            }
            prost::encoding::message::encode(1, &message, &mut body);
        }
        if !body.is_empty() {
            writer.section(kind, &body);
            self.send(to, writer);
        }
    }

    /// Queues a piece of news.
    pub(crate) fn spread(&mut self, topic: Topic, life: Life) {
        let times = u32::from(timing::transmissions(self.size()));
        if self.news.add(topic, life, times) {
            self.stats.news_dropped += 1;
        }
        let soon = timing::jittered(&mut self.dice, self.timing.gossip / 2);
        self.schedule.hasten(self.now + soon, Timer::Gossip);
    }

    /// A round of gossip, and the next one if there is more to say.
    pub(crate) fn gossip(&mut self) {
        if self.phase == Phase::Lingering {
            let wanted = self.swim.gossip();
            self.absorb(wanted);
        }
        self.gossip_once();
        let more = !self.news.is_empty() || !self.talk.queue.is_empty();
        if more || self.phase == Phase::Lingering {
            self.set_timer(Timer::Gossip, self.timing.gossip);
        }
    }

    pub(crate) fn gossip_once(&mut self) {
        if self.news.is_empty() && self.talk.queue.is_empty() {
            return;
        }
        for to in self.choose_up(timing::GOSSIP_MEMBERS) {
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
        let mut up: Vec<_> = (self.table.others())
            .filter(|row| row.is_up())
            .map(|row| row.identity)
            .collect();
        for i in 0..count.min(up.len()) {
            let j = i + self.dice.below((up.len() - i) as u64) as usize;
            up.swap(i, j);
        }
        up.truncate(count);
        up
    }
}
