//! The ledger module of one-off runs: a row per run, a row per task of it.
//!
//! A slot is placed once: an accept names the rows that it claims, and a claim of a row that does not
//! wait is refused whole.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shoal_api::{AgentId, Exit, RunId, RunRefusal, RunSpec, Slot, SlotState, TaskState, Timestamp};
use shoal_ledger::{
    Module, ModuleNumber, Row, SectionId, Snapshot, SnapshotError, StateHash, Table, TableNumber,
    Violation, Writer,
};

use crate::limits::{ENDED_RUNS, ENDED_SLOTS};

/// A command to this module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunsCommand {
    /// Create a run; its number is the outcome.
    Create(Box<RunSpec>),
    /// End a run: waiting slots end at once, placed ones are to be killed.
    Kill(RunId),
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// What it wants.
    pub spec: Arc<RunSpec>,
    /// When it was created, by the leader's calendar.
    pub created: Timestamp,
    /// Slots that have not ended.
    pub unfinished: u32,
    /// Whether it was told to end.
    pub killed: bool,
}

/// One task of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRow {
    /// Where it stands.
    pub state: SlotState,
}

/// A row that says all by being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark;

/// A counter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Count(u64);

impl Row for RunRow {}
impl Row for SlotRow {}
impl Row for Mark {}
impl Row for Count {}

/// Of all sections of this module.
const VERSION: u16 = 1;

const fn section(table: u16) -> SectionId {
    SectionId {
        module: Runs::NUMBER,
        table: TableNumber(table),
    }
}

/// A number that the module keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Counter {
    /// The last run's number.
    LastRun,
    /// Slots that have not ended.
    Active,
    /// Slots of ended runs that are remembered.
    EndedSlots,
}

/// The module's state; a clone is an image and shares all rows.
///
/// # Invariants
/// - a slot is in `queue` exactly if its row says that it waits;
/// - a run's `unfinished` counts its slots that have not ended; a run with none is in `ended`;
/// - `Active` is the sum of all `unfinished`, `EndedSlots` the count of the slots of ended runs.
#[derive(Clone, Debug)]
pub struct Runs {
    runs: Table<RunId, RunRow>,
    slots: Table<Slot, SlotRow>,
    queue: Table<Slot, Mark>,
    ended: Table<RunId, Mark>,
    counters: Table<Counter, Count>,
}

impl Default for Runs {
    fn default() -> Runs {
        Runs {
            runs: Table::new(section(1)),
            slots: Table::new(section(2)),
            queue: Table::new(section(3)),
            ended: Table::new(section(4)),
            counters: Table::new(section(5)),
        }
    }
}

impl Runs {
    /// One run.
    pub fn run(&self, run: RunId) -> Option<&RunRow> {
        self.runs.get(&run)
    }

