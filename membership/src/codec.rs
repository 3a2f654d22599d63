//! The fixed binary form of `foca`'s packets: for `foca` itself, and for checking a packet as a
//! whole before `foca` sees any of it.
//!
//! A packet is a header (source, its incarnation, destination, message) and, except for the two
//! light messages, a count and that many updates (identity, incarnation, state).

use bytes::{Buf, BufMut};
use foca::{Header, Member, Message, State};
use thiserror::Error;

use crate::identity::Identity;

/// Why a SWIM packet cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum CodecError {
    #[error("swim packet is cut short or out of range")]
    Malformed,
    #[error("no room left in the packet")]
    NoRoom,
}

/// The codec that `foca` is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwimCodec;

const PING: u8 = 1;
const ACK: u8 = 2;
const PING_REQ: u8 = 3;
const INDIRECT_PING: u8 = 4;
const INDIRECT_ACK: u8 = 5;
const FORWARDED_ACK: u8 = 6;
const ANNOUNCE: u8 = 7;
const FEED: u8 = 8;
const GOSSIP: u8 = 9;
const BROADCAST: u8 = 10;
const TURN_UNDEAD: u8 = 11;

const ALIVE: u8 = 1;
const SUSPECT: u8 = 2;
const DOWN: u8 = 3;

impl foca::Codec<Identity> for SwimCodec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        mut buffer: impl BufMut,
    ) -> Result<(), CodecError> {
        if buffer.remaining_mut() < header_len(header) {
            return Err(CodecError::NoRoom);
        }
        put_header(header, &mut buffer);
        Ok(())
    }

    fn decode_header(&mut self, mut buffer: impl Buf) -> Result<Header<Identity>, CodecError> {
        get_header(&mut buffer).ok_or(CodecError::Malformed)
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        mut buffer: impl BufMut,
    ) -> Result<(), CodecError> {
        if buffer.remaining_mut() < member.id().encoded_len() + 3 {
            return Err(CodecError::NoRoom);
        }
        put_member(member, &mut buffer);
        Ok(())
    }

    fn decode_member(&mut self, mut buffer: impl Buf) -> Result<Member<Identity>, CodecError> {
        get_member(&mut buffer).ok_or(CodecError::Malformed)
    }
}

/// A whole packet, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct SwimPacket {
    pub header: Header<Identity>,
    pub updates: Vec<Member<Identity>>,
}

impl SwimPacket {
    /// Reads a packet that fills the slice; nothing if any byte of it is wrong or left over.
    pub fn decode(mut bytes: &[u8]) -> Option<SwimPacket> {
        let header = get_header(&mut bytes)?;
        let mut updates = Vec::new();
        if carries_updates(&header.message) {
            let count = bytes.try_get_u16().ok()?;
            for _ in 0..count {
                updates.push(get_member(&mut bytes)?);
            }
        }
        bytes.is_empty().then_some(SwimPacket { header, updates })
    }

    /// Writes it as `foca` would.
    pub fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::new();
        put_header(&self.header, &mut buffer);
        if carries_updates(&self.header.message) {
            let count = u16::try_from(self.updates.len()).expect("a packet bounds its updates");
            buffer.put_u16(count);
            for update in &self.updates {
                put_member(update, &mut buffer);
            }
        }
        buffer
    }

    /// Everyone that the packet names, the source first.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        let named = match &self.header.message {
            Message::PingReq { target: id, .. }
            | Message::IndirectPing { origin: id, .. }
            | Message::IndirectAck { target: id, .. }
            | Message::ForwardedAck { origin: id, .. } => Some(id),
            Message::Ping(_)
            | Message::Ack(_)
            | Message::Announce
            | Message::Feed
            | Message::Gossip
            | Message::Broadcast
            | Message::TurnUndead => None,
        };
        std::iter::once(&self.header.src)
            .chain(named)
            .chain(self.updates.iter().map(Member::id))
    }
}

fn carries_updates(message: &Message<Identity>) -> bool {
    !matches!(
        message,
        Message::Announce | Message::TurnUndead | Message::Broadcast
    )
}

fn header_len(header: &Header<Identity>) -> usize {
    let message = match &header.message {
        Message::Ping(_) | Message::Ack(_) => 1,
        Message::PingReq { target: id, .. }
        | Message::IndirectPing { origin: id, .. }
        | Message::IndirectAck { target: id, .. }
        | Message::ForwardedAck { origin: id, .. } => id.encoded_len() + 1,
        Message::Announce
        | Message::Feed
        | Message::Gossip
        | Message::Broadcast
        | Message::TurnUndead => 0,
    };
    header.src.encoded_len() + 2 + header.dst.encoded_len() + 1 + message
}

