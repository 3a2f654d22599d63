//! Operations: changes of what an agent's resources are reserved for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::call::{AgentName, Launch};
use crate::id::UpdateId;
use crate::resource::{Amount, Resources};

/// A change of resources of one agent. Both sides have the same amounts, on other terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Puts a dynamic reservation on top of each; written as they are afterwards.
    Reserve(Resources),
    /// Takes the dynamic reservation on top of each off; written as they are before.
    Unreserve(Resources),
    /// Makes persistent volumes of reserved disk; written as they are afterwards.
    Create(Resources),
    /// Takes volumes apart, with their data; written as they are before.
    Destroy(Resources),
    /// Makes one volume larger.
    Grow {
        /// One volume, as it is before.
        volume: Resources,
        /// What it gets: disk on the terms of the volume without the volume.
        addition: Resources,
    },
    /// Makes one volume smaller.
    Shrink {
        /// One volume, as it is before.
        volume: Resources,
        /// How much it loses.
        subtract: Amount,
    },
}

/// One operation of an accept that is no launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Chosen by the framework, which then is told what became of it.
    pub id: Option<Arc<str>>,
    /// What is to be done, or what is wrong with it.
    pub change: Result<Change, Arc<str>>,
    /// The roles that its resources say to be allocated to; none says nothing.
    pub allocated: Option<Arc<str>>,
}

/// One step of an accept, in the order sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A task to launch.
    Launch(Box<Launch>),
    /// Anything else.
    Operation(Operation),
}

/// Where an operation stands, in the terms of Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OperationState {
    /// Done.
    Finished,
    /// It can never be done as it is; nothing changed.
    Error,
    /// Its agent cannot be reached.
    Unreachable,
    /// Nobody knows it.
    Unknown,
}

/// What a framework is told of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStatus {
    /// As the framework wrote it.
    pub operation: Arc<str>,
    /// Where it stands.
    pub state: OperationState,
    /// For people; may be empty.
    pub message: Arc<str>,
    /// Where it was to be done.
    pub agent: Option<AgentName>,
    /// Present: must be acknowledged. Absent: must not.
    pub update: Option<UpdateId>,
}

/// An operation to reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileOperation {
    /// Which; as sent.
    pub operation: Arc<str>,
    /// Where it was thought to be.
    pub agent: Option<AgentName>,
}
