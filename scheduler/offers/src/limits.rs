//! The bounds of this module's state: what is beyond is refused or makes room, as stated.

use std::time::Duration;

/// Agents in the ledger; a further first session is refused. Ours.
pub const AGENTS: usize = 100_000;
/// Frameworks subscribed or within their failover timeout; a further one is refused. Ours.
pub const FRAMEWORKS: usize = 10_000;
/// Tasks that have a row; a further launch is TASK_ERROR. Ours.
pub const TASKS: usize = 2_000_000;
/// Offers in one command; the rest is skipped and counted. Ours.
pub const OFFERS_PER_COMMAND: usize = 100_000;
/// Operations whose status is not acknowledged; one more that has an id is refused. Ours.
pub const OPERATIONS: usize = 100_000;
/// Resources of one agent that differ in name or terms; a reservation that makes more is refused. Ours.
pub const RESOURCES_PER_AGENT: usize = 1_000;
/// Offers named in one accept or decline; more make the offers invalid. Ours.
pub const OFFERS_PER_CALL: usize = 10_000;
/// Unacknowledged updates kept per task; beyond, middle ones that are not terminal are merged.
/// Ours: a task has STARTING, RUNNING and an end; the rest are repetitions.
pub const PENDING_PER_TASK: usize = 16;
/// Past states shown per task; the oldest makes room. Ours.
pub const STATUSES_PER_TASK: usize = 16;
/// Ended tasks kept for people; the oldest makes room. Ours; Mesos keeps 1000 per framework.
pub const COMPLETED_TASKS: usize = 10_000;
/// Removed frameworks whose ids are refused; the oldest makes room. Source: Mesos.
pub const COMPLETED_FRAMEWORKS: usize = 50;
/// How long a framework may stay away, at least, when the master that held its stream died.
/// Source: the 75 s after which a client of Mesos gives a silent stream up.
pub const HOLDER_DIED_GRACE: Duration = Duration::from_secs(75);
/// What an agent that restarts on purpose may ask for beyond its lease. Ours.
pub const RESTART_GRACE: Duration = Duration::from_secs(60);
/// The longest refusal of an offer; a longer one is cut. Source: Mesos.
pub const REFUSE_MOST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const _: () = assert!(PENDING_PER_TASK >= 3, "a head, a merged middle and an end");
const _: () = assert!(COMPLETED_TASKS < TASKS);
const _: () = assert!(
    shoal_api::limits::TASKS_PER_ACCEPT * (2 * shoal_api::limits::ID_BYTES + 32)
        < shoal_ledger::limits::OUTCOME_BYTES,
    "an accept's outcome names every task that it launched"
);
