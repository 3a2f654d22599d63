//! One file: a segment, a snapshot or a backup, described for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};
use shoal_disk::inspect::{Ending, read_segment, read_snapshot};
use shoal_disk::{Backup, BackupError};
use shoal_ledger::SectionId;
use shoal_ledger::snapshot::{ChunkSeen, look_at};
use shoal_quorum::Membership;

use super::entries::Wanted;
use crate::cli::offline::ago;
use crate::clock;

/// A file that was looked at.
#[derive(Debug)]
pub struct Seen {
    /// For people, some lines.
    pub text: String,
    /// For programs.
    pub document: Value,
    path: String,
    ending: Result<Ending, String>,
}

impl Seen {
    /// What is wrong with it, if anything.
    pub fn damage(&self) -> Option<String> {
        let path = &self.path;
        match &self.ending {
            Ok(Ending::Whole(_) | Ending::Torn(_)) => None,
            Ok(Ending::Damaged { offset, why }) => {
                Some(format!("{path} is damaged at byte {offset}: {why}"))
            }
            Err(error) => Some(format!("cannot read {path}: {error}")),
        }
    }

    fn new(
        path: &Path,
        kind: &str,
        lines: &[(&str, String)],
        mut document: Value,
        ending: Result<Ending, String>,
    ) -> Seen {
        let path = path.display().to_string();
        let (state, offset) = match &ending {
            Ok(Ending::Whole(end)) => ("whole".to_owned(), Some(*end)),
            Ok(Ending::Torn(end)) => (
                "its end was never durable, or is being written".to_owned(),
                Some(*end),
            ),
            Ok(Ending::Damaged { offset, why }) => (format!("DAMAGED: {why}"), Some(*offset)),
            Err(error) => (format!("UNREADABLE: {error}"), None),
        };
        let at = offset.map_or(String::new(), |offset| format!(", up to byte {offset}"));
        let mut text = format!("{kind} {path}\n");
        for (key, value) in lines {
            // Writing into a text never fails.
            let _ = writeln!(text, "  {key:<12}{value}");
        }
        let _ = writeln!(text, "  {:<12}{state}{at}\n", "state");
        document["file"] = json!(path);
        document["kind"] = json!(kind);
        document["state"] = json!(match &ending {
            Ok(Ending::Whole(_)) => "whole",
            Ok(Ending::Torn(_)) => "torn",
            Ok(Ending::Damaged { .. }) => "damaged",
            Err(_) => "unreadable",
        });
        document["good_bytes"] = json!(offset);
        Seen {
            text,
            document,
            path,
            ending,
        }
    }
}

fn told(result: io::Result<Ending>) -> Result<Ending, String> {
    result.map_err(|error| error.to_string())
}

/// The lowest and the highest of what it was shown.
#[derive(Clone, Copy, Debug, Default)]
struct Range(Option<(u64, u64)>);

impl Range {
    fn show(&mut self, number: u64) {
        let (least, most) = self.0.unwrap_or((number, number));
        self.0 = Some((least.min(number), most.max(number)));
    }

    fn text(self) -> String {
        match self.0 {
            Some((least, most)) if least == most => least.to_string(),
            Some((least, most)) => format!("{least} to {most}"),
            None => "none".to_owned(),
        }
    }

    fn document(self) -> Value {
        json!(self.0.map(|(least, most)| [least, most]))
    }
}

/// A segment of the log; entries that are wanted are kept on the way.
pub fn segment(path: &Path, wanted: &mut Wanted) -> Seen {
    let (mut indexes, mut terms, mut sequences) =
        (Range::default(), Range::default(), Range::default());
    let (mut records, mut entries, mut hard_state) = (0_u64, 0_u64, None);
    let ending = read_segment(path, |record| {
        records += 1;
        sequences.show(record.sequence);
        hard_state = record.hard_state.or(hard_state);
        for entry in &record.entries {
            entries += 1;
            indexes.show(entry.index.0);
            terms.show(entry.term.0);
            wanted.show(path, record.offset, entry);
        }
    });
    let vote =
        |vote: Option<shoal_api::RaftId>| vote.map_or("nobody".to_owned(), |id| id.to_string());
    let last = hard_state.map_or("none".to_owned(), |state| {
        format!(
            "term {}, vote for {}, committed up to {}",
            state.term,
            vote(state.vote),
            state.commit
        )
    });
    let lines = [
        (
            "records",
            format!("{records}, numbered {}", sequences.text()),
        ),
        (
            "entries",
            format!("{entries}, index {}, term {}", indexes.text(), terms.text()),
        ),
        ("hard state", last),
    ];
    let document = json!({
        "records": records,
        "sequences": sequences.document(),
        "entries": entries,
        "indexes": indexes.document(),
        "terms": terms.document(),
        "hard_state": hard_state.map(|state| json!({
            "term": state.term.0,
            "vote": state.vote.map(|id| id.to_string()),
            "commit": state.commit.0,
        })),
    });
    Seen::new(path, "segment", &lines, document, told(ending))
}

/// The chunks of a ledger, counted by section.
#[derive(Debug, Default)]
struct Chunks {
    count: usize,
    sections: BTreeMap<SectionId, (u16, u64, u64)>,
    hash: Option<String>,
    wrong: Option<(u64, &'static str)>,
}

impl Chunks {
    fn show(&mut self, offset: u64, chunk: &Bytes) {
        match look_at(self.count, chunk) {
            Ok(ChunkSeen::Rows {
                section,
                version,
                rows,
            }) => {
                let seen = self.sections.entry(section).or_insert((version, 0, 0));
                seen.1 += u64::from(rows);
                seen.2 += chunk.len() as u64;
            }
            Ok(ChunkSeen::Trailer(hash)) => self.hash = Some(hash.to_string()),
            Err(_) => {
                let why = "a chunk of the ledger is none that this version reads";
                self.wrong.get_or_insert((offset, why));
            }
        }
        self.count += 1;
    }

