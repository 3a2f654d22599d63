//! What goes into a master and what comes out: one enum each, so that a run is a list.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::member::MemberEvent;
use shoal_api::notice::Notice;
use shoal_api::operation::Change;
use shoal_api::session::{AgentMessage, FileError, FilePiece, MasterMessage};
use shoal_api::{
    AgentId, FrameworkId, Index, NodeId, Principal, RaftId, RunId, RunRefusal, RunSpec, StreamId,
    TaskId, Term, Timestamp,
};
use shoal_quorum::{Batch, Membership, PeerProgress, Snapshot, Ticket};

use crate::event::EntryEvents;
use crate::peer::PeerMessage;
use crate::state::State;

/// One connection of an agent or of a framework's stream, numbered by the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

/// One request that waits for an answer, numbered by the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ask(pub u64);

/// What happened outside.
#[derive(Debug)]
pub enum Input {
    /// A deadline passed.
    Wake,
    /// The calendar, told with the first input of each batch; it may jump.
    Calendar(Timestamp),
    /// Another master says something.
    Peer {
        /// Who; authenticated by the handshake.
        from: RaftId,
        /// Its node.
        node: NodeId,
        /// What.
        message: PeerMessage,
    },
    /// The stream to another master broke.
    PeerBroken(RaftId),
    /// A batch is on disk, with all before it.
    Persisted(Ticket),
    /// A snapshot of [`Output::SaveSnapshot`] is on disk.
    SnapshotSaved(Index),
    /// The disk has no room for more log.
    DiskFull,
    /// The disk has room again.
    DiskHasRoom,
    /// The image given in [`Output::TakeSnapshot`] is serialised.
    SnapshotReady {
        /// Of the image.
        index: Index,
        /// The snapshot.
        chunks: Arc<[Bytes]>,
    },
    /// An agent opened a session, or says something in one. The first message must be a hello.
    Session {
        /// Its connection.
        conn: Conn,
        /// What it says.
        message: AgentMessage,
    },
    /// An agent's connection is gone.
    SessionClosed(Conn),
    /// A framework wants a stream.
    Subscribe {
        /// The connection that will carry it.
        conn: Conn,
        /// Who and how.
        info: Box<shoal_api::FrameworkInfo>,
    },
    /// A framework's connection is gone.
    StreamClosed(Conn),
    /// Somebody wants something.
    Request {
        /// Echoed in the answer.
        ask: Ask,
        /// What.
        request: Request,
    },
    /// The gossip saw a change.
    Member(MemberEvent),
    /// Hand over what can be handed over; [`Output::Stopped`] follows.
    Shutdown,
}

