//! What applying a command changed, as data, in order: for sessions, streams and the allocator.
//!
//! Effects are consequences; a new leader recomputes what it needs from the state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::notice::Notice;
use shoal_api::{
    AgentId, FrameworkId, NodeId, Resources, Role, StreamId, TaskKey, TaskState, Terms,
};

/// One consequence of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An agent's session was opened, closed, or its lease ended: look at its row.
    SessionChanged {
        /// Whose.
        agent: AgentId,
    },
    /// What these tasks should do changed: see [`crate::Offers::desired_of`]. For the master that
    /// holds the session.
    AgentRunsChanged {
        /// Where.
        agent: AgentId,
        /// Which.
        tasks: Vec<TaskKey>,
    },
    /// The ledger has this update: the agent may forget it.
    UpdateDurable {
        /// Whose.
        agent: AgentId,
        /// Of which task.
        task: TaskKey,
        /// All up to this one.
        sequence: u64,
    },
    /// To be sent to a framework, by the master that holds its stream.
    Notice {
        /// To whom.
        framework: FrameworkId,
        /// On which stream; if it is gone, so is the notice.
        stream: StreamId,
        /// The master that holds it.
        holder: NodeId,
        /// What to say.
        notice: Notice,
    },
    /// A stream is to be closed, after the notices before this.
    StreamEnded {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        stream: StreamId,
        /// The master that holds it.
        holder: NodeId,
    },
    /// A framework subscribed, lost its stream, or changed in roles, suppression or what it holds.
    FrameworkChanged {
        /// Which.
        framework: FrameworkId,
    },
    /// A framework is gone for ever.
    FrameworkGone {
        /// Which.
        framework: FrameworkId,
    },
    /// An agent's free resources, total or session changed: the allocator may look at it again.
    AgentChanged {
        /// Which.
        agent: AgentId,
    },
    /// A framework gave resources back and does not want them for a while. Never zero.
    Refused {
        /// Who.
        framework: FrameworkId,
        /// In which role.
        role: Role,
        /// Of which agent.
        agent: AgentId,
        /// What.
        resources: Resources,
        /// For how long.
        refuse: Duration,
    },
    /// A framework wants to see everything again in these roles.
    Revived {
        /// Who.
        framework: FrameworkId,
        /// None of them stands for all.
        roles: BTreeSet<Role>,
    },
    /// A task came into being, or its state changed; with a terminal state its resources are free.
    TaskChanged {
        /// Which.
        task: TaskKey,
        /// Where.
        agent: AgentId,
        /// As a partition-aware framework sees it.
        state: TaskState,
    },
    /// A volume was destroyed: its agent removes the data.
    VolumeDestroyed {
        /// Where.
        agent: AgentId,
        /// On what terms it was had.
        terms: Arc<Terms>,
    },
    /// A task's row is gone: ended, and acknowledged where that was due.
    TaskGone {
        /// Which.
        task: TaskKey,
        /// Where it ran.
        agent: AgentId,
    },
}
