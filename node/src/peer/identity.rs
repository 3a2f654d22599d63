//! Who is at the ends of a peer connection, and what a connection is for.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use shoal_api::{ClusterId, Generation, Name, NodeId, RaftId};

use super::frame::{Handshake, MAGIC, PROTOCOL_MAX, PROTOCOL_MIN};
use crate::roles::NodeRoles;

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Raft between masters.
    Raft,
    /// What masters forward to and ask of each other.
    Forward,
    /// An agent's session with a master.
    Session,
    /// The founding of a quorum.
    Bootstrap,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 4] = [
        Purpose::Raft,
        Purpose::Forward,
        Purpose::Session,
        Purpose::Bootstrap,
    ];

    /// The number in a handshake.
    pub fn number(self) -> u32 {
        match self {
            Purpose::Raft => 1,
            Purpose::Forward => 2,
            Purpose::Session => 3,
            Purpose::Bootstrap => 4,
        }
    }

    /// The label in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Purpose::Raft => "raft",
            Purpose::Forward => "forward",
            Purpose::Session => "session",
            Purpose::Bootstrap => "bootstrap",
        }
    }

    /// From the number; `None` for one of a newer version.
    pub fn from_number(number: u32) -> Option<Purpose> {
        Purpose::ALL
            .into_iter()
            .find(|purpose| purpose.number() == number)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// This node, as it introduces itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Which node.
    pub node: NodeId,
    /// Its life.
    pub generation: Generation,
    /// Its voter id, if it is a master.
    pub raft: Option<RaftId>,
    /// What it is.
    pub roles: NodeRoles,
    /// Its label.
    pub name: Name,
    /// Its cluster, once it has one.
    pub cluster: Arc<OnceLock<ClusterId>>,
}

impl Identity {
    /// The handshake for a purpose.
    pub fn handshake(&self, purpose: Purpose) -> Handshake {
        let cluster = self.cluster.get();
        Handshake {
            magic: MAGIC,
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            cluster: cluster.map_or_else(Bytes::new, |id| bytes_of(id.0)),
            node: bytes_of(self.node.0),
            generation: self.generation.0,
            raft_id: self.raft.map_or(0, |raft| raft.0),
            roles: self.roles.bits(),
            auth: Bytes::new(),
            purpose: purpose.number(),
            name: self.name.to_string(),
        }
    }
}

fn bytes_of(bits: u128) -> Bytes {
    Bytes::copy_from_slice(&bits.to_be_bytes())
}

fn bits_of(bytes: &Bytes) -> Option<u128> {
    Some(u128::from_be_bytes(bytes.as_ref().try_into().ok()?))
}

/// The node at the other end, as it introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Which node.
    pub node: NodeId,
    /// Its life.
    pub generation: Generation,
    /// Its voter id, if it says to be a master.
    pub raft: Option<RaftId>,
    /// What it says to be.
    pub roles: NodeRoles,
    /// Its label; empty if it is no valid name.
    pub name: Option<Name>,
    /// Its cluster, if it has one.
    pub cluster: Option<ClusterId>,
}

/// Why a handshake is refused. The connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// It is not ours, or makes no sense.
    #[error("the handshake is malformed")]
    Malformed,
    /// No common version.
    #[error("the peer speaks protocols {min} to {max}, this node {PROTOCOL_MIN} to {PROTOCOL_MAX}")]
    Protocol {
        /// The oldest of the peer.
        min: u32,
        /// The newest of the peer.
        max: u32,
    },
    /// Two clusters that must not mix.
    #[error("the peer belongs to cluster {theirs}, this node to {ours}")]
    OtherCluster {
        /// Of the peer.
        theirs: ClusterId,
        /// Of this node.
        ours: ClusterId,
    },
    /// Its role does not allow the purpose.
    #[error("a node that is {roles} may not open a connection for {purpose} here")]
    NotAllowed {
        /// Of the peer.
        roles: NodeRoles,
        /// What it wanted.
        purpose: Purpose,
    },
    /// Too many connections are open already.
    #[error("this node has too many peer connections open")]
    Busy,
}