    /// All remembered runs, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = (&RunId, &RunRow)> {
        self.runs.iter()
    }

    /// One slot.
    pub fn slot(&self, slot: Slot) -> Option<&SlotRow> {
        self.slots.get(&slot)
    }

    /// The slots of one run, in order.
    pub fn slots_of(&self, run: RunId) -> impl Iterator<Item = (&Slot, &SlotRow)> {
        self.slots.range(
            Slot { run, number: 0 }..=Slot {
                run,
                number: u32::MAX,
            },
        )
    }

    /// Slots that wait for an offer, oldest run first.
    pub fn waiting(&self) -> impl Iterator<Item = Slot> + '_ {
        self.queue.iter().map(|(slot, _)| *slot)
    }

    /// Whether any slot waits for an offer.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Begins a new life of the cluster: runs are numbered above `last` at least, so that none has the
    /// tasks of a run that this ledger does not remember.
    pub fn begin_life(&mut self, last: u64) {
        let last = last.max(self.counter(Counter::LastRun));
        self.set(Counter::LastRun, last);
    }

    /// Creates a run.
    ///
    /// # Errors
    /// [`RunRefusal`]; nothing changed.
    pub fn create(&mut self, wall: Timestamp, spec: RunSpec) -> Result<RunId, RunRefusal> {
        spec.check()?;
        let active = self.counter(Counter::Active);
        if active + u64::from(spec.count) > RunSpec::ACTIVE_MAX {
            return Err(RunRefusal::TooMany(active));
        }
        let run = RunId(self.counter(Counter::LastRun) + 1);
        self.set(Counter::LastRun, run.0);
        self.set(Counter::Active, active + u64::from(spec.count));
        for number in 0..spec.count {
            let slot = Slot { run, number };
            self.slots.insert(
                slot,
                SlotRow {
                    state: SlotState::Waiting,
                },
            );
            self.queue.insert(slot, Mark);
        }
        let unfinished = spec.count;
        let row = RunRow {
            spec: Arc::new(spec),
            created: wall,
            unfinished,
            killed: false,
        };
        self.runs.insert(run, row);
        Ok(run)
    }

    /// Ends a run: waiting slots end at once; the placed ones are returned, to be killed.
    ///
    /// # Errors
    /// [`RunRefusal::NotFound`]; nothing changed.
    pub fn kill(&mut self, wall: Timestamp, run: RunId) -> Result<Vec<Slot>, RunRefusal> {
        if self.runs.update(&run, |row| row.killed = true).is_none() {
            return Err(RunRefusal::NotFound(run));
        }
        let open: Vec<(Slot, bool)> = self
            .slots_of(run)
            .filter_map(|(slot, row)| match row.state {
                SlotState::Waiting => Some((*slot, true)),
                SlotState::Placed { .. } => Some((*slot, false)),
                SlotState::Ended { .. } => None,
            })
            .collect();
        let mut placed = Vec::new();
        for (slot, waits) in open {
            if waits {
                let message = Arc::from("killed before it was placed");
                self.end(slot, None, TaskState::Killed, None, message, wall);
            } else {
                placed.push(slot);
            }
        }
        Ok(placed)
    }

    /// Whether all these slots wait, each named once: the check before an accept that claims them.
    pub fn can_claim(&self, slots: &[Slot]) -> bool {
        let mut seen: Vec<Slot> = slots.to_vec();
        seen.sort_unstable();
        seen.dedup();
        seen.len() == slots.len() && slots.iter().all(|slot| self.queue.get(slot).is_some())
    }

    /// A claimed slot has a task.
    pub fn placed(&mut self, slot: Slot, agent: AgentId) {
        let was = self.queue.remove(&slot);
        assert!(was.is_some(), "slot {slot:?} is placed without waiting");
        let state = SlotState::Placed {
            agent,
            state: TaskState::Staging,
        };
        self.slots.insert(slot, SlotRow { state });
    }

    /// A placed slot's task has another state. What is not placed is not concerned.
    pub fn observe(
        &mut self,
        slot: Slot,
        state: TaskState,
        exit: Option<Exit>,
        message: &Arc<str>,
        wall: Timestamp,
    ) {
        let Some(SlotRow {
            state: SlotState::Placed { agent, .. },
        }) = self.slots.get(&slot)
        else {
            return;
        };
        let agent = *agent;
        if state.is_terminal() {
            self.end(slot, Some(agent), state, exit, Arc::clone(message), wall);
        } else {
            let state = SlotState::Placed { agent, state };
            self.slots.insert(slot, SlotRow { state });
        }
    }

    /// A waiting slot's task can never run as it is. What does not wait is not concerned.
    pub fn reject(&mut self, slot: Slot, message: &Arc<str>, wall: Timestamp) {
        if self.queue.contains(&slot) {
            self.end(
                slot,
                None,
                TaskState::Error,
                None,
                Arc::clone(message),
                wall,
            );
        }
    }

    fn end(
        &mut self,
        slot: Slot,
        agent: Option<AgentId>,
        state: TaskState,
        exit: Option<Exit>,
        message: Arc<str>,
        at: Timestamp,
    ) {
        self.queue.remove(&slot);
        let ended = SlotState::Ended {
            agent,
            state,
            exit,
            message,
            at,
        };
        self.slots.insert(slot, SlotRow { state: ended });
        self.set(Counter::Active, self.counter(Counter::Active) - 1);
        let left = self.runs.update(&slot.run, |row| {
            row.unfinished -= 1;
            (row.unfinished, row.spec.count)
        });
        if let Some((0, count)) = left {
            self.ended.insert(slot.run, Mark);
            self.set(
                Counter::EndedSlots,
                self.counter(Counter::EndedSlots) + u64::from(count),
            );
            self.forget_oldest();
        }
    }

    /// Keeps the memory of ended runs within its bounds; the newest ended run always stays.
    fn forget_oldest(&mut self) {
        while self.ended.len() > 1
            && (self.ended.len() > ENDED_RUNS || self.counter(Counter::EndedSlots) > ENDED_SLOTS)
        {
            let Some(run) = self.ended.first().map(|(run, _)| *run) else {
                return;
            };
            self.ended.remove(&run);
            if let Some(row) = self.runs.remove(&run) {
                for number in 0..row.spec.count {
                    self.slots.remove(&Slot { run, number });
                }
                let count = u64::from(row.spec.count);
                self.set(
                    Counter::EndedSlots,
                    self.counter(Counter::EndedSlots) - count,
                );
            }
        }
    }

    fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).map_or(0, |count| count.0)
    }

    fn set(&mut self, counter: Counter, value: u64) {
        self.counters.insert(counter, Count(value));
    }
}

impl Module for Runs {
    const NUMBER: ModuleNumber = ModuleNumber(2);

    fn hash(&self) -> StateHash {
        self.runs
            .hash()
            .with(self.slots.hash())
            .with(self.queue.hash())
            .with(self.ended.hash())
            .with(self.counters.hash())
    }

