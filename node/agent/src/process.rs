//! Tasks as processes: launching, observing and killing them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shoal_api::task::{Assignment, Exit};
use shoal_api::{
    ContainerId, Fence, Instant, Plant, Reason, Source, TaskKey, TaskState, Timestamp,
};

use crate::book::Standing;
use crate::limits;
use crate::machine::Agent;
use crate::port::{End, Failure, KeeperTask, Output, Process, Signal, Spawn};
use crate::record::{Record, Ticket};
use crate::text;
use crate::timer::Timer;
use crate::updates::{Flight, Minted};
use crate::view::TaskView;

/// What is known of a task in this life of the agent only.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub stage: Stage,
    /// The launch, and that it is STARTING, are on disk once this is.
    pub launched: Ticket,
    pub kill: Option<Kill>,
    /// Updates minted in this life that may not be on disk: sequence and ticket, in order.
    pub unwritten: VecDeque<(u64, Ticket)>,
    pub flight: Option<Flight>,
}

/// How far a task's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its launch is not on disk.
    Writing,
    /// From an earlier life: the keeper knows.
    Recovered,
    /// The keeper was asked to start it.
    Asked,
    /// It runs.
    Running,
    /// It does not run and never will.
    Ended,
}

/// A kill on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    /// It is on disk once this is.
    pub recorded: Ticket,
    /// When KILL follows.
    pub deadline: Instant,
    /// TERM was sent.
    pub asked: bool,
    /// KILL was sent.
    pub forced: bool,
}

impl Runtime {
    pub fn recovered(standing: &Standing) -> Runtime {
        Runtime::new(if standing.is_ended() {
            Stage::Ended
        } else {
            Stage::Recovered
        })
    }

    fn new(stage: Stage) -> Runtime {
        Runtime {
            stage,
            launched: Ticket(0),
            kill: None,
            unwritten: VecDeque::new(),
            flight: None,
        }
    }
}

impl Agent {
    /// A command to run a task; its fence has been checked.
    pub(crate) fn launch(&mut self, fence: Fence, assignment: Arc<Assignment>) {
        let key = assignment.key.clone();
        if self.book.tasks.contains_key(&key) || self.tombstones.contains_key(&key) {
            self.counters.ignored += 1;
            return;
        }
        let refusal = self.refusal(&assignment);
        let container = ContainerId::of(assignment.agent, key.launch);
        self.record(Record::Launched {
            fence,
            assignment: Arc::clone(&assignment),
            container,
        });
        self.runtime
            .insert(key.clone(), Runtime::new(Stage::Writing));
        match refusal {
            Some(minted) => {
                self.counters.refused += 1;
                self.end(&key, minted);
            }
            None => {
                self.counters.launched += 1;
                self.running += 1;
                self.allocated
                    .add(&assignment.spec.resources.taken())
                    .expect("what fits does not overlap");
                let minted = Minted::of(TaskState::Starting, Source::Executor, self.timestamp());
                let ticket = self.mint(&key, minted);
                let runtime = self.runtime.get_mut(&key).expect("each task has a runtime");
                runtime.launched = ticket;
                if self.config.plants.has(Plant::SpawnBeforeCheckpoint) {
                    runtime.launched = Ticket(0);
                    self.advance_process(&key);
                }
            }
        }
    }

    /// Why a task cannot run here, as the update that says so.
    fn refusal(&self, assignment: &Assignment) -> Option<Minted> {
        let minted = |state, reason, message: &str| {
            Some(
                Minted::of(state, Source::Agent, self.timestamp())
                    .because(reason)
                    .saying(message),
            )
        };
        let spec = &assignment.spec;
        if let Some(unsupported) = &spec.unsupported {
            return minted(
                TaskState::Failed,
                Reason::ContainerLaunchFailed,
                &format!("this agent cannot run the task: {unsupported}"),
            );
        }
        if spec.command.is_none() {
            return minted(
                TaskState::Failed,
                Reason::ContainerLaunchFailed,
                "this agent cannot run the task: it has no command",
            );
        }
        if self.book.tasks.len() >= limits::TASKS {
            return minted(
                TaskState::Dropped,
                Reason::ResourcesUnknown,
                &format!("the agent holds {} tasks, no more fit", limits::TASKS),
            );
        }
        let mut sum = self.allocated.clone();
        let wanted = spec.resources.taken();
        let fits = sum.add(&wanted).is_ok() && self.config.info.resources.contains(&sum);
        if !fits {
            return minted(
                TaskState::Dropped,
                Reason::ResourcesUnknown,
                &format!(
                    "the agent does not have {} beside what its tasks hold",
                    spec.resources
                ),
            );
        }
        None
    }