/// What can be asked of any master.
#[derive(Clone, Debug)]
pub enum Request {
    /// A call of a subscribed framework.
    Call(shoal_api::call::FrameworkCall),
    /// The state as of a moment after this request.
    Read,
    /// The state as it is here, however old.
    ReadStale,
    /// Create a run.
    CreateRun(Box<RunSpec>),
    /// End a run.
    KillRun(RunId),
    /// End a task of any framework, for an operator.
    KillTask {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// Remove a framework and end all its tasks, for an operator.
    RemoveFramework(FrameworkId),
    /// Change what resources of an agent are reserved for, for an operator.
    OperateAgent {
        /// Which.
        agent: AgentId,
        /// What.
        change: Change,
        /// Who, if that is known.
        principal: Option<Principal>,
    },
    /// Read from a task's sandbox.
    ReadFile {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// `stdout` or `stderr`.
        file: Arc<str>,
        /// From where.
        offset: u64,
        /// At most so much.
        length: u32,
    },
    /// Give leadership to another voter, or to any.
    TransferLeadership(Option<RaftId>),
    /// Take a master out of the quorum for ever.
    RemoveMaster(RaftId),
    /// Give a caught-up spare a vote: one voter more.
    PromoteMaster(RaftId),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// Done, durably.
    Done,
    /// The state asked for; taking it cost nothing.
    State(View),
    /// The run was created.
    RunCreated(RunId),
    /// A piece of a file.
    File(Result<FilePiece, FileError>),
    /// Refused; nothing changed.
    Refused(Refused),
}

/// An image of the ledger with its whereabouts.
#[derive(Clone, Debug)]
pub struct View {
    /// The state, shared.
    pub state: Arc<State>,
    /// The index it is of.
    pub index: Index,
    /// How long ago a leader was last heard of; zero when it is current.
    pub age: Duration,
    /// Who leads, where known.
    pub leader: Option<RaftId>,
    /// The term.
    pub term: Term,
    /// The voters and learners.
    pub membership: Membership,
    /// What the leader knows of each; empty on any other master.
    pub progress: Vec<PeerProgress>,
    /// Voters that no living node carries, by this master's gossip, and for how long.
    pub missing: Vec<(RaftId, Duration)>,
    /// How long a voter must be missing before a spare takes its place.
    pub replace_dead: Duration,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
pub enum Refused {
    /// No leader answered in time. The request may or may not take effect; it is safe to ask again.
    #[error("no leader answered in time; ask again")]
    Unavailable,
    /// Too much waits already. Nothing changed; ask again later.
    #[error("too many requests wait for the leader; ask again later")]
    Busy,
    /// The ledger refused the call of a framework.
    #[error("{0}")]
    Offers(shoal_offers::Refusal),
    /// The run is not acceptable.
    #[error("{0}")]
    Run(RunRefusal),
    /// There is no such task.
    #[error("task {0} does not exist")]
    NoSuchTask(TaskId),
    /// The quorum does not do that.
    #[error("{0}")]
    Quorum(Arc<str>),
}

/// What the machine wants done outside.
#[derive(Debug)]
pub enum Output {
    /// Tell another master; drop it if its queue is full.
    Send {
        /// Whom.
        to: RaftId,
        /// What.
        message: PeerMessage,
    },
    /// Write and sync, in order; then [`Input::Persisted`].
    Persist {
        /// Echoed.
        ticket: Ticket,
        /// What.
        batch: Batch,
    },
    /// Write this snapshot to a file of its own, then [`Input::SnapshotSaved`].
    SaveSnapshot(Snapshot),
    /// The log up to and including this index is not needed any more.
    Compact(Index),
    /// Serialise this image aside, then [`Input::SnapshotReady`].
    TakeSnapshot {
        /// Of the image.
        index: Index,
        /// The image.
        image: Arc<State>,
    },
    /// Tell an agent.
    ToAgent {
        /// Its connection.
        conn: Conn,
        /// What.
        message: MasterMessage,
    },
    /// Close an agent's connection, after what was sent.
    CloseSession(Conn),
    /// The stream is accepted: these ids are its head.
    StreamOpened {
        /// Its connection.
        conn: Conn,
        /// Of the framework.
        framework: FrameworkId,
        /// For the header.
        stream: StreamId,
    },
    /// The subscription did not come about; nothing more follows on this connection.
    StreamRefused {
        /// Its connection.
        conn: Conn,
        /// Why; see [`Refused::is_event`].
        refused: Refused,
    },
    /// Tell a framework; in order, and the connection is to be closed if it does not keep up.
    ToStream {
        /// Its connection.
        conn: Conn,
        /// What.
        notice: Notice,
    },
    /// Close a framework's stream, after what was sent.
    CloseStream(Conn),
    /// Answer a request.
    Answer {
        /// Of the request.
        ask: Ask,
        /// The answer.
        answer: Answer,
    },
    /// Who leads or votes is another.
    Status(Leadership),
    /// Where the masters are; the whole list, when it changes.
    Book(Vec<crate::config::MasterInfo>),
    /// What an entry did, for people; in the order of the log, after what follows from the entry.
    Events(EntryEvents),
    /// The ledger was replaced by a snapshot: what the entries up to this one did is not told.
    EventsSkipped(Index),
    /// This replica is wrong and must not go on; write that down and stop.
    Halt {
        /// For the operator.
        why: Arc<str>,
    },
    /// The answer to [`Input::Shutdown`].
    Stopped,
}

/// Who leads, as this master knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The leader.
    pub leader: Option<RaftId>,
    /// Of this master.
    pub term: Term,
    /// Whether it is this one.
    pub leading: bool,
    /// Voters and learners.
    pub membership: Membership,
}
