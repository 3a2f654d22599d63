//! The data directory itself: one process at a time, one identity for ever, one life per start.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use shoal_api::{ClusterId, Generation, NodeId, RaftId};
use thiserror::Error;

use crate::file::atomic_write;

/// The newest form of the directory that this version reads, and the one that it writes.
const FORMAT: u32 = 1;
pub(crate) const IDENTITY: &str = "identity";
pub(crate) const HALTED: &str = "halted";
pub(crate) const LOCK: &str = "lock";
const MASTER: &str = "master";
const AGENT: &str = "agent";

/// Who a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Minted with the directory.
    pub node: NodeId,
    /// Minted with the directory.
    pub raft: RaftId,
    /// This start's life.
    pub generation: Generation,
    /// The cluster that it belongs to, once it does.
    pub cluster: Option<ClusterId>,
}

impl Identity {
    /// Of a node that has not lived yet.
    fn new(minted: Minted, cluster: Option<ClusterId>) -> Identity {
        Identity {
            node: minted.node,
            raft: minted.raft,
            generation: Generation(0),
            cluster,
        }
    }
}

/// Fresh ids for a directory that has none.
#[derive(Clone, Copy, Debug)]
pub struct Minted {
    /// 128 random bits.
    pub node: NodeId,
    /// 64 random bits, never 0.
    pub raft: RaftId,
}

/// Why a directory cannot be used.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// The kernel refuses.
    #[error("cannot {what} in {}: {error}", folder.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The directory.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Something is there.
    #[error("{} is not empty; choose a directory that is empty or not there", .0.display())]
    NotEmpty(PathBuf),
    /// Nothing of a node is there.
    #[error("{} is not the data directory of a node: it has no identity", .0.display())]
    NotOfANode(PathBuf),
    /// A ledger without the node that it is of.
    #[error(
        "{} holds a ledger and no identity, as an interrupted restore leaves it; remove what is in \
         it and restore again, or choose another --data", .0.display()
    )]
    Unfinished(PathBuf),
    /// Another process has it.
    #[error("{} is used by another process; stop that, or choose another --data", .0.display())]
    Locked(PathBuf),
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer version (format {format}, this version reads {FORMAT}); start \
         that version, or choose another --data", folder.display()
    )]
    Newer {
        /// The directory.
        folder: PathBuf,
        /// Its form.
        format: u32,
    },
    /// The identity is not readable.
    #[error(
        "{} is damaged: {why}; restore it from a backup, or move the directory away to start as a \
         new node", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// It belongs elsewhere.
    #[error(
        "{} belongs to cluster {theirs}, not to {wanted}; choose another --data, or join that \
         cluster", folder.display()
    )]
    OtherCluster {
        /// The directory.
        folder: PathBuf,
        /// Of the directory.
        theirs: ClusterId,
        /// Of whoever asked.
        wanted: ClusterId,
    },
    /// This replica stopped because its state was wrong.
    #[error(
        "this master halted: {why}; its state in {} must not be used: `shoal quorum reset {}` puts \
         it aside, and the node comes back as a new master with the agent it had", folder.display(),
        folder.display()
    )]
    Halted {
        /// The directory.
        folder: PathBuf,
        /// As it was written down.
        why: String,
    },
}

/// An open data directory; no other process can open it meanwhile.
#[derive(Debug)]
pub struct DataDirectory {
    folder: PathBuf,
    identity: Identity,
    _lock: File,
}

impl DataDirectory {
    /// Opens a directory, or makes one of a new node, and begins a new life: the generation is
    /// raised and durable when this returns.
    ///
    /// # Errors
    /// [`DirectoryError`] says what to do about it.
    pub fn open(
        folder: &Path,
        mint: impl FnOnce() -> io::Result<Minted>,
    ) -> Result<DataDirectory, DirectoryError> {
        let io_error = |what| io_error(folder, what);
        std::fs::create_dir_all(folder).map_err(io_error("create folders"))?;
        let lock = lock(folder)?;
        let mut identity = match DataDirectory::look(folder)? {
            Some(identity) => identity,
            // The first start of a node writes its identity before anything else.
            None if folder.join(MASTER).exists() => {
                return Err(DirectoryError::Unfinished(folder.to_owned()));
            }
            None => {
                let minted = mint().map_err(io_error("mint ids"))?;
                Identity::new(minted, None)
            }
        };
        identity.generation = identity.generation.next();
        let directory = DataDirectory {
            folder: folder.to_owned(),
            identity,
            _lock: lock,
        };
        directory.write()?;
        Ok(directory)
    }

