//! What an agent says of itself.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Name, NodeId};
use crate::resource::{Amount, Range, Resources};

/// Where something listens, as others reach it. The host is a name or an address without brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// A host name or an IP address.
    pub host: Arc<str>,
    /// A port; 0 is "none".
    pub port: u16,
}

impl HostPort {
    /// From parts.
    pub fn new(host: &str, port: u16) -> HostPort {
        HostPort {
            host: Arc::from(host),
            port,
        }
    }

    /// The host as an IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeValue {
    /// A number.
    Scalar(Amount),
    /// Numbers.
    Ranges(Vec<Range>),
    /// A word.
    Text(Arc<str>),
}

/// What distinguishes an agent for placement; it is not consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name; the same name may stand more than once.
    pub name: Arc<str>,
    /// Its value.
    pub value: AttributeValue,
}

/// What an agent is and has; sent with each session's hello and kept in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// The node it runs on.
    pub node: NodeId,
    /// The node's name.
    pub name: Name,
    /// The agent's HTTP address, as advertised; its host is the hostname in offers.
    pub http: HostPort,
    /// Everything it has, allocated or not.
    pub resources: Resources,
    /// In the order given.
    pub attributes: Vec<Attribute>,
    /// The version of its software, digits and dots.
    pub version: Arc<str>,
}
