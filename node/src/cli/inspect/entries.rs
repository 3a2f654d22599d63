//! Entries of the log, decoded to commands. An index that was written more than once comes more than
//! once, in the order of the writing: the last is what counts.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Value, json};
use shoal_ledger::{Command, Entry};
use shoal_master::LedgerCommand;
use shoal_quorum::{EntryKind, LogEntry};

/// Bytes of one command's text in the table; the document has all of it.
const TEXT_BYTES: usize = 400;

/// The entries that were asked for, as they were found.
#[derive(Debug)]
pub struct Wanted {
    range: Option<RangeInclusive<u64>>,
    found: Vec<Value>,
}

impl Wanted {
    /// None found yet.
    pub fn new(range: Option<RangeInclusive<u64>>) -> Wanted {
        Wanted {
            range,
            found: Vec::new(),
        }
    }

    /// Keeps an entry if it was asked for.
    pub fn show(&mut self, file: &Path, offset: u64, entry: &LogEntry) {
        let wanted = self.range.as_ref();
        if !wanted.is_some_and(|range| range.contains(&entry.index.0)) {
            return;
        }
        let mut document = json!({
            "index": entry.index.0,
            "term": entry.term.0,
            "file": file.display().to_string(),
            "record_offset": offset,
            "bytes": entry.data.len(),
        });
        match entry.kind {
            EntryKind::Membership => {
                document["kind"] = json!("membership");
                document["change"] = json!(entry.change_text());
            }
            EntryKind::Data if entry.data.is_empty() => document["kind"] = json!("empty"),
            EntryKind::Data => {
                document["kind"] = json!("commands");
                match Entry::decode(&entry.data) {
                    Ok(decoded) => {
                        let commands = decoded.commands.iter().map(command);
                        document["commands"] = json!(commands.collect::<Vec<_>>());
                    }
                    Err(error) => document["error"] = json!(error.to_string()),
                }
            }
        }
        self.found.push(document);
    }

    /// What was found, if anything was asked for.
    pub fn documents(&self) -> Option<&[Value]> {
        self.range.as_ref().map(|_| &self.found[..])
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for entry in &self.found {
            // Writing into a text never fails.
            let _ = writeln!(
                text,
                "entry {} of term {}: {}",
                entry["index"],
                entry["term"],
                what(entry)
            );
            for command in entry["commands"].as_array().into_iter().flatten() {
                let all = command["command"]
                    .as_str()
                    .unwrap_or("unknown to this version");
                let end = all.floor_char_boundary(TEXT_BYTES);
                let more = if end < all.len() { "…" } else { "" };
                let _ = writeln!(text, "  {}{more}", &all[..end]);
            }
        }
        match &self.range {
            Some(range) if self.found.is_empty() => {
                format!(
                    "no entry from {} to {} is there\n",
                    range.start(),
                    range.end()
                )
            }
            Some(_) | None => text,
        }
    }
}

fn what(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().map(str::to_owned);
    text("change")
        .or_else(|| text("error"))
        .or_else(|| text("kind"))
        .unwrap_or_default()
}

fn command(command: &Command) -> Value {
    let Command {
        header,
        module,
        body,
    } = command;
    let decoded = LedgerCommand::decode(*module, body);
    json!({
        "module": module.0,
        "time_seconds": header.time.as_nanos() as f64 / 1e9,
        "wall_seconds": header.wall.as_seconds(),
        "request": {
            "node": header.request.node.to_string(),
            "generation": header.request.generation.0,
            "counter": header.request.counter,
        },
        "command": decoded.map(|decoded| format!("{decoded:?}")),
    })
}
