//! What our own sections say: typed for the machine, `prost` on the wire.
//!
//! Fields that a newer node adds are skipped; a body that misses what it must have, or that is out
//! of bounds, makes its datagram malformed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use shoal_api::member::Tags;
use shoal_api::{Generation, Name, NodeId};

use crate::codec::SwimPacket;
use crate::config::NodeTags;
use crate::coordinate::Coordinate;
use crate::envelope::Section;
use crate::identity::Identity;
use crate::limits;
use crate::stats::{DropReason, Traffic};
use crate::talk::wire::{self as talk, AnswerPart, Heard};
use crate::talk::{QueryKey, UserEvent};

/// The types of sections. Numbers are never used again for something else.
pub(crate) mod kind {
    pub const SENDER: u8 = 1;
    pub const SWIM: u8 = 2;
    pub const NEWS: u8 = 3;
    pub const PULL: u8 = 4;
    pub const META: u8 = 5;
    pub const HELLO: u8 = 6;
    pub const WELCOME: u8 = 7;
    pub const RUMOUR: u8 = 8;
    pub const DIGEST: u8 = 9;
    pub const ENTRIES: u8 = 10;
    pub const WANT: u8 = 11;
    pub const CALL: u8 = 12;
    pub const HERE: u8 = 13;
    pub const DOUBT: u8 = 14;
    pub const CONFIRM: u8 = 15;
    pub const NACK: u8 = 16;
    pub const COORDINATE: u8 = 17;
    pub const BROADCASTS: u8 = 20;
    pub const ANSWER: u8 = 21;
    pub const RELAY: u8 = 22;
    pub const RECEIPT: u8 = 23;
    pub const EVENT_DIGEST: u8 = 24;
    pub const EVENTS: u8 = 25;
}

/// A node's life, and the version of what it tells about itself (0: not said).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub node: NodeId,
    pub generation: Generation,
    pub version: u64,
}

/// What a node tells about itself in one life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub life: Life,
    pub name: Name,
    pub tags: Tags,
}

/// One member as another node knows it, for synchronising.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub identity: Identity,
    pub incarnation: u16,
    /// Failed or left.
    pub gone: bool,
    /// It said that it leaves in this life.
    pub leaving: bool,
    /// An operator took it off the list.
    pub removed: bool,
    /// How long it is gone.
    pub age: Duration,
    pub meta: Option<Meta>,
}

/// A question whether a member lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub identity: Identity,
    pub incarnation: u16,
    pub suspected: bool,
    pub round: u32,
}

/// A section that this node understands, checked.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Swim(SwimPacket),
    /// Versions that the sender holds, and lives that are leaving.
    News {
        held: Vec<Life>,
        leaving: Vec<Life>,
    },
    /// Whose meta the sender wants.
    Pull(Vec<NodeId>),
    Meta(Vec<Meta>),
    /// "Who are you?", from one who knows an address only.
    Hello {
        identity: Identity,
        name: Name,
        challenge: u64,
    },
    /// The answer; with a holder, the name is taken.
    Welcome {
        identity: Identity,
        challenge: u64,
        holder: Option<NodeId>,
    },
    /// "You are suspected", or "you are held for dead".
    Rumour {
        identity: Identity,
        incarnation: u16,
        gone: bool,
    },
    /// The hashes of the sender's buckets: a synchronisation starts.
    Digest(Vec<u32>),
    Entries(Vec<Entry>),
    /// A bit per bucket of which the sender wants the entries.
    Want(u64),
    /// "Are you there?", and perhaps "you are suspected".
    Call(Doubt),
    /// "I am there", or "that one is".
    Here {
        identity: Identity,
        incarnation: u16,
        round: u32,
    },
    /// "Can you reach that one?"
    Doubt(Doubt),
    /// "I cannot, either."
    Confirm {
        identity: Identity,
        incarnation: u16,
        round: u32,
    },
    /// "That one did not answer your ping through me."
    Nack(u8),
    /// Where the sender is, in round trip times.
    Coordinate(Coordinate),
    /// What is being spread.
    Broadcasts(Vec<Heard>),
    /// To a query of the receiver's.
    Answer(AnswerPart),
    /// An answer to a query of another's.
    Relay {
        to: NodeId,
        answer: AnswerPart,
    },
    /// An answer of the receiver's has arrived.
    Receipt {
        key: QueryKey,
        answer: bool,
    },
    /// What the sender has heard.
    EventDigest(talk::EventDigest),
    /// What the receiver lacked.
    Events(Vec<UserEvent>),
}

