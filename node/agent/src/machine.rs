//! The agent machine: its state, its step, and the order between disk and deed.

use std::collections::{BTreeMap, VecDeque};

use shoal_api::{ContainerId, Dice, Instant, Resources, TaskKey, TaskState, Timestamp};

use crate::book::Book;
use crate::config::{Config, Recovered, StartError};
use crate::port::{Input, KeeperEvent, Output};
use crate::process::Runtime;
use crate::record::{Record, Ticket};
use crate::session::Session;
use crate::timer::{Timer, Timers};
use crate::updates::Tombstone;
use crate::view::TaskView;

/// Counts for whoever exports them; all only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks taken in.
    pub launched: u64,
    /// Launches answered with an update that the task will not run.
    pub refused: u64,
    /// Commands with a fence that was too low.
    pub stale: u64,
    /// Updates sent, repetitions included.
    pub updates_sent: u64,
    /// Updates sent again.
    pub updates_resent: u64,
    /// Connections asked for.
    pub dials: u64,
    /// Sessions opened.
    pub sessions: u64,
    /// Processes that the keeper knows and this agent does not.
    pub strays: u64,
    /// Messages that made no sense at that point and were ignored.
    pub ignored: u64,
}

/// One agent.
///
/// # Invariants
/// - `runtime` has an entry for exactly the tasks of the book;
/// - `allocated` is what the tasks of the book that have not ended hold, `running` is their number;
/// - a ticket is never given twice, and `written` never falls;
/// - no [`Output::Spawn`] before the task's launch and its first update are written, no update sent before it is.
#[derive(Debug)]
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) now: Instant,
    pub(crate) calendar: (Instant, Timestamp),
    pub(crate) update_dice: Dice,
    pub(crate) dial_dice: Dice,
    pub(crate) book: Book,
    pub(crate) allocated: Resources,
    pub(crate) running: usize,
    pub(crate) runtime: BTreeMap<TaskKey, Runtime>,
    pub(crate) tombstones: BTreeMap<TaskKey, Tombstone>,
    pub(crate) forgotten: VecDeque<TaskView>,
    pub(crate) session: Session,
    pub(crate) keeper: Keeper,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) reads: usize,
    pub(crate) written: Ticket,
    last: Ticket,
    waiting: BTreeMap<Ticket, TaskKey>,
    stopping: bool,
    stopped: bool,
    outputs: VecDeque<Output>,
}

/// Whether the keeper has said what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// Not since the start: the agent does not know what it runs, and says nothing to anyone.
    Unheard,
    /// Not since the connection to it broke.
    Lost,
    /// Yes, and it tells of every change.
    Known,
}

impl Agent {
    /// An agent that has what its disk held. It dials nobody before the keeper has been heard.
    ///
    /// # Errors
    /// [`StartError`] if it must not run as configured.
    pub fn new(now: Instant, config: Config, recovered: &Recovered) -> Result<Agent, StartError> {
        let book = Book::replay(&recovered.records);
        let allocated = book.allocated();
        if !config.info.resources.contains(&allocated) {
            return Err(StartError::ResourcesShrunk {
                total: config.info.resources,
                allocated,
            });
        }
        let runtime = book
            .tasks
            .iter()
            .map(|(key, standing)| (key.clone(), Runtime::recovered(standing)))
            .collect();
        let running = book.tasks.values().filter(|s| !s.is_ended()).count();
        let dice = Dice::new(config.seed);
        Ok(Agent {
            now,
            calendar: (now, Timestamp::default()),
            update_dice: dice.child("update"),
            dial_dice: dice.child("dial"),
            book,
            allocated,
            running,
            runtime,
            tombstones: BTreeMap::new(),
            forgotten: VecDeque::new(),
            session: Session::default(),
            keeper: Keeper::Unheard,
            timers: Timers::default(),
            counters: Counters::default(),
            reads: 0,
            written: Ticket(0),
            last: Ticket(0),
            waiting: BTreeMap::new(),
            stopping: false,
            stopped: false,
            outputs: VecDeque::new(),
            config,
        })
    }

