//! The bounds of the keeper, and the times it waits.

use std::time::Duration;

/// Tasks that one keeper knows, ended ones that are not forgotten included; a spawn beyond it is
/// refused. Ours.
pub const TASKS: usize = 32_768;
/// Bytes of one frame on the socket, its length apart; a longer one ends the connection. Ours.
pub const FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one spawn's strings; more is refused. Linux itself allows about 2 MB.
pub const SPEC_BYTES: usize = 4 * 1024 * 1024;
/// Clients at one time; another one is turned away. Ours.
pub const CLIENTS: usize = 8;
/// Bytes that wait for a slow client; beyond it the client is dropped and must list again. Ours.
pub const CLIENT_BACKLOG_BYTES: usize = 2 * FRAME_BYTES;
/// The journal is written anew when it is longer than this and mostly about what is forgotten. Ours.
pub const JOURNAL_BYTES: u64 = 1024 * 1024;
/// Between TERM and KILL for all tasks when the keeper is told to end by a signal. Ours.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// The same when its lifeline was cut. Ours.
pub const ORPHANED_GRACE: Duration = Duration::from_secs(1);
/// After KILL to everything, the keeper waits this long for the last process. Ours.
pub const SHUTDOWN_LAST: Duration = Duration::from_secs(5);
/// A keeper without a task that runs and without a client ends after this long: its journal keeps what
/// an agent has yet to hear, and the next agent starts another keeper. Ours.
pub const IDLE: Duration = Duration::from_secs(5);
/// Bytes of the stack on which a child runs until it executes its program. Ours.
pub const CHILD_STACK_BYTES: usize = 64 * 1024;

const _: () = assert!(SPEC_BYTES < FRAME_BYTES);
const _: () = assert!(FRAME_BYTES <= CLIENT_BACKLOG_BYTES);
/// How often a process is looked at again whose program the kernel is still loading. Ours.
pub const BECOMING_TRIES: u32 = 50;
/// The pause before each look. Ours.
pub const BECOMING_PAUSE: Duration = Duration::from_millis(2);
