//! The loop around the agent machine: takes in what happened, does what the machine wants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use shoal_agent::frames::Frames;
use shoal_agent::{Agent, Input, Output, SessionChange, Signal, Spawn, Ticket};
use shoal_api::session::FileError;
use shoal_api::{ContainerId, HostPort, TaskKey, Terms};
use shoal_failpoint::{Point, pass};
use shoal_keeper::protocol::Request;
use tokio::sync::{mpsc, watch};

use super::keeper::{self, KeeperNews, Life, Order};
use super::sandbox::Sandboxes;
use super::store::{Store, StoreEvent};
use super::window::{Asks, Seen};
use super::wire::Wires;
use super::{ExecutorError, Status, command, limits};
use crate::clock;
use crate::stop::Stop;

/// Everything that the loop holds.
pub struct Driver {
    pub agent: Agent,
    pub wires: Wires,
    pub store: Store,
    pub orders: mpsc::Sender<Order>,
    pub sandboxes: Sandboxes,
    /// The agent's HTTP address, as its tasks see it.
    pub http: HostPort,
    pub events: mpsc::Sender<Input>,
    pub status: watch::Sender<Status>,
    /// The keeper's life in which the machine last heard of it.
    pub life: Option<Life>,
    pub root: bool,
    /// Records that are not with the store yet.
    pub unwritten: Unwritten,
    /// The first process of each task that runs, for whoever looks; bounded by what the keeper has.
    pub pids: BTreeMap<TaskKey, u32>,
}

/// What the loop listens to.
pub struct Ears {
    pub events: mpsc::Receiver<Input>,
    pub keeper: mpsc::Receiver<KeeperNews>,
    pub store: mpsc::Receiver<StoreEvent>,
    pub masters: watch::Receiver<Vec<HostPort>>,
    pub asks: Asks,
    pub stop: Stop,
}

/// Records that wait for the store: it takes one batch at a time, so that what comes meanwhile shares
/// the next sync. While the disk is full they gather here; their number is bounded by what the agent
/// may run, as nothing starts and nothing is said before they are written.
#[derive(Debug, Default)]
pub struct Unwritten {
    frames: Frames,
    last: Ticket,
    /// Somebody waits for one of them.
    urgent: bool,
    /// When they are written though nobody does.
    by: Option<tokio::time::Instant>,
}

/// What a round of the loop ends with.
enum Round {
    Again,
    Stopped,
}

impl Driver {
    /// Runs until the machine says that it has stopped.
    pub async fn run(mut self, mut ears: Ears) -> Result<(), ExecutorError> {
        let mut stopping = false;
        let mut sweep = tokio::time::interval(limits::SWEEP);
        self.take(Input::Calendar(clock::calendar()));
        let masters = ears.masters.borrow_and_update().clone();
        self.take(Input::Masters(masters));
        loop {
            if let Round::Stopped = self.perform()? {
                break;
            }
            self.show();
            let now = tokio::time::Instant::now();
            let deadline = self
                .agent
                .next_deadline()
                .map(|at| now + at.since(clock::now()).min(limits::SWEEP));
            let write_by = self.unwritten.by;
            tokio::select! {
                event = ears.events.recv() => {
                    self.take(Input::Calendar(clock::calendar()));
                    self.event(event.expect("the loop holds a sender itself"));
                    self.more(&mut ears);
                }
                Some(news) = ears.keeper.recv() => {
                    self.take(Input::Calendar(clock::calendar()));
                    self.keeper_news(news);
                    self.more(&mut ears);
                }
                Some(event) = ears.store.recv() => self.stored(event)?,
                Ok(()) = ears.masters.changed() => {
                    let masters = ears.masters.borrow_and_update().clone();
                    self.take(Input::Masters(masters));
                }
                Some(ask) = ears.asks.recv() => {
                    // Whoever asked and is gone misses nothing.
                    drop(ask.send(Seen {
                        view: self.agent.view(),
                        pids: self.pids.clone(),
                    }));
                }
                () = until(deadline) => {
                    self.take(Input::Calendar(clock::calendar()));
                    self.take(Input::Wake);
                }
                () = until(write_by) => self.hurry(),
                _ = sweep.tick() => self.sweep(),
                () = ears.stop.wanted(), if !stopping => {
                    stopping = true;
                    self.hurry();
                    let restarting = Some(shoal_agent::limits::RESTART_MAX);
                    self.take(Input::Shutdown { restarting });
                }
            }
        }
        self.wires.finish().await;
        Ok(())
    }

