//! `shoal backup`: the ledger of a running cluster, streamed into a file that is checked and durable
//! before it has its name.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use shoal_disk::Backup;

use super::client::Client;
use super::exit::{Exit, Failure};
use super::flags::{BackupFlags, OutputForm};
use super::list::confirm;
use super::offline::failed;
use super::progress::Progress;

/// Takes a backup.
///
/// # Errors
/// What the API says, or the file system; then there is no file of that name.
pub fn run(client: &Client, form: OutputForm, flags: &BackupFlags) -> Result<(), Failure> {
    let file = &flags.file;
    if file.exists() {
        return Err(Failure::new(
            Exit::Failed,
            format!("{} is there already", file.display()),
            "choose another name, or move that file away",
        ));
    }
    let mut partial = file.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let stored = fetch(client, &partial).and_then(|()| check(&partial));
    let backup = match stored {
        Ok(backup) => backup,
        Err(failure) => {
            // What is left of it is of no use; if it cannot be removed, its name says what it is.
            let _ = std::fs::remove_file(&partial);
            return Err(failure);
        }
    };
    // A link does not replace what somebody else put there meanwhile.
    let named = std::fs::hard_link(&partial, file).and_then(|()| std::fs::remove_file(&partial));
    named
        .and_then(|()| File::open(folder_of(file))?.sync_all())
        .map_err(|error| failed(&format!("cannot name {}: {error}", file.display())))?;
    let header = backup.header();
    let document = json!({
        "file": file.display().to_string(),
        "bytes": backup.offset() + 8,
        "cluster": header.cluster.to_string(),
        "incarnation": header.incarnation.0,
        "index": header.index.0,
        "version": header.version,
    });
    let line = format!(
        "{}: cluster {} at index {}, {} bytes\n",
        file.display(),
        header.cluster,
        header.index,
        backup.offset() + 8
    );
    confirm(form, &document, &line)
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

fn fetch(client: &Client, partial: &Path) -> Result<(), Failure> {
    let refused = |error| failed(&format!("cannot write {}: {error}", partial.display()));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(partial)
        .map_err(refused)?;
    let mut out = BufWriter::new(file);
    let mut progress = Progress::new("backup");
    client.download("/shoal/v1/backup", &mut out, |bytes| {
        progress.show(bytes, None);
    })?;
    out.flush().map_err(refused)?;
    out.get_ref().sync_all().map_err(refused)
}

/// Reads the whole file again: what is kept for years is looked at once.
fn check(partial: &Path) -> Result<Backup, Failure> {
    let mut backup = Backup::open(partial).map_err(|error| failed(&error))?;
    while backup
        .next_chunk()
        .map_err(|error| failed(&error))?
        .is_some()
    {}
    Ok(backup)
}
