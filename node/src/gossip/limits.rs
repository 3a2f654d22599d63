//! The bounds of the gossip's driver.

use std::time::Duration;

/// Requests that wait for the task. The asker waits when full.
pub const REQUESTS: usize = 64;
/// Changes of the list of members that wait for their reader. Full: dropped, counted, and the
/// reader is told to read the list.
pub const CHANGES: usize = 1_024;
/// Happenings that wait for whoever listens. Full: the oldest are dropped, and the listener is
/// told how many.
pub const HAPPENINGS: usize = 1_024;
/// Replies to one query that wait for its asker. Full: dropped and counted.
pub const REPLIES: usize = 1_024;
/// Datagrams read, or requests taken, before the machine's deadlines get their turn.
pub const BATCH: usize = 64;
/// Bytes that the kernel keeps for the socket in each direction; beyond it datagrams are lost.
/// Ours: a synchronisation of a hundred nodes at once fits.
pub const SOCKET_BYTES: usize = 2 * 1024 * 1024;
/// How long a name that could not be resolved rests before it is tried again.
pub const RESOLVE_AGAIN: Duration = Duration::from_secs(3);
/// How long one resolution may take.
pub const RESOLVE: Duration = Duration::from_secs(10);
/// How often the counters are exported.
pub const COUNT: Duration = Duration::from_secs(1);