/// A datagram that is valid as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub sender: Life,
    pub parts: Vec<Part>,
    /// Sections of unknown types.
    pub skipped: u64,
    /// What it is mainly for.
    pub traffic: Traffic,
}

impl Packet {
    /// Reads all sections, the sender first.
    ///
    /// # Errors
    /// The reason to drop all of it.
    pub fn read(sections: Vec<Section>) -> Result<Packet, DropReason> {
        let mut sections = sections.into_iter();
        let first = sections.next().ok_or(DropReason::Sender)?;
        if first.kind != kind::SENDER {
            return Err(DropReason::Sender);
        }
        let sender = wire::Life::decode(first.body)
            .ok()
            .and_then(|life| life.check())
            .filter(|life| life.version > 0)
            .ok_or(DropReason::Sender)?;
        let mut packet = Packet {
            sender,
            parts: Vec::new(),
            skipped: 0,
            traffic: Traffic::Gossip,
        };
        for section in sections {
            let kind = section.kind;
            match read_part(section)? {
                Some(part) => {
                    if packet.parts.is_empty() {
                        packet.traffic = if let Part::Swim(swim) = &part {
                            Traffic::of_swim(&swim.header.message)
                        } else {
                            Traffic::of(kind)
                        };
                    }
                    packet.parts.push(part);
                }
                None => packet.skipped += 1,
            }
        }
        Ok(packet)
    }
}

fn read_part(section: Section) -> Result<Option<Part>, DropReason> {
    let body = section.body;
    let part = match section.kind {
        kind::SENDER => return Err(DropReason::Sender),
        kind::SWIM => {
            return SwimPacket::decode(&body)
                .map(|packet| Some(Part::Swim(packet)))
                .ok_or(DropReason::Swim);
        }
        kind::NEWS => read(body, wire::News::check),
        kind::PULL => read(body, wire::Pull::check),
        kind::META => read(body, wire::Metas::check),
        kind::HELLO => read(body, wire::Hello::check),
        kind::WELCOME => read(body, wire::Welcome::check),
        kind::RUMOUR => read(body, wire::Rumour::check),
        kind::DIGEST => read(body, wire::Digest::check),
        kind::ENTRIES => read(body, wire::Entries::check),
        kind::WANT => read(body, |want: wire::Want| Some(Part::Want(want.buckets))),
        kind::CALL => read(body, |call: wire::Doubt| call.check().map(Part::Call)),
        kind::HERE => read(body, |here: wire::Here| {
            let (identity, incarnation, round) = here.check()?;
            Some(Part::Here {
                identity,
                incarnation,
                round,
            })
        }),
        kind::DOUBT => read(body, |doubt: wire::Doubt| doubt.check().map(Part::Doubt)),
        kind::CONFIRM => read(body, |confirmed: wire::Here| {
            let (identity, incarnation, round) = confirmed.check()?;
            Some(Part::Confirm {
                identity,
                incarnation,
                round,
            })
        }),
        kind::NACK => read(body, |nack: wire::Nack| {
            u8::try_from(nack.number).ok().map(Part::Nack)
        }),
        kind::COORDINATE => Coordinate::decode(&body).map(Part::Coordinate),
        kind::BROADCASTS => read(body, talk::Broadcasts::check),
        kind::ANSWER => read(body, talk::Answer::check),
        kind::RELAY => read(body, talk::Relay::check),
        kind::RECEIPT => read(body, talk::Receipt::check),
        kind::EVENT_DIGEST => read(body, talk::EventDigest::check),
        kind::EVENTS => read(body, talk::Events::check),
        _ => return Ok(None),
    };
    part.map(Some).ok_or(DropReason::Body)
}

fn read<M: Message + Default>(body: Bytes, check: impl Fn(M) -> Option<Part>) -> Option<Part> {
    M::decode(body).ok().and_then(check)
}

