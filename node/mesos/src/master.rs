//! A master as foreign clients are shown it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use shoal_api::HostPort;

use crate::proto::v1;
use crate::proto::v1::master_info::capability::Type;

/// The version of Mesos whose behaviour a client may count on: digits and dots only, since pymesos
/// takes each part as a number. Source: Mesos 1.11.0, its last release.
pub const MESOS_VERSION: &str = "1.11.0";

/// What every master of Mesos can do, as listings name it.
pub const MASTER_CAPABILITIES: [&str; 3] = ["AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"];

/// What every agent of Mesos can do, as listings name it.
pub const AGENT_CAPABILITIES: [&str; 8] = [
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
];

/// Who a master says to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// What stands for Mesos' master id: the origin of the ids that the ledger assigns.
    pub id: Arc<str>,
    /// Its HTTP address, as advertised.
    pub http: HostPort,
}

impl Master {
    /// `master@host:port`, which clients take apart at the `@`.
    pub fn pid(&self) -> String {
        format!("master@{}", self.http)
    }

    /// The message of that name.
    pub fn info(&self) -> v1::MasterInfo {
        let capabilities = [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2];
        v1::MasterInfo {
            id: Some(self.id.to_string()),
            ip: Some(packed(self.http.ip())),
            port: Some(u32::from(self.http.port)),
            pid: Some(self.pid()),
            hostname: Some(self.http.host.to_string()),
            version: Some(MESOS_VERSION.to_owned()),
            address: Some(address(&self.http)),
            domain: None,
            capabilities: capabilities
                .into_iter()
                .map(|kind| v1::master_info::Capability {
                    r#type: Some(kind.into()),
                })
                .collect(),
        }
    }
}

/// An address as a message; its `ip` is left out where the host is a name.
pub fn address(http: &HostPort) -> v1::Address {
    v1::Address {
        hostname: Some(http.host.to_string()),
        ip: http.ip().map(|ip| ip.to_string()),
        port: Some(i32::from(http.port)),
    }
}

/// An IPv4 address in network order, as its bytes lie in memory; 0 for anything else.
fn packed(ip: Option<IpAddr>) -> u32 {
    match ip {
        Some(IpAddr::V4(ip)) => u32::from_le_bytes(ip.octets()),
        Some(IpAddr::V6(_)) | None => u32::from_le_bytes(Ipv4Addr::UNSPECIFIED.octets()),
    }
}
