//! The bounds of a ledger: what is larger is refused with a typed error.

/// Commands in one entry. Ours: a whole allocation cycle, or what one append gathers.
pub const COMMANDS_PER_ENTRY: usize = 65_536;
/// Bytes of one command's body. Ours: a hello of an agent with ten thousand tasks fits.
pub const COMMAND_BODY_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of one encoded entry. Ours; it must fit a peer frame.
pub const ENTRY_BYTES: usize = 64 * 1024 * 1024;
/// Rows in one chunk of a table: what one copy on write copies at most. Ours: small enough that a
/// write into a shared table stays in microseconds, large enough that an image is few pointers.
pub const ROWS_PER_CHUNK: usize = 16;
/// Chunks in one branch of a table: what one copy on write copies pointers to at most. Ours: a table
/// of a million rows has some hundreds of branches.
pub const CHUNKS_PER_BRANCH: usize = 128;
/// Outcomes kept for one sender; a request beyond is refused until older ones are evicted. Ours:
/// more than a master keeps in flight.
pub const OUTCOMES_PER_SENDER: usize = 65_536;
/// Bytes of one kept outcome. Ours: the keys of the largest accept fit.
pub const OUTCOME_BYTES: usize = 8 * 1024 * 1024;
/// Senders remembered; the one quiet for the longest makes room. Ours: many times the masters that
/// a cluster ever had.
pub const SENDERS: usize = 1_024;
/// Bytes after which a snapshot's chunk is closed. Ours: one piece of a transfer.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;
/// Bytes of one row in a snapshot; a chunk holds at least one row. Ours.
pub const SNAPSHOT_ROW_BYTES: usize = 32 * 1024 * 1024;

const _: () = assert!(COMMAND_BODY_BYTES < ENTRY_BYTES);
const _: () = assert!(OUTCOME_BYTES < SNAPSHOT_ROW_BYTES);
const _: () = assert!(SNAPSHOT_CHUNK_BYTES < SNAPSHOT_ROW_BYTES);
const _: () = assert!(ROWS_PER_CHUNK >= 4 && CHUNKS_PER_BRANCH >= 4);
