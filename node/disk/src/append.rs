//! One batch at the end of a stopped node's log, for what an operator forces.

use std::path::Path;

use shoal_quorum::Batch;

use crate::file::System;
use crate::log::Log;
use crate::recovery::{DamageError, cut, read};
use crate::snapshot;

/// Appends a batch to the log in a folder, which is made if need be; durable when this returns. The
/// caller holds the data directory, so that nobody else writes.
///
/// # Errors
/// [`DamageError`] if the log must not be continued, or the kernel refuses; then what was there is
/// still what a restart finds.
pub fn append(folder: &Path, batch: &Batch) -> Result<(), DamageError> {
    let io = |error| DamageError::io("write", folder, error);
    std::fs::create_dir_all(folder).map_err(io)?;
    let found = read(folder)?;
    cut(folder, &found.position).map_err(io)?;
    if let Some(taken) = &batch.snapshot {
        snapshot::save(&System, folder, taken).map_err(io)?;
    }
    let mut log = Log::open(folder, found.position).map_err(io)?;
    log.write(&System, &[batch]).map_err(io)?;
    log.sync(&System).map_err(io)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shoal_api::{Index, Term};
    use shoal_quorum::{EntryKind, HardState, LogEntry};

    use super::*;
    use crate::recover;

    fn batch(index: u64) -> Batch {
        Batch {
            hard_state: Some(HardState {
                term: Term(index),
                vote: None,
                commit: Index(index),
            }),
            entries: vec![LogEntry {
                index: Index(index),
                term: Term(index),
                kind: EntryKind::Data,
                data: Bytes::from_static(b"x"),
            }],
            snapshot: None,
        }
    }

    #[test]
    fn what_is_appended_follows_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("master");
        append(&folder, &batch(1)).unwrap();
        append(&folder, &batch(2)).unwrap();
        let recovered = recover(&folder).unwrap().unwrap();
        assert_eq!(recovered.entries.len(), 2);
        assert_eq!(recovered.hard_state.term, Term(2));
    }
}