    fn take(&mut self, input: Input) {
        self.agent.step(clock::now(), input);
    }

    /// Takes what else has happened by now, so that it shares one sync and one write.
    fn more(&mut self, ears: &mut Ears) {
        for _ in 0..limits::EVENTS_AT_ONCE {
            if let Ok(event) = ears.events.try_recv() {
                self.event(event);
            } else if let Ok(news) = ears.keeper.try_recv() {
                self.keeper_news(news);
            } else {
                break;
            }
        }
    }

    fn event(&mut self, input: Input) {
        if let Input::Disconnected { connection, .. } = &input {
            self.wires.broken(*connection);
        }
        self.take(input);
    }

    fn keeper_news(&mut self, news: KeeperNews) {
        match &news.event {
            shoal_agent::KeeperEvent::Lost => self.life = None,
            shoal_agent::KeeperEvent::Listed(_) => {
                self.life = Some(news.life);
                self.pids.clear();
            }
            shoal_agent::KeeperEvent::Task(task) => {
                self.pids.remove(&task.task);
            }
        }
        self.pids.extend(news.running);
        self.take(Input::Keeper(news.event));
    }

    fn stored(&mut self, event: StoreEvent) -> Result<(), ExecutorError> {
        match event {
            StoreEvent::Written(ticket) => {
                self.store.done();
                self.take(Input::Checkpointed { ticket });
                Ok(())
            }
            StoreEvent::Failed(error) => Err(ExecutorError::Disk(error)),
        }
    }

