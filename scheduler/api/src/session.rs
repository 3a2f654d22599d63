//! The session between an agent and the master that commands it.
//!
//! A session is an ordered, reliable stream that may break at any point. Both sides are
//! level-triggered: after a break the agent says what it runs, the master what should run, and only
//! the difference travels.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::agent::{AgentInfo, HostPort};
use crate::id::{AgentId, ClusterId, Epoch, Fence, Generation, TaskKey};
use crate::task::{Assignment, StatusUpdate, TaskState};
use crate::terms::Terms;

/// The agent's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who it is and what it has.
    pub info: AgentInfo,
    /// Its life.
    pub generation: Generation,
    /// Rises with every hello of one life: what an older one tells, a newer one has overtaken.
    pub number: u64,
    /// The cluster it belongs to; absent before its first session ever.
    pub cluster: Option<ClusterId>,
    /// The id it was given; absent before its first session ever.
    pub agent: Option<AgentId>,
    /// The highest fence that it obeyed.
    pub fence: Fence,
    /// Every task that it knows and that has not been forgotten.
    pub tasks: Vec<TaskReport>,
}

/// One task in a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Which, with all that is needed to give it a row if the ledger has none.
    pub assignment: Arc<Assignment>,
    /// Its latest state at the agent.
    pub state: TaskState,
    /// Updates that the ledger has not confirmed, by sequence.
    pub updates: Vec<StatusUpdate>,
}

/// From agent to master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentMessage {
    /// Once, first.
    Hello(Box<Hello>),
    /// A task's state changed; sent again until [`MasterMessage::UpdateDurable`].
    Update(StatusUpdate),
    /// Proof of life, and an answer to [`MasterMessage::Ping`].
    Pong,
    /// A command was not obeyed because it was older than the fence.
    Stale {
        /// What the agent has.
        fence: Fence,
    },
    /// The agent stops on purpose and wants its lease kept for that much longer.
    Restarting {
        /// At most 60 s.
        back_within: Duration,
    },
    /// A piece of a file, or why not.
    FilePiece {
        /// Of the request.
        request: u64,
        /// The bytes at the offset, empty at the end of the file.
        piece: Result<FilePiece, FileError>,
    },
}

/// A piece of a sandbox file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePiece {
    /// At most [`crate::limits::FILE_PIECE_BYTES`].
    pub bytes: Bytes,
    /// The size of the file at the time of reading.
    pub size: u64,
    /// Whether the task has ended and the file will not grow.
    pub complete: bool,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FileError {
    /// The agent does not know the task.
    #[error("task {0} has no sandbox on this agent")]
    NoSuchTask(TaskKey),
    /// The sandbox has no such file.
    #[error("the sandbox has no file '{0}'")]
    NoSuchFile(Arc<str>),
    /// Reading failed.
    #[error("the file cannot be read: {0}")]
    Unreadable(Arc<str>),
    /// The agent has no session, or it broke meanwhile.
    #[error("the agent is not connected")]
    NotConnected,
}

/// A request to read part of a file in a task's sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRead {
    /// Echoed in the answer.
    pub request: u64,
    /// Whose sandbox.
    pub task: TaskKey,
    /// `stdout` or `stderr`; nothing else is relayed.
    pub file: Arc<str>,
    /// From where, in bytes.
    pub offset: u64,
    /// At most so many bytes.
    pub length: u32,
}

/// From master to agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MasterMessage {
    /// The session is open: `SessionOpened` is committed.
    Welcome {
        /// The agent's cluster.
        cluster: ClusterId,
        /// The agent's id.
        agent: AgentId,
        /// The fence of this session.
        fence: Fence,
    },
    /// The session is not opened.
    Refused(SessionRefusal),
    /// Run this, unless it was reported or launched before.
    Launch {
        /// Checked before anything else.
        fence: Fence,
        /// What to run.
        assignment: Arc<Assignment>,
    },
    /// End this; once more shortens the grace at most.
    Kill {
        /// Checked before anything else.
        fence: Fence,
        /// Which.
        task: TaskKey,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// The ledger has this update: the agent may forget it.
    UpdateDurable {
        /// Which task.
        task: TaskKey,
        /// All up to this one.
        sequence: u64,
    },
    /// The ledger has the end of this task and its framework acknowledged it: forget the task.
    Forget {
        /// Checked before anything else.
        fence: Fence,
        /// Which.
        task: TaskKey,
    },
    /// Are you there?
    Ping,
    /// Dial this master instead; the session stays until the other one can be told a hello.
    Move {
        /// Where its peer port is.
        peer: HostPort,
    },
    /// Send a piece of a file.
    ReadFile(FileRead),
    /// A volume was destroyed: remove its data.
    RemoveVolume {
        /// Checked before anything else.
        fence: Fence,
        /// On what terms it was had.
        terms: Arc<Terms>,
    },
}

/// Why a master does not open a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SessionRefusal {
    /// There is no leader, or this master lags: dial again, another master perhaps.
    #[error("no leader can be reached at the moment")]
    Unavailable,
    /// The agent's data directory is of another cluster.
    #[error("the agent belongs to cluster {theirs}, this is cluster {ours}")]
    OtherCluster {
        /// Of the agent.
        theirs: ClusterId,
        /// Of the master.
        ours: ClusterId,
    },
    /// The ledger has a newer session of that node.
    #[error("a newer session of this agent is open, epoch {0}")]
    Superseded(Epoch),
    /// Less resources than its tasks hold.
    #[error("the agent offers less than its tasks hold: {0}")]
    ResourcesShrunk(Arc<str>),
    /// The hello makes no sense.
    #[error("the hello is not valid: {0}")]
    Invalid(Arc<str>),
}
