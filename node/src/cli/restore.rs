//! `shoal restore`: a data directory of the first master of a new life, out of a backup.
//!
//! The identity is written last: what an interrupted restore leaves is no node, and is refused as a
//! folder that is not empty.

use std::path::Path;

use serde_json::json;
use shoal_api::Index;
use shoal_disk::{
    Backup, BackupHeader, DataDirectory, DirectoryError, SnapshotFile, System, append, recover,
};
use shoal_master::life::{self, Replayed};
use shoal_quorum::{Batch, EntryKind, HardState, LogEntry, Membership};

use super::exit::{Exit, Failure};
use super::flags::{OutputForm, RestoreFlags};
use super::list::confirm;
use super::offline::{Life, ago, contents, failed, refuse_living};
use super::progress::Progress;
use crate::clock;
use crate::node::mint;

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Failure {
        failed(&error)
    }
}

/// Restores.
///
/// # Errors
/// The file is no good backup, the folder is not empty, or the cluster lives.
pub fn run(form: OutputForm, flags: &RestoreFlags) -> Result<(), Failure> {
    let mut backup = Backup::open(&flags.file).map_err(|error| failed(&error))?;
    let header = backup.header().clone();
    let asked = refuse_living(header.cluster, header.masters.clone())?;
    for (name, http, life) in asked {
        if life == Life::Leaderless {
            eprintln!(
                "master {name} at {http} runs without a leader: once this node leads, it is told that \
                 its ledger is over, and halts"
            );
        }
    }
    let minted = mint().map_err(|error| failed(&error))?;
    let mut replayed = None;
    DataDirectory::found(&flags.data, minted, header.cluster, |directory| {
        replayed = Some(fill(directory, &mut backup, &header, &flags.file)?);
        Ok::<(), Failure>(())
    })?;
    let replayed = replayed.expect("a folder that was filled has a ledger");
    tell(form, flags, &header, &replayed)
}

/// Writes snapshot and log, and reads both back as a start would.
fn fill(
    directory: &DataDirectory,
    backup: &mut Backup,
    header: &BackupHeader,
    file: &Path,
) -> Result<Replayed, Failure> {
    let refused = |error| {
        failed(&format!(
            "cannot write {}: {error}",
            directory.folder().display()
        ))
    };
    let id = directory.identity().raft;
    let folder = directory.master();
    let old = header.membership.members();
    let mut membership = Membership::of(&[id]);
    membership.removed = [&header.membership.removed[..], &old].concat();
    std::fs::create_dir(&folder).map_err(refused)?;
    let (index, term) = (header.index, header.term);
    let snapshot = SnapshotFile::create(&System, &folder, index, term, &membership);
    let mut snapshot = snapshot.map_err(refused)?;
    let mut progress = Progress::new("restore");
    let size = std::fs::metadata(file).map(|file| file.len()).ok();
    while let Some(chunk) = backup.next_chunk().map_err(|error| failed(&error))? {
        snapshot.chunk(&chunk).map_err(refused)?;
        progress.show(backup.offset(), size);
    }
    snapshot.finish().map_err(refused)?;
    let wall = clock::calendar();
    let incarnation = life::next(header.incarnation, wall);
    let (next, term) = (Index(index.0 + 1), term.next());
    let batch = Batch {
        hard_state: Some(HardState {
            term,
            vote: None,
            commit: next,
        }),
        entries: vec![LogEntry {
            index: next,
            term,
            kind: EntryKind::Data,
            data: life::entry(incarnation, None, wall),
        }],
        snapshot: None,
    };
    append(&folder, &batch).map_err(|error| failed(&error))?;
    let recovered = recover(&folder).map_err(|error| failed(&error))?;
    let replayed = life::replay(&recovered.unwrap_or_default(), id);
    let replayed = replayed.map_err(|error| unreadable(file, header, &error))?;
    match replayed.state.charter.identity() {
        Some(now) if now.cluster == header.cluster && now.incarnation == incarnation => {
            Ok(replayed)
        }
        Some(_) | None => Err(unreadable(
            file,
            header,
            &"its header is not of the ledger in it",
        )),
    }
}

fn unreadable(file: &Path, header: &BackupHeader, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("{} cannot be restored: {why}", file.display()),
        format!(
            "it was taken by version {}, this is {}; nothing was made",
            header.version,
            env!("CARGO_PKG_VERSION")
        ),
    )
}

fn tell(
    form: OutputForm,
    flags: &RestoreFlags,
    header: &BackupHeader,
    replayed: &Replayed,
) -> Result<(), Failure> {
    let life = replayed.state.incarnation().0;
    let data = flags.data.display();
    let document = json!({
        "data": data.to_string(),
        "cluster": header.cluster.to_string(),
        "index": header.index.0,
        "incarnation_before": header.incarnation.0,
        "incarnation": life,
    });
    let taken = ago(header.taken, clock::calendar());
    let text = format!(
        "{data} holds cluster {} as of index {}, taken {taken}, and begins life {life}:\n\
         {}\n\
         1. Start its first master: `shoal node --roles master --data {data}`, with --join to nodes that \
         still run.\n\
         2. Start the other masters in empty directories with --join; `shoal quorum promote NAME` gives \
         each its vote.\n\
         Agents come back by themselves. Tasks newer than the backup keep running and are shown as \
         orphans; those that the backup knows and that do not run any more are given up, not run again.\n",
        header.cluster,
        header.index,
        contents(&replayed.state),
    );
    confirm(form, &document, &text)
}
