//! Events: what applying an entry did, told for people and their tools.
//!
//! They are consequences and never read back: the ledger is the state. Every replica tells the same
//! events of the same entry, so a reader may go on at another master. Where events are kept, for how
//! long and in which form they are shown is the shell's to decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::offer::Offer;
use shoal_api::{
    AgentId, Exit, FrameworkId, Index, NodeId, OfferId, RaftId, Reason, Role, RunId, Source,
    TaskKey, TaskState, Term, Timestamp, UpdateId,
};
use shoal_offers::{DisconnectCause, RemovalCause, RescindCause};

/// Where an event stands: the index of its entry, and its number among the events of that entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Of the entry.
    pub index: Index,
    /// From 0.
    pub number: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index.0, self.number)
    }
}

/// All events of one entry, in order; the first one has number 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryEvents {
    /// Of the entry.
    pub index: Index,
    /// Never empty.
    pub events: Vec<Event>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, by the calendar of the leader of that time; entries of the quorum itself carry none.
    pub wall: Option<Timestamp>,
    /// What.
    pub what: What,
}

/// Who ordered the end of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KilledBy {
    /// Its framework.
    Framework,
    /// An operator, for this task.
    Operator,
    /// Somebody ended the run that the task is of.
    Run,
    /// Its framework was removed.
    Removal,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The first entry of a leader was committed.
    LeaderElected {
        /// Its term.
        term: Term,
    },
    /// The voters or learners are others.
    QuorumChanged {
        /// From here on.
        voters: Vec<RaftId>,
        /// From here on.
        learners: Vec<RaftId>,
    },
    /// The cluster began.
    ClusterFounded,
    /// A master has another address, came or went.
    MastersChanged,
    /// A master's process has a new life: its older sessions and streams are gone.
    MasterRestarted {
        /// On this node.
        node: NodeId,
    },
    /// An agent opened a session.
    AgentConnected {
        /// Which.
        agent: AgentId,
        /// The node of the master that holds it.
        master: NodeId,
    },
    /// An agent's session ended; its lease goes on.
    AgentDisconnected {
        /// Which.
        agent: AgentId,
        /// It said that it comes back, and asked for that much time.
        restarting: Option<Duration>,
    },
    /// An agent stayed away for too long.
    AgentUnreachable {
        /// Which.
        agent: AgentId,
    },
    /// A framework subscribed.
    FrameworkSubscribed {
        /// Which.
        framework: FrameworkId,
        /// For people.
        name: Arc<str>,
        /// The node of the master that holds its stream.
        holder: NodeId,
    },
    /// A framework lost its stream.
    FrameworkDisconnected {
        /// Which.
        framework: FrameworkId,
        /// How.
        cause: DisconnectCause,
    },
    /// A framework is gone for ever.
    FrameworkRemoved {
        /// Which.
        framework: FrameworkId,
        /// Why.
        cause: RemovalCause,
    },
    /// A framework wants no offers for these roles; empty is all.
    FrameworkSuppressed {
        /// Which.
        framework: FrameworkId,
        /// In which roles.
        roles: Vec<Role>,
    },
    /// A framework wants offers for these roles again; empty is all.
    FrameworkRevived {
        /// Which.
        framework: FrameworkId,
        /// In which roles.
        roles: Vec<Role>,
    },
    /// An offer went out.
    OfferMade(Box<Offer>),
    /// A framework used offers, or tried to.
    OffersAccepted {
        /// Who.
        framework: FrameworkId,
        /// Those that an id can be of, in the order of the call.
        offers: Arc<[OfferId]>,
        /// So many tasks came into being.
        launched: u32,
        /// So many did not.
        refused: u32,
    },
    /// A framework gave offers back.
    OffersDeclined {
        /// Who.
        framework: FrameworkId,
        /// Those that were out.
        offers: Arc<[OfferId]>,
        /// For how long it does not want them.
        refuse: Duration,
    },
    /// An offer was taken back.
    OfferRescinded {
        /// Whose it was.
        framework: FrameworkId,
        /// Which.
        offer: OfferId,
        /// Why, where that is said by itself: else its agent went.
        cause: Option<RescindCause>,
    },
    /// A task came into being.
    TaskLaunched {
        /// Which.
        task: TaskKey,
        /// Where it is to run.
        agent: AgentId,
        /// What it is paid with.
        offers: Arc<[OfferId]>,
    },
    /// A task that a framework wanted did not come into being.
    TaskRefused {
        /// Whose.
        framework: FrameworkId,
        /// As the framework wrote it.
        task: Arc<str>,
        /// What the framework was told.
        state: TaskState,
        /// Why.
        reason: Option<Reason>,
        /// For people.
        message: Arc<str>,
    },
    /// A task's state changed.
    TaskStatus {
        /// Which.
        task: TaskKey,
        /// Where it runs.
        agent: AgentId,
        /// As a partition-aware framework sees it.
        state: TaskState,
        /// Who says so, with what and when; a master has concluded it where there is none.
        report: Option<Box<Reported>>,
    },
    /// A framework acknowledged the update that was out.
    TaskAcknowledged {
        /// Who.
        framework: FrameworkId,
        /// Of which task.
        task: Arc<str>,
        /// Which.
        update: UpdateId,
    },
    /// A task is to end.
    TaskKillOrdered {
        /// Which.
        task: TaskKey,
        /// Where it runs.
        agent: AgentId,
        /// Who wants that.
        by: KilledBy,
        /// Between TERM and KILL, where it was said.
        grace: Option<Duration>,
    },
    /// Somebody wants a run.
    RunCreated {
        /// Its number.
        run: RunId,
        /// For people.
        name: Arc<str>,
        /// So many tasks.
        count: u32,
    },
    /// Somebody wants a run to end.
    RunKillOrdered {
        /// Which.
        run: RunId,
    },
}