    fn write(&self, writer: &mut Writer) {
        self.runs.write(VERSION, writer);
        self.slots.write(VERSION, writer);
        self.queue.write(VERSION, writer);
        self.ended.write(VERSION, writer);
        self.counters.write(VERSION, writer);
    }

    fn read(snapshot: &mut Snapshot) -> Result<Runs, SnapshotError> {
        Ok(Runs {
            runs: Table::read(section(1), VERSION, snapshot)?,
            slots: Table::read(section(2), VERSION, snapshot)?,
            queue: Table::read(section(3), VERSION, snapshot)?,
            ended: Table::read(section(4), VERSION, snapshot)?,
            counters: Table::read(section(5), VERSION, snapshot)?,
        })
    }

    fn check(&self) -> Result<(), Violation> {
        let violation = |invariant, detail| {
            Err(Violation {
                module: Runs::NUMBER,
                invariant,
                detail,
            })
        };
        let (mut active, mut ended_slots) = (0, 0);
        for (run, row) in self.runs.iter() {
            let (mut unfinished, mut slots) = (0, 0);
            for (slot, slot_row) in self.slots_of(*run) {
                slots += 1;
                let waits = slot_row.state == SlotState::Waiting;
                if waits != self.queue.contains(slot) {
                    return violation("waiting slots are queued", format!("{slot:?}"));
                }
                unfinished += u32::from(!matches!(slot_row.state, SlotState::Ended { .. }));
            }
            if slots != row.spec.count || unfinished != row.unfinished {
                return violation("a run counts its slots", format!("run {run}"));
            }
            if (unfinished == 0) != self.ended.contains(run) {
                return violation("runs without open slots have ended", format!("run {run}"));
            }
            active += u64::from(unfinished);
            ended_slots += if unfinished == 0 {
                u64::from(row.spec.count)
            } else {
                0
            };
        }
        if active != self.counter(Counter::Active)
            || ended_slots != self.counter(Counter::EndedSlots)
        {
            return violation("counters follow rows", format!("{active} {ended_slots}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::{Command, Resources};

    use super::*;

    fn spec(count: u32) -> RunSpec {
        RunSpec {
            name: Arc::from("sleep"),
            command: Command::Shell(Arc::from("sleep 1")),
            environment: Vec::new(),
            resources: Resources::parse("cpus:0.1;mem:32").unwrap(),
            user: None,
            kill_grace: None,
            count,
        }
    }

    fn agent() -> AgentId {
        AgentId {
            origin: shoal_api::Origin(1),
            number: 0,
        }
    }

    #[test]
    fn a_slot_is_claimed_once_and_ends_once() {
        let mut runs = Runs::default();
        let wall = Timestamp::from_nanos(1);
        let run = runs.create(wall, spec(2)).unwrap();
        let slots: Vec<Slot> = runs.waiting().collect();
        assert!(runs.can_claim(&slots));
        assert!(!runs.can_claim(&[slots[0], slots[0]]));
        runs.placed(slots[0], agent());
        assert!(!runs.can_claim(&slots));
        let message = Arc::from("");
        runs.observe(slots[0], TaskState::Running, None, &message, wall);
        runs.observe(
            slots[0],
            TaskState::Finished,
            Some(Exit::Code(0)),
            &message,
            wall,
        );
        runs.observe(
            slots[0],
            TaskState::Failed,
            Some(Exit::Code(1)),
            &message,
            wall,
        );
        assert!(matches!(
            runs.slot(slots[0]).unwrap().state,
            SlotState::Ended {
                state: TaskState::Finished,
                ..
            }
        ));
        assert_eq!(runs.kill(wall, run), Ok(vec![]));
        assert_eq!(runs.run(run).unwrap().unfinished, 0);
        runs.check().unwrap();
    }

    #[test]
    fn ended_runs_are_forgotten_beyond_the_bound() {
        let mut runs = Runs::default();
        let wall = Timestamp::from_nanos(1);
        for _ in 0..ENDED_RUNS + 3 {
            let run = runs.create(wall, spec(1)).unwrap();
            runs.kill(wall, run).unwrap();
        }
        assert_eq!(runs.runs().count(), ENDED_RUNS);
        assert!(runs.run(RunId(3)).is_none());
        runs.check().unwrap();
    }

    #[test]
    fn a_snapshot_restores_the_same_hash() {
        let mut runs = Runs::default();
        runs.create(Timestamp::from_nanos(1), spec(100)).unwrap();
        let mut writer = Writer::new();
        runs.write(&mut writer);
        let mut snapshot = Snapshot::open(&writer.finish(runs.hash())).unwrap();
        let back = Runs::read(&mut snapshot).unwrap();
        snapshot.finish(back.hash()).unwrap();
        back.check().unwrap();
    }
}
