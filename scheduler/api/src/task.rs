//! Tasks: what is to run, the states they go through, and the reports of that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, FrameworkId, Role, TaskId, TaskKey, UpdateId};
use crate::resource::Resources;
use crate::time::Timestamp;

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// `sh -c VALUE`.
    Shell(#[serde(deserialize_with = "crate::text::shared")] Arc<str>),
    /// The program itself; `arguments[0]` is what it sees as its own name.
    Exec {
        /// A path, or a word looked up in PATH.
        program: Arc<str>,
        /// With `arguments[0]`; may be empty, then the program's path stands for it.
        arguments: Vec<Arc<str>>,
    },
}

/// What a framework wants to run: the part Shoal understands, and all that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The framework's id for it.
    pub id: TaskId,
    /// For people.
    #[serde(deserialize_with = "crate::text::shared")]
    pub name: Arc<str>,
    /// Never empty.
    pub resources: Resources,
    /// Absent if the task has a custom executor.
    pub command: Option<Command>,
    /// In order; a later name wins.
    pub environment: Vec<(Arc<str>, Arc<str>)>,
    /// Under which it runs; the framework's user where absent.
    pub user: Option<Arc<str>>,
    /// Between TERM and KILL; the agent's default where absent.
    pub kill_grace: Option<Duration>,
    /// What the task asks for that this version cannot give, for people: refused at launch.
    pub unsupported: Option<Arc<str>>,
    /// Everything the framework sent, in the border's own encoding; may be empty for our own tasks.
    pub raw: Bytes,
    /// A digest of `raw`, so that equal blobs can be stored once; not used yet.
    pub digest: Option<u128>,
}

/// Where a task stands, in the terms of Mesos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskState {
    /// In the ledger; the agent has not reported yet.
    Staging,
    /// The agent is starting it.
    Starting,
    /// Its process runs.
    Running,
    /// It was told to end.
    Killing,
    /// Exit code 0.
    Finished,
    /// Ended otherwise.
    Failed,
    /// Ended because it was told to.
    Killed,
    /// It can never run as it is.
    Error,
    /// How the partition states look to a framework that does not know them.
    Lost,
    /// It never reached a running executor.
    Dropped,
    /// Its agent cannot be reached; it may come back.
    Unreachable,
    /// Its agent says that it does not run.
    Gone,
    /// Its agent was declared gone by an operator.
    GoneByOperator,
    /// Nobody knows it: an answer to reconciliation only.
    Unknown,
}

impl TaskState {
    /// All of them.
    pub const ALL: [TaskState; 14] = [
        TaskState::Staging,
        TaskState::Starting,
        TaskState::Running,
        TaskState::Killing,
        TaskState::Finished,
        TaskState::Failed,
        TaskState::Killed,
        TaskState::Error,
        TaskState::Lost,
        TaskState::Dropped,
        TaskState::Unreachable,
        TaskState::Gone,
        TaskState::GoneByOperator,
        TaskState::Unknown,
    ];

    /// Whether nothing follows. UNREACHABLE is not terminal; LOST is.
    pub fn is_terminal(self) -> bool {
        match self {
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Unreachable
            | TaskState::Unknown => false,
            TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator => true,
        }
    }

    /// How a framework sees it: the partition states are LOST to those that are not partition-aware.
    pub fn seen_by(self, partition_aware: bool) -> TaskState {
        match self {
            TaskState::Dropped
            | TaskState::Unreachable
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown
                if !partition_aware =>
            {
                TaskState::Lost
            }
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Unreachable
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown => self,
        }
    }

    /// The name on the wire, as in Mesos.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Staging => "TASK_STAGING",
            TaskState::Starting => "TASK_STARTING",
            TaskState::Running => "TASK_RUNNING",
            TaskState::Killing => "TASK_KILLING",
            TaskState::Finished => "TASK_FINISHED",
            TaskState::Failed => "TASK_FAILED",
            TaskState::Killed => "TASK_KILLED",
            TaskState::Error => "TASK_ERROR",
            TaskState::Lost => "TASK_LOST",
            TaskState::Dropped => "TASK_DROPPED",
            TaskState::Unreachable => "TASK_UNREACHABLE",
            TaskState::Gone => "TASK_GONE",
            TaskState::GoneByOperator => "TASK_GONE_BY_OPERATOR",
            TaskState::Unknown => "TASK_UNKNOWN",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who made a status update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// A master.
    Master,
    /// The agent itself.
    Agent,
    /// The part of the agent that runs the command.
    Executor,
}