impl HandshakeError {
    /// The label in the metrics.
    pub fn label(&self) -> &'static str {
        match self {
            HandshakeError::Malformed => "malformed",
            HandshakeError::Protocol { .. } => "protocol",
            HandshakeError::OtherCluster { .. } => "other_cluster",
            HandshakeError::NotAllowed { .. } => "not_allowed",
            HandshakeError::Busy => "busy",
        }
    }

    /// All labels.
    pub const LABELS: &'static [&'static str] = &[
        "malformed",
        "protocol",
        "other_cluster",
        "not_allowed",
        "busy",
        "timeout",
    ];
}

/// Reads a handshake and checks what does not depend on roles.
///
/// # Errors
/// [`HandshakeError`] says what is wrong with it.
pub fn read(me: &Identity, handshake: &Handshake) -> Result<PeerIdentity, HandshakeError> {
    if handshake.magic != MAGIC || handshake.generation == 0 {
        return Err(HandshakeError::Malformed);
    }
    let (min, max) = (handshake.protocol_min, handshake.protocol_max);
    if max < PROTOCOL_MIN || min > PROTOCOL_MAX {
        return Err(HandshakeError::Protocol { min, max });
    }
    let node = NodeId(bits_of(&handshake.node).ok_or(HandshakeError::Malformed)?);
    let cluster = match handshake.cluster.is_empty() {
        true => None,
        false => Some(ClusterId(
            bits_of(&handshake.cluster).ok_or(HandshakeError::Malformed)?,
        )),
    };
    if let (Some(theirs), Some(ours)) = (cluster, me.cluster.get().copied())
        && theirs != ours
    {
        return Err(HandshakeError::OtherCluster { theirs, ours });
    }
    Ok(PeerIdentity {
        node,
        generation: Generation(handshake.generation),
        raft: (handshake.raft_id != 0).then_some(RaftId(handshake.raft_id)),
        roles: NodeRoles::from_bits(handshake.roles),
        name: Name::new(&handshake.name).ok(),
        cluster,
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A made-up node.
    pub fn identity(node: u128, roles: NodeRoles, cluster: Option<u128>) -> Identity {
        let id = Arc::new(OnceLock::new());
        if let Some(cluster) = cluster {
            id.set(ClusterId(cluster)).unwrap();
        }
        Identity {
            node: NodeId(node),
            generation: Generation(1),
            raft: roles.master.then_some(RaftId(node as u64)),
            roles,
            name: Name::new(&format!("n{node}")).unwrap(),
            cluster: id,
        }
    }

    #[test]
    fn an_introduction_round_trips() {
        let roles = NodeRoles::from_bits(3);
        let (a, b) = (identity(1, roles, Some(7)), identity(2, roles, Some(7)));
        let read = read(&b, &a.handshake(Purpose::Raft)).unwrap();
        assert_eq!((read.node, read.raft), (NodeId(1), Some(RaftId(1))));
        assert_eq!((read.roles, read.cluster), (roles, Some(ClusterId(7))));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let roles = NodeRoles::from_bits(1);
        let (me, other) = (identity(1, roles, Some(7)), identity(2, roles, Some(8)));
        let good = identity(2, roles, None).handshake(Purpose::Raft);
        assert!(read(&me, &good).is_ok());
        let error = read(&me, &other.handshake(Purpose::Raft)).unwrap_err();
        assert!(matches!(error, HandshakeError::OtherCluster { .. }));
        let newer = Handshake {
            protocol_min: 9,
            protocol_max: 9,
            ..good.clone()
        };
        assert!(matches!(
            read(&me, &newer),
            Err(HandshakeError::Protocol { .. })
        ));
        for bad in [
            Handshake {
                magic: 1,
                ..good.clone()
            },
            Handshake {
                generation: 0,
                ..good.clone()
            },
            Handshake {
                node: Bytes::from_static(b"short"),
                ..good.clone()
            },
            Handshake {
                cluster: Bytes::from_static(b"short"),
                ..good
            },
        ] {
            assert_eq!(read(&me, &bad), Err(HandshakeError::Malformed));
        }
    }
}
