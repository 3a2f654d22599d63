//! What a ledger is: entries of commands, tables that share structure between versions, a hash of
//! the whole state, the window that applies a request once, and snapshots.
//!
//! What deliberately does not live here: any module (agents, offers, services, jobs), which knows
//! its own commands and rows; consensus, which decides the order of entries; and the disk.
//! A command's body is bytes to this crate; the composing machine gives it a type.

pub mod entry;
pub mod hash;
pub mod limits;
pub mod module;
pub mod outcomes;
pub mod snapshot;
pub mod sorted;
pub mod table;

pub use entry::{Command, DecodeError, Entry, Header, ModuleNumber};
pub use hash::{Sealed, StateHash};
pub use module::{Module, Violation};
pub use outcomes::{Admission, Outcomes};
pub use snapshot::{SectionId, Snapshot, SnapshotError, Writer};
pub use sorted::Sorted;
pub use table::{Row, Table, TableNumber};