    /// A command to end a task; its fence has been checked.
    pub(crate) fn kill(&mut self, fence: Fence, task: &TaskKey, grace: Option<Duration>) {
        let Some(standing) = self.book.tasks.get(task) else {
            self.bury(fence, task);
            return;
        };
        if standing.is_ended() {
            self.record(Record::Fenced(fence));
            return;
        }
        let grace = grace
            .or(standing.assignment.spec.kill_grace)
            .unwrap_or(limits::KILL_GRACE)
            .min(limits::KILL_GRACE_MAX);
        let recorded = self.record(Record::Killed {
            fence,
            task: task.clone(),
            grace,
        });
        let deadline = self.now + grace;
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        match &mut runtime.kill {
            Some(kill) => kill.deadline = kill.deadline.min(deadline),
            None => {
                runtime.kill = Some(Kill {
                    recorded,
                    deadline,
                    asked: false,
                    forced: false,
                });
            }
        }
        if runtime.stage == Stage::Writing {
            self.end_unlaunched(task);
        } else {
            self.wait_for(recorded, task);
        }
    }

    /// Ends a task whose process was never asked for.
    fn end_unlaunched(&mut self, task: &TaskKey) {
        let minted = Minted::of(TaskState::Killed, Source::Agent, self.timestamp())
            .because(Reason::TaskKilledDuringLaunch)
            .saying("the task was killed before its process was started");
        self.end(task, minted);
    }

    /// Does what waited for the launch or the kill to be on disk.
    pub(crate) fn advance_process(&mut self, task: &TaskKey) {
        let written = self.written;
        let Some(runtime) = self.runtime.get_mut(task) else {
            return;
        };
        match runtime.stage {
            Stage::Writing if runtime.launched <= written => {
                runtime.stage = Stage::Asked;
                self.spawn(task);
            }
            Stage::Running => self.terminate(task),
            Stage::Writing | Stage::Recovered | Stage::Asked | Stage::Ended => {}
        }
    }

    fn spawn(&mut self, task: &TaskKey) {
        let standing = &self.book.tasks[task];
        let spawn = Spawn {
            task: task.clone(),
            container: standing.container,
            assignment: Arc::clone(&standing.assignment),
        };
        self.output(Output::Spawn(spawn));
    }

    /// Sends TERM to a running task once its kill is on disk, and sets the time of KILL.
    fn terminate(&mut self, task: &TaskKey) {
        let written = self.written;
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        let Some(kill) = &mut runtime.kill else {
            return;
        };
        if kill.recorded > written || kill.forced {
            return;
        }
        let deadline = kill.deadline;
        if !kill.asked {
            kill.asked = true;
            self.output(Output::Signal {
                task: task.clone(),
                signal: Signal::Term,
            });
        }
        self.timers.set(Timer::Kill(task.clone()), deadline);
    }

    /// The grace of a kill is over.
    pub(crate) fn kill_due(&mut self, task: &TaskKey) {
        let runtime = self.runtime.get_mut(task);
        let Some(runtime) = runtime.filter(|r| r.stage == Stage::Running) else {
            return;
        };
        let Some(kill) = &mut runtime.kill else {
            return;
        };
        kill.forced = true;
        self.output(Output::Signal {
            task: task.clone(),
            signal: Signal::Kill,
        });
        let again = self.now + limits::KILL_AGAIN;
        self.timers.set(Timer::Kill(task.clone()), again);
    }

    /// Compares what the keeper has with what should be.
    pub(crate) fn listed(&mut self, tasks: Vec<KeeperTask>) {
        let rebooted = self.book.boot.is_some_and(|boot| boot != self.config.boot);
        let mut seen: BTreeMap<TaskKey, Process> =
            tasks.into_iter().map(|t| (t.task, t.process)).collect();
        let keys: Vec<TaskKey> = self.book.tasks.keys().cloned().collect();
        for key in keys {
            match seen.remove(&key) {
                Some(Process::Ended {
                    end: End::Unknown, ..
                }) if rebooted => self.lost_in_reboot(&key),
                Some(process) => {
                    // Signals that were asked for may have been lost with the connection.
                    let runtime = self.runtime.get_mut(&key).expect("each task has a runtime");
                    if let Some(kill) = &mut runtime.kill {
                        (kill.asked, kill.forced) = (false, false);
                    }
                    self.observe(&key, process);
                }
                None if rebooted => self.lost_in_reboot(&key),
                None => self.unseen(&key),
            }
        }
        for (key, process) in seen {
            self.stray(&key, &process);
        }
        if self.book.boot != Some(self.config.boot) {
            self.record(Record::Booted(self.config.boot));
        }
    }

    /// The keeper does not know a task.
    fn unseen(&mut self, task: &TaskKey) {
        let ran = match self.book.tasks[task].state() {
            TaskState::Staging | TaskState::Starting => false,
            TaskState::Running
            | TaskState::Killing
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Unreachable
            | TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Unknown => true,
        };
        let killed = self.book.tasks[task].kill.is_some();
        let now = self.timestamp();
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        match runtime.stage {
            Stage::Writing | Stage::Ended => {}
            Stage::Recovered | Stage::Asked | Stage::Running if ran => {
                let end = End::Unknown;
                self.observe(task, Process::Ended { end, at: now });
            }
            Stage::Recovered | Stage::Asked | Stage::Running if killed => {
                self.end_unlaunched(task);
            }
            Stage::Recovered | Stage::Asked | Stage::Running => {
                runtime.stage = Stage::Asked;
                self.spawn(task);
            }
        }
    }