    /// Who the node of a directory is, in the life that it lives or lived last; `None` if the
    /// directory has none yet. Opens and changes nothing, so it may be asked while the node runs.
    ///
    /// # Errors
    /// [`DirectoryError`] if a node could not start there.
    pub fn look(folder: &Path) -> Result<Option<Identity>, DirectoryError> {
        refuse_halted(folder)?;
        read_identity(folder)
    }

    /// The file whose lock the process has that uses the directory.
    pub fn lock_of(folder: &Path) -> PathBuf {
        folder.join(LOCK)
    }

    /// Holds the directory of a node that does not run, without beginning a life of it: for looking at
    /// it and for what an operator forces.
    ///
    /// # Errors
    /// [`DirectoryError`] says what to do about it; a running node's is [`DirectoryError::Locked`].
    pub fn hold(folder: &Path) -> Result<DataDirectory, DirectoryError> {
        let lock = lock_existing(folder)?;
        refuse_halted(folder)?;
        let identity =
            read_identity(folder)?.ok_or_else(|| DirectoryError::NotOfANode(folder.to_owned()))?;
        Ok(DataDirectory {
            folder: folder.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// Makes a directory of a new node that belongs to a cluster and has not lived yet. What must be in
    /// it before is put there by `fill`, which is given the folder: the identity comes last, so that
    /// what a crash leaves is no node.
    ///
    /// # Errors
    /// The folder is there and not empty, or whatever `fill` says.
    pub fn found<E: From<DirectoryError>>(
        folder: &Path,
        minted: Minted,
        cluster: ClusterId,
        fill: impl FnOnce(&DataDirectory) -> Result<(), E>,
    ) -> Result<(), E> {
        let io_error = |what| io_error(folder, what);
        std::fs::create_dir_all(folder).map_err(io_error("create folders"))?;
        let mut entries = std::fs::read_dir(folder).map_err(io_error("look for files"))?;
        if entries.next().is_some() {
            return Err(DirectoryError::NotEmpty(folder.to_owned()).into());
        }
        let directory = DataDirectory {
            folder: folder.to_owned(),
            identity: Identity::new(minted, Some(cluster)),
            _lock: lock(folder)?,
        };
        if let Err(error) = fill(&directory) {
            // It was empty before. What cannot be removed keeps it from being taken for good.
            let _ = std::fs::remove_dir_all(directory.master());
            let _ = std::fs::remove_file(folder.join(LOCK));
            return Err(error);
        }
        directory.write()?;
        Ok(())
    }

    /// Who the node is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a master keeps its log.
    pub fn master(&self) -> PathBuf {
        DataDirectory::log_of(&self.folder)
    }

    /// Where the log of a master is whose data directory that is.
    pub fn log_of(folder: &Path) -> PathBuf {
        folder.join(MASTER)
    }

    /// Where an agent keeps its checkpoints and sandboxes.
    pub fn agent(&self) -> PathBuf {
        self.folder.join(AGENT)
    }

    /// The node belongs to that cluster from here on; durable when this returns.
    ///
    /// # Errors
    /// It belongs to another already, or the disk refuses.
    pub fn belong_to(&mut self, cluster: ClusterId) -> Result<(), DirectoryError> {
        match self.identity.cluster {
            Some(theirs) if theirs == cluster => Ok(()),
            Some(theirs) => Err(DirectoryError::OtherCluster {
                folder: self.folder.clone(),
                theirs,
                wanted: cluster,
            }),
            None => {
                self.identity.cluster = Some(cluster);
                self.write()
            }
        }
    }

    /// This node's state is not to be used again; the next [`DataDirectory::open`] refuses.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn halt(folder: &Path, why: &str) -> io::Result<()> {
        atomic_write(&folder.join(HALTED), why.as_bytes())
    }

    /// Makes the directory that of a new master: its ledger is put aside, it gets a new voter id, and
    /// it may have halted before. The node, its cluster and its agent stay. Returns where the old
    /// ledger is, if there was one.
    ///
    /// # Errors
    /// [`DirectoryError`] says what to do about it; running it again finishes what was begun.
    pub fn reset_master(
        folder: &Path,
        mint: impl FnOnce() -> io::Result<Minted>,
    ) -> Result<Option<PathBuf>, DirectoryError> {
        let io_error = |what| io_error(folder, what);
        let lock = lock_existing(folder)?;
        let mut identity =
            read_identity(folder)?.ok_or_else(|| DirectoryError::NotOfANode(folder.to_owned()))?;
        let aside = (1_u32..)
            .map(|number| folder.join(format!("{MASTER}.old-{number}")))
            .find(|path| !path.exists())
            .expect("there are fewer of them than numbers");
        let master = folder.join(MASTER);
        let moved = master.exists().then_some(aside);
        // From here to the end nobody may start it: a voter without its log would vote twice.
        DataDirectory::halt(
            folder,
            "a reset was begun: run `shoal quorum reset` again to finish it",
        )
        .map_err(io_error("write that a reset has begun"))?;
        if let Some(aside) = &moved {
            std::fs::rename(&master, aside).map_err(io_error("put the ledger aside"))?;
        }
        identity.raft = mint().map_err(io_error("mint ids"))?.raft;
        let directory = DataDirectory {
            folder: folder.to_owned(),
            identity,
            _lock: lock,
        };
        directory.write()?;
        match std::fs::remove_file(folder.join(HALTED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove what says that it halted")(error))
            }
            Ok(()) | Err(_) => Ok(moved),
        }
    }

    fn write(&self) -> Result<(), DirectoryError> {
        let text = text(&self.identity);
        atomic_write(&self.folder.join(IDENTITY), text.as_bytes()).map_err(|error| {
            DirectoryError::Io {
                what: "write the identity",
                folder: self.folder.clone(),
                error,
            }
        })
    }
}

fn io_error(folder: &Path, what: &'static str) -> impl FnOnce(io::Error) -> DirectoryError {
    let folder = folder.to_owned();
    move |error| DirectoryError::Io {
        what,
        folder,
        error,
    }
}

/// Locks a directory of a node that is there.
fn lock_existing(folder: &Path) -> Result<File, DirectoryError> {
    if !folder.join(IDENTITY).exists() {
        return Err(DirectoryError::NotOfANode(folder.to_owned()));
    }
    lock(folder)
}

fn lock(folder: &Path) -> Result<File, DirectoryError> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(DataDirectory::lock_of(folder))
        .map_err(io_error(folder, "create the lock"))?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DirectoryError::Locked(folder.to_owned())),
        Err(error) => Err(io_error(folder, "lock")(error.into())),
    }
}

