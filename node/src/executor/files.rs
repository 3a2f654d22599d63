//! Files of sandboxes for whoever may look: found by the paths that Mesos gives them, and never
//! outside of the sandbox that the path names.
//!
//! A task owns its sandbox and may put anything there while it is being read. So folders above a
//! sandbox are entered without following links, what is inside is looked up by the kernel in a way that
//! cannot leave it, and a file is opened for reading only once it is known to be a plain one.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::limits;

/// The files of all sandboxes of an agent.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

/// Why a file is not shown.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// Nothing that may be shown is at that path.
    #[error("there is no such file in a sandbox")]
    NotFound,
    /// It is a folder, a socket or something else.
    #[error("it is not a plain file")]
    NotAFile,
    /// The folder has more than [`limits::BROWSED`] entries.
    #[error("the folder has more than {} entries", limits::BROWSED)]
    TooMany,
    /// The disk's.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl From<Errno> for FileFault {
    fn from(error: Errno) -> FileFault {
        match error {
            // A link that leads out, or goes in circles, leads to nothing that is shown.
            Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG => {
                FileFault::NotFound
            }
            error => FileFault::Unreadable(error.into()),
        }
    }
}

/// One entry of a folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The path that was asked for, with the entry's name.
    pub path: String,
    /// What the file system says of it; of a link, of the link itself.
    pub stat: Stat,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What was read.
    pub bytes: Vec<u8>,
    /// Of the whole file.
    pub size: u64,
}

/// What is at a path; only named, not opened for reading.
struct Found {
    handle: OwnedFd,
    kind: FileType,
}

/// A path taken apart: the sandbox, from the agent's folder on, and what follows in it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    sandbox: Vec<String>,
    inside: Vec<String>,
}

impl Files {
    /// Those under an agent's folder, whose path is canonical.
    pub fn new(root: &Path) -> Files {
        Files {
            root: root.to_owned(),
        }
    }

    /// What a folder has, in order of path; nothing if it is a plain file.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn browse(&self, path: &str) -> Result<Vec<Entry>, FileFault> {
        let found = self.find(path)?;
        match found.kind {
            FileType::Directory => {}
            FileType::RegularFile => return Ok(Vec::new()),
            _ => return Err(FileFault::NotFound),
        }
        let folder = reopen(&found.handle, OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if entries.len() == limits::BROWSED {
                return Err(FileFault::TooMany);
            }
            // What is gone again meanwhile is not listed.
            let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let name = name.to_string_lossy();
            entries.push(Entry {
                path: format!("{}/{name}", path.trim_end_matches('/')),
                stat,
            });
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    /// Opens a plain file.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn open(&self, path: &str) -> Result<File, FileFault> {
        let found = self.find(path)?;
        if found.kind != FileType::RegularFile {
            return Err(FileFault::NotAFile);
        }
        // A file that a task locks against readers must not hold this thread.
        Ok(File::from(reopen(&found.handle, OFlags::NONBLOCK)?))
    }

