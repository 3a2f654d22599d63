//! The window in which a request is applied once, however often it is proposed.
//!
//! The outcome of a request is bytes here; the composing machine gives it a type.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::{Generation, Instant, NodeId, RequestId};

use crate::entry::{Header, ModuleNumber};
use crate::hash::StateHash;
use crate::limits;
use crate::module::{Module, Violation};
use crate::snapshot::{SectionId, Snapshot, SnapshotError, Writer};
use crate::table::{Row, Table, TableNumber};

/// What to do with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new: apply it and [`Outcomes::record`] what came of it.
    Apply,
    /// It was applied before, with this outcome.
    Repeat(Bytes),
    /// Its sender no longer waits for it, or has a newer life: do not apply it.
    Stale,
    /// Its sender has too many outcomes that it did not release: do not apply it, it may be sent
    /// again under the same id once others were released.
    Full,
}

/// Outcomes of recent requests, part of the replicated state.
///
/// Per sender: outcomes from the lowest counter that it waits for, of its newest life.
///
/// # Invariants
/// - every outcome belongs to a known sender, and its counter is at least the sender's lowest;
/// - a sender's `kept` is the number of its outcomes, at most [`limits::OUTCOMES_PER_SENDER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    senders: Table<NodeId, Sender>,
    kept: Table<(NodeId, u64), Kept>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sender {
    generation: Generation,
    lowest: u64,
    kept: u32,
    /// Ledger time of its last command.
    used: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept(Bytes);

impl Row for Sender {}
impl Row for Kept {}

const VERSION: u16 = 1;
const SENDERS: SectionId = SectionId {
    module: Outcomes::NUMBER,
    table: TableNumber(1),
};
const KEPT: SectionId = SectionId {
    module: Outcomes::NUMBER,
    table: TableNumber(2),
};

impl Default for Outcomes {
    fn default() -> Outcomes {
        Outcomes {
            senders: Table::new(SENDERS),
            kept: Table::new(KEPT),
        }
    }
}

impl Outcomes {
    /// An empty window.
    pub fn new() -> Outcomes {
        Outcomes::default()
    }

    /// How many outcomes are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The outcome of a request, while it is kept.
    pub fn get(&self, request: &RequestId) -> Option<&Bytes> {
        let sender = self.senders.get(&request.node)?;
        if sender.generation != request.generation {
            return None;
        }
        let Kept(outcome) = self.kept.get(&(request.node, request.counter))?;
        Some(outcome)
    }

    /// Takes note of a command and says whether to apply it. Evicts what its sender released.
    pub fn admit(&mut self, header: &Header) -> Admission {
        let request = &header.request;
        if request.counter == 0 {
            return Admission::Apply;
        }
        let sender = self.meet(request, header);
        if request.generation < sender.generation {
            return Admission::Stale;
        }
        if request.generation > sender.generation {
            self.evict(request.node, u64::MAX);
            self.senders.update(&request.node, |row| {
                row.generation = request.generation;
                row.lowest = header.lowest;
                row.used = header.time;
            });
        } else if header.lowest > sender.lowest {
            self.evict(request.node, header.lowest);
            self.senders.update(&request.node, |row| {
                row.lowest = header.lowest;
                row.used = header.time;
            });
        }
        let sender = self.senders.get(&request.node).expect("met above");
        if request.counter < sender.lowest {
            return Admission::Stale;
        }
        if let Some(Kept(outcome)) = self.kept.get(&(request.node, request.counter)) {
            return Admission::Repeat(outcome.clone());
        }
        if sender.kept as usize >= limits::OUTCOMES_PER_SENDER {
            return Admission::Full;
        }
        Admission::Apply
    }

    /// Remembers the outcome of a command that was admitted with [`Admission::Apply`].
    pub fn record(&mut self, request: &RequestId, outcome: Bytes) {
        if request.counter == 0 {
            return;
        }
        assert!(
            outcome.len() <= limits::OUTCOME_BYTES,
            "an outcome of {} bytes",
            outcome.len()
        );
        let before = self
            .kept
            .insert((request.node, request.counter), Kept(outcome));
        assert!(before.is_none(), "request {request:?} was applied twice");
        self.senders
            .update(&request.node, |row| row.kept += 1)
            .expect("an admitted request has a sender");
    }

    /// The sender of a request, made known if it is new.
    fn meet(&mut self, request: &RequestId, header: &Header) -> Sender {
        if let Some(sender) = self.senders.get(&request.node) {
            return sender.clone();
        }
        if self.senders.len() >= limits::SENDERS {
            let quietest = self
                .senders
                .iter()
                .min_by_key(|(node, row)| (row.used, **node))
                .map(|(node, _)| *node)
                .expect("a full table has rows");
            self.evict(quietest, u64::MAX);
            self.senders.remove(&quietest);
        }
        let sender = Sender {
            generation: request.generation,
            lowest: header.lowest,
            kept: 0,
            used: header.time,
        };
        self.senders.insert(request.node, sender.clone());
        sender
    }

    /// Forgets a sender's outcomes below a counter.
    fn evict(&mut self, node: NodeId, below: u64) {
        let released = self.kept.range((node, 0)..(node, below));
        let released: Vec<(NodeId, u64)> = released.map(|(key, _)| *key).collect();
        for key in &released {
            self.kept.remove(key);
        }
        let gone = released.len() as u32;
        if gone > 0 {
            self.senders
                .update(&node, |row| row.kept -= gone)
                .expect("outcomes have a sender");
        }
    }
}

impl Module for Outcomes {
    const NUMBER: ModuleNumber = ModuleNumber(0);

    fn hash(&self) -> StateHash {
        self.senders.hash().with(self.kept.hash())
    }

    fn write(&self, writer: &mut Writer) {
        self.senders.write(VERSION, writer);
        self.kept.write(VERSION, writer);
    }

    fn read(snapshot: &mut Snapshot) -> Result<Outcomes, SnapshotError> {
        Ok(Outcomes {
            senders: Table::read(SENDERS, VERSION, snapshot)?,
            kept: Table::read(KEPT, VERSION, snapshot)?,
        })
    }

    fn check(&self) -> Result<(), Violation> {
        let violation = |invariant, detail| {
            Err(Violation {
                module: Outcomes::NUMBER,
                invariant,
                detail,
            })
        };
        let mut kept = 0;
        for (node, sender) in self.senders.iter() {
            let own = self.kept.range((*node, 0)..=(*node, u64::MAX));
            let count = own.count();
            if count != sender.kept as usize {
                return violation("outcomes are counted", format!("{node}: {count}"));
            }
            if let Some((key, _)) = self.kept.range((*node, 0)..(*node, sender.lowest)).next() {
                return violation("released outcomes are gone", format!("{key:?}"));
            }
            kept += count;
        }
        if kept != self.kept.len() {
            return violation("outcomes have a sender", format!("{kept}"));
        }
        if self.hash() != self.senders.rehash().with(self.kept.rehash()) {
            return violation("hashes follow rows", String::new());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::Timestamp;

    use super::*;
    use crate::entry::HEADER_VERSION;

    fn header(node: u128, generation: u64, counter: u64, lowest: u64) -> Header {
        Header {
            version: HEADER_VERSION,
            time: Instant::from_nanos(counter),
            wall: Timestamp::default(),
            principal: None,
            request: RequestId {
                node: NodeId(node),
                generation: Generation(generation),
                counter,
            },
            lowest,
        }
    }

    fn apply(outcomes: &mut Outcomes, header: &Header) -> Admission {
        let admission = outcomes.admit(header);
        if admission == Admission::Apply {
            let body = format!("{}", header.request.counter);
            outcomes.record(&header.request, Bytes::from(body));
        }
        outcomes.check().unwrap();
        admission
    }

    #[test]
    fn a_request_is_applied_once_and_released_by_lowest() {
        let mut window = Outcomes::new();
        assert_eq!(apply(&mut window, &header(1, 1, 1, 1)), Admission::Apply);
        assert_eq!(apply(&mut window, &header(1, 1, 3, 1)), Admission::Apply);
        assert_eq!(
            apply(&mut window, &header(1, 1, 1, 1)),
            Admission::Repeat(Bytes::from_static(b"1"))
        );
        assert_eq!(apply(&mut window, &header(1, 1, 2, 2)), Admission::Apply);
        assert_eq!(apply(&mut window, &header(1, 1, 1, 1)), Admission::Stale);
        assert_eq!(window.len(), 2);
        assert_eq!(apply(&mut window, &header(1, 1, 4, 4)), Admission::Apply);
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn a_newer_life_clears_the_older() {
        let mut window = Outcomes::new();
        apply(&mut window, &header(1, 1, 5, 5));
        apply(&mut window, &header(2, 1, 5, 5));
        assert_eq!(apply(&mut window, &header(1, 2, 1, 1)), Admission::Apply);
        assert_eq!(window.len(), 2);
        assert_eq!(apply(&mut window, &header(1, 1, 6, 5)), Admission::Stale);
    }

    #[test]
    fn a_window_has_a_bound_and_senders_too() {
        let mut window = Outcomes::new();
        for counter in 1..=limits::OUTCOMES_PER_SENDER as u64 {
            let header = header(1, 1, counter, 1);
            assert_eq!(window.admit(&header), Admission::Apply);
            window.record(&header.request, Bytes::new());
        }
        let next = limits::OUTCOMES_PER_SENDER as u64 + 1;
        assert_eq!(window.admit(&header(1, 1, next, 1)), Admission::Full);
        assert_eq!(window.admit(&header(1, 1, next, 2)), Admission::Apply);
        for node in 2..=(limits::SENDERS as u128 + 5) {
            apply_quick(&mut window, &header(node, 1, next + 1, 1));
        }
        assert_eq!(window.senders.len(), limits::SENDERS);
        window.check().unwrap();
        assert!(!window.senders.contains(&NodeId(1)));
    }

    fn apply_quick(window: &mut Outcomes, header: &Header) {
        assert_eq!(window.admit(header), Admission::Apply);
        window.record(&header.request, Bytes::new());
    }

    #[test]
    fn unnumbered_commands_leave_no_trace() {
        let mut window = Outcomes::new();
        assert_eq!(apply(&mut window, &header(1, 1, 0, 1)), Admission::Apply);
        assert_eq!(window.hash(), StateHash::EMPTY);
    }
}
