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
/// Members whose addresses are kept on disk, to join through after a restart: as many as there may
/// be seeds, half of them.
pub const REMEMBERED: usize = shoal_membership::limits::SEEDS / 2;
/// How long changes of what is kept on disk are gathered.
pub const REMEMBER: Duration = Duration::from_millis(500);
/// How often it is looked at without a change.
pub const REMEMBER_AGAIN: Duration = Duration::from_secs(10);
/// Questions of other nodes that wait for their answers. Full: dropped, so that the asker hears
/// nothing of this node.
pub const INNER_QUERIES: usize = 64;
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
/// Streams of others that are served at once; the rest waits in the kernel. Ours.
pub const STREAMS_TAKEN: usize = 64;
/// Frames that were read and wait for the machine; their readers wait when full.
pub const FRAMES: usize = 64;
/// How long a stream may take to open. Shorter than a probe of the patient profile. Ours.
pub const STREAM_OPEN: Duration = Duration::from_secs(5);
/// How long one frame may take to come. Ours.
pub const STREAM_FRAME: Duration = Duration::from_secs(5);
/// How long a stream may last. Ours.
pub const STREAM: Duration = Duration::from_secs(30);
/// How long taking streams rests after the kernel refused one.
pub const STREAM_REST: Duration = Duration::from_millis(100);
/// Ports tried, when any will do, until one is free for UDP and TCP.
pub const PORT_TRIES: usize = 32;
