//! The data directory itself: one process at a time, one identity for ever, one life per start.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use shoal_api::{ClusterId, Generation, NodeId, RaftId};
use thiserror::Error;

use crate::file::atomic_write;

/// The newest form of the directory that this version reads, and the one that it writes.
const FORMAT: u32 = 1;
const IDENTITY: &str = "identity";
const HALTED: &str = "halted";
const LOCK: &str = "lock";
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
        "this node halted: {why}; its state in {} must not be used: move it away, and the node \
         comes back as a new one", folder.display()
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
        let io_error = |what| {
            move |error| DirectoryError::Io {
                what,
                folder: folder.to_owned(),
                error,
            }
        };
        std::fs::create_dir_all(folder).map_err(io_error("create folders"))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(LOCK))
            .map_err(io_error("create the lock"))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DirectoryError::Locked(folder.to_owned()));
            }
            Err(error) => return Err(io_error("lock")(error.into())),
        }
        match std::fs::read_to_string(folder.join(HALTED)) {
            Ok(why) => {
                let why = why.trim().to_owned();
                return Err(DirectoryError::Halted {
                    folder: folder.to_owned(),
                    why,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read whether the node halted")(error)),
        }
        let mut identity = match std::fs::read_to_string(folder.join(IDENTITY)) {
            Ok(text) => parse(folder, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let minted = mint().map_err(io_error("mint ids"))?;
                let (node, raft) = (minted.node, minted.raft);
                Identity {
                    node,
                    raft,
                    generation: Generation(0),
                    cluster: None,
                }
            }
            Err(error) => return Err(io_error("read the identity")(error)),
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
        self.folder.join(MASTER)
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

    fn write(&self) -> Result<(), DirectoryError> {
        let Identity {
            node,
            raft,
            generation,
            cluster,
        } = self.identity;
        let cluster = cluster.map_or_else(|| "none".to_owned(), |cluster| cluster.to_string());
        let body = format!(
            "format {FORMAT}\nnode {node}\nraft {raft}\ngeneration {generation}\ncluster {cluster}\n"
        );
        let text = format!("{body}check {:08x}\n", crc32fast::hash(body.as_bytes()));
        atomic_write(&self.folder.join(IDENTITY), text.as_bytes()).map_err(|error| {
            DirectoryError::Io {
                what: "write the identity",
                folder: self.folder.clone(),
                error,
            }
        })
    }
}

fn parse(folder: &Path, text: &str) -> Result<Identity, DirectoryError> {
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
}