    /// Reads a piece of a plain file, at most [`limits::PIECE_BYTES`]; without an offset only its size
    /// is told, without a length all that fits.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn read(
        &self,
        path: &str,
        offset: Option<u64>,
        length: Option<u64>,
    ) -> Result<Piece, FileFault> {
        let file = self.open(path)?;
        let size = file.metadata()?.size();
        let Some(offset) = offset else {
            let bytes = Vec::new();
            return Ok(Piece { bytes, size });
        };
        let most = limits::PIECE_BYTES as u64;
        let wanted = length.unwrap_or(most).min(most);
        let wanted = wanted.min(size.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(wanted).expect("a piece is small")];
        let read = read_at(&file, &mut bytes, offset)?;
        bytes.truncate(read);
        Ok(Piece { bytes, size })
    }

    fn find(&self, path: &str) -> Result<Found, FileFault> {
        let place = self.place(path).ok_or(FileFault::NotFound)?;
        let sandbox = self.enter(&place.sandbox)?;
        let handle = match place.inside.is_empty() {
            true => sandbox,
            false => inside(&sandbox, &place.inside)?,
        };
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode);
        Ok(Found { handle, kind })
    }

    /// Takes a path apart: the real one of a sandbox, or Mesos' virtual one that begins with the
    /// framework.
    fn place(&self, path: &str) -> Option<Place> {
        let parts = components(path)?;
        let root = components(self.root.to_str()?)?;
        let below = parts.strip_prefix(root.as_slice());
        let (mut sandbox, rest) = match below {
            Some([slaves, agent, rest @ ..]) if slaves == "slaves" => {
                (vec![slaves.clone(), agent.clone()], rest)
            }
            _ => (self.agent_of(&parts)?, parts.as_slice()),
        };
        let [
            frameworks,
            framework,
            executors,
            executor,
            runs,
            run,
            inside @ ..,
        ] = rest
        else {
            return None;
        };
        let layout = frameworks == "frameworks" && executors == "executors" && runs == "runs";
        if !layout {
            return None;
        }
        sandbox.extend([frameworks, framework, executors, executor, runs].map(Clone::clone));
        sandbox.push(self.run(&sandbox, run)?);
        Some(Place {
            sandbox,
            inside: inside.to_vec(),
        })
    }

    /// The folder of the agent id under which a framework's task is; the newest id that has it.
    fn agent_of(&self, parts: &[String]) -> Option<Vec<String>> {
        let [frameworks, framework, executors, executor, ..] = parts else {
            return None;
        };
        let mut found: Vec<(std::time::SystemTime, String)> = Vec::new();
        for agent in fs::read_dir(self.root.join("slaves")).ok()?.flatten() {
            let task = agent.path().join(frameworks).join(framework);
            let task = task.join(executors).join(executor);
            let Ok(metadata) = fs::symlink_metadata(task) else {
                continue;
            };
            let name = agent.file_name().into_string();
            if let (Ok(name), Ok(modified)) = (name, metadata.modified()) {
                found.push((modified, name));
            }
        }
        let (_, newest) = found.into_iter().max()?;
        Some(vec!["slaves".to_owned(), newest])
    }

    /// The run that a name means: `latest` is a link to another one.
    fn run(&self, runs: &[String], run: &str) -> Option<String> {
        if run != "latest" {
            return Some(run.to_owned());
        }
        let link = runs
            .iter()
            .fold(self.root.clone(), |path, part| path.join(part));
        let target = fs::read_link(link.join(run)).ok()?;
        let target = target.to_str()?;
        let parts = components(target)?;
        match parts.as_slice() {
            [name] if name == target && name != "latest" => Some(name.clone()),
            _ => None,
        }
    }

    /// Enters folder by folder, following no link.
    fn enter(&self, parts: &[String]) -> Result<OwnedFd, FileFault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(&self.root, flags, Mode::empty())?;
        for part in parts {
            at = rustix::fs::openat(&at, part, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(at)
    }
}

/// The names in a path; `None` if it goes up, or cannot be one of a file.
fn components(path: &str) -> Option<Vec<String>> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.map(str::to_owned).collect();
    let bad = |part: &String| part == "." || part == ".." || part.contains('\0');
    (!parts.is_empty() && !parts.iter().any(bad)).then_some(parts)
}

/// What is below a sandbox. Links are followed while they stay in it; where the kernel cannot see to
/// that, none is.
fn inside(sandbox: &OwnedFd, parts: &[String]) -> Result<OwnedFd, FileFault> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..limits::LOOKS {
        match rustix::fs::openat2(sandbox, parts.join("/"), flags, Mode::empty(), below) {
            Ok(handle) => return Ok(handle),
            // Something on the way was being moved.
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS | Errno::PERM) => return without_links(sandbox.as_fd(), parts),
            Err(error) => return Err(error.into()),
        }
    }
    Err(FileFault::NotFound)
}

fn without_links(sandbox: BorrowedFd<'_>, parts: &[String]) -> Result<OwnedFd, FileFault> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut at = rustix::io::fcntl_dupfd_cloexec(sandbox, 0)?;
    for part in parts {
        at = rustix::fs::openat(&at, part, flags, Mode::empty())?;
    }
    Ok(at)
}

