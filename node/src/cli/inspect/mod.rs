//! `shoal inspect`: what a node's files hold, without changing anything, also while the node runs.
//!
//! What lives here is which files there are, and how the whole is printed. What deliberately does not:
//! reading them (`shoal_disk::inspect`), and one file's description (`file`).

mod entries;
mod file;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use shoal_disk::inspect::{self, Kind};
use shoal_disk::{DataDirectory, recover};

use super::exit::{Exit, Failure};
use super::flags::{InspectFlags, OutputForm};
use super::offline::failed;
use super::output::{print_json, print_text};
use entries::Wanted;

/// How often a log that its node writes is read again before what is missing counts as damage.
const LOOKS: usize = 3;

/// Looks at a path and prints what it is.
///
/// # Errors
/// It is nothing of Shoal's, cannot be read, or is damaged; what can be read is printed before.
pub fn run(form: OutputForm, flags: &InspectFlags) -> Result<(), Failure> {
    let path = &flags.path;
    let cannot = |error| failed(&format!("cannot read {}: {error}", path.display()));
    let mut wanted = Wanted::new(flags.entries.clone());
    let mut report = Report::default();
    match inspect::kind_of(path).map_err(cannot)? {
        Kind::DataDirectory => report.directory(path, &mut wanted),
        Kind::Log => report.log(path, &mut wanted),
        Kind::Segment => report.file(file::segment(path, &mut wanted)),
        Kind::Snapshot => report.file(file::snapshot(path)),
        Kind::Backup => report.file(file::backup(path)),
        Kind::Foreign => {
            return Err(Failure::new(
                Exit::Failed,
                format!("{} is nothing of Shoal's", path.display()),
                "name a data directory, the folder `master` in one, a log segment, a snapshot or a \
                 backup",
            ));
        }
    }
    match form {
        OutputForm::Json => print_json(&report.document(&wanted))?,
        OutputForm::Table => print_text(&report.text(&wanted))?,
    }
    match report.damage {
        Some(damage) => Err(failed(&damage)),
        None => Ok(()),
    }
}

/// What was found, for people and for programs.
#[derive(Debug, Default)]
struct Report {
    node: Option<Value>,
    files: Vec<file::Seen>,
    /// What is wrong first.
    damage: Option<String>,
}

impl Report {
    fn directory(&mut self, folder: &Path, wanted: &mut Wanted) {
        let running = inspect::is_held(folder).ok();
        match inspect::identity(folder) {
            Ok(identity) => {
                self.node = Some(json!({
                    "node": identity.node.to_string(),
                    "raft_id": identity.raft.to_string(),
                    "generation": identity.generation.0,
                    "cluster": identity.cluster.map(|cluster| cluster.to_string()),
                    "running": running,
                    "halted": inspect::halted(folder),
                }));
            }
            Err(error) => self.wrong(error.to_string()),
        }
        let log = DataDirectory::log_of(folder);
        if log.exists() {
            self.log(&log, wanted);
        }
    }

    fn log(&mut self, folder: &Path, wanted: &mut Wanted) {
        let snapshots = inspect::snapshots(folder);
        let segments = inspect::segments(folder);
        match (snapshots, segments) {
            (Ok(snapshots), Ok(segments)) => {
                for path in snapshots {
                    self.file(file::snapshot(&path));
                }
                for path in segments {
                    self.file(file::segment(&path, wanted));
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                self.wrong(format!("cannot list {}: {error}", folder.display()));
            }
        }
        // A node that writes meanwhile may have removed what was listed; what is wrong stays wrong.
        let mut looks: Vec<_> = (0..LOOKS).map_while(|_| recover(folder).err()).collect();
        if looks.len() == LOOKS
            && let Some(error) = looks.pop()
        {
            self.wrong(error.to_string());
        }
    }

    fn file(&mut self, seen: file::Seen) {
        if let Some(damage) = seen.damage() {
            self.wrong(damage);
        }
        self.files.push(seen);
    }

    fn wrong(&mut self, what: String) {
        self.damage.get_or_insert(what);
    }

    fn document(&self, wanted: &Wanted) -> Value {
        let files: Vec<&Value> = self.files.iter().map(|file| &file.document).collect();
        let mut document = json!({ "node": self.node, "files": files, "damage": self.damage });
        if let Some(entries) = wanted.documents() {
            document["entries"] = json!(entries);
        }
        document
    }

    fn text(&self, wanted: &Wanted) -> String {
        let mut text = String::new();
        if let Some(Value::Object(node)) = &self.node {
            for (key, value) in node.iter().filter(|(_, value)| !value.is_null()) {
                let value = match value {
                    Value::String(text) => text.clone(),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object(_) => value.to_string(),
                };
                // Writing into a text never fails.
                let _ = writeln!(text, "{key:<11}{value}");
            }
            text.push('\n');
        }
        for file in &self.files {
            text.push_str(&file.text);
        }
        text.push_str(&wanted.text());
        text
    }
}
