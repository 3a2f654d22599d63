//! A node's data directory: who it is, and, for a master, the Raft log and its snapshots.
//!
//! What lives here is durability: what was acknowledged is found again, what is damaged is refused and
//! named. What deliberately does not: what entries mean (`shoal-quorum`, the ledger), and an agent's
//! checkpoints and sandboxes (the executor keeps its own files).

mod append;
mod backup;
mod directory;
#[cfg(feature = "faults")]
pub mod faulty;
mod file;
mod frames;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod inspect;
pub mod limits;
mod log;
mod record;
mod recovery;
pub mod segment;
mod snapshot;
mod writer;

pub use append::append;
pub use backup::{Backup, BackupBytes, BackupError, BackupHeader};
pub use directory::{DataDirectory, DirectoryError, Identity, Minted};
pub use file::{Io, System, atomic_write, atomic_write_private, is_full};
pub use recovery::{DamageError, recover};
pub use snapshot::SnapshotFile;
pub use writer::{Event, LogWriter};
