//! The bounds of the executor, each with its policy when full.

use std::time::Duration;

/// Events that wait for the agent machine. Full: whoever tells waits.
pub const EVENTS: usize = 4 * 1024;
/// Events taken in before what the machine wants is done. Ours.
pub const EVENTS_AT_ONCE: usize = 512;
/// Messages that wait for one master. Full: the connection is given up.
pub const MESSAGES: usize = 8 * 1024;
/// Messages written at once.
pub const MESSAGES_AT_ONCE: usize = 256;
/// Orders that wait for the keeper. Full: the connection to it is given up and it is listed again.
pub const ORDERS: usize = 64 * 1024;
/// The checkpoint log is written anew when it is longer than this and four times what it says. Ours.
pub const LOG_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of one piece of a file. Source: Mesos, 16 pages.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Entries of one folder that are listed; one with more is refused. Ours.
pub const BROWSED: usize = 10_000;
/// How often a file is looked for that is being moved. Ours.
pub const LOOKS: usize = 16;
/// Those who wait for a view of the agent. Full: the next one waits. Ours.
pub const VIEWS: usize = 16;
/// How late a record is written that nothing waits for. Ours.
pub const WRITE_LATE: Duration = Duration::from_secs(1);
/// How soon a write to a full disk is tried again. Ours.
pub const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// How long an agent waits at its start for another one that still writes the checkpoint log. Ours.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);
/// How soon it looks again. Ours.
pub const LOCK_AGAIN: Duration = Duration::from_millis(5);
/// How soon the keeper's socket is tried again at first. Ours.
pub const KEEPER_RETRY_MIN: Duration = Duration::from_millis(2);
/// How late at most. Ours.
pub const KEEPER_RETRY_MAX: Duration = Duration::from_millis(250);
/// A keeper that is started and not reached after this is complained about, and again. Ours.
pub const KEEPER_WORD: Duration = Duration::from_secs(10);
/// How long a sandbox is kept after its task was forgotten. Source: Mesos, gc_delay.
pub const SANDBOX_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often old sandboxes are looked for. Ours.
pub const SWEEP: Duration = Duration::from_secs(3600);
/// How long what was said last may take to leave when the agent stops. Ours.
pub const FAREWELL: Duration = Duration::from_secs(2);

const _: () = assert!(EVENTS_AT_ONCE <= EVENTS);
const _: () = assert!(KEEPER_RETRY_MIN.as_nanos() < KEEPER_RETRY_MAX.as_nanos());
