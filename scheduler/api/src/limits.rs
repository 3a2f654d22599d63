//! The bounds on words: what a name, an id or a message may be at most.

/// Bytes in an id chosen by a client. Source: Mesos, task and executor ids.
pub const ID_BYTES: usize = 255;
/// Bytes in a node's name. Ours.
pub const NAME_BYTES: usize = 128;
/// Bytes in a role. Ours; Mesos has no bound of its own.
pub const ROLE_BYTES: usize = 255;
/// Roles that one framework may subscribe with. Ours.
pub const ROLES_PER_FRAMEWORK: usize = 1_000;
/// Tasks in one accept. Ours.
pub const TASKS_PER_ACCEPT: usize = 10_000;
/// Bytes in the message of a status update; longer ones are cut. Ours.
pub const STATUS_MESSAGE_BYTES: usize = 4 * 1024;
/// Bytes of one piece of a relayed file. Ours.
pub const FILE_PIECE_BYTES: usize = 64 * 1024;
/// Bytes of one message on a session between master and agent. Ours.
pub const SESSION_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Ranges in one resource; more are refused. Ours.
pub const RANGES_PER_RESOURCE: usize = 65_536;

const _: () = assert!(FILE_PIECE_BYTES < SESSION_MESSAGE_BYTES);
