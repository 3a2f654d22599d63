//! The ledger module of the cluster itself: its identity, its masters, who stands on the ring.

use serde::{Deserialize, Serialize};
use shoal_api::{ClusterId, Generation, Incarnation, Instant, NodeId, Origin, RaftId};
use shoal_ledger::{
    Module, ModuleNumber, Row, SectionId, Snapshot, SnapshotError, StateHash, Table, TableNumber,
    Violation, Writer,
};

use crate::config::MasterInfo;
use crate::limits::MASTERS;

/// A command to this module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CharterCommand {
    /// The first of all: which cluster this is. A second one is ignored.
    Founded {
        /// Minted by the bootstrap.
        cluster: ClusterId,
    },
    /// A master started, or its addresses are others.
    MasterSeen(MasterInfo),
    /// A master was taken out of the quorum for ever.
    MasterRemoved(RaftId),
    /// Who stands on the ring.
    RingSet(Vec<NodeId>),
    /// A forced recovery or a restore began a new life of the cluster. One that is not newer than the
    /// present is ignored.
    LifeBegan {
        /// The number of the new life.
        incarnation: Incarnation,
        /// The master that goes on; all others are removed for ever.
        keep: Option<RaftId>,
    },
}

/// What applying changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CharterChange {
    /// Nothing.
    Nothing,
    /// The cluster has its identity.
    Founded,
    /// The list of masters is another.
    Masters,
    /// A node has a newer life: whatever its older life held is gone.
    Restarted(NodeId),
    /// The ring is another.
    Ring,
    /// A new life: whatever these nodes held as masters is gone.
    LifeBegan(Vec<NodeId>),
}

/// Who the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Minted by the bootstrap.
    pub cluster: ClusterId,
    /// Raised by a restore or a forced recovery.
    pub incarnation: Incarnation,
}

impl Identity {
    /// What stands for Mesos' master id in the ids of this life of the cluster.
    pub fn origin(self) -> Origin {
        let mut mixed = self.cluster.0 ^ (u128::from(self.incarnation.0) << 64);
        for _ in 0..3 {
            mixed ^= mixed >> 67;
            mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            mixed = mixed.rotate_left(43);
        }
        Origin(mixed)
    }
}

/// A row that says all by being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark;

/// The newest life of a node that was ever a master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
struct Life(Generation);

/// Ledger time: it only ever rises, and only by entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
struct Clock(Instant);

impl Row for Clock {}
impl Row for Identity {}
impl Row for MasterInfo {}
impl Row for Mark {}
impl Row for Life {}

/// Of all sections of this module.
const VERSION: u16 = 1;

const fn section(table: u16) -> SectionId {
    SectionId {
        module: Charter::NUMBER,
        table: TableNumber(table),
    }
}

/// The module's state; a clone is an image.
#[derive(Clone, Debug)]
pub struct Charter {
    identity: Table<(), Identity>,
    masters: Table<RaftId, MasterInfo>,
    lives: Table<NodeId, Life>,
    removed: Table<RaftId, Mark>,
    ring: Table<NodeId, Mark>,
    clock: Table<(), Clock>,
}

impl Default for Charter {
    fn default() -> Charter {
        Charter {
            identity: Table::new(section(1)),
            masters: Table::new(section(2)),
            lives: Table::new(section(3)),
            removed: Table::new(section(4)),
            ring: Table::new(section(5)),
            clock: Table::new(section(6)),
        }
    }
}

impl Charter {
    /// Who the cluster is; `None` before the first entry.
    pub fn identity(&self) -> Option<Identity> {
        self.identity.get(&()).copied()
    }

    /// The masters, by voter id.
    pub fn masters(&self) -> impl Iterator<Item = &MasterInfo> {
        self.masters.iter().map(|(_, info)| info)
    }

    /// One master.
    pub fn master(&self, raft: RaftId) -> Option<&MasterInfo> {
        self.masters.get(&raft)
    }

    /// The master on that node.
    pub fn master_on(&self, node: NodeId) -> Option<&MasterInfo> {
        self.masters().find(|info| info.node == node)
    }

    /// Whether that voter id was taken out for ever.
    pub fn is_removed(&self, raft: RaftId) -> bool {
        self.removed.get(&raft).is_some()
    }

    /// Ledger time.
    pub fn time(&self) -> Instant {
        self.clock.get(&()).copied().unwrap_or_default().0
    }

    /// Raises ledger time, never lowers it; returns what it is.
    pub fn advance(&mut self, time: Instant) -> Instant {
        if time > self.time() {
            self.clock.insert((), Clock(time));
        }
        self.time()
    }

