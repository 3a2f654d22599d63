//! What a node reads from its own disk, which may have been damaged, or written by another version.

use shoal_agent::BootId;
use shoal_agent::Record;
use shoal_agent::frames::{Frames, MAGIC, read};
use shoal_api::ContainerId;
use shoal_api::task::TaskState;

use super::{PLAIN, samples};
use crate::target::{Memory, Target, Verdict};

pub(super) const LOG_SEGMENT: Target = Target {
    name: "log-segment",
    covers: "a segment of a master's log, as a restart and as `shoal inspect` reads it",
    run: |input| verdict(shoal_disk::fuzzing::segment(input)),
    seeds: shoal_disk::fuzzing::segments,
    memory: PLAIN,
};

pub(super) const SNAPSHOT_FILE: Target = Target {
    name: "snapshot-file",
    covers: "a master's snapshot and a backup, the frames and the head of each",
    run: |input| {
        let snapshot = shoal_disk::fuzzing::snapshot(input);
        verdict(shoal_disk::fuzzing::backup(input) || snapshot)
    },
    seeds: || {
        [
            shoal_disk::fuzzing::snapshots(),
            shoal_disk::fuzzing::backups(),
        ]
        .concat()
    },
    memory: Memory {
        // A piece is read into room of its own length, which is at most this.
        fixed: shoal_disk::limits::CHUNK_BYTES + (1 << 20),
        per_byte: 64,
    },
};

pub(super) const IDENTITY: Target = Target {
    name: "identity-file",
    covers: "the identity of a node in its data directory",
    run: |input| match std::str::from_utf8(input) {
        Ok(text) => verdict(shoal_disk::fuzzing::identity(text)),
        Err(_) => Verdict::Refused,
    },
    seeds: || {
        let texts = shoal_disk::fuzzing::identities();
        texts.into_iter().map(String::into_bytes).collect()
    },
    memory: PLAIN,
};

pub(super) const CHECKPOINT_LOG: Target = Target {
    name: "checkpoint-log",
    covers: "an agent's checkpoint log: frames and records",
    run: |input| verdict(checkpoint_log(input)),
    seeds: checkpoint_logs,
    memory: Memory {
        fixed: 256 * 1024,
        per_byte: 256,
    },
};

pub(super) const KEEPER: Target = Target {
    name: "keeper",
    covers: "a keeper's journal, and what is said on its socket",
    run: |input| {
        let journal = shoal_keeper::fuzzing::journal(input);
        verdict(shoal_keeper::fuzzing::socket(input) || journal)
    },
    seeds: || {
        [
            shoal_keeper::fuzzing::journals(),
            shoal_keeper::fuzzing::sockets(),
        ]
        .concat()
    },
    memory: Memory {
        // The decoder makes room for up to a mebibyte of rows at once.
        fixed: 4 * 1024 * 1024,
        per_byte: 256,
    },
};

fn verdict(accepted: bool) -> Verdict {
    Verdict::of(accepted.then_some(()))
}

/// A checkpoint log as it is, and with the sums of its frames put right.
fn checkpoint_log(input: &[u8]) -> bool {
    let raw = one_log(input);
    let mut sealed = input.to_vec();
    let mut at = MAGIC.len();
    while let Some(frame) = sealed.get_mut(at..)
        && let Some(length) = frame.first_chunk::<4>()
    {
        let length = u32::from_le_bytes(*length) as usize;
        let Some(body) = frame.get(12..length.saturating_add(12)) else {
            break;
        };
        let sum = crc32fast::hash(body).to_le_bytes();
        frame[4..8].copy_from_slice(&sum);
        let sum = crc32fast::hash(&frame[..8]).to_le_bytes();
        frame[8..12].copy_from_slice(&sum);
        at += 12 + length;
    }
    one_log(&sealed) || raw
}

fn one_log(bytes: &[u8]) -> bool {
    let Ok((records, end)) = read(bytes, 0) else {
        return false;
    };
    assert!(end <= bytes.len(), "a log ends within itself");
    let again = read(&written(&records), 0).expect("what is written can be read");
    assert_eq!(again.0, records, "a record is read as it was written");
    !records.is_empty()
}

fn written(records: &[Record]) -> Vec<u8> {
    let mut frames = Frames::default();
    records.iter().for_each(|record| frames.push(record));
    [&MAGIC[..], &frames.take()].concat()
}

/// All records in one frame, each in its own, and a torn tail.
fn checkpoint_logs() -> Vec<Vec<u8>> {
    let records = records();
    let mut apart = MAGIC.to_vec();
    for record in &records {
        apart.extend(&written(std::slice::from_ref(record))[MAGIC.len()..]);
    }
    let torn = apart[..apart.len() - 10].to_vec();
    vec![written(&records), apart, torn]
}

fn records() -> Vec<Record> {
    let (fence, task) = (samples::fence(), samples::task());
    vec![
        Record::Booted(BootId(1 << 90)),
        Record::Bound {
            cluster: shoal_api::ClusterId(7),
            agent: samples::agent(),
        },
        Record::Fenced(fence),
        Record::Launched {
            fence,
            assignment: samples::assignment(),
            container: ContainerId(1 << 80),
        },
        Record::Updated(samples::update(1, TaskState::Running)),
        Record::Durable {
            task: task.clone(),
            sequence: 1,
        },
        Record::Killed {
            fence,
            task: task.clone(),
            grace: std::time::Duration::from_secs(3),
        },
        Record::Forgotten { fence, task },
    ]
}
