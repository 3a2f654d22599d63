//! Targets of the fuzzer: the bytes of segments, snapshots, backups and identities, as they are and
//! with their checksums put right, which chance would never do.
//!
//! Each says whether the bytes were accepted, and panics if a promise is broken.

use std::path::Path;

use bytes::Bytes;
use shoal_api::{ClusterId, Incarnation, Index, RaftId, Term, Timestamp};
use shoal_quorum::{EntryKind, HardState, LogEntry, Membership};

use crate::backup::{self, Backup, BackupBytes, BackupHeader};
use crate::directory;
use crate::frames::{self, END};
use crate::inspect::{Ending, walk, walk_snapshot};
use crate::record::{HEAD, Record};
use crate::recovery::{Replay, scan};
use crate::snapshot::{self, Head};

/// A segment, the last one or another.
pub fn segment(input: &[u8]) -> bool {
    let raw = one_segment(&Bytes::copy_from_slice(input));
    let mut sealed = input.to_vec();
    seal_records(&mut sealed);
    one_segment(&sealed.into()) || raw
}

/// Gives every record from the start on the checksum that fits it.
fn seal_records(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(record) = bytes.get_mut(at..)
        && record.len() >= HEAD
    {
        let length = u32::from_le_bytes(record[4..8].try_into().expect("four bytes"));
        let end = HEAD.saturating_add(length as usize);
        let Some(checked) = record.get(12..end) else {
            return;
        };
        let check = crc32fast::hash(checked).to_le_bytes();
        record[8..12].copy_from_slice(&check);
        at += end;
    }
}

fn one_segment(bytes: &Bytes) -> bool {
    let mut records = Vec::new();
    let ending = walk(bytes, |seen| records.push(seen));
    for seen in &records {
        let record = Record {
            sequence: seen.sequence,
            synced: seen.synced,
            hard_state: seen.hard_state,
            snapshot: seen.snapshot,
            entries: seen.entries.clone(),
        };
        let mut out = Vec::new();
        record.encode(&mut out);
        let length = out.len();
        assert_eq!(
            Record::decode(&out.into()),
            Some((record, length)),
            "a record is read as it was written"
        );
    }
    let found = [false, true].map(|last| {
        let (mut sequence, mut replay) = (None, Replay::default());
        scan(bytes, last, 0, &mut sequence, &mut replay)
    });
    match ending {
        Ending::Whole(end) => assert_eq!(found, [Ok(end), Ok(end)], "a whole segment is read"),
        Ending::Torn(end) => {
            assert_eq!(
                found[0],
                Err(end),
                "a torn segment is damaged in the middle"
            );
            assert_eq!(found[1], Ok(end), "a torn segment is cut at the end");
        }
        Ending::Damaged { offset, .. } => assert_eq!(found[0], Err(offset), "damage is refused"),
    }
    found[1].is_ok()
}

/// The bytes of segments.
pub fn segments() -> Vec<Vec<u8>> {
    let record = |sequence: u64, snapshot, lengths: &[usize]| Record {
        sequence,
        synced: sequence.saturating_sub(1),
        hard_state: sequence.is_multiple_of(2).then_some(HardState {
            term: Term(3),
            vote: Some(RaftId(1 << 60)),
            commit: Index(sequence),
        }),
        snapshot,
        entries: lengths
            .iter()
            .map(|length| LogEntry {
                index: Index(sequence),
                term: Term(3),
                kind: EntryKind::Data,
                data: vec![7; *length].into(),
            })
            .collect(),
    };
    let mut whole = Vec::new();
    for (sequence, lengths) in [(4, &[][..]), (5, &[30]), (6, &[0, 200])] {
        record(sequence, None, lengths).encode(&mut whole);
    }
    let mut replaced = Vec::new();
    record(0, Some(Index(9)), &[]).encode(&mut replaced);
    let torn = [&whole[..whole.len() - 40], &[0; 64]].concat();
    vec![[&whole[..], &[0; 64]].concat(), torn, whole, replaced]
}

/// A snapshot's file.
pub fn snapshot(input: &[u8]) -> bool {
    let raw = one_snapshot(&Bytes::copy_from_slice(input));
    let mut sealed = input.to_vec();
    seal_frames(&mut sealed, snapshot::MAGIC.len());
    one_snapshot(&sealed.into()) || raw
}