    /// Does everything that the machine wants.
    fn perform(&mut self) -> Result<Round, ExecutorError> {
        let mut round = Round::Again;
        let mut spawns = Vec::new();
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Dial { connection, to } => self.wires.dial(connection, to),
                Output::Close { connection } => self.wires.close(connection),
                Output::Send {
                    connection,
                    message,
                } => {
                    if let Some(broken) = self.wires.send(connection, &message) {
                        self.take(broken);
                    }
                }
                Output::Checkpoint { ticket, record } => {
                    self.unwritten.frames.push(&record);
                    self.unwritten.last = ticket;
                    self.unwritten.urgent |= record.is_urgent();
                }
                Output::Spawn(spawn) => spawns.push(spawn),
                Output::Signal { task, signal } => {
                    let signal = match signal {
                        Signal::Term => 15,
                        Signal::Kill => 9,
                    };
                    let key = keeper::key_text(&task);
                    self.order(task, Request::Signal { key, signal });
                }
                Output::Forget { task } => {
                    let key = keeper::key_text(&task);
                    self.order(task, Request::Forget { key });
                }
                Output::RemoveVolume { terms } => self.remove_volume(&terms),
                Output::ReadFile {
                    connection,
                    read,
                    complete,
                } => self.read_file(connection, read, complete),
                Output::Session(change) => {
                    if let SessionChange::Opened { cluster, .. } = &change {
                        self.wires.belongs_to(*cluster);
                    }
                    report(&change);
                }
                Output::Fatal(refusal) => return Err(ExecutorError::Refused(refusal)),
                Output::Stopped => round = Round::Stopped,
            }
        }
        if !spawns.is_empty() {
            self.spawn(spawns);
        }
        if self.unwritten.urgent || self.unwritten.frames.is_long() {
            self.write();
        } else if !self.unwritten.frames.is_empty() && self.unwritten.by.is_none() {
            self.unwritten.by = Some(tokio::time::Instant::now() + limits::WRITE_LATE);
        }
        Ok(round)
    }

    /// Has everything written as soon as the store can.
    fn hurry(&mut self) {
        self.unwritten.by = None;
        self.unwritten.urgent = !self.unwritten.frames.is_empty();
    }

    fn write(&mut self) {
        if self.store.is_busy() {
            return;
        }
        let Unwritten {
            mut frames, last, ..
        } = std::mem::take(&mut self.unwritten);
        if self.store.is_long() {
            // The image has all that the machine ever gave out, these records too.
            frames = Frames::default();
            for record in self.agent.image() {
                frames.push(&record);
            }
            self.store.rewrite(frames.take(), last);
        } else {
            self.store.append(frames.take(), last);
        }
    }

    fn order(&self, task: TaskKey, request: Request) {
        let Some(life) = self.life else {
            return;
        };
        let order = Order {
            life,
            task,
            request,
        };
        // The bound is above what one agent's tasks can ask for; were it reached, what is lost is
        // asked again when the keeper is next listed.
        if self.orders.try_send(order).is_err() {
            tracing::error!("the keeper does not take orders");
        }
    }

    /// Makes the sandboxes away from this loop, and orders each process as soon as its own is there.
    /// One after the other on one thread: they would only wait for each other's folders.
    fn spawn(&self, spawns: Vec<Spawn>) {
        pass(Point::AgentSpawn);
        let Some(life) = self.life else {
            return;
        };
        let (sandboxes, orders) = (self.sandboxes.clone(), self.orders.clone());
        let (http, events, root) = (self.http.clone(), self.events.clone(), self.root);
        tokio::task::spawn_blocking(move || {
            for spawn in spawns {
                let task = spawn.task.clone();
                match prepare(&sandboxes, &spawn, &http, root) {
                    Ok(request) => {
                        pass(Point::AgentOrder);
                        let order = Order {
                            life,
                            task,
                            request,
                        };
                        // An error means that the agent has stopped.
                        let _stopped = orders.blocking_send(order);
                    }
                    Err(why) => {
                        let event = keeper::not_started(task, &why);
                        let _stopped = events.blocking_send(Input::Keeper(event));
                    }
                }
            }
        });
    }

    fn remove_volume(&self, terms: &Arc<Terms>) {
        let (sandboxes, terms) = (self.sandboxes.clone(), Arc::clone(terms));
        tokio::task::spawn_blocking(move || match sandboxes.remove_volume(&terms) {
            Ok(()) => tracing::info!(%terms, "removed a destroyed volume"),
            Err(error) => tracing::error!(%terms, %error, "a destroyed volume cannot be removed"),
        });
    }

    fn read_file(
        &self,
        connection: shoal_agent::ConnectionId,
        read: shoal_api::session::FileRead,
        complete: bool,
    ) {
        let (sandboxes, events) = (self.sandboxes.clone(), self.events.clone());
        let agent = self.agent.id();
        tokio::task::spawn_blocking(move || {
            let piece = sandboxes.read(agent, &read, complete);
            // A task that has just begun may not have its files; one that never ran never will.
            let piece = match piece {
                Err(FileError::NoSuchTask(task)) if !complete => {
                    tracing::debug!(%task, "a sandbox is asked for before it is made");
                    Err(FileError::NoSuchFile(Arc::clone(&read.file)))
                }
                other => other,
            };
            let _stopped = events.blocking_send(Input::FileRead {
                connection,
                request: read.request,
                piece,
            });
        });
    }

    fn sweep(&self) {
        let known: BTreeSet<ContainerId> = self.agent.tasks().map(|(_, _, c)| c).collect();
        let sandboxes = self.sandboxes.clone();
        tokio::task::spawn_blocking(move || {
            let removed = sandboxes.sweep(&known, limits::SANDBOX_KEPT);
            if removed > 0 {
                tracing::info!(removed, "removed old sandboxes");
            }
        });
    }

    /// Shows how the agent is, if that changed.
    fn show(&self) {
        let status = Status {
            agent: self.agent.id(),
            connected: self.agent.is_connected(),
            keeper: self.life.is_some(),
            tasks: self.agent.tasks().len(),
            running: self.agent.running(),
            counters: self.agent.counters(),
        };
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }
}

/// Waits until then; for ever without a time.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Makes a task's sandbox; what the keeper is to be asked for, or why the task cannot start.
fn prepare(
    sandboxes: &Sandboxes,
    spawn: &Spawn,
    http: &HostPort,
    root: bool,
) -> Result<Request, String> {
    let assignment = &spawn.assignment;
    let identity = command::identity(assignment, root)?;
    let sandbox: PathBuf = sandboxes
        .make(
            assignment.agent,
            &spawn.task,
            spawn.container,
            identity.as_ref(),
        )
        .map_err(|error| format!("the sandbox cannot be made: {error}"))?;
    sandboxes
        .link_volumes(&sandbox, &assignment.spec.resources, identity.as_ref())
        .map_err(|error| format!("a volume cannot be had: {error}"))?;
    Ok(Request::Spawn {
        key: keeper::key_text(&spawn.task),
        spec: Box::new(command::spec(assignment, &sandbox, http, identity)),
    })
}

fn report(change: &SessionChange) {
    match change {
        SessionChange::Opened { master, agent, .. } => {
            tracing::info!(%master, %agent, "the session with a master is open");
        }
        SessionChange::Closed { why } => tracing::info!(why = &**why, "the session is closed"),
        SessionChange::Refused(refusal) => {
            tracing::info!(%refusal, "a master does not open a session");
        }
    }
}
