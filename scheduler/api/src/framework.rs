//! What a framework says of itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{FrameworkId, Principal, Role};

/// What a framework understands, in the terms of Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Capability {
    /// Takes revocable resources.
    RevocableResources,
    /// Wants TASK_KILLING.
    TaskKillingState,
    /// May be offered agents with GPUs.
    GpuResources,
    /// Takes shared volumes.
    SharedResources,
    /// Understands UNREACHABLE, DROPPED, GONE, GONE_BY_OPERATOR and UNKNOWN; without it they are LOST.
    PartitionAware,
    /// Subscribes with several roles, and sees `allocation_info`.
    MultiRole,
    /// Understands stacks of reservations.
    ReservationRefinement,
    /// May be offered agents of other regions.
    RegionAware,
}

/// A framework as subscribed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkInfo {
    /// Absent before the ledger assigned one.
    pub id: Option<FrameworkId>,
    /// For people.
    pub name: Arc<str>,
    /// Under which its tasks run where no task says otherwise; may be empty.
    pub user: Arc<str>,
    /// Who it authenticated as, or says to be.
    pub principal: Option<Principal>,
    /// At least one; exactly one without [`Capability::MultiRole`].
    pub roles: BTreeSet<Role>,
    /// A subset of `roles` that wants no offers.
    pub suppressed: BTreeSet<Role>,
    /// What it understands.
    pub capabilities: BTreeSet<Capability>,
    /// How long it may stay away before it is removed with its tasks. Zero: at once.
    pub failover_timeout: Duration,
    /// Everything the framework sent, in the border's own encoding; the ledger never looks inside.
    pub raw: Bytes,
}

impl FrameworkInfo {
    /// Whether it has a capability.
    pub fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}