fn one_snapshot(bytes: &Bytes) -> bool {
    let mut chunks = Vec::new();
    let (head, ending) =
        walk_snapshot(&bytes[..], |_, chunk| chunks.push(chunk)).expect("memory can be read");
    let read = snapshot::parse(bytes);
    let whole = matches!(ending, Ending::Whole(_));
    assert_eq!(read.is_ok(), whole, "a snapshot is read if it looks whole");
    let Ok(read) = read else {
        return false;
    };
    let head = head.expect("a whole snapshot has a head");
    assert_eq!((head.index, head.term), (read.index, read.term));
    assert_eq!(head.membership, read.membership);
    assert_eq!(read.chunks[..], chunks[..], "both see the same chunks");
    true
}

/// A backup's file.
pub fn backup(input: &[u8]) -> bool {
    let raw = one_backup(input);
    let mut sealed = input.to_vec();
    seal_frames(&mut sealed, backup::MAGIC.len() + 4);
    one_backup(&sealed) || raw
}

fn one_backup(bytes: &[u8]) -> bool {
    let Ok(mut backup) = Backup::read(Path::new("backup"), bytes) else {
        return false;
    };
    let mut out = BackupBytes::default();
    let mut written = out.head(backup.header()).to_vec();
    while let Ok(chunk) = backup.next_chunk() {
        let Some(chunk) = chunk else {
            written.extend(out.end());
            let again = Backup::read(Path::new("again"), &written[..]).expect("what is written");
            assert_eq!(again.header(), backup.header());
            return true;
        };
        written.extend(out.before(&chunk));
        written.extend(chunk);
    }
    false
}

/// Gives every frame from there on the checksum that fits it.
fn seal_frames(bytes: &mut [u8], from: usize) {
    let mut at = from;
    while let Some(frame) = bytes.get_mut(at..)
        && frame.len() >= 8
    {
        let length = u32::from_le_bytes(frame[..4].try_into().expect("four bytes"));
        let Some(piece) = frame.get(8..(length as usize).saturating_add(8)) else {
            return;
        };
        if length == END {
            return;
        }
        let check = crc32fast::hash(piece).to_le_bytes();
        frame[4..8].copy_from_slice(&check);
        at += 8 + length as usize;
    }
}

/// The bytes of snapshots.
pub fn snapshots() -> Vec<Vec<u8>> {
    let head = Head {
        index: Index(77),
        term: Term(2),
        membership: Membership {
            learners: vec![RaftId(9)],
            removed: vec![RaftId(4), RaftId(1 << 63)],
            ..Membership::of(&[RaftId(1), RaftId(2), RaftId(3)])
        },
    };
    let head = postcard::to_allocvec(&head).expect("a head can be encoded");
    let mut out = snapshot::MAGIC.to_vec();
    for piece in [&head[..], b"first", b"", &[5; 100]] {
        out.extend(frames::before(piece));
        out.extend(piece);
    }
    out.extend(frames::end(3));
    vec![out]
}

/// The bytes of backups.
pub fn backups() -> Vec<Vec<u8>> {
    let header = BackupHeader {
        cluster: ClusterId(7),
        incarnation: Incarnation(1),
        index: Index(9),
        term: Term(2),
        taken: Timestamp::from_nanos(5),
        version: "0.1.0".to_owned(),
        membership: Membership::of(&[RaftId(1)]),
        masters: vec![("a".to_owned(), "127.0.0.1:5050".to_owned())],
    };
    let mut encoder = BackupBytes::default();
    let mut out = encoder.head(&header).to_vec();
    out.extend(encoder.before(b"chunk"));
    out.extend(b"chunk");
    out.extend(encoder.end());
    vec![out]
}

/// The text of an identity.
pub fn identity(text: &str) -> bool {
    let raw = one_identity(text);
    let body = text.rsplit_once("check ").map_or(text, |(body, _)| body);
    one_identity(&directory::sealed(body)) || raw
}

fn one_identity(text: &str) -> bool {
    let Ok(identity) = directory::parse(Path::new("data"), text) else {
        return false;
    };
    let again = directory::parse(Path::new("data"), &directory::text(&identity));
    assert_eq!(again.ok(), Some(identity), "an identity is read as written");
    true
}

/// The text of an identity.
pub fn identities() -> Vec<String> {
    let cluster = |cluster| directory::Identity {
        node: shoal_api::NodeId(1 << 100),
        raft: RaftId(u64::MAX),
        generation: shoal_api::Generation(3),
        cluster,
    };
    [None, Some(ClusterId(5))]
        .map(|id| directory::text(&cluster(id)))
        .to_vec()
}
