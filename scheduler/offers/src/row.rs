//! The rows of this module's tables.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shoal_api::call::AgentName;
use shoal_api::limits::STATUS_MESSAGE_BYTES;
use shoal_api::offer::Offer;
use shoal_api::operation::{OperationState, OperationStatus};
use shoal_api::task::{Assignment, Exit};
use shoal_api::{
    AgentId, AgentInfo, Epoch, FrameworkInfo, Generation, Incarnation, Instant, NodeId, Reason,
    Resources, Role, Source, StatusUpdate, StreamId, TaskState, Timestamp, UpdateId,
};
use shoal_ledger::hash::append_postcard;
use shoal_ledger::{Row, Sealed};

use crate::command::{DisconnectCause, RemovalCause};

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRow {
    /// What it is and has.
    pub info: Sealed<AgentInfo>,
    /// The life that opened its newest session.
    pub generation: Generation,
    /// The number of the hello that did, in that life.
    pub hello: u64,
    /// Of its newest session.
    pub epoch: Epoch,
    /// The life of the cluster in which that session was opened.
    pub incarnation: Incarnation,
    /// Whether it has a session.
    pub presence: Presence,
    /// Neither offered nor allocated.
    pub free: Resources,
    /// When it was first seen.
    pub registered: Timestamp,
}

/// Whether an agent has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// It has one with this master, the only one that may command it.
    Connected {
        /// Which.
        master: NodeId,
        /// Since when.
        since: Timestamp,
    },
    /// It had one; its lease goes on and its tasks count as running.
    Disconnected {
        /// In ledger time.
        since: Instant,
        /// It said that it would come back, and wants that much more time.
        restarting: Option<Duration>,
    },
    /// Its lease ended; its tasks are unreachable.
    Unreachable {
        /// By the calendar.
        since: Timestamp,
    },
}

impl AgentRow {
    /// Whether it has a session.
    pub fn is_connected(&self) -> bool {
        matches!(self.presence, Presence::Connected { .. })
    }

    /// Whether its lease ended.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.presence, Presence::Unreachable { .. })
    }
}

/// A framework, from its first subscription to its removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkRow {
    /// As subscribed last, with its id.
    pub info: Sealed<FrameworkInfo>,
    /// Its stream, or how long it may stay away.
    pub connection: Connection,
    /// A subset of its roles that wants no offers.
    pub suppressed: BTreeSet<Role>,
    /// Of its first subscription.
    pub registered: Timestamp,
    /// Of its newest subscription.
    pub subscribed: Timestamp,
}

/// Whether a framework has a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connection {
    /// It has one.
    Connected {
        /// Which.
        stream: StreamId,
        /// The master that holds it.
        holder: NodeId,
    },
    /// It has none.
    Disconnected {
        /// By the calendar.
        since: Timestamp,
        /// In ledger time: when it is removed.
        deadline: Instant,
        /// How its stream ended.
        cause: DisconnectCause,
    },
}

impl FrameworkRow {
    /// Whether it has a stream and a role that is not suppressed.
    pub fn wants_offers(&self) -> bool {
        self.stream().is_some() && !self.info.roles.is_subset(&self.suppressed)
    }

    /// Its stream and the master that holds it.
    pub fn stream(&self) -> Option<(StreamId, NodeId)> {
        match self.connection {
            Connection::Connected { stream, holder } => Some((stream, holder)),
            Connection::Disconnected { .. } => None,
        }
    }
}

/// An offer that is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferRow {
    /// What was offered to whom.
    pub offer: Offer,
    /// In ledger time.
    pub made: Instant,
}

/// A task, from its launch until its end is acknowledged.
///
/// # Invariants
/// - its resources are allocated exactly while its state is not terminal;
/// - `pending` is in the order of the reports; a terminal one is the last;
/// - an unreachable task is not terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// What runs where, in whose name.
    pub assignment: Sealed<Assignment>,
    /// What its agent reported last; see [`TaskRow::state_seen`].
    pub reported: TaskState,
    /// Of the newest report of its agent; 0 before the first.
    pub sequence: u64,
    /// Distinct states in order, the newest last; at most [`crate::limits::STATUSES_PER_TASK`].
    pub statuses: Vec<Report>,
    /// Reports that its framework did not acknowledge; the first of them is out.
    pub pending: Vec<Report>,
    /// It was told to end.
    pub kill: Option<KillOrder>,
    /// Since when its agent is unreachable.
    pub unreachable_since: Option<Timestamp>,
    /// Who answers for it.
    pub standing: Standing,
    /// When it was launched, or found.
    pub launched: Timestamp,
}

/// Who answers for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Its framework, which launched it.
    Launched,
    /// Its agent reported it and the ledger did not know it: kept, and shown as an orphan.
    Orphan,
    /// Nobody: its framework was removed, and it ends as soon as its agent says so.
    Abandoned,
}