/// What an agent reported of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// What the framework acknowledges.
    pub update: UpdateId,
    /// Who says so.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
    /// For people; may be empty.
    pub message: Arc<str>,
    /// When, by the calendar of whoever says so.
    pub timestamp: Timestamp,
    /// How the process ended.
    pub exit: Option<Exit>,
}

impl What {
    /// The names of all kinds.
    pub const NAMES: &'static [&'static str] = &[
        "leader_elected",
        "quorum_changed",
        "cluster_founded",
        "masters_changed",
        "master_restarted",
        "agent_connected",
        "agent_disconnected",
        "agent_unreachable",
        "framework_subscribed",
        "framework_disconnected",
        "framework_removed",
        "framework_suppressed",
        "framework_revived",
        "offer_made",
        "offers_accepted",
        "offers_declined",
        "offer_rescinded",
        "task_launched",
        "task_refused",
        "task_status",
        "task_acknowledged",
        "task_kill_ordered",
        "run_created",
        "run_kill_ordered",
    ];

    /// The name of its kind.
    pub fn name(&self) -> &'static str {
        match self {
            What::LeaderElected { .. } => "leader_elected",
            What::QuorumChanged { .. } => "quorum_changed",
            What::ClusterFounded => "cluster_founded",
            What::MastersChanged => "masters_changed",
            What::MasterRestarted { .. } => "master_restarted",
            What::AgentConnected { .. } => "agent_connected",
            What::AgentDisconnected { .. } => "agent_disconnected",
            What::AgentUnreachable { .. } => "agent_unreachable",
            What::FrameworkSubscribed { .. } => "framework_subscribed",
            What::FrameworkDisconnected { .. } => "framework_disconnected",
            What::FrameworkRemoved { .. } => "framework_removed",
            What::FrameworkSuppressed { .. } => "framework_suppressed",
            What::FrameworkRevived { .. } => "framework_revived",
            What::OfferMade(_) => "offer_made",
            What::OffersAccepted { .. } => "offers_accepted",
            What::OffersDeclined { .. } => "offers_declined",
            What::OfferRescinded { .. } => "offer_rescinded",
            What::TaskLaunched { .. } => "task_launched",
            What::TaskRefused { .. } => "task_refused",
            What::TaskStatus { .. } => "task_status",
            What::TaskAcknowledged { .. } => "task_acknowledged",
            What::TaskKillOrdered { .. } => "task_kill_ordered",
            What::RunCreated { .. } => "run_created",
            What::RunKillOrdered { .. } => "run_kill_ordered",
        }
    }

    /// The agent that it is about.
    pub fn agent(&self) -> Option<AgentId> {
        match self {
            What::AgentConnected { agent, .. }
            | What::AgentDisconnected { agent, .. }
            | What::AgentUnreachable { agent }
            | What::TaskLaunched { agent, .. }
            | What::TaskStatus { agent, .. }
            | What::TaskKillOrdered { agent, .. } => Some(*agent),
            What::OfferMade(offer) => Some(offer.agent),
            What::LeaderElected { .. }
            | What::QuorumChanged { .. }
            | What::ClusterFounded
            | What::MastersChanged
            | What::MasterRestarted { .. }
            | What::FrameworkSubscribed { .. }
            | What::FrameworkDisconnected { .. }
            | What::FrameworkRemoved { .. }
            | What::FrameworkSuppressed { .. }
            | What::FrameworkRevived { .. }
            | What::OffersAccepted { .. }
            | What::OffersDeclined { .. }
            | What::OfferRescinded { .. }
            | What::TaskRefused { .. }
            | What::TaskAcknowledged { .. }
            | What::RunCreated { .. }
            | What::RunKillOrdered { .. } => None,
        }
    }

    /// The framework that it is about.
    pub fn framework(&self) -> Option<&FrameworkId> {
        match self {
            What::FrameworkSubscribed { framework, .. }
            | What::FrameworkDisconnected { framework, .. }
            | What::FrameworkRemoved { framework, .. }
            | What::FrameworkSuppressed { framework, .. }
            | What::FrameworkRevived { framework, .. }
            | What::OffersAccepted { framework, .. }
            | What::OffersDeclined { framework, .. }
            | What::OfferRescinded { framework, .. }
            | What::TaskRefused { framework, .. }
            | What::TaskAcknowledged { framework, .. } => Some(framework),
            What::OfferMade(offer) => Some(&offer.framework),
            What::TaskLaunched { task, .. }
            | What::TaskStatus { task, .. }
            | What::TaskKillOrdered { task, .. } => Some(&task.framework),
            What::LeaderElected { .. }
            | What::QuorumChanged { .. }
            | What::ClusterFounded
            | What::MastersChanged
            | What::MasterRestarted { .. }
            | What::AgentConnected { .. }
            | What::AgentDisconnected { .. }
            | What::AgentUnreachable { .. }
            | What::RunCreated { .. }
            | What::RunKillOrdered { .. } => None,
        }
    }

    /// The id of the task that it is about.
    pub fn task(&self) -> Option<&str> {
        match self {
            What::TaskLaunched { task, .. }
            | What::TaskStatus { task, .. }
            | What::TaskKillOrdered { task, .. } => Some(task.task.as_str()),
            What::TaskRefused { task, .. } | What::TaskAcknowledged { task, .. } => Some(task),
            What::LeaderElected { .. }
            | What::QuorumChanged { .. }
            | What::ClusterFounded
            | What::MastersChanged
            | What::MasterRestarted { .. }
            | What::AgentConnected { .. }
            | What::AgentDisconnected { .. }
            | What::AgentUnreachable { .. }
            | What::FrameworkSubscribed { .. }
            | What::FrameworkDisconnected { .. }
            | What::FrameworkRemoved { .. }
            | What::FrameworkSuppressed { .. }
            | What::FrameworkRevived { .. }
            | What::OfferMade(_)
            | What::OffersAccepted { .. }
            | What::OffersDeclined { .. }
            | What::OfferRescinded { .. }
            | What::RunCreated { .. }
            | What::RunKillOrdered { .. } => None,
        }
    }
}
