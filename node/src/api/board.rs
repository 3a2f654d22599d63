//! What handlers may read without asking a machine: the latest picture that each machine gave.

use std::sync::{Arc, RwLock};

use shoal_api::member::Member;

/// The board. Written by the drives, read by anybody; each reading is of one moment.
#[derive(Debug, Default)]
pub struct Board {
    members: RwLock<Arc<[Member]>>,
}

impl Board {
    /// All members, in the gossip's order.
    pub fn members(&self) -> Arc<[Member]> {
        Arc::clone(
            &self
                .members
                .read()
                .expect("a writer of the board never panics"),
        )
    }

    /// Puts a new list of members up.
    pub fn set_members(&self, members: Arc<[Member]>) {
        *self
            .members
            .write()
            .expect("a writer of the board never panics") = members;
    }
}
