//! One-off work: what `shoal run` asks for, and where it stands.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{AgentId, IdError, TaskId};
use crate::resource::Resources;
use crate::task::{Command, Exit, TaskState};
use crate::time::Timestamp;

/// A run's number, assigned by the ledger, from 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One task of a run: the same command, told apart by its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// Which run.
    pub run: RunId,
    /// From 0 to the run's count.
    pub number: u32,
}

impl Slot {
    /// The id of the slot's task: `NAME.RUN.SLOT`.
    ///
    /// # Errors
    /// [`IdError`] if the name makes no valid id.
    pub fn task_id(self, name: &str) -> Result<TaskId, IdError> {
        TaskId::new(&format!("{name}.{}.{}", self.run, self.number))
    }

    /// The slot that an id made by [`Slot::task_id`] names.
    pub fn of_task(task: &TaskId) -> Option<Slot> {
        let (rest, number) = task.as_str().rsplit_once('.')?;
        let (_, run) = rest.rsplit_once('.')?;
        Some(Slot {
            run: RunId(run.parse().ok()?),
            number: number.parse().ok()?,
        })
    }
}

/// What a run wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// For people, and the first part of its tasks' ids.
    pub name: Arc<str>,
    /// What each task runs.
    pub command: Command,
    /// In order; a later name wins.
    pub environment: Vec<(Arc<str>, Arc<str>)>,
    /// What each task uses; never empty.
    pub resources: Resources,
    /// Under which user; the agent's own where absent.
    pub user: Option<Arc<str>>,
    /// Between TERM and KILL.
    pub kill_grace: Option<Duration>,
    /// How many tasks, 1 to [`RunSpec::COUNT_MAX`].
    pub count: u32,
}

/// Why a run is not created. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum RunRefusal {
    /// The name makes no valid task id.
    #[error("run name '{0}' makes no valid task id")]
    BadName(Arc<str>),
    /// The count is out of range.
    #[error("run count {0} is out of range 1 to {max}", max = RunSpec::COUNT_MAX)]
    BadCount(u32),
    /// No resources are asked for.
    #[error("a run needs at least some cpus or memory")]
    NoResources,
    /// Too many runs are unfinished.
    #[error("{0} tasks of runs wait or run already, the limit is {max}", max = RunSpec::ACTIVE_MAX)]
    TooMany(u64),
    /// No such run.
    #[error("run {0} does not exist")]
    NotFound(RunId),
}

impl RunSpec {
    /// The most tasks in one run. Ours.
    pub const COUNT_MAX: u32 = 100_000;
    /// The most unfinished tasks of all runs together. Ours.
    pub const ACTIVE_MAX: u64 = 1_000_000;
    /// Bytes in a run's name, so that its tasks' ids stay within their bound. Ours.
    pub const NAME_BYTES: usize = 200;

    /// Says what is wrong with it, if anything is.
    ///
    /// # Errors
    /// [`RunRefusal`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), RunRefusal> {
        if self.name.len() > RunSpec::NAME_BYTES
            || (Slot {
                run: RunId(1),
                number: 0,
            })
            .task_id(&self.name)
            .is_err()
        {
            return Err(RunRefusal::BadName(Arc::clone(&self.name)));
        }
        if self.count == 0 || self.count > RunSpec::COUNT_MAX {
            return Err(RunRefusal::BadCount(self.count));
        }
        if self.resources.is_empty() {
            return Err(RunRefusal::NoResources);
        }
        Ok(())
    }
}

/// Where one task of a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotState {
    /// No offer was accepted for it yet.
    Waiting,
    /// The ledger has a task for it.
    Placed {
        /// Where.
        agent: AgentId,
        /// Its latest state.
        state: TaskState,
    },
    /// It has ended.
    Ended {
        /// Where it ran, if it ran.
        agent: Option<AgentId>,
        /// How, as a task's state.
        state: TaskState,
        /// How its process ended, if it had one.
        exit: Option<Exit>,
        /// For people; may be empty.
        message: Arc<str>,
        /// When, by the leader's calendar.
        at: Timestamp,
    },
}
