//! The processes that really run, and the keepers that are their parents.
//!
//! A keeper outlives its agent; the machine's death ends both. What a task does is written in its
//! command: how long it runs, how it exits, whether it minds a TERM.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shoal_agent::{BootId, End, KeeperTask, Process as Seen, Signal};
use shoal_api::task::{Assignment, Exit};
use shoal_api::{Command, TaskKey, Timestamp};

/// What a simulated command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    /// How long it runs if nobody ends it.
    pub runs: Duration,
    /// How it exits then.
    pub code: u8,
    /// Whether it goes on after a TERM.
    pub stubborn: bool,
}

impl Script {
    /// The command of that script.
    pub fn command(self) -> Command {
        let millis = self.runs.as_millis();
        Command::Shell(Arc::from(format!(
            "{millis} {} {}",
            self.code,
            u8::from(self.stubborn)
        )))
    }

    /// The script of a command made by [`Script::command`].
    pub fn of(command: Option<&Command>) -> Option<Script> {
        let Some(Command::Shell(text)) = command else {
            return None;
        };
        let mut words = text.split(' ');
        let millis = words.next()?.parse().ok()?;
        let code = words.next()?.parse().ok()?;
        let stubborn = words.next()? == "1";
        Some(Script {
            runs: Duration::from_millis(millis),
            code,
            stubborn,
        })
    }
}

/// One process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Which of all that ever ran.
    pub run: u64,
    /// What it was started for.
    pub assignment: Arc<Assignment>,
    /// What it does.
    pub script: Script,
    /// How it is.
    pub seen: Seen,
}

impl Process {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        matches!(self.seen, Seen::Running { .. })
    }
}

/// The keeper of one agent, with its journal.
#[derive(Debug)]
pub struct Keeper {
    /// Of the machine under it.
    pub boot: BootId,
    /// The life of the agent that it talks to.
    pub listener: Option<u64>,
    known: BTreeMap<TaskKey, Process>,
}

impl Keeper {
    /// A keeper of a machine that was just switched on.
    pub fn new(boot: BootId) -> Keeper {
        Keeper {
            boot,
            listener: None,
            known: BTreeMap::new(),
        }
    }

    /// All that it knows, as it tells it to an agent.
    pub fn list(&self) -> Vec<KeeperTask> {
        self.known
            .keys()
            .filter_map(|task| self.tell(task))
            .collect()
    }

    /// One task, as it tells it to an agent.
    pub fn tell(&self, task: &TaskKey) -> Option<KeeperTask> {
        let process = self.known.get(task)?;
        Some(KeeperTask {
            task: task.clone(),
            process: process.seen.clone(),
        })
    }

    /// The processes that it knows.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.known.values()
    }

    /// Starts a process unless its key is known; true if it did.
    pub fn spawn(&mut self, run: u64, assignment: &Arc<Assignment>, now: Timestamp) -> bool {
        if self.known.contains_key(&assignment.key) {
            return false;
        }
        let script = Script::of(assignment.spec.command.as_ref()).unwrap_or(Script {
            runs: Duration::from_millis(1),
            code: 127,
            stubborn: false,
        });
        let process = Process {
            run,
            assignment: Arc::clone(assignment),
            script,
            seen: Seen::Running { since: now },
        };
        self.known.insert(assignment.key.clone(), process);
        true
    }

    /// The process of a task, if it runs.
    pub fn running(&self, task: &TaskKey) -> Option<&Process> {
        self.known.get(task).filter(|process| process.runs())
    }

    /// A process ends; false if it did before, or is another run.
    pub fn end(&mut self, task: &TaskKey, run: u64, end: End, at: Timestamp) -> bool {
        match self.known.get_mut(task) {
            Some(process) if process.run == run && process.runs() => {
                process.seen = Seen::Ended { end, at };
                true
            }
            Some(_) | None => false,
        }
    }

    /// What a signal does: how the process will end, and how soon.
    pub fn signal(&self, task: &TaskKey, signal: Signal) -> Option<(u64, Exit, Duration)> {
        let process = self.running(task)?;
        match signal {
            Signal::Term if process.script.stubborn => None,
            Signal::Term => Some((process.run, Exit::Signal(15), Duration::from_millis(40))),
            Signal::Kill => Some((process.run, Exit::Signal(9), Duration::from_millis(1))),
        }
    }

    /// A task that has ended is forgotten.
    pub fn forget(&mut self, task: &TaskKey) {
        if self.known.get(task).is_some_and(|process| !process.runs()) {
            self.known.remove(task);
        }
    }

    /// A planted bug: the journal is gone.
    pub fn forget_all(&mut self) {
        self.known.clear();
    }

    /// The machine dies: so does all that runs. Returns what did.
    pub fn power_off(&mut self, boot: BootId, at: Timestamp) -> Vec<TaskKey> {
        self.boot = boot;
        self.listener = None;
        let mut ended = Vec::new();
        for (task, process) in &mut self.known {
            if process.runs() {
                process.seen = Seen::Ended {
                    end: End::Unknown,
                    at,
                };
                ended.push(task.clone());
            }
        }
        ended
    }
}
