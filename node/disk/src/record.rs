//! Records: what one batch looks like in a log segment.
//!
//! ```text
//! magic u32 | length u32 | crc32 u32 of all that follows | sequence u64 | synced u64 | body
//! ```
//!
//! `synced` is the last sequence that was durable when the record was written. It tells damage from a
//! torn tail: a record that a later one calls durable was acknowledged, and is missed.

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};
use shoal_api::{Index, Term};
use shoal_quorum::{EntryKind, HardState, LogEntry};

use crate::limits::RECORD_BYTES;

const MAGIC: u32 = 0x4c6f_6753;
/// Bytes before the body.
pub(crate) const HEAD: usize = 28;

/// Bytes of an entry at least: its index, term, kind and length.
const ENTRY_LEAST: usize = 4;

/// The body of a record: one batch, or the head of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) synced: u64,
    pub(crate) hard_state: Option<HardState>,
    /// The log was replaced by the snapshot of that index.
    pub(crate) snapshot: Option<Index>,
    pub(crate) entries: Vec<LogEntry>,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    hard_state: Option<HardState>,
    snapshot: Option<Index>,
    entries: u32,
}

#[derive(Serialize, Deserialize)]
struct EntryMeta {
    index: Index,
    term: Term,
    kind: EntryKind,
    bytes: u32,
}

fn put<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let taken = std::mem::take(out);
    *out = postcard::to_extend(value, taken).expect("memory takes every value");
}

impl Record {
    /// Appends the record's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_bytes(0, HEAD);
        let meta = Meta {
            hard_state: self.hard_state,
            snapshot: self.snapshot,
            entries: u32::try_from(self.entries.len()).expect("a batch has fewer entries"),
        };
        put(&meta, out);
        for entry in &self.entries {
            let meta = EntryMeta {
                index: entry.index,
                term: entry.term,
                kind: entry.kind,
                bytes: u32::try_from(entry.data.len()).expect("an entry is smaller"),
            };
            put(&meta, out);
            out.extend_from_slice(&entry.data);
        }
        let length = out.len() - start - HEAD;
        assert!(length <= RECORD_BYTES, "a batch of {length} bytes");
        let mut head = &mut out[start..start + HEAD];
        head.put_u32_le(MAGIC);
        head.put_u32_le(u32::try_from(length).expect("the bound fits"));
        head.put_u32_le(0);
        head.put_u64_le(self.sequence);
        head.put_u64_le(self.synced);
        let check = crc32fast::hash(&out[start + 12..]);
        out[start + 8..start + 12].copy_from_slice(&check.to_le_bytes());
    }

    /// Whether bytes begin as a record does.
    pub(crate) fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC.to_le_bytes())
    }

    /// Reads the record at the start of the bytes, and says how long it is; `None` if none is there,
    /// whole and unharmed.
    pub(crate) fn decode(bytes: &Bytes) -> Option<(Record, usize)> {
        let mut head = bytes.get(..HEAD)?;
        if head.get_u32_le() != MAGIC {
            return None;
        }
        let length = head.get_u32_le() as usize;
        let check = head.get_u32_le();
        let (sequence, synced) = (head.get_u64_le(), head.get_u64_le());
        let end = HEAD
            .checked_add(length)
            .filter(|_| length <= RECORD_BYTES)?;
        if crc32fast::hash(bytes.get(12..end)?) != check {
            return None;
        }
        let body = bytes.slice(HEAD..end);
        let (meta, mut rest) = postcard::take_from_bytes::<Meta>(&body).ok()?;
        // Memory follows what is there, not what is said to be there.
        let most = body.len() / ENTRY_LEAST;
        let mut entries = Vec::with_capacity(most.min(meta.entries as usize));
        for _ in 0..meta.entries {
            let (entry, after) = postcard::take_from_bytes::<EntryMeta>(rest).ok()?;
            let at = body.len() - after.len();
            let data = after.get(..entry.bytes as usize)?;
            rest = &after[data.len()..];
            entries.push(LogEntry {
                index: entry.index,
                term: entry.term,
                kind: entry.kind,
                data: body.slice(at..at + entry.bytes as usize),
            });
        }
        let (hard_state, snapshot) = (meta.hard_state, meta.snapshot);
        rest.is_empty().then_some((
            Record {
                sequence,
                synced,
                hard_state,
                snapshot,
                entries,
            },
            end,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_round_trips_and_no_bit_may_flip() {
        let record = Record {
            sequence: 7,
            synced: 5,
            hard_state: Some(HardState {
                term: Term(2),
                vote: None,
                commit: Index(3),
            }),
            snapshot: None,
            entries: vec![LogEntry {
                index: Index(4),
                term: Term(2),
                kind: EntryKind::Data,
                data: Bytes::from_static(b"entry"),
            }],
        };
        let mut out = Vec::new();
        record.encode(&mut out);
        let bytes = Bytes::from(out);
        assert_eq!(Record::decode(&bytes), Some((record, bytes.len())));
        for at in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes.slice(..at)), None, "cut at {at}");
            for bit in 0..8 {
                let mut bad = bytes.to_vec();
                bad[at] ^= 1 << bit;
                assert_eq!(Record::decode(&bad.into()), None, "bit {bit} of byte {at}");
            }
        }
    }
}
