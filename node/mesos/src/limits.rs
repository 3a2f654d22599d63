//! The bounds on what a foreign client may send, and on what is told about it.

/// Bytes of one call's body; a longer one is refused with 413. Ours.
pub const CALL_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of memory that the message of one call may take; one that would take more is refused with 413.
/// Ours: ten thousand tasks, each with a command and half a dozen resources, fit.
pub const MESSAGE_MEMORY: usize = 16 * CALL_BYTES;
/// Bytes of a body that is not weighed before it is read, since whatever it holds fits. Ours.
pub const UNWEIGHED_BYTES: usize = 4 * 1024;
/// Levels of messages in messages that a body in protobuf may have. Source: prost's own limit.
pub const MESSAGE_DEPTH: usize = 100;
/// Bytes of one RecordIO record that the decoder takes. Ours.
pub const RECORD_BYTES: usize = 64 * 1024 * 1024;
/// Digits in the length of a record. Ours.
pub const RECORD_LENGTH_DIGITS: usize = 10;
/// Missing required fields that one refusal names. Ours.
pub const MISSING_FIELDS: usize = 16;
/// Bytes of a body that an error about it repeats. Ours.
pub const QUOTED_BYTES: usize = 256;
/// Bytes after which a v0 listing hands its buffer on. Ours.
pub const LISTING_CHUNK_BYTES: usize = 64 * 1024;
/// Seconds that a decline filter lives at most. Source: Mesos, 365 days.
pub const REFUSE_SECONDS: f64 = 365.0 * 24.0 * 60.0 * 60.0;

const _: () = assert!(CALL_BYTES < RECORD_BYTES);
const _: () = assert!(10_u64.pow(RECORD_LENGTH_DIGITS as u32) > RECORD_BYTES as u64);
const _: () = assert!(CALL_BYTES < shoal_api::limits::SESSION_MESSAGE_BYTES);