    /// The keeper knows a task that the agent does not.
    fn stray(&mut self, task: &TaskKey, process: &Process) {
        match process {
            // Nobody may end what no kill names; it is counted, and whoever watches must look.
            Process::Running { .. } => self.counters.strays += 1,
            Process::Ended { .. } | Process::NotStarted { .. } => {
                self.output(Output::Forget { task: task.clone() });
            }
        }
    }

    fn lost_in_reboot(&mut self, task: &TaskKey) {
        let standing = &self.book.tasks[task];
        if standing.is_ended() {
            return;
        }
        let state = if standing.kill.is_some() {
            TaskState::Killed
        } else {
            TaskState::Failed
        };
        let minted = Minted::of(state, Source::Agent, self.timestamp())
            .because(Reason::AgentRestarted)
            .saying("the machine restarted, which ended the task");
        self.end(task, minted);
    }

    /// What the keeper says of a task's process.
    pub(crate) fn observe(&mut self, task: &TaskKey, process: Process) {
        let Some(runtime) = self.runtime.get_mut(task) else {
            self.stray(task, &process);
            return;
        };
        if runtime.stage == Stage::Ended {
            match process {
                // The agent has said that it ended: it must not run.
                Process::Running { .. } => self.output(Output::Signal {
                    task: task.clone(),
                    signal: Signal::Kill,
                }),
                Process::Ended { .. } | Process::NotStarted { .. } => {}
            }
            return;
        }
        match process {
            Process::Running { since } => self.observe_running(task, since),
            Process::Ended { end, at } => self.observe_end(task, &end, at),
            Process::NotStarted { failure, at } => self.observe_failure(task, failure, at),
        }
    }

    fn observe_running(&mut self, task: &TaskKey, since: Timestamp) {
        let grace = self.book.tasks[task].kill;
        let now = self.now;
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        runtime.stage = Stage::Running;
        if runtime.kill.is_none() {
            // A kill of an earlier life of the agent: its grace begins again.
            runtime.kill = grace.map(|grace| Kill {
                recorded: Ticket(0),
                deadline: now + grace,
                asked: false,
                forced: false,
            });
        }
        self.say_running(task, since);
        self.terminate(task);
    }

    /// Says RUNNING unless it was said.
    fn say_running(&mut self, task: &TaskKey, since: Timestamp) {
        if self.book.tasks[task].state() != TaskState::Running {
            let minted = Minted::of(TaskState::Running, Source::Executor, since);
            self.mint(task, minted);
        }
    }

    fn observe_end(&mut self, task: &TaskKey, end: &End, at: Timestamp) {
        self.say_running(task, at);
        let killed = self.book.tasks[task].kill.is_some();
        let minted = match end {
            End::Exit(exit) => {
                let state = match exit {
                    Exit::Code(_) | Exit::Signal(_) if killed => TaskState::Killed,
                    Exit::Code(0) => TaskState::Finished,
                    Exit::Code(_) | Exit::Signal(_) => TaskState::Failed,
                };
                Minted::of(state, Source::Executor, at)
                    .saying(&text::describe(*exit))
                    .exiting(*exit)
            }
            End::Unknown => {
                let state = if killed {
                    TaskState::Killed
                } else {
                    TaskState::Failed
                };
                Minted::of(state, Source::Agent, at)
                    .because(Reason::ExecutorTerminated)
                    .saying("the task's process ended while its keeper was down: its exit status is unknown")
            }
        };
        self.end(task, minted);
    }

    fn observe_failure(&mut self, task: &TaskKey, failure: Failure, at: Timestamp) {
        match failure {
            Failure::Exec(_) => {
                let end = End::Exit(Exit::Code(1));
                self.observe_end(task, &end, at);
            }
            Failure::Setup(why) => {
                let minted = Minted::of(TaskState::Failed, Source::Agent, at)
                    .because(Reason::ContainerLaunchFailed)
                    .saying(&why);
                self.end(task, minted);
            }
        }
    }

    /// Ends a task: nothing follows for it but forgetting.
    fn end(&mut self, task: &TaskKey, minted: Minted) {
        let standing = &self.book.tasks[task];
        if standing.state() != TaskState::Staging {
            self.running -= 1;
            self.allocated
                .subtract(&standing.assignment.spec.resources.taken())
                .expect("a task that has not ended holds its resources");
        }
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        runtime.stage = Stage::Ended;
        runtime.kill = None;
        self.timers.stop(&Timer::Kill(task.clone()));
        self.mint(task, minted);
    }

    /// A command to forget a task; its fence has been checked.
    pub(crate) fn forget(&mut self, fence: Fence, task: &TaskKey) {
        self.drop_tombstone(task);
        let Some(standing) = self.book.tasks.get(task) else {
            return;
        };
        if !standing.is_ended() {
            // Absence never ends a task, and neither does this.
            self.counters.ignored += 1;
            return;
        }
        let view = TaskView::of(standing, true);
        self.remember(view);
        self.record(Record::Forgotten {
            fence,
            task: task.clone(),
        });
        self.runtime.remove(task);
        self.timers.stop(&Timer::Resend(task.clone()));
        self.output(Output::Forget { task: task.clone() });
    }
}
