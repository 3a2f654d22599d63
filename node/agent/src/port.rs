//! What goes into the agent machine and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shoal_api::session::{
    AgentMessage, FileError, FilePiece, FileRead, MasterMessage, SessionRefusal,
};
use shoal_api::task::{Assignment, Exit};
use shoal_api::{AgentId, ClusterId, ContainerId, HostPort, TaskKey, Terms, Timestamp};

use crate::record::{Record, Ticket};

/// One connection to a master, numbered by the machine; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One life of the machine's kernel; processes of another life are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootId(pub u128);

/// What the agent machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The deadline that [`crate::Agent::next_deadline`] named has passed.
    Wake,
    /// What the calendar says at this step; between two of these it runs as the monotonic clock does.
    /// Given at the start and then as often as the driver likes.
    Calendar(Timestamp),
    /// The peer addresses of all masters known, the home master first. Replaces what was said before.
    Masters(Vec<HostPort>),
    /// A connection asked for by [`Output::Dial`] is there.
    Connected {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection could not be made, or it broke.
    Disconnected {
        /// Which.
        connection: ConnectionId,
        /// For people.
        why: Arc<str>,
    },
    /// A master said something.
    Message {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        message: MasterMessage,
    },
    /// The keeper said something.
    Keeper(KeeperEvent),
    /// All records up to this ticket are on disk.
    Checkpointed {
        /// The highest ticket that is.
        ticket: Ticket,
    },
    /// The answer to [`Output::ReadFile`].
    FileRead {
        /// On which connection it was asked.
        connection: ConnectionId,
        /// Of the request.
        request: u64,
        /// The piece, or why not.
        piece: Result<FilePiece, FileError>,
    },
    /// Stop: tasks keep running. [`Output::Stopped`] follows once everything said is on disk.
    Shutdown {
        /// Ask the master to keep the lease for that much longer, at most 60 s.
        restarting: Option<Duration>,
    },
}

/// What the keeper tells of the processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperEvent {
    /// It cannot be reached; what was asked of it since the last answer may or may not have happened,
    /// and what has not been handed to it by then never will be.
    Lost,
    /// It is reached: everything that it knows. Every later change follows as [`KeeperEvent::Task`].
    Listed(Vec<KeeperTask>),
    /// One task's process changed; saying it again changes nothing.
    Task(KeeperTask),
}

/// A task as the keeper knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperTask {
    /// Which.
    pub task: TaskKey,
    /// How its process is.
    pub process: Process,
}

/// How a task's process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Process {
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It ended.
    Ended {
        /// How.
        end: End,
        /// When.
        at: Timestamp,
    },
    /// It never ran.
    NotStarted {
        /// Why.
        failure: Failure,
        /// When that was known.
        at: Timestamp,
    },
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As its parent saw it.
    Exit(Exit),
    /// It is gone, and nobody saw how.
    Unknown,
}

/// Why a process never ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The program could not be executed. As in Mesos, where this happens after RUNNING was said, it
    /// looks like an exit with status 1; the cause is in the task's stderr.
    Exec(Arc<str>),
    /// What it needs (its sandbox, its user) could not be had.
    Setup(Arc<str>),
}

/// What the agent machine wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection; answer `Connected` or `Disconnected`.
    Dial {
        /// Its number from here on.
        connection: ConnectionId,
        /// A master's peer address.
        to: HostPort,
    },
    /// Close a connection after what was sent before; no `Disconnected` is expected.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Send a message; one that cannot be sent breaks the connection.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        message: AgentMessage,
    },
    /// Append a record; `Checkpointed` follows once it is on disk. Many may be written at once.
    Checkpoint {
        /// Rises by one from record to record.
        ticket: Ticket,
        /// What.
        record: Record,
    },
    /// Make the sandbox and have the keeper start the process; the keeper's answer follows as
    /// [`KeeperEvent::Task`]. May be asked twice: a key that the keeper knows is not started again.
    Spawn(Spawn),
    /// Have the keeper send a signal to the task's whole process group.
    Signal {
        /// Which task.
        task: TaskKey,
        /// What.
        signal: Signal,
    },
    /// The keeper may forget the task; its sandbox may be removed after the usual delay.
    Forget {
        /// Which.
        task: TaskKey,
    },
    /// Remove the data of a volume that was destroyed, for good.
    RemoveVolume {
        /// On what terms it was had.
        terms: Arc<Terms>,
    },
    /// Read a piece of a file; answer `FileRead`.
    ReadFile {
        /// On which connection it was asked.
        connection: ConnectionId,
        /// What; its length and file name are within bounds.
        read: FileRead,
        /// Whether the task's process has ended, so that the file will not grow.
        complete: bool,
    },
    /// The session's state changed, for whoever shows it.
    Session(SessionChange),
    /// The agent can never work as it is configured: the process should end with this message.
    Fatal(SessionRefusal),
    /// After [`Input::Shutdown`]: all is on disk and sent, nothing follows.
    Stopped,
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// The task, and the keeper's key.
    pub task: TaskKey,
    /// Its sandbox.
    pub container: ContainerId,
    /// All about it; it has a command.
    pub assignment: Arc<Assignment>,
}

/// A signal that the agent sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Please end.
    Term,
    /// End.
    Kill,
}

/// What became of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// A master commands this agent.
    Opened {
        /// On which connection.
        connection: ConnectionId,
        /// Where that master is.
        master: HostPort,
        /// The cluster.
        cluster: ClusterId,
        /// The agent's id.
        agent: AgentId,
    },
    /// Nobody does.
    Closed {
        /// For people.
        why: Arc<str>,
    },
    /// A master did not open a session; another one is dialled.
    Refused(SessionRefusal),
}