/// Opens for reading what was only named; by the kernel's own name for it, so that it is the same.
fn reopen(handle: &OwnedFd, flags: OFlags) -> Result<OwnedFd, FileFault> {
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | flags;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const RUN: &str = "slaves/a-S0/frameworks/f/executors/t/runs/c1";

    fn sandbox() -> (tempfile::TempDir, PathBuf, Files) {
        let root = tempfile::tempdir().unwrap();
        let sandbox = root.path().join(RUN);
        fs::create_dir_all(sandbox.join("logs")).unwrap();
        symlink("c1", sandbox.with_file_name("latest")).unwrap();
        fs::write(sandbox.join("stdout"), "out\n").unwrap();
        fs::write(sandbox.join("logs/app"), vec![b'x'; 100_000]).unwrap();
        fs::write(root.path().join("secret"), "secret").unwrap();
        let files = Files::new(root.path());
        (root, sandbox, files)
    }

    fn text(files: &Files, path: &str) -> Option<String> {
        let piece = files.read(path, Some(0), None).ok()?;
        Some(String::from_utf8(piece.bytes).unwrap())
    }

    #[test]
    fn a_file_has_its_real_and_its_virtual_paths() {
        let (root, sandbox, files) = sandbox();
        let latest = sandbox.with_file_name("latest").join("stdout");
        for path in [
            sandbox.join("stdout").to_str().unwrap(),
            latest.to_str().unwrap(),
            "/frameworks/f/executors/t/runs/latest/stdout",
            "/frameworks/f//executors/t/runs/c1/stdout",
        ] {
            assert_eq!(text(&files, path).as_deref(), Some("out\n"), "{path}");
        }
        let listed = files
            .browse("/frameworks/f/executors/t/runs/latest/")
            .unwrap();
        let paths: Vec<&str> = listed.iter().map(|entry| entry.path.as_str()).collect();
        let under = "/frameworks/f/executors/t/runs/latest";
        assert_eq!(paths, [format!("{under}/logs"), format!("{under}/stdout")]);
        assert!(files.browse(&format!("{under}/stdout")).unwrap().is_empty());
        drop(root);
    }

    #[test]
    fn pieces_have_mesos_bounds() {
        let (_root, sandbox, files) = sandbox();
        let path = sandbox.join("logs/app");
        let path = path.to_str().unwrap();
        let read = |offset, length| {
            let piece = files.read(path, offset, length).unwrap();
            (piece.bytes.len(), piece.size)
        };
        assert_eq!(read(None, None), (0, 100_000));
        assert_eq!(read(Some(0), None), (limits::PIECE_BYTES, 100_000));
        assert_eq!(read(Some(99_990), None), (10, 100_000));
        assert_eq!(read(Some(5), Some(7)), (7, 100_000));
        assert_eq!(read(Some(200_000), None), (0, 100_000));
        assert_eq!(read(Some(u64::MAX), Some(u64::MAX)), (0, 100_000));
    }

    #[test]
    fn nothing_leads_out_of_a_sandbox() {
        let (root, sandbox, files) = sandbox();
        symlink("/etc/passwd", sandbox.join("absolute")).unwrap();
        symlink("../../../../../../../../secret", sandbox.join("relative")).unwrap();
        symlink("../../../../../../../..", sandbox.join("up")).unwrap();
        symlink("logs/app", sandbox.join("within")).unwrap();
        symlink("circle", sandbox.join("circle")).unwrap();
        symlink("/proc/self/cwd", sandbox.join("magic")).unwrap();
        assert!(text(&files, sandbox.join("within").to_str().unwrap()).is_some());
        for path in [
            "absolute",
            "relative",
            "up/secret",
            "circle",
            "magic/Cargo.toml",
            "../c1/stdout",
            "../../../../../../../secret",
            "./stdout",
            "nothing",
            "std\0out",
        ] {
            let path = format!("{}/{path}", sandbox.display());
            assert!(text(&files, &path).is_none(), "{path}");
            assert!(files.browse(&path).is_err(), "{path}");
        }
        let elsewhere = [
            "/etc/passwd".to_owned(),
            "/".to_owned(),
            String::new(),
            root.path().join("secret").display().to_string(),
            root.path().join("slaves").display().to_string(),
            sandbox.parent().unwrap().display().to_string(),
        ];
        for path in elsewhere {
            assert!(text(&files, &path).is_none(), "{path}");
            assert!(files.browse(&path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_run_that_became_a_link_is_not_entered() {
        let (root, sandbox, files) = sandbox();
        let runs = sandbox.parent().unwrap();
        fs::remove_file(runs.join("latest")).unwrap();
        symlink("../../../../../../..", runs.join("latest")).unwrap();
        symlink(root.path(), runs.join("c2")).unwrap();
        for run in ["latest", "c2"] {
            let path = format!("{}/{run}/secret", runs.display());
            assert!(text(&files, &path).is_none(), "{path}");
        }
    }

    #[test]
    fn only_plain_files_are_read_and_nothing_waits() {
        let (_root, sandbox, files) = sandbox();
        let fifo = sandbox.join("fifo");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(sandbox.join("socket")).unwrap();
        symlink("fifo", sandbox.join("to-fifo")).unwrap();
        for name in ["fifo", "socket", "to-fifo", "logs"] {
            let path = sandbox.join(name);
            let fault = files.open(path.to_str().unwrap()).unwrap_err();
            assert!(matches!(fault, FileFault::NotAFile), "{name}: {fault}");
        }
        assert!(files.browse(fifo.to_str().unwrap()).is_err());
        assert_eq!(files.browse(sandbox.to_str().unwrap()).unwrap().len(), 5);
    }

    #[test]
    fn without_the_kernels_help_no_link_is_followed() {
        let (_root, sandbox, files) = sandbox();
        symlink("logs", sandbox.join("alias")).unwrap();
        let place = files.place(sandbox.to_str().unwrap()).unwrap();
        let handle = files.enter(&place.sandbox).unwrap();
        let look = |path: &str| without_links(handle.as_fd(), &components(path).unwrap());
        assert!(look("logs/app").is_ok());
        assert!(look("alias/app").is_err());
    }
}
