//! The bounds of a quorum machine, and what happens at each.

use std::time::Duration;

/// Bytes of one entry; a larger proposal is returned. Ours.
pub const ENTRY_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of the entries in one append message; a single larger entry travels alone. Ours.
pub const APPEND_BYTES: usize = 1024 * 1024;
/// Entries in one append message that is taken from a peer; more are refused. Ours.
pub const APPEND_ENTRIES: usize = 1 << 20;
/// Append messages to one peer that are not answered; then the leader waits. Ours.
pub const APPENDS_IN_FLIGHT: usize = 256;
/// Terms and indexes that a peer may name; larger ones are refused, so that counting on from them never
/// overflows. Ours.
pub const NUMBER: u64 = 1 << 62;
/// Bytes of one encoded message; a larger one is not decoded. Ours.
pub const MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Bytes proposed and not committed; beyond, proposals are returned. Ours.
pub const UNCOMMITTED_BYTES: usize = 64 * 1024 * 1024;
/// Proposals that wait for the next poll; beyond, they are returned. Ours.
pub const PROPOSALS_WAITING: usize = 65_536;
/// Batches given to the disk and not durable; then the machine waits for the disk. Ours.
pub const BATCHES_IN_FLIGHT: usize = 256;
/// How long a leader's disk may take for one batch before the leader hands over to one whose disk
/// works, and between two such attempts. Ours.
pub const DISK_STALLED: Duration = Duration::from_secs(2);
/// Messages that wait for the disk; beyond, new ones are dropped, as a network might. Ours.
pub const MESSAGES_HELD: usize = 16_384;
/// Bytes of committed entries handed out at a time. Ours.
pub const APPLY_BYTES: usize = 8 * 1024 * 1024;
/// Entries in memory after which a snapshot is wanted. Ours.
pub const TAIL_ENTRIES_WANT: usize = 200_000;
/// Bytes of entries in memory after which a snapshot is wanted. Ours.
pub const TAIL_BYTES_WANT: usize = 64 * 1024 * 1024;
/// Bytes of entries in memory after which proposals are returned. Ours.
pub const TAIL_BYTES: usize = 512 * 1024 * 1024;
/// Entries before a snapshot that stay in memory for a peer that is a little behind. Ours.
pub const TAIL_ENTRIES_KEPT: usize = 20_000;
/// Bytes of such entries. Ours.
pub const TAIL_BYTES_KEPT: usize = 16 * 1024 * 1024;
/// Bytes of a snapshot; a larger one is refused by the receiver. Ours.
pub const SNAPSHOT_BYTES: usize = 4 * 1024 * 1024 * 1024;
/// Bytes of a snapshot in one message. Ours.
pub const SNAPSHOT_PIECE_BYTES: usize = 1024 * 1024;
/// Chunks in a snapshot; more are refused by the receiver. Ours.
pub const SNAPSHOT_CHUNKS: usize = 1 << 20;
/// Pieces of a snapshot that are sent and not answered. Ours.
pub const SNAPSHOT_PIECES_IN_FLIGHT: usize = 8;
/// How long a snapshot may make no progress before its unanswered pieces are sent again. Ours.
pub const SNAPSHOT_RETRY: Duration = Duration::from_millis(500);
/// How long a snapshot may make no progress before it has failed. Ours.
pub const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);
/// Reads that wait; beyond, they fail at once. Ours.
pub const READS_WAITING: usize = 65_536;
/// Rounds of reads under way; later reads wait for one to end. Ours.
pub const READ_ROUNDS: usize = 4;
/// How long a round may go unanswered before its reads are asked again. Ours.
pub const READ_RETRY: Duration = Duration::from_millis(250);
/// How long a read may take before it fails. Ours.
pub const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an own snapshot stays in memory after it was taken or a peer began to need it. Ours.
pub const IMAGE_KEPT: Duration = Duration::from_secs(30);
/// Changes of the membership between two snapshots; beyond, none begins and a snapshot is wanted.
/// Ours.
pub const MEMBERSHIPS: usize = 64;
/// Members of a quorum, learners included. Ours.
pub const MEMBERS: usize = 16;
/// Removed ids that are remembered; the oldest is forgotten. Ids are 64 random bits and never minted
/// twice, so the list is a second line only. Ours.
pub const REMOVED_IDS: usize = 1024;
/// Entries that a learner may lack when it gets a vote. Ours.
pub const CAUGHT_UP: u64 = 10_000;
/// After a broken stream to the leader, what a follower's rank is multiplied with. Ours.
pub const HINT_STAGGER: Duration = Duration::from_millis(20);
/// After a broken stream to the leader, how long until the next attempt. Ours.
pub const HINT_RETRY: Duration = Duration::from_millis(50);
/// After a broken stream to the leader, how many attempts; then the election timeout decides. Ours.
pub const HINT_ATTEMPTS: u32 = 20;
/// Founders of a cluster. Ours.
pub const FOUNDERS: usize = 7;
/// Bytes of a message between founders; a larger one is not decoded. Ours.
pub const BOOTSTRAP_BYTES: usize = 1024;
/// How often a founder repeats its promise to those who have not answered. Ours.
pub const PROMISE_RETRY: Duration = Duration::from_millis(500);
/// How long a founder waits before it says who is missing, and between two such reports. Ours.
pub const MISSING_REPORT: Duration = Duration::from_secs(60);

const _: () = assert!(APPEND_BYTES + ENTRY_BYTES < MESSAGE_BYTES);
const _: () = assert!(SNAPSHOT_PIECE_BYTES < MESSAGE_BYTES);
const _: () = assert!(TAIL_BYTES_KEPT < TAIL_BYTES_WANT && TAIL_BYTES_WANT < TAIL_BYTES);
const _: () = assert!(TAIL_ENTRIES_KEPT < TAIL_ENTRIES_WANT);
const _: () = assert!(ENTRY_BYTES <= UNCOMMITTED_BYTES && UNCOMMITTED_BYTES < TAIL_BYTES);
const _: () = assert!(SNAPSHOT_RETRY.as_nanos() < SNAPSHOT_TIMEOUT.as_nanos());
const _: () = assert!(READ_RETRY.as_nanos() < READ_TIMEOUT.as_nanos());
const _: () = assert!(IMAGE_KEPT.as_nanos() > SNAPSHOT_TIMEOUT.as_nanos());
const _: () = assert!(FOUNDERS <= MEMBERS);
