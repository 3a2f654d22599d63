//! The bounds of the agent machine, and the times it waits.

use std::time::Duration;

use shoal_api::limits::SESSION_MESSAGE_BYTES;

/// Tasks that one agent holds, ended ones that are not forgotten included; a launch beyond it is
/// DROPPED. Ours.
pub const TASKS: usize = 20_000;
/// Status updates that wait for the ledger, per task; beyond it the middle ones that are not
/// terminal are left out. Ours.
pub const UPDATES_PER_TASK: usize = 16;
/// Answers to kills of unknown tasks that wait for the ledger; beyond it the oldest is left out, as
/// the master repeats its kill with the next session. Ours.
pub const TOMBSTONES: usize = 1_024;
/// Forgotten tasks that are remembered for people; beyond it the oldest makes room. Ours.
pub const FORGOTTEN: usize = 256;
/// File pieces that are being read at one time; beyond it a read is refused. Ours.
pub const READS: usize = 64;
/// Bytes of one frame of the checkpoint log; more records make more frames. Ours.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of the frameworks' own encodings in one hello; beyond it they are left out, as the ledger
/// has them. Ours.
pub const HELLO_RAW_BYTES: usize = SESSION_MESSAGE_BYTES / 2;

/// Between TERM and KILL where neither the call nor the task says. Source: Mesos, command executor.
pub const KILL_GRACE: Duration = Duration::from_secs(3);
/// A longer grace is cut to this. Ours.
pub const KILL_GRACE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// A KILL that did not end its task is sent again after this. Ours.
pub const KILL_AGAIN: Duration = Duration::from_secs(5);
/// An update without an answer is sent again after this, doubling. Source: Mesos.
pub const RESEND_FIRST: Duration = Duration::from_secs(10);
/// The doubling ends here. Source: Mesos.
pub const RESEND_MAX: Duration = Duration::from_secs(600);
/// A connection that is not there by then is given up. Ours.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// A hello without an answer by then is given up. Ours.
pub const WELCOME_TIMEOUT: Duration = Duration::from_secs(5);
/// A master that says nothing in a session for this long is given up; it pings after 5 s. Ours.
pub const SILENCE: Duration = Duration::from_secs(15);
/// After all known masters failed in a row, the first wait; doubling. Ours: an agent has 5 s to come
/// back before it counts as disconnected.
pub const REDIAL_FIRST: Duration = Duration::from_millis(100);
/// The doubling ends here. Ours.
pub const REDIAL_MAX: Duration = Duration::from_secs(3);
/// A planned restart may ask for at most so much patience. Source: design section 5, rule 6.
pub const RESTART_MAX: Duration = Duration::from_secs(60);

const _: () = assert!(REDIAL_FIRST.as_nanos() < REDIAL_MAX.as_nanos());
const _: () = assert!(RESEND_FIRST.as_nanos() < RESEND_MAX.as_nanos());
const _: () = assert!(UPDATES_PER_TASK >= 4);
const _: () = assert!(KILL_GRACE.as_nanos() < KILL_GRACE_MAX.as_nanos());
