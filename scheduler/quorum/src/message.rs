//! What masters say to each other: `prost` frames of our own, versioned by their field numbers.
//!
//! The `raft` crate's own message types never meet bytes from a network: `wire.rs` translates.

use bytes::Bytes;
use prost::Message as _;
use shoal_api::{RaftId, Term};
use thiserror::Error;

use crate::limits;

/// One message between two masters. Opaque to its carrier.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// The raft id it is for; another one drops it.
    #[prost(uint64, tag = "1")]
    pub(crate) to: u64,
    /// What it says.
    #[prost(oneof = "Body", tags = "2, 3, 4")]
    pub(crate) body: Option<Body>,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub(crate) enum Body {
    /// A message of Raft.
    #[prost(message, tag = "2")]
    Raft(RaftFrame),
    /// A piece of a snapshot.
    #[prost(message, tag = "3")]
    Piece(SnapshotPiece),
    /// How much of a snapshot has arrived.
    #[prost(message, tag = "4")]
    Received(SnapshotReceived),
}

/// A message of Raft.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct RaftFrame {
    #[prost(enumeration = "FrameKind", tag = "1")]
    pub(crate) kind: i32,
    #[prost(uint64, tag = "2")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) log_term: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) index: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) commit: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) commit_term: u64,
    #[prost(bool, tag = "7")]
    pub(crate) reject: bool,
    #[prost(uint64, tag = "8")]
    pub(crate) reject_hint: u64,
    #[prost(bytes = "bytes", tag = "9")]
    pub(crate) context: Bytes,
    #[prost(message, repeated, tag = "10")]
    pub(crate) entries: Vec<EntryFrame>,
}

/// Which message of Raft. Those that a node only says to itself have no number here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
pub(crate) enum FrameKind {
    Unknown = 0,
    Append = 1,
    AppendResponse = 2,
    RequestVote = 3,
    RequestVoteResponse = 4,
    RequestPreVote = 5,
    RequestPreVoteResponse = 6,
    Heartbeat = 7,
    HeartbeatResponse = 8,
    TimeoutNow = 9,
    ReadIndex = 10,
    ReadIndexResponse = 11,
}

/// One entry in an append.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct EntryFrame {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
    #[prost(bool, tag = "3")]
    pub(crate) membership: bool,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
}

/// One piece of a snapshot. Every piece names its snapshot whole, so that each stands for itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct SnapshotPiece {
    /// The sender's term.
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) index_term: u64,
    #[prost(message, optional, tag = "4")]
    pub(crate) membership: Option<MembershipFrame>,
    /// Which piece, from 0.
    #[prost(uint64, tag = "5")]
    pub(crate) sequence: u64,
    /// How many pieces there are.
    #[prost(uint64, tag = "6")]
    pub(crate) pieces: u64,
    /// Whether a chunk of the state machine ends with this piece.
    #[prost(bool, tag = "7")]
    pub(crate) ends_chunk: bool,
    #[prost(bytes = "bytes", tag = "8")]
    pub(crate) data: Bytes,
}

/// How much of a snapshot has arrived.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct SnapshotReceived {
    #[prost(uint64, tag = "1")]
    pub(crate) term: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
    /// Pieces that arrived without a gap.
    #[prost(uint64, tag = "3")]
    pub(crate) received: u64,
    /// The receiver cannot take it.
    #[prost(bool, tag = "4")]
    pub(crate) refused: bool,
}

/// A membership on the wire.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct MembershipFrame {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) voters: Vec<u64>,
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) outgoing: Vec<u64>,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) learners: Vec<u64>,
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) learners_next: Vec<u64>,
    #[prost(uint64, repeated, tag = "5")]
    pub(crate) removed: Vec<u64>,
}

/// Why bytes are not a message. The carrier drops and counts them; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// More bytes than a message may have.
    #[error("quorum message has {bytes} bytes, at most {limit} are allowed")]
    TooLong {
        /// How many.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Not a frame.
    #[error("quorum message is malformed: {0}")]
    Malformed(String),
}

impl Message {
    /// Its bytes.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.encode_to_vec())
    }

    /// How many bytes [`Message::to_bytes`] makes.
    pub fn size(&self) -> usize {
        self.encoded_len()
    }

    /// What it shows of its sender's term and vote, for those who watch over a quorum; nothing if it
    /// shows neither.
    pub fn term_and_vote(&self, from: RaftId) -> Option<(Term, Option<RaftId>)> {
        let Some(Body::Raft(frame)) = &self.body else {
            return None;
        };
        let vote = match frame.kind() {
            // Questions ahead of an election name the next term, those of readers none.
            FrameKind::RequestPreVote
            | FrameKind::RequestPreVoteResponse
            | FrameKind::ReadIndex
            | FrameKind::ReadIndexResponse
            | FrameKind::Unknown => return None,
            FrameKind::RequestVote => Some(from),
            FrameKind::RequestVoteResponse if !frame.reject => Some(RaftId(self.to)),
            FrameKind::RequestVoteResponse
            | FrameKind::Append
            | FrameKind::AppendResponse
            | FrameKind::Heartbeat
            | FrameKind::HeartbeatResponse
            | FrameKind::TimeoutNow => None,
        };
        Some((Term(frame.term), vote))
    }

    /// Reads a message; the entries in it share the given bytes.
    ///
    /// # Errors
    /// [`MessageError`] when there are too many bytes or they are no message.
    pub fn from_bytes(bytes: Bytes) -> Result<Message, MessageError> {
        if bytes.len() > limits::MESSAGE_BYTES {
            return Err(MessageError::TooLong {
                bytes: bytes.len(),
                limit: limits::MESSAGE_BYTES,
            });
        }
        Message::decode(bytes).map_err(|error| MessageError::Malformed(error.to_string()))
    }
}
