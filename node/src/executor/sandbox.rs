//! Where tasks live on disk, in the layout that Mesos' tools know:
//! `slaves/AGENT/frameworks/FRAMEWORK/executors/TASK/runs/CONTAINER`, with a link `runs/latest`.
//!
//! Ours beside `runs` is `launch-NUMBER`, a link from the ledger's number of a launch to its run, so that
//! the files of a task are found long after the agent has forgotten it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::OFlags;
use shoal_api::session::{FileError, FilePiece, FileRead};
use shoal_api::{AgentId, ContainerId, TaskKey};
use shoal_keeper::protocol::Identity;

/// All sandboxes of an agent.
#[derive(Clone, Debug)]
pub struct Sandboxes {
    pub(super) root: PathBuf,
    /// Held while folders are made one in the other, and while empty ones are removed.
    pub(super) folders: Arc<Mutex<()>>,
}

impl Sandboxes {
    /// Those under this folder.
    pub fn new(root: &Path) -> Sandboxes {
        Sandboxes {
            root: root.to_owned(),
            folders: Arc::default(),
        }
    }

    fn executor(&self, agent: &str, task: &TaskKey) -> PathBuf {
        self.root
            .join("slaves")
            .join(agent)
            .join("frameworks")
            .join(component(task.framework.as_str()))
            .join("executors")
            .join(component(task.task.as_str()))
    }

    /// Makes a task's sandbox, or finds it made, and points the links to it.
    ///
    /// # Errors
    /// The disk's, or the user may not own it.
    pub fn make(
        &self,
        agent: AgentId,
        task: &TaskKey,
        container: ContainerId,
        owner: Option<&Identity>,
    ) -> io::Result<PathBuf> {
        let executor = self.executor(&agent.to_string(), task);
        let sandbox = executor.join("runs").join(container.to_string());
        let _held = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder.create(executor.join("runs"))?;
        builder.create(&sandbox)?;
        if let Some(owner) = owner {
            chown(&sandbox, Some(owner.uid), Some(owner.gid))?;
        }
        point(&executor.join("runs/latest"), &container.to_string())?;
        let launch = executor.join(format!("launch-{}", task.launch));
        point(&launch, &format!("runs/{container}"))?;
        Ok(sandbox)
    }

    /// Reads a piece of `stdout` or `stderr`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(
        &self,
        agent: Option<AgentId>,
        read: &FileRead,
        complete: bool,
    ) -> Result<FilePiece, FileError> {
        let sandbox = self
            .find(agent, &read.task)
            .ok_or_else(|| FileError::NoSuchTask(read.task.clone()))?;
        let path = sandbox.join(component(&read.file));
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => FileError::NoSuchFile(Arc::clone(&read.file)),
            _ => FileError::Unreadable(Arc::from(error.to_string())),
        };
        // The task owns the folder: what stands there may be a link or a FIFO by now.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).expect("flags fit");
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
            .map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(FileError::Unreadable(Arc::from("it is not a plain file")));
        }
        let left = metadata.len().saturating_sub(read.offset);
        let length = usize::try_from(left.min(u64::from(read.length))).expect("a piece is small");
        let mut bytes = vec![0; length];
        let length = read_at(&file, &mut bytes, read.offset).map_err(unreadable)?;
        bytes.truncate(length);
        Ok(FilePiece {
            bytes: Bytes::from(bytes),
            size: metadata.len(),
            complete,
        })
    }

    /// A task's sandbox, by its launch; also of an earlier id of this agent.
    fn find(&self, agent: Option<AgentId>, task: &TaskKey) -> Option<PathBuf> {
        let of = |agent: &str| {
            let launch = format!("launch-{}", task.launch);
            fs::canonicalize(self.executor(agent, task).join(launch)).ok()
        };
        if let Some(found) = agent.and_then(|agent| of(&agent.to_string())) {
            return Some(found);
        }
        fs::read_dir(self.root.join("slaves"))
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find_map(|agent| of(&agent))
    }

    /// Removes the sandboxes of tasks that are not among `known` and did not change for `age`.
    /// What cannot be removed stays for the next time; gives back how many are gone.
    pub fn sweep(&self, known: &BTreeSet<ContainerId>, age: Duration) -> usize {
        let known: BTreeSet<String> = known.iter().map(ContainerId::to_string).collect();
        let old = SystemTime::now().checked_sub(age);
        let mut removed = 0;
        for agent in folders(&self.root.join("slaves")) {
            for framework in folders(&agent.join("frameworks")) {
                for executor in folders(&framework.join("executors")) {
                    removed += sweep_executor(&executor, &known, old);
                    // Each only if nothing is left in it, and nothing is about to be made in it.
                    let _held = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
                    for empty in ["runs", ""] {
                        let _kept = fs::remove_dir(executor.join(empty));
                    }
                }
                let _held = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
                let _kept = fs::remove_dir(framework.join("executors"));
                let _kept = fs::remove_dir(&framework);
            }
        }
        removed
    }
}