    /// Who stands on the ring.
    pub fn ring(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.ring.iter().map(|(node, _)| *node)
    }

    /// Applies one command.
    pub fn apply(&mut self, command: CharterCommand) -> CharterChange {
        match command {
            CharterCommand::Founded { cluster } => {
                if self.identity().is_some() {
                    return CharterChange::Nothing;
                }
                self.identity.insert(
                    (),
                    Identity {
                        cluster,
                        incarnation: Incarnation(1),
                    },
                );
                CharterChange::Founded
            }
            CharterCommand::MasterSeen(info) => self.seen(info),
            CharterCommand::MasterRemoved(raft) => {
                self.removed.insert(raft, Mark);
                match self.masters.remove(&raft) {
                    Some(_) => CharterChange::Masters,
                    None => CharterChange::Nothing,
                }
            }
            CharterCommand::LifeBegan { incarnation, keep } => self.begin_life(incarnation, keep),
            CharterCommand::RingSet(nodes) => {
                self.clear_ring();
                for node in nodes.into_iter().take(MASTERS) {
                    self.ring.insert(node, Mark);
                }
                CharterChange::Ring
            }
        }
    }

    fn clear_ring(&mut self) {
        let old: Vec<NodeId> = self.ring().collect();
        for node in old {
            self.ring.remove(&node);
        }
    }

    fn begin_life(&mut self, incarnation: Incarnation, keep: Option<RaftId>) -> CharterChange {
        let Some(identity) = self.identity().filter(|now| now.incarnation < incarnation) else {
            return CharterChange::Nothing;
        };
        let cluster = identity.cluster;
        self.identity.insert(
            (),
            Identity {
                cluster,
                incarnation,
            },
        );
        let others: Vec<RaftId> = self.masters().map(|info| info.raft).collect();
        for raft in others.into_iter().filter(|raft| Some(*raft) != keep) {
            self.masters.remove(&raft);
            self.removed.insert(raft, Mark);
        }
        self.clear_ring();
        CharterChange::LifeBegan(self.lives.iter().map(|(node, _)| *node).collect())
    }

    fn seen(&mut self, info: MasterInfo) -> CharterChange {
        if self.is_removed(info.raft)
            || (self.masters.len() >= MASTERS && self.master(info.raft).is_none())
        {
            return CharterChange::Nothing;
        }
        let node = info.node;
        let generation = info.generation;
        let life = self.lives.get(&node).copied().unwrap_or_default().0;
        if generation < life || self.master(info.raft) == Some(&info) {
            return CharterChange::Nothing;
        }
        self.masters.insert(info.raft, info);
        if generation > life {
            self.lives.insert(node, Life(generation));
            return CharterChange::Restarted(node);
        }
        CharterChange::Masters
    }
}

impl Module for Charter {
    const NUMBER: ModuleNumber = ModuleNumber(3);

    fn hash(&self) -> StateHash {
        self.identity
            .hash()
            .with(self.masters.hash())
            .with(self.lives.hash())
            .with(self.removed.hash())
            .with(self.ring.hash())
            .with(self.clock.hash())
    }

    fn write(&self, writer: &mut Writer) {
        self.identity.write(VERSION, writer);
        self.masters.write(VERSION, writer);
        self.lives.write(VERSION, writer);
        self.removed.write(VERSION, writer);
        self.ring.write(VERSION, writer);
        self.clock.write(VERSION, writer);
    }

    fn read(snapshot: &mut Snapshot) -> Result<Charter, SnapshotError> {
        Ok(Charter {
            identity: Table::read(section(1), VERSION, snapshot)?,
            masters: Table::read(section(2), VERSION, snapshot)?,
            lives: Table::read(section(3), VERSION, snapshot)?,
            removed: Table::read(section(4), VERSION, snapshot)?,
            ring: Table::read(section(5), VERSION, snapshot)?,
            clock: Table::read(section(6), VERSION, snapshot)?,
        })
    }

    fn check(&self) -> Result<(), Violation> {
        let violation = |invariant, detail| {
            Err(Violation {
                module: Charter::NUMBER,
                invariant,
                detail,
            })
        };
        for info in self.masters() {
            if self.is_removed(info.raft) {
                return violation("removed masters have no row", info.raft.to_string());
            }
            if self
                .lives
                .get(&info.node)
                .is_none_or(|life| life.0 < info.generation)
            {
                return violation("a life is at least its row's", info.node.to_string());
            }
        }
        Ok(())
    }
}