/// A task is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillOrder {
    /// Overrides the task's own.
    pub grace: Option<Duration>,
    /// When it was first ordered.
    pub since: Timestamp,
}

/// One report of a task's state: a [`StatusUpdate`] without its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of the agent; 0 for the ledger's own.
    pub sequence: u64,
    /// What the framework acknowledges.
    pub id: UpdateId,
    /// The state.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
    /// For people; may be empty.
    pub message: Arc<str>,
    /// When.
    pub timestamp: Timestamp,
    /// How the process ended.
    pub exit: Option<Exit>,
}

impl From<&StatusUpdate> for Report {
    fn from(update: &StatusUpdate) -> Report {
        Report {
            sequence: update.sequence,
            id: update.id,
            state: update.state,
            source: update.source,
            reason: update.reason,
            message: cut(&update.message),
            timestamp: update.timestamp,
            exit: update.exit,
        }
    }
}

/// The message within its bound.
fn cut(message: &Arc<str>) -> Arc<str> {
    if message.len() <= STATUS_MESSAGE_BYTES {
        return Arc::clone(message);
    }
    let end = message.floor_char_boundary(STATUS_MESSAGE_BYTES);
    Arc::from(&message[..end])
}

impl TaskRow {
    /// Its state, as a partition-aware framework sees it.
    pub fn state_seen(&self) -> TaskState {
        if self.unreachable_since.is_some() {
            TaskState::Unreachable
        } else {
            self.reported
        }
    }

    /// Whether its resources are allocated.
    pub fn holds(&self) -> bool {
        !self.reported.is_terminal()
    }
}

/// A task that ended, kept for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedTask {
    /// What ran where.
    pub assignment: Sealed<Assignment>,
    /// Its end.
    pub state: TaskState,
    /// Its states in order.
    pub statuses: Vec<Report>,
    /// When its row went.
    pub ended: Timestamp,
}

/// A framework that was removed: kept for people, its id is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedFramework {
    /// As subscribed last.
    pub info: Sealed<FrameworkInfo>,
    /// Ascends with every removal: the oldest makes room.
    pub order: u64,
    /// Why it was removed.
    pub cause: RemovalCause,
    /// Of its first subscription.
    pub registered: Timestamp,
    /// When it was removed.
    pub ended: Timestamp,
}

/// An operation that is done and whose framework did not acknowledge that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Where.
    pub agent: AgentId,
    /// What the framework acknowledges.
    pub update: UpdateId,
    /// When it was done.
    pub finished: Timestamp,
}

impl OperationRow {
    /// What its framework is told.
    pub(crate) fn status(&self, id: &Arc<str>) -> OperationStatus {
        OperationStatus {
            operation: Arc::clone(id),
            state: OperationState::Finished,
            message: Arc::from(""),
            agent: Some(AgentName::Id(self.agent)),
            update: Some(self.update),
        }
    }
}

/// The next numbers to assign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// For agents.
    pub agent: u64,
    /// For frameworks.
    pub framework: u64,
    /// For offers.
    pub offer: u64,
    /// For launches.
    pub launch: u64,
    /// For completed tasks and frameworks.
    pub completed: u64,
}

impl Row for AgentRow {
    fn hashed(&self, out: &mut Vec<u8>) {
        let AgentRow {
            info,
            generation,
            hello,
            epoch,
            incarnation,
            presence,
            free,
            registered,
        } = self;
        let session = (generation, hello, epoch, incarnation, presence);
        append_postcard(&(info.digest(), session, free, registered), out);
    }
}

impl Row for FrameworkRow {}
impl Row for OfferRow {}

impl Row for TaskRow {
    fn hashed(&self, out: &mut Vec<u8>) {
        let TaskRow {
            assignment,
            reported,
            sequence,
            statuses,
            pending,
            kill,
            unreachable_since,
            standing,
            launched,
        } = self;
        let orders = (kill, unreachable_since, standing, launched);
        let reports = (reported, sequence, statuses, pending);
        append_postcard(&(assignment.digest(), reports, orders), out);
    }
}

impl Row for CompletedTask {
    fn hashed(&self, out: &mut Vec<u8>) {
        let rest = (self.state, &self.statuses, self.ended);
        append_postcard(&(self.assignment.digest(), rest), out);
    }
}

impl Row for CompletedFramework {}
impl Row for OperationRow {}
impl Row for Counters {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        let long: Arc<str> = Arc::from("é".repeat(STATUS_MESSAGE_BYTES));
        assert_eq!(cut(&long).len(), STATUS_MESSAGE_BYTES);
        let odd: Arc<str> = Arc::from(format!("x{long}"));
        assert_eq!(cut(&odd).len(), STATUS_MESSAGE_BYTES - 1);
        let short: Arc<str> = Arc::from("short");
        assert!(Arc::ptr_eq(&cut(&short), &short));
    }
}
