//! What a node tells about itself in the gossip, written and read in one place.

use std::sync::Arc;

use shoal_api::agent::HostPort;
use shoal_api::member::{Member, Tags};
use shoal_api::{ClusterId, RaftId};
use shoal_membership::{NodeTags, TagsError};

use crate::cli::flags::parse_host_port;
use crate::config::NodeConfig;
use crate::roles::NodeRoles;

const ROLES: &str = "roles";
const HTTP: &str = "http";
const AGENT_HTTP: &str = "agent_http";
const PEER: &str = "peer";
const RAFT_ID: &str = "raft_id";
const CLUSTER: &str = "cluster";
const BOOTSTRAP: &str = "bootstrap_expect";
const VERSION: &str = "version";

/// Keys that the node itself says.
pub const OWN: &[&str] = &[
    ROLES, HTTP, AGENT_HTTP, PEER, RAFT_ID, CLUSTER, BOOTSTRAP, VERSION,
];

/// What this node tells about itself, beside the tags that it was given.
///
/// # Errors
/// [`TagsError`] if a name or an address is too long for the gossip.
pub fn of(
    config: &NodeConfig,
    raft: Option<RaftId>,
    cluster: Option<ClusterId>,
) -> Result<NodeTags, TagsError> {
    let mut tags = Tags::new();
    let mut put = |key: &str, value: String| tags.insert(Arc::from(key), Arc::from(value));
    put(ROLES, config.roles.to_string());
    put(VERSION, env!("CARGO_PKG_VERSION").to_owned());
    put(HTTP, config.http.advertise.to_string());
    if config.roles.agent {
        put(AGENT_HTTP, config.agent_http.advertise.to_string());
    }
    if let Some(raft) = raft {
        put(PEER, config.peer.advertise.to_string());
        put(RAFT_ID, raft.to_string());
        put(
            CLUSTER,
            cluster.map(|id| id.to_string()).unwrap_or_default(),
        );
        if let Some(expect) = config.bootstrap_expect {
            put(BOOTSTRAP, expect.to_string());
        }
    }
    NodeTags::new(tags)
}

fn text<'a>(member: &'a Member, key: &str) -> Option<&'a str> {
    member.tags.get(key).map(|value| &**value)
}

/// What a member says to be.
pub fn roles(member: &Member) -> NodeRoles {
    NodeRoles::from_tag(text(member, ROLES).unwrap_or_default())
}

/// Where its API is.
pub fn http(member: &Member) -> Option<HostPort> {
    parse_host_port(text(member, HTTP)?).ok()
}

/// Where its peer port is.
pub fn peer(member: &Member) -> Option<HostPort> {
    parse_host_port(text(member, PEER)?).ok()
}

/// Its voter id.
pub fn raft_id(member: &Member) -> Option<RaftId> {
    let number: u64 = text(member, RAFT_ID)?.parse().ok()?;
    (number != 0).then_some(RaftId(number))
}

/// Its cluster; `None` while it belongs to none.
pub fn cluster(member: &Member) -> Option<ClusterId> {
    text(member, CLUSTER)?.parse().ok()
}

/// How many masters it waits for to found a cluster.
pub fn bootstrap_expect(member: &Member) -> Option<u8> {
    text(member, BOOTSTRAP)?.parse().ok()
}
