//! Bounds and sizes of what is on disk.

/// Bytes of a log segment; a larger batch gets a segment of its own size. Ours: a second of a busy
/// master, so that old ones can go soon.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes of one batch on disk. Ours; what the quorum may have in one batch fits.
pub const RECORD_BYTES: usize = 1 << 30;
/// Bytes written and synced together at most. Ours.
pub const GROUP_BYTES: usize = 16 << 20;
/// Bytes of one piece of a snapshot. Ours.
pub const CHUNK_BYTES: usize = 64 << 20;
/// How often a full disk is tried again. Ours.
pub const FULL_RETRY: std::time::Duration = std::time::Duration::from_millis(500);
