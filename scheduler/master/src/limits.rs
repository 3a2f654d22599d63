//! Bounds of a master.

/// How long a master must have heard of no leader before it believes a stranger that a newer life of the
/// cluster began without it. Many elections, and less than an operator takes to notice. Ours.
pub const ABANDONED: std::time::Duration = std::time::Duration::from_secs(60);
/// Masters that the ledger knows, voters and others. Ours.
pub const MASTERS: usize = 64;
/// Commands of this master that wait for their entry; more are refused as "busy". Ours.
pub const OUTSTANDING: usize = 65_536;
/// Commands that wait to ride with others; more are written at once. Ours.
pub const LAZY: usize = 4_096;
/// Commands in one entry. Ours.
pub const COMMANDS_PER_ENTRY: usize = 4_096;
/// Bytes of commands in one entry. Ours.
pub const ENTRY_BYTES: usize = 4 << 20;
/// Entries of this leader that are not committed yet; more commands wait. Ours.
pub const ENTRIES_IN_FLIGHT: usize = 64;
/// Commands that wait at the leader for room in an entry; more are dropped and retried. Ours.
pub const QUEUED_AT_LEADER: usize = 262_144;
/// Commands in one forward to the leader. Ours.
pub const COMMANDS_PER_FORWARD: usize = 1_024;
/// Framework streams held by one master. Ours.
pub const STREAMS: usize = 10_000;
/// Agent sessions held by one master. Ours.
pub const SESSIONS: usize = 100_000;
/// Reads and file pieces that wait. Ours.
pub const ASKS: usize = 65_536;
/// Recent state hashes that are kept to compare with other masters. Ours.
pub const HASHES: usize = 8_192;
/// Status updates in one command. Ours.
pub const UPDATES_PER_COMMAND: usize = 1_024;

const _: () = assert!(COMMANDS_PER_FORWARD <= COMMANDS_PER_ENTRY);
const _: () = assert!(COMMANDS_PER_ENTRY * ENTRIES_IN_FLIGHT <= QUEUED_AT_LEADER);