fn refuse_halted(folder: &Path) -> Result<(), DirectoryError> {
    match std::fs::read_to_string(folder.join(HALTED)) {
        Ok(why) => Err(DirectoryError::Halted {
            folder: folder.to_owned(),
            why: why.trim().to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(folder, "read whether the node halted")(error)),
    }
}

pub(crate) fn read_identity(folder: &Path) -> Result<Option<Identity>, DirectoryError> {
    match std::fs::read_to_string(folder.join(IDENTITY)) {
        Ok(text) => parse(folder, &text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(folder, "read the identity")(error)),
    }
}

/// What stands in the file of an identity.
pub(crate) fn text(identity: &Identity) -> String {
    let Identity {
        node,
        raft,
        generation,
        cluster,
    } = identity;
    let cluster = cluster.map_or_else(|| "none".to_owned(), |cluster| cluster.to_string());
    sealed(&format!(
        "format {FORMAT}\nnode {node}\nraft {raft}\ngeneration {generation}\ncluster {cluster}\n"
    ))
}

/// The lines of an identity with their check.
pub(crate) fn sealed(body: &str) -> String {
    format!("{body}check {:08x}\n", crc32fast::hash(body.as_bytes()))
}

pub(crate) fn parse(folder: &Path, text: &str) -> Result<Identity, DirectoryError> {
    let damaged = |why| DirectoryError::Damaged {
        path: folder.join(IDENTITY),
        why,
    };
    let field = |name: &'static str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    let format = field("format").and_then(|text| text.parse().ok());
    match format {
        None => return Err(damaged("it has no format")),
        Some(FORMAT) => {}
        Some(format) => {
            return Err(DirectoryError::Newer {
                folder: folder.to_owned(),
                format,
            });
        }
    }
    let (body, check) = text
        .rsplit_once("check ")
        .ok_or_else(|| damaged("it is cut off"))?;
    let check = u32::from_str_radix(check.strip_suffix('\n').unwrap_or_default(), 16)
        .map_err(|_| damaged("its check is cut off"))?;
    if check != crc32fast::hash(body.as_bytes()) {
        return Err(damaged("its check does not match"));
    }
    let number = |name| field(name).and_then(|text| text.parse::<u64>().ok());
    let cluster = match field("cluster") {
        Some("none") => None,
        Some(text) => Some(text.parse().map_err(|_| damaged("its cluster is no id"))?),
        None => return Err(damaged("it has no cluster")),
    };
    Ok(Identity {
        node: field("node")
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| damaged("it has no node"))?,
        raft: number("raft")
            .map(RaftId)
            .ok_or_else(|| damaged("it has no raft id"))?,
        generation: number("generation")
            .map(Generation)
            .ok_or_else(|| damaged("it has no generation"))?,
        cluster,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mint() -> io::Result<Minted> {
        Ok(Minted {
            node: NodeId(7),
            raft: RaftId(9),
        })
    }

    fn never() -> io::Result<Minted> {
        panic!("the directory has an identity")
    }

    #[test]
    fn an_identity_stays_and_lives_rise() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = DataDirectory::open(folder.path(), mint).unwrap();
        assert_eq!(first.identity().generation, Generation(1));
        first.belong_to(ClusterId(5)).unwrap();
        assert!(matches!(
            first.belong_to(ClusterId(6)),
            Err(DirectoryError::OtherCluster { .. })
        ));
        let seen = DataDirectory::look(folder.path()).unwrap();
        assert_eq!(seen, Some(first.identity()));
        let locked = DataDirectory::open(folder.path(), never);
        assert!(matches!(locked, Err(DirectoryError::Locked(_))));
        drop(first);
        let second = DataDirectory::open(folder.path(), never).unwrap();
        let expected = Identity {
            node: NodeId(7),
            raft: RaftId(9),
            generation: Generation(2),
            cluster: Some(ClusterId(5)),
        };
        assert_eq!(second.identity(), expected);
    }

    #[test]
    fn damage_and_newer_forms_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDirectory::open(folder.path(), mint).unwrap());
        let path = folder.path().join(IDENTITY);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            assert!(
                DataDirectory::open(folder.path(), never).is_err(),
                "byte {at}"
            );
        }
        let newer = String::from_utf8(good)
            .unwrap()
            .replace("format 1", "format 2");
        std::fs::write(&path, newer).unwrap();
        let error = DataDirectory::open(folder.path(), never).unwrap_err();
        assert!(
            matches!(error, DirectoryError::Newer { format: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_halted_node_does_not_start() {
        let folder = tempfile::tempdir().unwrap();
        DataDirectory::halt(folder.path(), "state differs").unwrap();
        let error = DataDirectory::open(folder.path(), mint).unwrap_err();
        assert!(error.to_string().contains("state differs"));
    }

    #[test]
    fn a_ledger_without_a_node_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(MASTER)).unwrap();
        let error = DataDirectory::open(folder.path(), mint).unwrap_err();
        assert!(matches!(error, DirectoryError::Unfinished(_)), "{error}");
    }

    #[test]
    fn a_reset_master_is_a_new_one_on_the_same_node() {
        let folder = tempfile::tempdir().unwrap();
        let again = || {
            Ok(Minted {
                node: NodeId(70),
                raft: RaftId(90),
            })
        };
        let error = DataDirectory::reset_master(folder.path(), again).unwrap_err();
        assert!(matches!(error, DirectoryError::NotOfANode(_)), "{error}");
        let mut first = DataDirectory::open(folder.path(), mint).unwrap();
        first.belong_to(ClusterId(5)).unwrap();
        std::fs::create_dir(first.master()).unwrap();
        let error = DataDirectory::reset_master(folder.path(), again).unwrap_err();
        assert!(matches!(error, DirectoryError::Locked(_)), "{error}");
        drop(first);
        // One that breaks off leaves a node that does not start.
        let fails = || Err(io::Error::other("no entropy"));
        DataDirectory::reset_master(folder.path(), fails).unwrap_err();
        let error = DataDirectory::open(folder.path(), never).unwrap_err();
        assert!(matches!(error, DirectoryError::Halted { .. }), "{error}");
        std::fs::create_dir(folder.path().join(MASTER)).unwrap();
        let aside = DataDirectory::reset_master(folder.path(), again).unwrap();
        assert!(aside.unwrap().is_dir());
        let second = DataDirectory::open(folder.path(), never).unwrap();
        let expected = Identity {
            node: NodeId(7),
            raft: RaftId(90),
            generation: Generation(2),
            cluster: Some(ClusterId(5)),
        };
        assert_eq!(second.identity(), expected);
        assert!(!second.master().exists());
    }
}