fn sweep_executor(executor: &Path, known: &BTreeSet<String>, old: Option<SystemTime>) -> usize {
    let mut removed = 0;
    for run in folders(&executor.join("runs")) {
        let name = run.file_name().and_then(|name| name.to_str());
        let kept = name.is_none_or(|name| known.contains(name));
        let changed = fs::metadata(&run).and_then(|metadata| metadata.modified());
        let is_old = matches!((changed, old), (Ok(changed), Some(old)) if changed < old);
        if !kept && is_old && fs::remove_dir_all(&run).is_ok() {
            removed += 1;
        }
    }
    // Links whose run is gone.
    for folder in ["runs", ""] {
        for entry in fs::read_dir(executor.join(folder)).into_iter().flatten() {
            let Ok(entry) = entry else {
                continue;
            };
            let path = entry.path();
            if path.is_symlink() && !path.exists() {
                let _kept = fs::remove_file(path);
            }
        }
    }
    removed
}

/// The folders in a folder, links apart.
fn folders(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            entry.file_type().ok()?.is_dir().then(|| entry.path())
        })
        .collect()
}

/// Makes a link point somewhere, atomically; nearly always there is none before.
fn point(link: &Path, target: &str) -> io::Result<()> {
    match symlink(target, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        done => return done,
    }
    if fs::read_link(link).is_ok_and(|old| old.as_os_str() == target) {
        return Ok(());
    }
    let mut name = link.file_name().expect("a link has a name").to_owned();
    name.push(format!(".{}", target.rsplit('/').next().unwrap_or(target)));
    let next = link.with_file_name(name);
    match fs::remove_file(&next) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    symlink(target, &next)?;
    fs::rename(&next, link)
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

/// An id as the name of one folder. The rules of ids see to that: no slash, no control characters,
/// not `.` or `..`, and no longer than a name may be.
pub(super) fn component(id: &str) -> &str {
    let safe = !id.is_empty() && id != "." && id != ".." && !id.contains(['/', '\0']);
    assert!(safe, "an id is not the name of a folder: {id:?}");
    id
}

#[cfg(test)]
mod tests {
    use shoal_api::{FrameworkId, LaunchIndex, Origin, TaskId};

    use super::*;

    const AGENT: AgentId = AgentId {
        origin: Origin(7),
        number: 0,
    };

    fn key(task: &str, launch: u64) -> TaskKey {
        TaskKey {
            framework: FrameworkId::new("f 1").unwrap(),
            task: TaskId::new(task).unwrap(),
            launch: LaunchIndex(launch),
        }
    }

    fn read(key: &TaskKey, offset: u64, length: u32) -> FileRead {
        FileRead {
            request: 1,
            task: key.clone(),
            file: Arc::from("stdout"),
            offset,
            length,
        }
    }

    #[test]
    fn odd_ids_have_sandboxes_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path());
        let ids = [
            "a",
            "a b",
            "...",
            "-rf",
            "é…",
            "*",
            "$HOME",
            &"x".repeat(255),
        ];
        for (n, id) in ids.into_iter().enumerate() {
            let container = ContainerId(n as u128);
            let made = sandboxes.make(AGENT, &key(id, 1), container, None).unwrap();
            let again = sandboxes.make(AGENT, &key(id, 1), container, None).unwrap();
            assert_eq!(made, again);
            assert!(made.ends_with(format!("executors/{id}/runs/{container}")));
            assert!(made.is_dir() && made.starts_with(dir.path()));
            fs::write(made.join("stdout"), id).unwrap();
        }
        for id in ids {
            let piece = sandboxes
                .read(None, &read(&key(id, 1), 0, 1000), true)
                .unwrap();
            assert_eq!(piece.bytes, id.as_bytes());
        }
    }

    #[test]
    fn sweeping_does_not_disturb_making() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path());
        std::thread::scope(|scope| {
            let sweeper = sandboxes.clone();
            let making = scope.spawn(move || {
                for n in 0..300 {
                    let task = key(&format!("t{n}"), n);
                    let made = sandboxes.make(AGENT, &task, ContainerId(n.into()), None);
                    assert!(made.unwrap().is_dir());
                }
            });
            while !making.is_finished() {
                sweeper.sweep(&BTreeSet::new(), Duration::from_secs(3600));
            }
        });
    }

    #[test]
    fn links_follow_the_launches() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path());
        for launch in 1..=2 {
            let container = ContainerId(u128::from(launch));
            let made = sandboxes
                .make(AGENT, &key("t", launch), container, None)
                .unwrap();
            fs::write(made.join("stdout"), format!("launch {launch}")).unwrap();
            let latest = made.parent().unwrap().join("latest");
            assert_eq!(
                fs::canonicalize(latest).unwrap(),
                fs::canonicalize(made).unwrap()
            );
        }
        for launch in 1..=2 {
            let read = read(&key("t", launch), 7, 100);
            let piece = sandboxes.read(Some(AGENT), &read, false).unwrap();
            assert_eq!(piece.bytes, launch.to_string().as_bytes());
            assert_eq!((piece.size, piece.complete), (8, false));
        }
        assert!(matches!(
            sandboxes.read(Some(AGENT), &read(&key("t", 3), 0, 1), false),
            Err(FileError::NoSuchTask(_))
        ));
    }

    #[test]
    fn reads_stay_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path());
        let key = key("t", 1);
        let made = sandboxes.make(AGENT, &key, ContainerId(1), None).unwrap();
        assert_eq!(
            sandboxes.read(Some(AGENT), &read(&key, 0, 1), true),
            Err(FileError::NoSuchFile(Arc::from("stdout")))
        );
        fs::write(made.join("stdout"), "0123456789").unwrap();
        let piece = |offset, length| {
            let piece = sandboxes.read(Some(AGENT), &read(&key, offset, length), true);
            piece.unwrap().bytes
        };
        assert_eq!(piece(0, 4), "0123");
        assert_eq!(piece(8, 4), "89");
        assert!(piece(10, 4).is_empty() && piece(u64::MAX, 4).is_empty());
        fs::remove_file(made.join("stdout")).unwrap();
        symlink("/etc/passwd", made.join("stdout")).unwrap();
        assert!(matches!(
            sandboxes.read(Some(AGENT), &read(&key, 0, 1), true),
            Err(FileError::Unreadable(_))
        ));
        fs::remove_file(made.join("stdout")).unwrap();
        fs::create_dir(made.join("stdout")).unwrap();
        assert!(matches!(
            sandboxes.read(Some(AGENT), &read(&key, 0, 1), true),
            Err(FileError::Unreadable(_))
        ));
    }

    #[test]
    fn sweeping_leaves_what_is_known_or_young() {
        let dir = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(dir.path());
        let known = sandboxes
            .make(AGENT, &key("a", 1), ContainerId(1), None)
            .unwrap();
        let gone = sandboxes
            .make(AGENT, &key("b", 2), ContainerId(2), None)
            .unwrap();
        let keep = BTreeSet::from([ContainerId(1)]);
        assert_eq!(sandboxes.sweep(&keep, Duration::from_secs(3600)), 0);
        assert!(gone.is_dir());
        // Both were made in the past, by now.
        assert_eq!(sandboxes.sweep(&keep, Duration::ZERO), 1);
        assert!(known.is_dir() && !gone.exists());
        assert!(
            !dir.path()
                .join(format!("slaves/{AGENT}/frameworks/f 1/executors/b"))
                .exists()
        );
    }
}
