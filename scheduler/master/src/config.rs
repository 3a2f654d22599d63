//! What a master is told at its start.

use std::sync::Arc;
use std::time::Duration;

use shoal_api::{ClusterId, Generation, HostPort, Name, NodeId, Plants, RaftId};

/// Who this master is and how it behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Minted with the data directory.
    pub node: NodeId,
    /// Raised and synced before the start.
    pub generation: Generation,
    /// Minted with the data directory.
    pub raft: RaftId,
    /// The node's label.
    pub name: Name,
    /// Known from the bootstrap, or learned from the cluster that is joined.
    pub cluster: ClusterId,
    /// Where its API listens, as others reach it.
    pub http: HostPort,
    /// Where its peer port listens, as others reach it.
    pub peer: HostPort,
    /// The process, for people.
    pub pid: u32,
    /// Of all chance in this machine.
    pub seed: u64,
    /// Times and sizes.
    pub tuning: Tuning,
    /// Deliberate defects, for the simulator's teeth; none in a real node.
    pub plants: Plants,
}

/// Times and sizes that an operator may want to change.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// After which an unanswered offer is rescinded. Default: never. Source: Mesos `--offer_timeout`.
    pub offer_timeout: Option<Duration>,
    /// How long an agent without a session keeps its lease when gossip says that it failed.
    /// Default 6 s; less replaces tasks faster and forgives less.
    pub lease_failed: Duration,
    /// The same when gossip says that it is alive. Default 75 s. Source: Mesos, 5 pings of 15 s.
    pub lease_alive: Duration,
    /// How long an agent may take to redial when its session's master died. Default 5 s.
    pub redial: Duration,
    /// How long an unanswered request is tried before the caller hears "unavailable". Default 10 s.
    pub request_timeout: Duration,
    /// Entries between two snapshots. Default 20 000.
    pub snapshot_entries: u64,
    /// Bytes of log between two snapshots. Default 64 MiB.
    pub snapshot_bytes: u64,
    /// How often a held stream gets a heartbeat. Default 15 s. Source: Mesos.
    pub heartbeat: Duration,
    /// How long after the last word of a leader a master closes its framework streams. Default 30 s.
    pub orphaned_streams: Duration,
    /// How long a master must be dead before a caught-up spare replaces it. Default 10 min.
    pub replace_dead: Duration,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            offer_timeout: None,
            lease_failed: Duration::from_secs(6),
            lease_alive: Duration::from_secs(75),
            redial: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            snapshot_entries: 20_000,
            snapshot_bytes: 64 << 20,
            heartbeat: Duration::from_secs(15),
            orphaned_streams: Duration::from_secs(30),
            replace_dead: Duration::from_secs(600),
        }
    }
}

/// A master as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MasterInfo {
    /// Its voter id.
    pub raft: RaftId,
    /// Its node.
    pub node: NodeId,
    /// Its node's life.
    pub generation: Generation,
    /// Its label.
    pub name: Name,
    /// Its API.
    pub http: HostPort,
    /// Its peer port.
    pub peer: HostPort,
    /// Its process, for people.
    pub pid: u32,
    /// Its software, digits and dots.
    pub version: Arc<str>,
}