fn put_header(header: &Header<Identity>, buffer: &mut impl BufMut) {
    header.src.encode(buffer);
    buffer.put_u16(header.src_incarnation);
    header.dst.encode(buffer);
    let mut relayed = |kind: u8, id: &Identity, number: u8| {
        buffer.put_u8(kind);
        id.encode(buffer);
        buffer.put_u8(number);
    };
    match &header.message {
        Message::PingReq {
            target,
            probe_number,
        } => relayed(PING_REQ, target, *probe_number),
        Message::IndirectPing {
            origin,
            probe_number,
        } => relayed(INDIRECT_PING, origin, *probe_number),
        Message::IndirectAck {
            target,
            probe_number,
        } => relayed(INDIRECT_ACK, target, *probe_number),
        Message::ForwardedAck {
            origin,
            probe_number,
        } => relayed(FORWARDED_ACK, origin, *probe_number),
        Message::Ping(number) => buffer.put_slice(&[PING, *number]),
        Message::Ack(number) => buffer.put_slice(&[ACK, *number]),
        Message::Announce => buffer.put_u8(ANNOUNCE),
        Message::Feed => buffer.put_u8(FEED),
        Message::Gossip => buffer.put_u8(GOSSIP),
        Message::Broadcast => buffer.put_u8(BROADCAST),
        Message::TurnUndead => buffer.put_u8(TURN_UNDEAD),
    }
}

fn get_header(buffer: &mut impl Buf) -> Option<Header<Identity>> {
    let src = Identity::decode(buffer)?;
    let src_incarnation = buffer.try_get_u16().ok()?;
    let dst = Identity::decode(buffer)?;
    let message = match buffer.try_get_u8().ok()? {
        PING => Message::Ping(buffer.try_get_u8().ok()?),
        ACK => Message::Ack(buffer.try_get_u8().ok()?),
        PING_REQ => Message::PingReq {
            target: Identity::decode(buffer)?,
            probe_number: buffer.try_get_u8().ok()?,
        },
        INDIRECT_PING => Message::IndirectPing {
            origin: Identity::decode(buffer)?,
            probe_number: buffer.try_get_u8().ok()?,
        },
        INDIRECT_ACK => Message::IndirectAck {
            target: Identity::decode(buffer)?,
            probe_number: buffer.try_get_u8().ok()?,
        },
        FORWARDED_ACK => Message::ForwardedAck {
            origin: Identity::decode(buffer)?,
            probe_number: buffer.try_get_u8().ok()?,
        },
        ANNOUNCE => Message::Announce,
        FEED => Message::Feed,
        GOSSIP => Message::Gossip,
        BROADCAST => Message::Broadcast,
        TURN_UNDEAD => Message::TurnUndead,
        _ => return None,
    };
    Some(Header {
        src,
        src_incarnation,
        dst,
        message,
    })
}

fn put_member(member: &Member<Identity>, buffer: &mut impl BufMut) {
    member.id().encode(buffer);
    buffer.put_u16(member.incarnation());
    buffer.put_u8(match member.state() {
        State::Alive => ALIVE,
        State::Suspect => SUSPECT,
        State::Down => DOWN,
    });
}

fn get_member(buffer: &mut impl Buf) -> Option<Member<Identity>> {
    let id = Identity::decode(buffer)?;
    let incarnation = buffer.try_get_u16().ok()?;
    let state = match buffer.try_get_u8().ok()? {
        ALIVE => State::Alive,
        SUSPECT => State::Suspect,
        DOWN => State::Down,
        _ => return None,
    };
    Some(Member::new(id, incarnation, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::identity;

    fn packets() -> Vec<SwimPacket> {
        let a = identity(1, 1, 0, "10.0.0.1:7946");
        let b = identity(2, 9, 4, "[fd00::2]:7946");
        let c = identity(3, 2, 1, "10.0.0.3:7946");
        let messages = [
            Message::Ping(1),
            Message::Ack(2),
            Message::PingReq {
                target: c,
                probe_number: 3,
            },
            Message::IndirectPing {
                origin: c,
                probe_number: 4,
            },
            Message::IndirectAck {
                target: c,
                probe_number: 5,
            },
            Message::ForwardedAck {
                origin: c,
                probe_number: 6,
            },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::Broadcast,
            Message::TurnUndead,
        ];
        messages
            .into_iter()
            .map(|message| SwimPacket {
                updates: if carries_updates(&message) {
                    vec![
                        Member::new(a, 0, State::Alive),
                        Member::new(b, 7, State::Suspect),
                        Member::new(c, 65_535, State::Down),
                    ]
                } else {
                    Vec::new()
                },
                header: Header {
                    src: a,
                    src_incarnation: 8,
                    dst: b,
                    message,
                },
            })
            .collect()
    }

    #[test]
    fn round_trip_and_every_cut() {
        for packet in packets() {
            let bytes = packet.encode();
            let back = SwimPacket::decode(&bytes).expect("what was written can be read");
            assert_eq!(back.header, packet.header);
            assert_eq!(back.updates, packet.updates);
            for cut in 0..bytes.len() {
                assert!(SwimPacket::decode(&bytes[..cut]).is_none(), "cut at {cut}");
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(SwimPacket::decode(&longer).is_none());
        }
    }

    #[test]
    fn lengths_are_as_announced() {
        for packet in packets() {
            let mut bytes = Vec::new();
            put_header(&packet.header, &mut bytes);
            assert_eq!(bytes.len(), header_len(&packet.header));
        }
    }
}
