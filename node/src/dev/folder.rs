//! The folder of a development cluster: made, cleaned, and never confused with somebody's own.

use std::fs;
use std::io;
use std::path::Path;

use shoal_disk::atomic_write_private;

use crate::cli::{Exit, Failure};
use crate::keyring::text;

/// The file that says that a folder is ours to remove.
const MARK: &str = "shoal-dev";
/// The file with the key of the cluster's gossip.
pub const KEY: &str = "gossip-key";

/// Makes the folder usable; with `clean` set, what an earlier cluster left is removed first.
///
/// # Errors
/// [`Exit::Failed`] if the folder holds something else, or the disk refuses.
pub fn prepare(folder: &Path, clean: Clean) -> Result<(), Failure> {
    let trouble = |what: &str, error: io::Error| {
        Failure::new(
            Exit::Failed,
            format!("cannot {what} {}: {error}", folder.display()),
            "choose another folder by --data",
        )
    };
    let marked = folder.join(MARK).exists();
    let filled = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(trouble("read", error)),
    };
    if filled && !marked {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "{} holds files that are not of `shoal dev`",
                folder.display()
            ),
            "choose another folder by --data",
        ));
    }
    if filled && clean == Clean::Yes {
        fs::remove_dir_all(folder).map_err(|error| trouble("remove", error))?;
    }
    fs::create_dir_all(folder).map_err(|error| trouble("create", error))?;
    fs::write(
        folder.join(MARK),
        "made by `shoal dev`, removed by `shoal dev --clean`\n",
    )
    .map_err(|error| trouble("write to", error))
}

/// Makes the cluster's key, unless an earlier cluster left one.
///
/// # Errors
/// The disk refuses.
pub fn key(file: &Path) -> Result<(), Failure> {
    if file.exists() {
        return Ok(());
    }
    let text = format!("{}\n", text::secret(&text::generate()));
    atomic_write_private(file, text.as_bytes()).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot write the key {}: {error}", file.display()),
            "choose another folder by --data",
        )
    })
}

/// Whether what an earlier cluster left is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clean {
    /// Removed.
    Yes,
    /// Continued.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_folder_is_cleaned() {
        let root = tempfile::tempdir().unwrap();
        let ours = root.path().join("a/b");
        prepare(&ours, Clean::No).unwrap();
        fs::write(ours.join("x"), "x").unwrap();
        prepare(&ours, Clean::No).unwrap();
        assert!(ours.join("x").exists());
        prepare(&ours, Clean::Yes).unwrap();
        assert!(!ours.join("x").exists());
        fs::write(root.path().join("precious"), "x").unwrap();
        assert!(prepare(root.path(), Clean::Yes).is_err());
        assert!(root.path().join("precious").exists());
    }
}
