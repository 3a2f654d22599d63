//! What goes into the machine and what comes out of it.

use std::net::SocketAddr;

use bytes::Bytes;
use shoal_api::member::MemberEvent;
use shoal_api::{Generation, Name, NodeId};

use crate::config::NodeTags;
use crate::keyring::Secrecy;
use crate::talk::{
    AnswerBody, EventBody, Query, QueryEnd, QueryKey, QueryRequest, QueryToken, Reply, UserEvent,
};

/// A stream, as the machine and its holder name it to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamId {
    /// The machine wished for it; numbers rise and are never used again.
    Opened(u64),
    /// Another node opened it; the holder gives the number, never the same again.
    Accepted(u64),
}

/// Something that happens to a member.
#[derive(Clone, Debug)]
pub enum Input {
    /// The deadline passed. Datagrams that wait should be given first, as they may refute what
    /// the deadline would decide.
    Wake,
    /// A datagram arrived.
    Datagram {
        /// Where it came from; answers go back there.
        from: SocketAddr,
        /// All of it.
        bytes: Bytes,
    },
    /// A frame arrived on a stream, in the order in which it was sent.
    Frame {
        /// The stream; one that another node opened is known by its first frame.
        stream: StreamId,
        /// The other end's address.
        from: SocketAddr,
        /// All of it, at most [`crate::limits::FRAME_BYTES`].
        bytes: Bytes,
    },
    /// A stream ended, could not be opened, or took too long. Nothing more comes or goes on it.
    Closed {
        /// The stream.
        stream: StreamId,
    },
    /// Join through any of these, and keep trying until it works. Addresses are added to those of
    /// earlier joins; the own address is ignored. Seeds that are no members are asked again from
    /// time to time, so that clusters that were formed apart find each other.
    Join {
        /// Where living members may be.
        seeds: Vec<SocketAddr>,
    },
    /// Leave in good order. Final for this life: [`Output::Left`] follows within about two seconds.
    Leave,
    /// Tell something else about this node.
    SetTags(NodeTags),
    /// Seal and open with these keys from here on.
    SetSecrecy(Secrecy),
    /// Tell all members, this node too, an event. Nothing happens while this node leaves.
    TellEvent(EventBody),
    /// Ask members, this node too if it is meant. What comes back is said as [`Output::Reply`],
    /// the end as [`Output::QueryEnded`], each with the token.
    Ask {
        /// By which the shell knows it again; no two queries that are open share one.
        token: QueryToken,
        /// What to ask, and whom.
        request: QueryRequest,
    },
    /// Answer a query that was said as [`Output::Query`]. Only the first answer counts, and none
    /// after its deadline.
    Answer {
        /// Which query.
        query: QueryKey,
        /// The answer.
        body: AnswerBody,
    },
    /// Take a member that failed off the list, everywhere: it counts as left from here on, or is
    /// forgotten at once. Nothing happens to one that lives.
    Remove {
        /// Which member.
        node: NodeId,
        /// Forget it at once.
        prune: bool,
    },
}

/// Something that a member wants done or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send it; losing it is harmless.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// At most [`crate::limits::DATAGRAM_BYTES`].
        bytes: Bytes,
    },
    /// Open a stream and send the frames that follow on it. If that fails, or ends, say
    /// [`Input::Closed`].
    Open {
        /// Its name, new.
        stream: StreamId,
        /// Where to.
        to: SocketAddr,
    },
    /// Send a frame on a stream, in this order; losing it is harmless if the stream ends with it.
    Frame {
        /// The stream; of one that has ended meanwhile the frame is dropped.
        stream: StreamId,
        /// At most [`crate::limits::FRAME_BYTES`].
        bytes: Bytes,
    },
    /// End a stream after what was said on it so far is sent. It is not spoken of again.
    Close {
        /// The stream, one that the machine opened.
        stream: StreamId,
    },
    /// The list of members changed.
    Event(MemberEvent),
    /// A user event, told by this node or another. Each is said once, in the order heard; those
    /// that were missed may come late.
    UserEvent(UserEvent),
    /// This node is asked; it may answer until the deadline, or not at all.
    Query(Query),
    /// Something came back of a query of this node's own.
    Reply {
        /// Which query.
        token: QueryToken,
        /// What, from whom.
        reply: Reply,
    },
    /// A query of this node's own is over: no more replies come.
    QueryEnded {
        /// Which query.
        token: QueryToken,
        /// Why.
        end: QueryEnd,
    },
    /// Another living node holds this node's name. While it joins, it stays outside and asks
    /// again; a node that is inside already goes on, and should be given another name. Said once
    /// per holder.
    NameRefused {
        /// The name.
        name: Name,
        /// Who holds it.
        holder: NodeId,
    },
    /// Another process runs with this node's id and a newer life (or, with the same life, with an
    /// address that wins): this one is silent from here on and should end.
    Superseded {
        /// The life of the other.
        by: Generation,
    },
    /// Leaving is complete; the machine is silent from here on.
    Left,
}
