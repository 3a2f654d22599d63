//! What handlers may read without asking a machine: the latest picture that each machine gave.

use std::sync::{Arc, RwLock};

use shoal_api::Timestamp;
use shoal_api::agent::HostPort;
use shoal_api::member::Member;
use shoal_master::{Leadership, MasterInfo};

use super::shoal::Ring;

/// The board. Written by the drives, read by anybody; each reading is of one moment.
#[derive(Debug)]
pub struct Board {
    http: HostPort,
    started: Timestamp,
    members: RwLock<Arc<[Member]>>,
    masters: RwLock<Arc<[MasterInfo]>>,
    leadership: RwLock<Option<Leadership>>,
    elected: RwLock<Option<Timestamp>>,
    events: Ring,
}

impl Board {
    /// An empty board of a node whose API is there.
    pub fn new(http: HostPort) -> Board {
        Board {
            http,
            started: crate::clock::calendar(),
            members: RwLock::default(),
            masters: RwLock::default(),
            leadership: RwLock::default(),
            elected: RwLock::default(),
            events: Ring::default(),
        }
    }

    /// Recent events of the ledger, as the master on this node applied it.
    pub fn events(&self) -> &Ring {
        &self.events
    }

    /// Where this node's API is, as others reach it.
    pub fn http(&self) -> HostPort {
        self.http.clone()
    }

    /// When this node started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

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

    /// The masters that the ledger knows.
    pub fn masters(&self) -> Arc<[MasterInfo]> {
        Arc::clone(
            &self
                .masters
                .read()
                .expect("a writer of the board never panics"),
        )
    }

    /// Puts a new list of masters up.
    pub fn set_masters(&self, masters: Arc<[MasterInfo]>) {
        *self
            .masters
            .write()
            .expect("a writer of the board never panics") = masters;
    }

    /// Who leads, as the master on this node knows it; `None` on a node without one.
    pub fn leadership(&self) -> Option<Leadership> {
        self.leadership
            .read()
            .expect("a writer of the board never panics")
            .clone()
    }

    /// When this master learned who leads; `None` while nobody does.
    pub fn elected(&self) -> Option<Timestamp> {
        *self
            .elected
            .read()
            .expect("a writer of the board never panics")
    }

    /// Puts up who leads.
    pub fn set_leadership(&self, leadership: Option<Leadership>) {
        let leader = |of: &Option<Leadership>| of.as_ref().and_then(|l| Some((l.leader?, l.term)));
        let now = leader(&leadership);
        let mut shown = self
            .leadership
            .write()
            .expect("a writer of the board never panics");
        if leader(&shown) != now {
            *self
                .elected
                .write()
                .expect("a writer of the board never panics") =
                now.map(|_| crate::clock::calendar());
        }
        *shown = leadership;
    }
}
