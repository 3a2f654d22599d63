//! Members: nodes as the gossip sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Generation, Name, NodeId};

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MemberStatus {
    /// It answers.
    Alive,
    /// It did not answer a probe; it may refute.
    Suspect,
    /// It said that it is about to leave.
    Leaving,
    /// It left in good order.
    Left,
    /// It stopped answering.
    Failed,
}

impl MemberStatus {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            MemberStatus::Alive => "alive",
            MemberStatus::Suspect => "suspect",
            MemberStatus::Leaving => "leaving",
            MemberStatus::Left => "left",
            MemberStatus::Failed => "failed",
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Key and value pairs that a node tells about itself.
pub type Tags = BTreeMap<Arc<str>, Arc<str>>;

/// A node as the gossip sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which node.
    pub id: NodeId,
    /// Its life.
    pub generation: Generation,
    /// Its label; empty-free, but unknown until its tags were pulled.
    pub name: Option<Name>,
    /// Where it gossips.
    pub gossip: SocketAddr,
    /// Where it stands.
    pub status: MemberStatus,
    /// What it tells about itself.
    pub tags: Tags,
}

/// A change in the list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// New, back, or with a newer life.
    Joined(Member),
    /// Its status is another.
    StatusChanged(Member),
    /// Its tags, name or address are others.
    Updated(Member),
    /// Forgotten.
    Reaped(NodeId),
}
