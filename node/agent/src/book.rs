//! What the agent knows and must not lose: the sum of its records.
//!
//! The book changes only by [`Book::apply`], both while records are replayed at the start and while
//! they are minted later, so that what survives a crash cannot differ from what was believed before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shoal_api::task::Assignment;
use shoal_api::{
    AgentId, ClusterId, ContainerId, Fence, Resources, StatusUpdate, TaskKey, TaskState,
};

use crate::limits;
use crate::port::BootId;
use crate::record::Record;

/// The sum of all records.
///
/// # Invariants
/// - `fence` never falls;
/// - a task's updates have rising sequences, and none follows a terminal one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub boot: Option<BootId>,
    pub bound: Option<(ClusterId, AgentId)>,
    pub fence: Fence,
    pub tasks: BTreeMap<TaskKey, Standing>,
}

/// One task that is not forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub assignment: Arc<Assignment>,
    pub container: ContainerId,
    /// The grace of the latest kill, if there was one.
    pub kill: Option<Duration>,
    /// The latest update that the ledger has.
    pub durable: Option<StatusUpdate>,
    /// Those that it lacks, in order.
    pub pending: VecDeque<StatusUpdate>,
}

impl Standing {
    pub fn latest(&self) -> Option<&StatusUpdate> {
        self.pending.back().or(self.durable.as_ref())
    }

    pub fn state(&self) -> TaskState {
        self.latest().map_or(TaskState::Staging, |u| u.state)
    }

    pub fn is_ended(&self) -> bool {
        self.state().is_terminal()
    }

    pub fn next_sequence(&self) -> u64 {
        self.latest().map_or(1, |u| u.sequence + 1)
    }

    /// Takes an update in, leaving out a middle one where there are too many.
    fn update(&mut self, update: &StatusUpdate) {
        if update.sequence < self.next_sequence() {
            return;
        }
        assert!(
            !self.is_ended(),
            "task {} has ended and gets another state, {}",
            update.task,
            update.state
        );
        if self.pending.len() >= limits::UPDATES_PER_TASK {
            // Neither the head, which may be on its way, nor a terminal one, which is always last.
            self.pending.remove(1);
        }
        self.pending.push_back(update.clone());
    }

    fn made_durable(&mut self, sequence: u64) {
        while self.pending.front().is_some_and(|u| u.sequence <= sequence) {
            self.durable = self.pending.pop_front();
        }
    }
}

impl Book {
    /// The book of these records.
    pub fn replay(records: &[Record]) -> Book {
        let mut book = Book::default();
        for record in records {
            book.apply(record);
        }
        // Each launch is followed by an update. Where the disk lost that, nothing has been done for
        // the task and nothing said: it is as if the command had never come, and it comes again.
        book.tasks.retain(|_, standing| standing.latest().is_some());
        book
    }

    /// Adds one record; one that is already in changes nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Booted(boot) => self.boot = Some(*boot),
            Record::Bound { cluster, agent } => self.bound = Some((*cluster, *agent)),
            Record::Fenced(fence) => self.raise(*fence),
            Record::Launched {
                fence,
                assignment,
                container,
            } => {
                self.raise(*fence);
                let known = self.tasks.get(&assignment.key);
                if known.is_none_or(|standing| standing.latest().is_none()) {
                    let standing = Standing {
                        assignment: Arc::clone(assignment),
                        container: *container,
                        kill: None,
                        durable: None,
                        pending: VecDeque::new(),
                    };
                    self.tasks.insert(assignment.key.clone(), standing);
                }
            }
            Record::Killed { fence, task, grace } => {
                self.raise(*fence);
                if let Some(standing) = self.tasks.get_mut(task) {
                    standing.kill = Some(standing.kill.map_or(*grace, |old| old.min(*grace)));
                }
            }
            Record::Updated(update) => {
                if let Some(standing) = self.tasks.get_mut(&update.task) {
                    standing.update(update);
                }
            }
            Record::Durable { task, sequence } => {
                if let Some(standing) = self.tasks.get_mut(task) {
                    standing.made_durable(*sequence);
                }
            }
            Record::Forgotten { fence, task } => {
                self.raise(*fence);
                self.tasks.remove(task);
            }
            Record::Standing {
                assignment,
                container,
                kill,
                durable,
            } => {
                let standing = Standing {
                    assignment: Arc::clone(assignment),
                    container: *container,
                    kill: *kill,
                    durable: durable.clone(),
                    pending: VecDeque::new(),
                };
                self.tasks.insert(assignment.key.clone(), standing);
            }
        }
    }

    fn raise(&mut self, fence: Fence) {
        self.fence = self.fence.max(fence);
    }

    /// Records that give this book back.
    pub fn image(&self) -> Vec<Record> {
        let mut image = Vec::with_capacity(3 + self.tasks.len());
        image.extend(self.boot.map(Record::Booted));
        image.extend(
            self.bound
                .map(|(cluster, agent)| Record::Bound { cluster, agent }),
        );
        image.push(Record::Fenced(self.fence));
        for standing in self.tasks.values() {
            image.push(Record::Standing {
                assignment: Arc::clone(&standing.assignment),
                container: standing.container,
                kill: standing.kill,
                durable: standing.durable.clone(),
            });
            image.extend(standing.pending.iter().cloned().map(Record::Updated));
        }
        image
    }

    /// What tasks that have not ended hold, as the agent's configuration says it.
    pub fn allocated(&self) -> Resources {
        let mut sum = Resources::new();
        for standing in self.tasks.values().filter(|s| !s.is_ended()) {
            sum.add(&standing.assignment.spec.resources.taken())
                .expect("launched tasks do not overlap");
        }
        sum
    }
}
