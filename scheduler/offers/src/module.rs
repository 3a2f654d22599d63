//! This state as a module of the ledger: its hash, its sections in snapshots, its number.

use shoal_ledger::{
    Module, ModuleNumber, Snapshot, SnapshotError, StateHash, Table, Violation, Writer,
};

use crate::derived::Derived;
use crate::state::{
    AGENTS, COMPLETED_FRAMEWORKS, COMPLETED_TASKS, COUNTERS, FRAMEWORKS, OFFERS, OPERATIONS,
    Offers, TASKS,
};

/// The number of this module.
pub(crate) const NUMBER: ModuleNumber = ModuleNumber(1);

/// The version of every section that this build writes.
const VERSION: u16 = 1;

impl Module for Offers {
    const NUMBER: ModuleNumber = NUMBER;

    fn hash(&self) -> StateHash {
        self.agents
            .hash()
            .with(self.frameworks.hash())
            .with(self.offers.hash())
            .with(self.tasks.hash())
            .with(self.completed_tasks.hash())
            .with(self.completed_frameworks.hash())
            .with(self.counters.hash())
            .with(self.operations.hash())
    }

    fn write(&self, writer: &mut Writer) {
        self.agents.write(VERSION, writer);
        self.frameworks.write(VERSION, writer);
        self.offers.write(VERSION, writer);
        self.tasks.write(VERSION, writer);
        self.completed_tasks.write(VERSION, writer);
        self.completed_frameworks.write(VERSION, writer);
        self.counters.write(VERSION, writer);
        self.operations.write(VERSION, writer);
    }

    fn read(snapshot: &mut Snapshot) -> Result<Offers, SnapshotError> {
        let mut state = Offers {
            agents: Table::read(AGENTS, VERSION, snapshot)?,
            frameworks: Table::read(FRAMEWORKS, VERSION, snapshot)?,
            offers: Table::read(OFFERS, VERSION, snapshot)?,
            tasks: Table::read(TASKS, VERSION, snapshot)?,
            completed_tasks: Table::read(COMPLETED_TASKS, VERSION, snapshot)?,
            completed_frameworks: Table::read(COMPLETED_FRAMEWORKS, VERSION, snapshot)?,
            counters: Table::read(COUNTERS, VERSION, snapshot)?,
            operations: match Table::read(OPERATIONS, VERSION, snapshot) {
                // Written before there were operations.
                Err(SnapshotError::Missing { .. }) => Table::new(OPERATIONS),
                read => read?,
            },
            derived: Derived::default(),
        };
        if state.counters.get(&()).is_none() {
            return Err(SnapshotError::Missing { section: COUNTERS });
        }
        state.derived = state.derive();
        Ok(state)
    }

    fn check(&self) -> Result<(), Violation> {
        self.invariants()
    }
}

impl Offers {
    /// Everything derived, built from the tables.
    pub(crate) fn derive(&self) -> Derived {
        let mut derived = Derived::default();
        for (id, row) in self.agents.iter() {
            derived.agent_added(*id, row);
        }
        for (id, row) in self.frameworks.iter() {
            derived.framework_added(id, row);
        }
        for (_, row) in self.offers.iter() {
            derived.offer_added(row);
        }
        for (key, row) in self.tasks.iter() {
            derived.task_added(key, row);
        }
        derived
    }

    /// The hash as it is when every row's is taken anew.
    pub fn rehash(&self) -> StateHash {
        self.agents
            .rehash()
            .with(self.frameworks.rehash())
            .with(self.offers.rehash())
            .with(self.tasks.rehash())
            .with(self.completed_tasks.rehash())
            .with(self.completed_frameworks.rehash())
            .with(self.counters.rehash())
            .with(self.operations.rehash())
    }
}
