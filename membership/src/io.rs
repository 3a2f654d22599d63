//! What goes into the machine and what comes out of it.

use std::net::SocketAddr;

use bytes::Bytes;
use shoal_api::member::MemberEvent;
use shoal_api::{Generation, Name, NodeId};

use crate::config::NodeTags;
use crate::keyring::Secrecy;

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
    /// The list of members changed.
    Event(MemberEvent),
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