impl Source {
    /// The name on the wire, as in Mesos' v1 API.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Master => "SOURCE_MASTER",
            Source::Agent => "SOURCE_AGENT",
            Source::Executor => "SOURCE_EXECUTOR",
        }
    }
}

/// Why a state was reached, in the terms of Mesos. A plain end has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The task can never run as it is.
    TaskInvalid,
    /// Who asked may not.
    TaskUnauthorized,
    /// The offers were gone, or not all of one kind.
    InvalidOffers,
    /// The agent is not there any more.
    AgentRemoved,
    /// The agent has no session at the moment.
    AgentDisconnected,
    /// An answer to a reconciliation.
    Reconciliation,
    /// The agent is back.
    AgentReregistered,
    /// The framework was removed.
    FrameworkRemoved,
    /// The process could not be started.
    ContainerLaunchFailed,
    /// The process ended and nobody saw how.
    ExecutorTerminated,
    /// The agent restarted in a way that ended the task.
    AgentRestarted,
    /// The agent does not have what the task asks for.
    ResourcesUnknown,
    /// It was killed before it started.
    TaskKilledDuringLaunch,
    /// The task asks for something that this agent cannot give.
    Unsupported,
}

impl Reason {
    /// The name as in Mesos' v1 API, which has none for [`Reason::Unsupported`].
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::TaskInvalid => "REASON_TASK_INVALID",
            Reason::TaskUnauthorized => "REASON_TASK_UNAUTHORIZED",
            Reason::InvalidOffers => "REASON_INVALID_OFFERS",
            Reason::AgentRemoved => "REASON_AGENT_REMOVED",
            Reason::AgentDisconnected => "REASON_AGENT_DISCONNECTED",
            Reason::Reconciliation => "REASON_RECONCILIATION",
            Reason::AgentReregistered => "REASON_AGENT_REREGISTERED",
            Reason::FrameworkRemoved => "REASON_FRAMEWORK_REMOVED",
            Reason::ContainerLaunchFailed => "REASON_CONTAINER_LAUNCH_FAILED",
            Reason::ExecutorTerminated => "REASON_EXECUTOR_TERMINATED",
            Reason::AgentRestarted => "REASON_AGENT_RESTARTED",
            Reason::ResourcesUnknown => "REASON_RESOURCES_UNKNOWN",
            Reason::TaskKilledDuringLaunch => "REASON_TASK_KILLED_DURING_LAUNCH",
            Reason::Unsupported => "REASON_UNSUPPORTED",
        }
    }
}

/// A durable report of a task's state, minted by an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusUpdate {
    /// Which task.
    pub task: TaskKey,
    /// From 1, without gaps as minted; the ledger may skip middle ones.
    pub sequence: u64,
    /// Minted with it; what the framework acknowledges.
    pub id: UpdateId,
    /// The state it reports.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// Why, where there is a why.
    pub reason: Option<Reason>,
    /// For people; may be empty.
    pub message: Arc<str>,
    /// When, by the agent's calendar.
    pub timestamp: Timestamp,
    /// How the process ended, once it did.
    pub exit: Option<Exit>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code (0 to 255).
    Code(u8),
    /// By a signal.
    Signal(u8),
}

/// A task as the ledger hands it to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Which task, in which use of its id.
    pub key: TaskKey,
    /// Where it runs.
    pub agent: AgentId,
    /// In whose name its resources are used.
    pub role: Role,
    /// What it is.
    pub spec: Arc<TaskSpec>,
    /// The framework's user, for tasks that name none.
    pub framework_user: Arc<str>,
    /// The framework's name, for people.
    pub framework_name: Arc<str>,
}

/// A task named in a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskQuery {
    /// Whose.
    pub framework: FrameworkId,
    /// Which.
    pub task: TaskId,
    /// Where it was thought to be; `Err` holds a text that is no agent id of any cluster.
    pub agent: Option<Result<AgentId, Arc<str>>>,
}
