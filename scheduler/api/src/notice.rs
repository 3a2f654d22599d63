//! What a master tells a framework over its stream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::agent::AgentInfo;
use crate::call::AgentName;
use crate::id::{AgentId, ContainerId, FrameworkId, OfferId, UpdateId};
use crate::offer::Offer;
use crate::operation::OperationStatus;
use crate::task::{Exit, Reason, Source, TaskState};
use crate::time::Timestamp;

/// One event of a framework's stream, in the order in which the ledger made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Always the first.
    Subscribed {
        /// Assigned or confirmed.
        framework: FrameworkId,
    },
    /// Proof of life, every 15 s.
    Heartbeat,
    /// New offers, all of one allocation.
    Offers(Vec<(Offer, Arc<AgentInfo>)>),
    /// An offer is no longer valid.
    Rescind(OfferId),
    /// A task's state.
    Update(TaskStatus),
    /// An operation's state.
    Operation(OperationStatus),
    /// An agent was lost.
    Failure {
        /// Which.
        agent: AgentId,
    },
    /// The end of the stream, and why.
    Error(Arc<str>),
}

/// A task's state as a framework is told, already in the terms that it understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// As the framework wrote it.
    pub task: Arc<str>,
    /// Where it runs or was to run.
    pub agent: Option<AgentName>,
    /// Its state, with LOST for those that are not partition-aware.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
    /// For people; may be empty.
    pub message: Arc<str>,
    /// When.
    pub timestamp: Timestamp,
    /// Present: must be acknowledged. Absent: must not.
    pub update: Option<UpdateId>,
    /// Since when the agent is unreachable.
    pub unreachable_since: Option<Timestamp>,
    /// How the process ended.
    pub exit: Option<Exit>,
    /// Its sandbox, of a task that was launched.
    pub container: Option<ContainerId>,
}
