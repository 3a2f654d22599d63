//! The inputs that are kept: one folder per target, one file per input.

use std::io;
use std::path::{Path, PathBuf};

use crate::target::Target;

/// Where the kept inputs are, in the tree that this was built from.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs in a folder, by name; none if it is not there.
///
/// # Errors
/// Something in it cannot be read.
pub fn read(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in listed {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}

/// Everything that a target starts with: what its own build writes, and what was kept.
///
/// # Errors
/// The corpus cannot be read.
pub fn of(target: &Target, corpus: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut all = (target.seeds)();
    all.extend(read(&corpus.join(target.name))?);
    Ok(all)
}
