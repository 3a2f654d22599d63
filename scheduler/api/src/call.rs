//! What a framework asks of a master.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::framework::FrameworkInfo;
use crate::id::{AgentId, FrameworkId, OfferId, Role, StreamId, UpdateId};
use crate::operation::{ReconcileOperation, Step};
use crate::task::TaskSpec;

/// How long an offer's resources are not to be offered again; what is absent is 5 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// 0 to 365 days; zero is "no filter".
    pub refuse: Duration,
}

impl Default for Filters {
    fn default() -> Filters {
        Filters {
            refuse: Duration::from_secs(5),
        }
    }
}

/// An agent id as a client wrote it: one that this kind of cluster can have, or any other text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AgentName {
    /// Well formed.
    Id(AgentId),
    /// A text that no ledger ever assigned.
    Foreign(Arc<str>),
}

/// A task to launch, as the border understood it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Launch {
    /// Well formed; whether it fits is for the ledger to say.
    Task {
        /// The agent that the framework wrote into the task.
        agent: AgentName,
        /// What to run.
        spec: Arc<TaskSpec>,
    },
    /// Not well formed: the framework gets TASK_ERROR with this text.
    Invalid {
        /// The id as sent; it may break the rules of ids.
        task: Arc<str>,
        /// The agent as sent.
        agent: AgentName,
        /// What is wrong, for people.
        why: Arc<str>,
    },
    /// As [`Launch::Task`], by a framework that wrote into the resources for which role they were
    /// allocated: it must be the offers' role.
    TaskIn {
        /// That role.
        role: Role,
        /// The agent that the framework wrote into the task.
        agent: AgentName,
        /// What to run.
        spec: Arc<TaskSpec>,
    },
}

/// A task to reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileTask {
    /// Which; as sent.
    pub task: Arc<str>,
    /// Where it was thought to be.
    pub agent: Option<AgentName>,
}

/// One call of a subscribed framework.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// End the framework and all its tasks.
    Teardown,
    /// Use offers; an empty list of launches is a decline.
    Accept {
        /// As sent, in order; foreign texts are `Err`.
        offers: Vec<Result<OfferId, Arc<str>>>,
        /// All LAUNCH operations, in order.
        launches: Vec<Launch>,
        /// For what is left over.
        filters: Filters,
    },
    /// Give offers back.
    Decline {
        /// Unknown ones are ignored.
        offers: Vec<OfferId>,
        /// For what is given back.
        filters: Filters,
    },
    /// Clear filters and suppression of these roles; empty is all.
    Revive(BTreeSet<Role>),
    /// No more offers for these roles; empty is all.
    Suppress(BTreeSet<Role>),
    /// End a task.
    Kill {
        /// Which; as sent.
        task: Arc<str>,
        /// Where; a wrong one drops the call.
        agent: Option<AgentName>,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// A status update was received.
    Acknowledge {
        /// As sent.
        agent: AgentName,
        /// As sent.
        task: Arc<str>,
        /// Of the update.
        update: UpdateId,
    },
    /// Say again what state these tasks are in; empty is all.
    Reconcile(Vec<ReconcileTask>),
    /// Use offers for operations, and for launches too.
    Operate {
        /// As sent, in order; foreign texts are `Err`.
        offers: Vec<Result<OfferId, Arc<str>>>,
        /// In order.
        steps: Vec<Step>,
        /// For what is left over.
        filters: Filters,
    },
    /// The status of an operation was received.
    AcknowledgeOperation {
        /// As sent.
        operation: Arc<str>,
        /// Of the status.
        update: UpdateId,
    },
    /// Say again where these operations stand; empty is all.
    ReconcileOperations(Vec<ReconcileOperation>),
}

/// A call with its sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkCall {
    /// Who calls.
    pub framework: FrameworkId,
    /// The subscription that the caller holds.
    pub stream: StreamId,
    /// What it wants.
    pub call: Call,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Who.
    pub info: FrameworkInfo,
    /// Minted by the master that will hold the stream.
    pub stream: StreamId,
}
