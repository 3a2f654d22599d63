//! What travels on a peer connection: `prost` frames of our own, each after its length.
//!
//! What deliberately does not live here: the meaning of payloads. Each purpose has an encoding of
//! its own, read by whoever gets the payload.

use bytes::Bytes;

/// Tells our handshake from garbage that happens to be valid protobuf.
pub const MAGIC: u32 = 0x5348_4f41;
/// The oldest protocol that this version speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// The newest protocol that this version speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// The first frame of both sides.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Handshake {
    /// Always [`MAGIC`].
    #[prost(fixed32, tag = "1")]
    pub magic: u32,
    /// The oldest protocol spoken.
    #[prost(uint32, tag = "2")]
    pub protocol_min: u32,
    /// The newest protocol spoken.
    #[prost(uint32, tag = "3")]
    pub protocol_max: u32,
    /// 16 bytes, or none for a node that belongs to no cluster.
    #[prost(bytes = "bytes", tag = "4")]
    pub cluster: Bytes,
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "5")]
    pub node: Bytes,
    /// From 1.
    #[prost(uint64, tag = "6")]
    pub generation: u64,
    /// 0 for a node that is no master.
    #[prost(uint64, tag = "7")]
    pub raft_id: u64,
    /// Bits of [`crate::roles::NodeRoles`].
    #[prost(uint32, tag = "8")]
    pub roles: u32,
    /// For authentication; empty.
    #[prost(bytes = "bytes", tag = "9")]
    pub auth: Bytes,
    /// What the dialer wants; see [`super::Purpose`].
    #[prost(uint32, tag = "10")]
    pub purpose: u32,
    /// The node's label, for people.
    #[prost(string, tag = "11")]
    pub name: String,
}

/// The listener's answer to a handshake.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Answer {
    /// One of them.
    #[prost(oneof = "AnswerBody", tags = "1, 2")]
    pub body: Option<AnswerBody>,
}

/// Yes or no.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum AnswerBody {
    /// The listener's own handshake.
    #[prost(message, tag = "1")]
    Welcome(Handshake),
    /// Why not, for people.
    #[prost(string, tag = "2")]
    Refused(String),
}

/// Any later frame.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Frame {
    /// In the encoding of the connection's purpose.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
}
