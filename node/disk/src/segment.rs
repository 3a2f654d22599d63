//! A log segment as bytes, written and read as [`crate::LogWriter`] does it, for whoever simulates a disk.
//!
//! Records have sequences without gaps; a segment's first record repeats the one before it.

use bytes::Bytes;
use shoal_quorum::Batch;

use crate::record::Record;
use crate::recovery::{Replay, scan};

/// The beginning of a segment whose first batch has the sequence after this one.
pub fn begin(sequence: u64) -> Vec<u8> {
    encode(sequence, sequence, &Batch::default())
}

/// The bytes of a batch. `synced` is the last sequence that was durable when it was written.
pub fn encode(sequence: u64, synced: u64, batch: &Batch) -> Vec<u8> {
    let record = Record {
        sequence,
        synced,
        hard_state: batch.hard_state,
        snapshot: batch.snapshot.as_ref().map(|snapshot| snapshot.index),
        entries: batch.entries.clone(),
    };
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

/// The sequence of the last whole batch of a log's last segment; what follows was torn and is cut.
/// `durable` is what the mark beside the log says, 0 without one.
///
/// # Errors
/// Where something is missing that was durable: the node must not start.
pub fn last_whole(bytes: Vec<u8>, durable: u64) -> Result<u64, u64> {
    let mut sequence = None;
    let mut replay = Replay::default();
    scan(
        &Bytes::from(bytes),
        true,
        durable,
        &mut sequence,
        &mut replay,
    )?;
    Ok(sequence.expect("a segment without a record is refused"))
}