/// The wire forms. Tag numbers are never used again for something else.
pub(crate) mod wire {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Message)]
    pub struct Life {
        #[prost(fixed64, tag = "1")]
        pub node_high: u64,
        #[prost(fixed64, tag = "2")]
        pub node_low: u64,
        #[prost(uint64, tag = "3")]
        pub generation: u64,
        #[prost(uint64, tag = "4")]
        pub version: u64,
    }

    impl From<super::Life> for Life {
        fn from(life: super::Life) -> Life {
            Life {
                node_high: (life.node.0 >> 64) as u64,
                node_low: life.node.0 as u64,
                generation: life.generation.0,
                version: life.version,
            }
        }
    }

    impl Life {
        pub fn node(&self) -> Option<NodeId> {
            let node = NodeId(u128::from(self.node_high) << 64 | u128::from(self.node_low));
            (node != NodeId(0)).then_some(node)
        }

        pub fn check(self) -> Option<super::Life> {
            let in_range = self.generation > 0 && u32::try_from(self.generation).is_ok();
            let node = self.node()?;
            in_range.then_some(super::Life {
                node,
                generation: Generation(self.generation),
                version: self.version,
            })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct News {
        #[prost(message, repeated, tag = "1")]
        pub held: Vec<Life>,
        #[prost(message, repeated, tag = "2")]
        pub leaving: Vec<Life>,
    }

    impl News {
        pub fn check(self) -> Option<Part> {
            let lives = |lives: Vec<Life>| lives.into_iter().map(Life::check).collect();
            Some(Part::News {
                held: Option::<Vec<_>>::filter(lives(self.held), |lives| {
                    lives.iter().all(|life: &super::Life| life.version > 0)
                })?,
                leaving: lives(self.leaving)?,
            })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Pull {
        #[prost(message, repeated, tag = "1")]
        pub nodes: Vec<Life>,
    }

    impl Pull {
        pub fn check(self) -> Option<Part> {
            if self.nodes.len() > limits::PULLS_PER_DATAGRAM {
                return None;
            }
            let nodes: Option<Vec<_>> = self.nodes.iter().map(Life::node).collect();
            Some(Part::Pull(nodes?))
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Tag {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Meta {
        #[prost(message, optional, tag = "1")]
        pub life: Option<Life>,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(message, repeated, tag = "3")]
        pub tags: Vec<Tag>,
    }

    impl From<&super::Meta> for Meta {
        fn from(meta: &super::Meta) -> Meta {
            Meta {
                life: Some(meta.life.into()),
                name: meta.name.as_str().to_owned(),
                tags: (meta.tags.iter())
                    .map(|(key, value)| Tag {
                        key: key.to_string(),
                        value: value.to_string(),
                    })
                    .collect(),
            }
        }
    }

    impl Meta {
        pub fn check(self) -> Option<super::Meta> {
            let life = self.life?.check().filter(|life| life.version > 0)?;
            let name = Name::new(&self.name).ok()?;
            let count = self.tags.len();
            let tags: Tags = (self.tags.into_iter())
                .map(|tag| (Arc::from(tag.key), Arc::from(tag.value)))
                .collect();
            if tags.len() != count {
                return None;
            }
            let tags = NodeTags::new(tags).ok()?.into_tags();
            Some(super::Meta { life, name, tags })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Metas {
        #[prost(message, repeated, tag = "1")]
        pub metas: Vec<Meta>,
    }

    impl Metas {
        pub fn check(self) -> Option<Part> {
            let metas: Option<Vec<_>> = self.metas.into_iter().map(Meta::check).collect();
            Some(Part::Meta(metas?))
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Hello {
        #[prost(bytes = "bytes", tag = "1")]
        pub identity: Bytes,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(fixed64, tag = "3")]
        pub challenge: u64,
    }

    impl Hello {
        pub fn check(self) -> Option<Part> {
            Some(Part::Hello {
                identity: Identity::decode_all(&self.identity)?,
                name: Name::new(&self.name).ok()?,
                challenge: self.challenge,
            })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Welcome {
        #[prost(bytes = "bytes", tag = "1")]
        pub identity: Bytes,
        #[prost(fixed64, tag = "2")]
        pub challenge: u64,
        #[prost(message, optional, tag = "3")]
        pub holder: Option<Life>,
    }

    impl Welcome {
        pub fn check(self) -> Option<Part> {
            let holder = match self.holder {
                Some(life) => Some(life.node()?),
                None => None,
            };
            Some(Part::Welcome {
                identity: Identity::decode_all(&self.identity)?,
                challenge: self.challenge,
                holder,
            })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Rumour {
        #[prost(bytes = "bytes", tag = "1")]
        pub identity: Bytes,
        #[prost(uint32, tag = "2")]
        pub incarnation: u32,
        #[prost(bool, tag = "3")]
        pub gone: bool,
    }

    impl Rumour {
        pub fn check(self) -> Option<Part> {
            Some(Part::Rumour {
                identity: Identity::decode_all(&self.identity)?,
                incarnation: u16::try_from(self.incarnation).ok()?,
                gone: self.gone,
            })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Doubt {
        #[prost(bytes = "bytes", tag = "1")]
        pub identity: Bytes,
        #[prost(uint32, tag = "2")]
        pub incarnation: u32,
        #[prost(bool, tag = "3")]
        pub suspected: bool,
        #[prost(fixed32, tag = "4")]
        pub round: u32,
    }

    impl Doubt {
        pub fn check(self) -> Option<super::Doubt> {
            Some(super::Doubt {
                identity: Identity::decode_all(&self.identity)?,
                incarnation: u16::try_from(self.incarnation).ok()?,
                suspected: self.suspected,
                round: self.round,
            })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Here {
        #[prost(bytes = "bytes", tag = "1")]
        pub identity: Bytes,
        #[prost(uint32, tag = "2")]
        pub incarnation: u32,
        #[prost(fixed32, tag = "3")]
        pub round: u32,
    }

    impl Here {
        pub fn check(self) -> Option<(Identity, u16, u32)> {
            let incarnation = u16::try_from(self.incarnation).ok()?;
            Some((
                Identity::decode_all(&self.identity)?,
                incarnation,
                self.round,
            ))
        }
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub struct Nack {
        #[prost(uint32, tag = "1")]
        pub number: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Digest {
        #[prost(fixed32, repeated, tag = "1")]
        pub buckets: Vec<u32>,
    }

    impl Digest {
        pub fn check(self) -> Option<Part> {
            (self.buckets.len() == limits::SYNC_BUCKETS).then_some(Part::Digest(self.buckets))
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Entry {
        #[prost(bytes = "bytes", tag = "1")]
        pub identity: Bytes,
        #[prost(uint32, tag = "2")]
        pub incarnation: u32,
        #[prost(bool, tag = "3")]
        pub gone: bool,
        #[prost(bool, tag = "4")]
        pub leaving: bool,
        #[prost(uint64, tag = "5")]
        pub age_millis: u64,
        #[prost(message, optional, tag = "6")]
        pub meta: Option<Meta>,
        #[prost(bool, tag = "7")]
        pub removed: bool,
    }

    impl From<&super::Entry> for Entry {
        fn from(entry: &super::Entry) -> Entry {
            Entry {
                identity: entry.identity.to_bytes(),
                incarnation: u32::from(entry.incarnation),
                gone: entry.gone,
                leaving: entry.leaving,
                age_millis: u64::try_from(entry.age.as_millis()).unwrap_or(u64::MAX),
                meta: entry.meta.as_ref().map(Meta::from),
                removed: entry.removed,
            }
        }
    }

    impl Entry {
        fn check(self) -> Option<super::Entry> {
            let identity = Identity::decode_all(&self.identity)?;
            let meta = match self.meta {
                Some(meta) => Some(meta.check()?),
                None => None,
            };
            let about_itself = meta.as_ref().is_none_or(|meta| {
                meta.life.node == identity.node && meta.life.generation == identity.generation
            });
            if !about_itself {
                return None;
            }
            Some(super::Entry {
                identity,
                incarnation: u16::try_from(self.incarnation).ok()?,
                gone: self.gone,
                leaving: self.leaving,
                removed: self.removed,
                age: Duration::from_millis(self.age_millis),
                meta,
            })
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Entries {
        #[prost(message, repeated, tag = "1")]
        pub entries: Vec<Entry>,
    }

    impl Entries {
        pub fn check(self) -> Option<Part> {
            let entries: Option<Vec<_>> = self.entries.into_iter().map(Entry::check).collect();
            Some(Part::Entries(entries?))
        }
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Want {
        #[prost(fixed64, tag = "1")]
        pub buckets: u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::identity;

    fn life(version: u64) -> Life {
        Life {
            node: NodeId(u128::MAX),
            generation: Generation(u64::from(u32::MAX)),
            version,
        }
    }

    /// The largest description that the bounds allow.
    fn largest_meta() -> Meta {
        let value: Arc<str> = "v"
            .repeat(limits::TAG_VALUE_BYTES - limits::TAG_OVERHEAD_BYTES - 1)
            .into();
        let tags: Tags = ["a", "b"].map(|key| (Arc::from(key), value.clone())).into();
        let tags = NodeTags::new(tags).expect("within bounds").into_tags();
        Meta {
            life: life(u64::MAX),
            name: Name::new(&"n".repeat(shoal_api::limits::NAME_BYTES)).expect("a name"),
            tags,
        }
    }

    #[test]
    fn sizes_stay_below_their_bounds() {
        let wire_life = wire::Life::from(life(u64::MAX));
        assert!(wire_life.encoded_len() <= limits::LIFE_BYTES);
        let meta = wire::Meta::from(&largest_meta());
        assert!(
            meta.encoded_len() <= limits::META_BYTES,
            "{}",
            meta.encoded_len()
        );
        let many: Tags = (0..limits::TAGS)
            .map(|i| (Arc::from(format!("{i:02}")), Arc::from("x".repeat(6))))
            .collect();
        let many = Meta {
            tags: NodeTags::new(many).expect("within bounds").into_tags(),
            ..largest_meta()
        };
        assert!(wire::Meta::from(&many).encoded_len() <= limits::META_BYTES);
        let identity = identity(u128::MAX, u64::from(u32::MAX), u32::MAX, "[fd00::1]:65535");
        let entry = Entry {
            identity,
            incarnation: u16::MAX,
            gone: true,
            leaving: true,
            removed: true,
            age: Duration::MAX,
            meta: None,
        };
        assert!(wire::Entry::from(&entry).encoded_len() <= limits::ENTRY_BYTES);
        let rumour = wire::Rumour {
            identity: identity.to_bytes(),
            incarnation: u32::from(u16::MAX),
            gone: true,
        };
        assert!(rumour.encoded_len() <= limits::RUMOUR_BYTES);
    }

    #[test]
    fn a_description_round_trips() {
        let meta = largest_meta();
        assert_eq!(wire::Meta::from(&meta).check(), Some(meta));
    }

    #[test]
    fn what_misses_its_life_is_refused() {
        let section = |kind: u8, body: Vec<u8>| Section {
            kind,
            body: body.into(),
        };
        let sender = section(kind::SENDER, wire::Life::from(life(1)).encode_to_vec());
        for (sections, reason) in [
            (vec![], DropReason::Sender),
            (vec![section(kind::SENDER, vec![])], DropReason::Sender),
            (vec![section(kind::NEWS, vec![])], DropReason::Sender),
            (vec![sender.clone(), sender.clone()], DropReason::Sender),
            (
                vec![sender.clone(), section(kind::SWIM, vec![1])],
                DropReason::Swim,
            ),
            (
                vec![sender.clone(), section(kind::META, vec![0x0a, 0])],
                DropReason::Body,
            ),
            (
                vec![sender.clone(), section(kind::DIGEST, vec![])],
                DropReason::Body,
            ),
            (
                vec![sender.clone(), section(kind::PULL, vec![0x0a, 9])],
                DropReason::Body,
            ),
        ] {
            assert_eq!(Packet::read(sections).err(), Some(reason));
        }
        let unknown = vec![sender, section(250, vec![1, 2, 3])];
        let packet = Packet::read(unknown).expect("unknown sections are skipped");
        assert_eq!((packet.parts.len(), packet.skipped), (0, 1));
    }
}
