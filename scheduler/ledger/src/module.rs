//! What every module of the ledger is: a part of the state with a hash, a snapshot and invariants.
//!
//! Commands are not in here: each module has its own, and whoever composes modules types them.

use thiserror::Error;

use crate::entry::ModuleNumber;
use crate::hash::StateHash;
use crate::snapshot::{Snapshot, SnapshotError, Writer};

/// A part of the ledger's state. A clone is an image: it shares structure and never changes.
pub trait Module: Clone {
    /// Its number in commands and snapshots.
    const NUMBER: ModuleNumber;

    /// The hash of everything in it.
    fn hash(&self) -> StateHash;

    /// Writes all of it as sections.
    fn write(&self, writer: &mut Writer);

    /// Reads all of it from its sections and rebuilds what is derived.
    ///
    /// # Errors
    /// [`SnapshotError`] names the section that cannot be read.
    fn read(snapshot: &mut Snapshot) -> Result<Self, SnapshotError>;

    /// Checks every invariant, at the cost of looking at everything.
    ///
    /// # Errors
    /// The first [`Violation`] found: a bug, or memory that went bad.
    fn check(&self) -> Result<(), Violation>;
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("module {} violates '{invariant}': {detail}", module.0)]
pub struct Violation {
    /// Whose.
    pub module: ModuleNumber,
    /// Its name.
    pub invariant: &'static str,
    /// Where and how.
    pub detail: String,
}
