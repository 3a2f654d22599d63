//! The trivial module: counters, each with one writer. A request adds one.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::{Index, Plants, RequestId};
use shoal_ledger::{
    Admission, Entry, Module, ModuleNumber, Outcomes, Row, SectionId, Snapshot, StateHash, Table,
    TableNumber, Writer,
};

use crate::plant::Defect;

const NUMBER: ModuleNumber = ModuleNumber(900);
const COUNTERS: SectionId = SectionId {
    module: NUMBER,
    table: TableNumber(1),
};
const VERSION: u16 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counter(u64);

impl Row for Counter {}

/// A ledger of counters.
#[derive(Clone, Debug)]
pub struct Register {
    index: Index,
    counters: Table<u64, Counter>,
    outcomes: Outcomes,
    plants: Plants,
}

impl Register {
    /// An empty one.
    pub fn new(plants: Plants) -> Register {
        Register {
            index: Index(0),
            counters: Table::new(COUNTERS),
            outcomes: Outcomes::new(),
            plants,
        }
    }

    /// The last entry applied.
    pub fn index(&self) -> Index {
        self.index
    }

    /// Of the whole state.
    pub fn hash(&self) -> StateHash {
        self.counters.hash().with(self.outcomes.hash())
    }

    /// A counter's value.
    pub fn value(&self, key: u64) -> u64 {
        self.counters.get(&key).map_or(0, |counter| counter.0)
    }

    /// An entry without commands.
    pub fn pass(&mut self, index: Index) {
        self.index = index;
    }

    /// Applies an entry; returns the values after each of its requests.
    pub fn apply(&mut self, index: Index, data: &Bytes) -> Vec<(RequestId, u64)> {
        self.index = index;
        let entry = Entry::decode(data).expect("a committed entry is well formed");
        let mut values = Vec::with_capacity(entry.commands.len());
        for command in entry.commands {
            let request = command.header.request;
            let key: u64 = postcard::from_bytes(&command.body).expect("a body is a key");
            match self.outcomes.admit(&command.header) {
                Admission::Apply => {}
                Admission::Repeat(outcome) if !self.plants.has(Defect::ApplyRetries) => {
                    values.push((request, postcard::from_bytes(&outcome).expect("a value")));
                    continue;
                }
                Admission::Repeat(_) => {
                    let value = self.add(key);
                    values.push((request, value));
                    continue;
                }
                Admission::Stale | Admission::Full => continue,
            }
            let value = self.add(key);
            let outcome = postcard::to_allocvec(&value).expect("a number is encodable");
            self.outcomes.record(&request, Bytes::from(outcome));
            values.push((request, value));
        }
        values
    }

    fn add(&mut self, key: u64) -> u64 {
        let value = self.value(key) + 1;
        self.counters.insert(key, Counter(value));
        value
    }

    /// A snapshot of all of it.
    pub fn write(&self) -> Arc<[Bytes]> {
        if self.plants.has(Defect::ForgetOutcomes) && !self.outcomes.is_empty() {
            let outcomes = Outcomes::new();
            return Register {
                outcomes,
                ..self.clone()
            }
            .write();
        }
        let mut writer = Writer::new();
        self.counters.write(VERSION, &mut writer);
        self.outcomes.write(&mut writer);
        writer.finish(self.hash())
    }

    /// The state of a snapshot taken at an index.
    pub fn read(index: Index, chunks: &[Bytes], plants: Plants) -> Register {
        if chunks.is_empty() {
            let mut empty = Register::new(plants);
            empty.pass(index);
            return empty;
        }
        let mut snapshot = Snapshot::open(chunks).expect("a snapshot is undamaged");
        let register = Register {
            index,
            counters: Table::read(COUNTERS, VERSION, &mut snapshot).expect("counters are there"),
            outcomes: Outcomes::read(&mut snapshot).expect("outcomes are there"),
            plants,
        };
        snapshot
            .finish(register.hash())
            .expect("the hash is the written one");
        register
    }
}
