//! Files as the log needs them: one seam for faults, and one way to replace a small file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// What the log asks of the kernel; faults attach here.
pub trait Io: Send + Sync + std::fmt::Debug {
    /// Reserves the first bytes of a file; they read as zeros until written.
    ///
    /// # Errors
    /// As of `fallocate`.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;

    /// Writes all of it at that offset.
    ///
    /// # Errors
    /// As of `pwrite`.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// As of `fdatasync`. After an error nothing may be assumed of the file.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Io for System {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // A file system without it writes its zeros when they are needed.
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(()),
        }
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Replaces a file whole: a reader, and a crash, find the old content or the new.
///
/// # Errors
/// The step that failed; the old content is still there.
pub fn atomic_write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_extension("tmp");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)?;
    finish(file, &temporary, path, folder, content)
}

/// As [`atomic_write`], of a secret: nobody but the owner can ever read the file.
///
/// # Errors
/// The step that failed; the old content is still there.
pub fn atomic_write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_extension("tmp");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    finish(file, &temporary, path, folder, content)
}

fn finish(
    mut file: File,
    temporary: &Path,
    path: &Path,
    folder: &Path,
    content: &[u8],
) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(temporary, path)?;
    sync_folder(folder)
}

/// Whether there is no room, which may come back.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Makes the names in a folder durable.
///
/// # Errors
/// As of `fsync`.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
