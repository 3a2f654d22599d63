//! Streams: reliable exchanges with one other node, for what is too much for datagrams, and for when
//! datagrams do not get through. The machine says what it wants opened and sent; whoever holds it
//! dials, listens, cuts the bytes into frames, and bounds time and number.
//!
//! A frame is a datagram in all but its length: sealed the same way, read as a whole or dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use foca::{Header, Message};
use shoal_api::NodeId;

use crate::codec::SwimPacket;
use crate::envelope::{Carrier, Writer};
use crate::identity::Identity;
use crate::io::{Output, StreamId};
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{kind, wire};
use crate::stats::Traffic;

/// The way that something came, and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Datagram(SocketAddr),
    Stream(StreamId, SocketAddr),
}

impl Via {
    pub fn address(self) -> SocketAddr {
        match self {
            Via::Datagram(address) | Via::Stream(_, address) => address,
        }
    }

    pub fn carrier(self) -> Carrier {
        match self {
            Via::Datagram(_) => Carrier::Datagram,
            Via::Stream(..) => Carrier::Frame,
        }
    }
}

impl From<SocketAddr> for Via {
    fn from(address: SocketAddr) -> Via {
        Via::Datagram(address)
    }
}

/// What the machine opened a stream for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To synchronise; whether anything was heard yet.
    Sync { heard: bool },
    /// To ask a seed who it is.
    Join,
    /// To probe a member that does not answer datagrams.
    Probe,
}

/// The streams that this machine opened, at most [`limits::STREAMS`].
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: BTreeMap<u64, (SocketAddr, Purpose)>,
    opened: u64,
}

impl Membership {
    /// Opens a stream, if there is room for one more.
    fn open_stream(&mut self, to: SocketAddr, purpose: Purpose) -> Option<Via> {
        if self.streams.open.len() >= limits::STREAMS {
            self.stats.streams_refused += 1;
            return None;
        }
        self.stats.streams += 1;
        self.streams.opened += 1;
        self.streams.open.insert(self.streams.opened, (to, purpose));
        let stream = StreamId::Opened(self.streams.opened);
        self.outputs.push_back(Output::Open { stream, to });
        Some(Via::Stream(stream, to))
    }

    fn close(&mut self, stream: StreamId) {
        if let StreamId::Opened(number) = stream
            && self.streams.open.remove(&number).is_some()
        {
            self.outputs.push_back(Output::Close { stream });
        }
    }

    fn purpose(&mut self, stream: StreamId) -> Option<&mut Purpose> {
        match stream {
            StreamId::Opened(number) => {
                let found = self.streams.open.get_mut(&number);
                found.map(|(_, purpose)| purpose)
            }
            StreamId::Accepted(_) => None,
        }
    }

    /// Starts a full synchronisation by stream, or by datagrams if none can be opened.
    pub(crate) fn open_sync(&mut self, to: SocketAddr) {
        match self.open_stream(to, Purpose::Sync { heard: false }) {
            Some(via) => self.send_digest(via),
            None => self.send_digest(to.into()),
        }
    }

    /// Asks a seed by stream who it is.
    pub(crate) fn open_join(&mut self, to: SocketAddr, hello: &wire::Hello) {
        if let Some(via) = self.open_stream(to, Purpose::Join) {
            self.send_message(via, kind::HELLO, hello);
        }
    }

    /// Asks by stream what the member did not answer by datagram. *Source*: memberlist's fallback.
    pub(crate) fn open_probe(&mut self, target: Identity, number: u8) {
        let Some(via) = self.open_stream(target.address, Purpose::Probe) else {
            return;
        };
        self.stats.probes_by_stream += 1;
        let me = self.table.me();
        let ping = SwimPacket {
            header: Header {
                src: me.identity,
                src_incarnation: me.incarnation,
                dst: target,
                message: Message::Ping(number),
            },
            updates: Vec::new(),
        };
        let mut writer = self.writer(Carrier::Frame);
        writer.section(kind::SWIM, &ping.encode());
        self.send(via, Traffic::Probe, writer);
    }

    pub(crate) fn receive_frame(&mut self, stream: StreamId, from: SocketAddr, bytes: &Bytes) {
        let ours = match stream {
            StreamId::Opened(_) => self.purpose(stream).is_some(),
            StreamId::Accepted(_) => true,
        };
        if !ours || matches!(self.phase, Phase::Lingering | Phase::Ended) {
            return;
        }
        self.receive(Via::Stream(stream, from), bytes);
        match self.purpose(stream) {
            Some(Purpose::Sync { heard }) => *heard = true,
            Some(Purpose::Probe) => self.close(stream),
            Some(Purpose::Join) | None => {}
        }
    }

    /// The other side of a synchronisation has said all, and was told all.
    pub(crate) fn end_exchange(&mut self, via: Via) {
        if let Via::Stream(stream, _) = via {
            self.close(stream);
        }
    }

    /// A stream is over, whoever ended it. A synchronisation that never got an answer goes by
    /// datagrams.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        let StreamId::Opened(number) = stream else {
            return;
        };
        let Some((to, purpose)) = self.streams.open.remove(&number) else {
            return;
        };
        self.stats.streams_failed += 1;
        if purpose == (Purpose::Sync { heard: false }) && self.phase == Phase::Running {
            self.send_digest(to.into());
        }
    }

    /// Where the sender of something hears datagrams: a stream comes from another port.
    pub(crate) fn hears_at(&self, via: Via, sender: NodeId) -> SocketAddr {
        let known = self.table.get(sender).map(|row| row.identity.address);
        match (via, known) {
            (Via::Stream(..), Some(known)) => known,
            (Via::Stream(_, from), None) | (Via::Datagram(from), _) => from,
        }
    }

    /// A packet of SWIM's to whoever is being answered by stream, on that stream.
    pub(crate) fn swim_road(&self, to: &Identity) -> Via {
        match self.answering {
            Some((node, via)) if node == to.node => via,
            Some(_) | None => Via::Datagram(to.address),
        }
    }

    /// Hands a finished datagram or frame over for sending.
    pub(crate) fn send(&mut self, via: Via, traffic: Traffic, writer: Writer) {
        let bytes = writer.finish(&mut self.seal);
        match via {
            Via::Datagram(to) => {
                self.stats.count_sent(traffic, bytes.len());
                self.outputs.push_back(Output::Datagram { to, bytes });
            }
            Via::Stream(stream, _) => {
                self.stats.count_sent(Traffic::Stream, bytes.len());
                self.outputs.push_back(Output::Frame { stream, bytes });
            }
        }
    }

    /// While what came by stream from that node is handled, SWIM's answers to it go back there.
    pub(crate) fn answer_on(&mut self, via: Via, node: NodeId) {
        self.answering = match via {
            Via::Stream(..) => Some((node, via)),
            Via::Datagram(_) => None,
        };
    }
}
