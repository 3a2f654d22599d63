//! What the agent writes to its own disk before it acts, and how that is encoded.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shoal_api::task::Assignment;
use shoal_api::{AgentId, ClusterId, ContainerId, Fence, StatusUpdate, TaskKey};
use thiserror::Error;

use crate::port::BootId;

/// The number of a record; rises by one from record to record within one life of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One thing to survive a crash. Replaying all records in order gives the agent back what it knew;
/// replaying one twice changes nothing. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The agent started in this life of the kernel.
    Booted(BootId),
    /// The ledger gave the agent its id.
    Bound {
        /// In this cluster.
        cluster: ClusterId,
        /// This id.
        agent: AgentId,
    },
    /// A session's fence was accepted.
    Fenced(Fence),
    /// A task is to run.
    Launched {
        /// Of the command.
        fence: Fence,
        /// What to run.
        assignment: Arc<Assignment>,
        /// In which sandbox.
        container: ContainerId,
    },
    /// A task is to end.
    Killed {
        /// Of the command.
        fence: Fence,
        /// Which.
        task: TaskKey,
        /// What the kill asked for, already resolved against the task's own.
        grace: Duration,
    },
    /// A status update was minted.
    Updated(StatusUpdate),
    /// The ledger has a task's updates up to this one.
    Durable {
        /// Which task.
        task: TaskKey,
        /// The highest that it has.
        sequence: u64,
    },
    /// A task is forgotten.
    Forgotten {
        /// Of the command.
        fence: Fence,
        /// Which.
        task: TaskKey,
    },
    /// A task as it stands, in an image that replaces the records before it.
    Standing {
        /// What runs.
        assignment: Arc<Assignment>,
        /// In which sandbox.
        container: ContainerId,
        /// The grace of the kill that it was told, if it was.
        kill: Option<Duration>,
        /// The latest update that the ledger has; those that it lacks follow as `Updated`.
        durable: Option<StatusUpdate>,
    },
}

/// Why bytes are not a record. The log is damaged or of a newer version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a checkpoint record cannot be read: {0}")]
pub struct RecordError(postcard::Error);

impl Record {
    /// The bytes of this record.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a record is always encodable")
    }

    /// Whether something waits for it to be on disk. What is not urgent may be written with the next
    /// record that is, or a while later: should a crash lose it, a master says it again.
    pub fn is_urgent(&self) -> bool {
        match self {
            Record::Durable { .. } => false,
            Record::Booted(_)
            | Record::Bound { .. }
            | Record::Fenced(_)
            | Record::Launched { .. }
            | Record::Killed { .. }
            | Record::Updated(_)
            | Record::Forgotten { .. }
            | Record::Standing { .. } => true,
        }
    }

    /// A record from its bytes.
    ///
    /// # Errors
    /// [`RecordError`] if they are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
        let (record, rest) = postcard::take_from_bytes(bytes).map_err(RecordError)?;
        if rest.is_empty() {
            Ok(record)
        } else {
            Err(RecordError(postcard::Error::DeserializeBadEncoding))
        }
    }
}