    /// The file's own ending, unless a chunk was wrong before.
    fn ending(&self, ending: Ending) -> Ending {
        match self.wrong {
            Some((offset, why)) => Ending::Damaged { offset, why },
            None => ending,
        }
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("chunks", self.count.to_string())];
        for (section, (version, rows, bytes)) in &self.sections {
            let text = format!(
                "{section} ({}) version {version}: {rows} rows, {bytes} bytes",
                module(*section)
            );
            lines.push(("section", text));
        }
        lines.extend(self.hash.clone().map(|hash| ("state hash", hash)));
        lines
    }

    fn document(&self) -> Value {
        let section = |(section, (version, rows, bytes)): (&SectionId, &(u16, u64, u64))| {
            json!({
                "section": section.to_string(),
                "module": module(*section),
                "version": version,
                "rows": rows,
                "bytes": bytes,
            })
        };
        json!({
            "chunks": self.count,
            "sections": self.sections.iter().map(section).collect::<Vec<_>>(),
            "state_hash": self.hash,
        })
    }
}

/// Whose section it is.
fn module(section: SectionId) -> &'static str {
    use shoal_ledger::{Module, Outcomes};
    let number = section.module;
    if number == shoal_offers::Offers::NUMBER {
        "offers"
    } else if number == shoal_builtin::Runs::NUMBER {
        "runs"
    } else if number == shoal_master::Charter::NUMBER {
        "charter"
    } else if number == Outcomes::NUMBER {
        "outcomes"
    } else {
        "unknown"
    }
}

fn members(membership: &Membership) -> (String, Value) {
    let list = |ids: &[shoal_api::RaftId]| -> Vec<String> {
        let ids = ids.iter();
        ids.map(ToString::to_string).collect()
    };
    let text = |ids: &[shoal_api::RaftId]| list(ids).join(", ");
    let mut line = format!("voters {}", text(&membership.voters));
    for (name, ids) in [
        ("before", &membership.outgoing),
        ("learners", &membership.learners),
        ("removed", &membership.removed),
    ] {
        if !ids.is_empty() {
            line.push_str(&format!("; {name} {}", text(ids)));
        }
    }
    let document = json!({
        "voters": list(&membership.voters),
        "outgoing": list(&membership.outgoing),
        "learners": list(&membership.learners),
        "removed": list(&membership.removed),
    });
    (line, document)
}

/// A snapshot.
pub fn snapshot(path: &Path) -> Seen {
    let mut chunks = Chunks::default();
    let read = read_snapshot(path, |offset, chunk| chunks.show(offset, &chunk));
    let (head, ending) = match read {
        Ok((head, ending)) => (head, Ok(chunks.ending(ending))),
        Err(error) => (None, Err(error.to_string())),
    };
    let mut lines = Vec::new();
    let mut document = chunks.document();
    if let Some(head) = head {
        let (line, membership) = members(&head.membership);
        lines.push(("index", format!("{} of term {}", head.index, head.term)));
        lines.push(("membership", line));
        document["index"] = json!(head.index.0);
        document["term"] = json!(head.term.0);
        document["membership"] = membership;
    }
    lines.extend(chunks.lines());
    Seen::new(path, "snapshot", &lines, document, ending)
}

/// A backup.
pub fn backup(path: &Path) -> Seen {
    let mut chunks = Chunks::default();
    let mut lines = Vec::new();
    let mut head = json!({});
    let read = Backup::open(path).and_then(|mut backup| {
        let header = backup.header();
        let (line, membership) = members(&header.membership);
        let taken = ago(header.taken, clock::calendar());
        let masters: Vec<String> = header
            .masters
            .iter()
            .map(|(name, http)| format!("{name} at {http}"))
            .collect();
        lines = vec![
            (
                "cluster",
                format!("{}, life {}", header.cluster, header.incarnation.0),
            ),
            ("index", format!("{} of term {}", header.index, header.term)),
            ("taken", format!("{taken}, by version {}", header.version)),
            ("membership", line),
            ("masters", masters.join(", ")),
        ];
        head = json!({
            "cluster": header.cluster.to_string(),
            "incarnation": header.incarnation.0,
            "index": header.index.0,
            "term": header.term.0,
            "taken": header.taken.as_seconds(),
            "version": header.version,
            "membership": membership,
            "masters": header.masters,
        });
        let mut offset = backup.offset();
        while let Some(chunk) = backup.next_chunk()? {
            chunks.show(offset, &chunk);
            offset = backup.offset();
        }
        Ok(Ending::Whole(backup.offset() + 8))
    });
    let ending = match read {
        Ok(ending) => Ok(chunks.ending(ending)),
        Err(BackupError::Damaged { offset, why, .. }) => Ok(Ending::Damaged { offset, why }),
        Err(error) => Err(error.to_string()),
    };
    lines.extend(chunks.lines());
    let mut document = chunks.document();
    if let (Some(all), Value::Object(head)) = (document.as_object_mut(), head) {
        all.extend(head);
    }
    Seen::new(path, "backup", &lines, document, ending)
}