    /// Takes one input in. `now` never falls.
    pub fn step(&mut self, now: Instant, input: Input) {
        assert!(now >= self.now, "agent: time went back to {now}");
        self.now = now;
        self.expire();
        match input {
            Input::Wake => {}
            Input::Calendar(calendar) => self.calendar = (now, calendar),
            Input::Masters(masters) => self.masters_known(masters),
            Input::Connected { connection } => self.connected(connection),
            Input::Disconnected { connection, why } => self.disconnected(connection, &why),
            Input::Message {
                connection,
                message,
            } => self.message(connection, message),
            Input::Keeper(event) => self.keeper_event(event),
            Input::Checkpointed { ticket } => self.checkpointed(ticket),
            Input::FileRead {
                connection,
                request,
                piece,
            } => self.file_read(connection, request, piece),
            Input::Shutdown { restarting } => {
                self.stopping = true;
                self.leave(restarting);
            }
        }
        if self.stopping && !self.stopped && self.written == self.last {
            self.stopped = true;
            self.output(Output::Stopped);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Wake`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.stopping {
            return None;
        }
        self.timers.next()
    }

    /// Records that stand for all records given out so far: a shorter log. Those that are still to be
    /// polled may follow them, as replaying a record twice changes nothing.
    pub fn image(&self) -> Vec<Record> {
        self.book.image()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The agent's id, once the ledger gave it one.
    pub fn id(&self) -> Option<shoal_api::AgentId> {
        self.book.bound.map(|(_, agent)| agent)
    }

    /// Whether a master commands it.
    pub fn is_connected(&self) -> bool {
        self.session.open().is_some()
    }

    /// Every task that is not forgotten, with its latest state and its sandbox, in order of key.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = (&TaskKey, TaskState, ContainerId)> {
        self.book
            .tasks
            .iter()
            .map(|(key, standing)| (key, standing.state(), standing.container))
    }

    /// How many tasks have not ended.
    pub fn running(&self) -> usize {
        self.running
    }

    /// What tasks that have not ended hold.
    pub fn allocated(&self) -> &Resources {
        &self.allocated
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// What the calendar says at this step.
    pub(crate) fn timestamp(&self) -> Timestamp {
        let (at, calendar) = self.calendar;
        let since = i64::try_from(self.now.since(at).as_nanos()).unwrap_or(i64::MAX);
        Timestamp::from_nanos(calendar.as_nanos().saturating_add(since))
    }

    /// Changes the book, and asks for the record to be written.
    pub(crate) fn record(&mut self, record: Record) -> Ticket {
        self.book.apply(&record);
        self.last = Ticket(self.last.0 + 1);
        self.output(Output::Checkpoint {
            ticket: self.last,
            record,
        });
        self.last
    }

    /// Has [`Agent::advance`] look at a task once this ticket is written.
    pub(crate) fn wait_for(&mut self, ticket: Ticket, task: &TaskKey) {
        self.waiting.insert(ticket, task.clone());
    }

    fn checkpointed(&mut self, ticket: Ticket) {
        assert!(
            ticket <= self.last,
            "agent: a record is on disk that was never written, {ticket:?}"
        );
        self.written = self.written.max(ticket);
        while let Some(first) = self.waiting.first_entry() {
            if *first.key() > self.written {
                break;
            }
            let task = first.remove();
            self.advance(&task);
        }
    }

    /// Does for a task what waited for the disk.
    pub(crate) fn advance(&mut self, task: &TaskKey) {
        if self.is_stopping() {
            return;
        }
        self.advance_process(task);
        self.send_head(task);
        self.send_tombstone(task);
    }

    fn expire(&mut self) {
        while !self.stopping {
            let Some(timer) = self.timers.expired(self.now) else {
                break;
            };
            match timer {
                Timer::Dial => self.dial(),
                Timer::Attempt => self.attempt_timed_out(),
                Timer::Silence => self.master_silent(),
                Timer::Resend(task) => self.resend(&task),
                Timer::Kill(task) => self.kill_due(&task),
            }
        }
    }

    fn keeper_event(&mut self, event: KeeperEvent) {
        if self.stopping {
            return;
        }
        match event {
            KeeperEvent::Lost => {
                if self.keeper == Keeper::Known {
                    self.keeper = Keeper::Lost;
                }
            }
            KeeperEvent::Listed(tasks) => {
                let first = self.keeper == Keeper::Unheard;
                self.keeper = Keeper::Known;
                self.listed(tasks);
                if first {
                    self.dial_soon();
                }
            }
            KeeperEvent::Task(task) => {
                if self.keeper == Keeper::Known {
                    self.observe(&task.task, task.process);
                }
            }
        }
    }
}
