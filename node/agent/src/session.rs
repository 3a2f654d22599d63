//! The session with a master: dialling, opening, obeying, losing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::session::{
    AgentMessage, FileError, FilePiece, FileRead, Hello, MasterMessage, SessionRefusal, TaskReport,
};
use shoal_api::task::Assignment;
use shoal_api::{
    AgentId, ClusterId, Fence, HostPort, Plant, TaskKey, TaskSpec, TaskState, Terms,
    limits as words,
};

use crate::limits;
use crate::machine::{Agent, Keeper};
use crate::port::{ConnectionId, Output, SessionChange};
use crate::record::Record;
use crate::timer::Timer;

/// Whom the agent talks to.
///
/// # Invariants
/// - at most one session is open, and at most one is being opened;
/// - none is open from a hello to its answer: what a hello tells must not be out of date when the ledger
///   takes it in, so nothing is obeyed or reported meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    masters: Vec<HostPort>,
    /// Which of `masters` is dialled next.
    next: usize,
    /// Attempts that failed since the last session opened.
    failures: usize,
    last: u64,
    open: Option<ConnectionId>,
    attempt: Option<Attempt>,
}

#[derive(Clone, Debug)]
struct Attempt {
    connection: ConnectionId,
    to: HostPort,
    /// What the hello reported, once it is sent: the highest update of each task with any.
    reported: Option<Vec<(TaskKey, u64)>>,
}

impl Session {
    /// The connection on which a master commands.
    pub fn open(&self) -> Option<ConnectionId> {
        self.open
    }
}

impl Agent {
    pub(crate) fn masters_known(&mut self, masters: Vec<HostPort>) {
        if masters == self.session.masters {
            return;
        }
        self.session.masters = masters;
        self.session.next = 0;
        self.session.failures = 0;
        self.dial_soon();
    }

    /// Dials at once if there is no session and none is being opened.
    pub(crate) fn dial_soon(&mut self) {
        if self.session.open.is_none() && self.session.attempt.is_none() {
            self.dial();
        }
    }

    /// Dials the next master.
    pub(crate) fn dial(&mut self) {
        let idle = self.session.open.is_none() && self.session.attempt.is_none();
        if !idle || self.is_stopping() || self.keeper == Keeper::Unheard {
            return;
        }
        let masters = &self.session.masters;
        let Some(to) = masters.get(self.session.next % masters.len().max(1)) else {
            return;
        };
        let to = to.clone();
        self.session.next += 1;
        self.dial_to(to);
    }

    fn dial_to(&mut self, to: HostPort) {
        self.timers.stop(&Timer::Dial);
        self.session.last += 1;
        let connection = ConnectionId(self.session.last);
        self.session.attempt = Some(Attempt {
            connection,
            to: to.clone(),
            reported: None,
        });
        let deadline = self.now + limits::DIAL_TIMEOUT;
        self.timers.set(Timer::Attempt, deadline);
        self.counters.dials += 1;
        self.output(Output::Dial { connection, to });
    }

    /// After an attempt failed: the other masters at once, then all of them after a wait.
    fn dial_later(&mut self) {
        if self.session.open.is_some() {
            return;
        }
        let masters = self.session.masters.len().max(1);
        self.session.failures += 1;
        let rounds = self.session.failures / masters;
        if !self.session.failures.is_multiple_of(masters) {
            self.timers.set(Timer::Dial, self.now);
            return;
        }
        let doublings = u32::try_from(rounds - 1).unwrap_or(u32::MAX).min(16);
        let wait = (limits::REDIAL_FIRST * 2_u32.pow(doublings)).min(limits::REDIAL_MAX);
        // Between half and all of it, so that the agents of a dead master do not come as one.
        let half = u64::try_from(wait.as_nanos() / 2).expect("the wait is bounded");
        let jitter = Duration::from_nanos(self.dial_dice.below(half + 1));
        self.timers.set(Timer::Dial, self.now + wait / 2 + jitter);
    }

    pub(crate) fn connected(&mut self, connection: ConnectionId) {
        let ours = self
            .session
            .attempt
            .as_ref()
            .is_some_and(|a| a.connection == connection && a.reported.is_none());
        if !ours || self.is_stopping() {
            self.output(Output::Close { connection });
            return;
        }
        if let Some(old) = self.session.open {
            self.output(Output::Close { connection: old });
            self.session_closed("the agent moves to another master");
        }
        let (tasks, reported) = self.report();
        let hello = Hello {
            info: self.config.info.clone(),
            generation: self.config.generation,
            number: connection.0,
            cluster: self.book.bound.map(|(cluster, _)| cluster),
            agent: self.book.bound.map(|(_, agent)| agent),
            fence: self.book.fence,
            tasks,
        };
        let attempt = self.session.attempt.as_mut().expect("checked above");
        attempt.reported = Some(reported);
        self.output(Output::Send {
            connection,
            message: AgentMessage::Hello(Box::new(hello)),
        });
        let deadline = self.now + limits::WELCOME_TIMEOUT;
        self.timers.set(Timer::Attempt, deadline);
    }

    /// All tasks, with what is on disk about them.
    fn report(&mut self) -> (Vec<TaskReport>, Vec<(TaskKey, u64)>) {
        let keys: Vec<TaskKey> = self.book.tasks.keys().cloned().collect();
        let mut tasks = Vec::with_capacity(keys.len());
        let mut reported = Vec::new();
        let mut raw_bytes = 0;
        for key in keys {
            let written = self.written_sequence(&key);
            let standing = &self.book.tasks[&key];
            let updates: Vec<_> = standing
                .pending
                .iter()
                .filter(|u| u.sequence <= written)
                .cloned()
                .collect();
            // A launch that is not on disk so far will run once it is, so it may not be left out.
            let latest = updates.last().or(standing.durable.as_ref());
            let state = latest.map_or(TaskState::Staging, |latest| latest.state);
            if let Some(last) = updates.last() {
                reported.push((key, last.sequence));
            }
            raw_bytes += standing.assignment.spec.raw.len();
            let assignment = if raw_bytes <= limits::HELLO_RAW_BYTES {
                Arc::clone(&standing.assignment)
            } else {
                without_raw(&standing.assignment)
            };
            tasks.push(TaskReport {
                assignment,
                state,
                updates,
            });
        }
        (tasks, reported)
    }

    pub(crate) fn disconnected(&mut self, connection: ConnectionId, why: &str) {
        if self.session.open() == Some(connection) {
            self.session_lost(why);
        } else if self.attempt_is(connection) {
            self.attempt_failed();
        }
    }

    fn attempt_is(&self, connection: ConnectionId) -> bool {
        self.session
            .attempt
            .as_ref()
            .is_some_and(|a| a.connection == connection)
    }

    fn attempt_failed(&mut self) {
        self.session.attempt = None;
        self.timers.stop(&Timer::Attempt);
        self.dial_later();
    }

    pub(crate) fn attempt_timed_out(&mut self) {
        if let Some(attempt) = &self.session.attempt {
            let connection = attempt.connection;
            self.output(Output::Close { connection });
            self.attempt_failed();
        }
    }

    fn session_closed(&mut self, why: &str) {
        self.session.open = None;
        self.timers.stop(&Timer::Silence);
        while let Some((task, _)) = self.tombstones.pop_first() {
            self.timers.stop(&Timer::Resend(task));
        }
        self.output(Output::Session(SessionChange::Closed {
            why: Arc::from(why),
        }));
        self.session.next = 0;
        self.session.failures = 0;
    }

    fn session_lost(&mut self, why: &str) {
        self.session_closed(why);
        self.dial_soon();
    }

    pub(crate) fn master_silent(&mut self) {
        if let Some(connection) = self.session.open() {
            self.output(Output::Close { connection });
            self.session_lost("the master has been silent for too long");
        }
    }

    /// Says goodbye for a while, or for good.
    pub(crate) fn leave(&mut self, restarting: Option<Duration>) {
        if let Some(connection) = self.session.open.take() {
            if let Some(back_within) = restarting {
                let back_within = back_within.min(limits::RESTART_MAX);
                self.output(Output::Send {
                    connection,
                    message: AgentMessage::Restarting { back_within },
                });
            }
            self.output(Output::Close { connection });
            self.output(Output::Session(SessionChange::Closed {
                why: Arc::from("the agent stops"),
            }));
        }
        if let Some(attempt) = self.session.attempt.take() {
            let connection = attempt.connection;
            self.output(Output::Close { connection });
        }
    }

    pub(crate) fn message(&mut self, connection: ConnectionId, message: MasterMessage) {
        if self.is_stopping() {
            return;
        }
        if self.attempt_is(connection) {
            self.answered(connection, message);
            return;
        }
        if self.session.open() != Some(connection) {
            self.counters.ignored += 1;
            return;
        }
        self.heard();
        match message {
            MasterMessage::Welcome { .. } | MasterMessage::Refused(_) => {
                self.counters.ignored += 1;
            }
            MasterMessage::Launch { fence, assignment } => {
                if self.obeys(connection, fence) {
                    self.launch(fence, assignment);
                }
            }
            MasterMessage::Kill { fence, task, grace } => {
                if self.obeys(connection, fence) {
                    self.kill(fence, &task, grace);
                }
            }
            MasterMessage::Forget { fence, task } => {
                if self.obeys(connection, fence) {
                    self.forget(fence, &task);
                }
            }
            MasterMessage::UpdateDurable { task, sequence } => {
                self.update_durable(&task, sequence);
            }
            MasterMessage::Ping => self.output(Output::Send {
                connection,
                message: AgentMessage::Pong,
            }),
            MasterMessage::Move { peer } => {
                if self.session.attempt.is_none() {
                    self.dial_to(peer);
                }
            }
            MasterMessage::ReadFile(read) => self.read_file(connection, read),
            MasterMessage::RemoveVolume { fence, terms } => {
                if self.obeys(connection, fence) {
                    self.remove_volume(terms);
                }
            }
        }
    }

    /// The master lives. It pings long before its silence counts.
    fn heard(&mut self) {
        let deadline = self.now + limits::SILENCE;
        self.timers.set(Timer::Silence, deadline);
    }

    /// Whether a command is new enough; says so to who sent it if not.
    fn obeys(&mut self, connection: ConnectionId, fence: Fence) -> bool {
        let highest = self.book.fence;
        let plants = self.config.plants;
        let of_life = |fence: Fence| (fence.epoch, fence.index);
        if fence >= highest
            || plants.has(Plant::IgnoreFences)
            || (plants.has(Plant::IgnoreIncarnations) && of_life(fence) >= of_life(highest))
        {
            return true;
        }
        self.counters.stale += 1;
        self.output(Output::Send {
            connection,
            message: AgentMessage::Stale { fence: highest },
        });
        false
    }

    /// The first word of a master after a hello.
    fn answered(&mut self, connection: ConnectionId, message: MasterMessage) {
        let greeted = self
            .session
            .attempt
            .as_ref()
            .is_some_and(|a| a.reported.is_some());
        match message {
            MasterMessage::Welcome {
                cluster,
                agent,
                fence,
            } if greeted => self.welcomed(connection, cluster, agent, fence),
            MasterMessage::Refused(refusal) => self.refused(connection, refusal),
            MasterMessage::Ping => self.output(Output::Send {
                connection,
                message: AgentMessage::Pong,
            }),
            MasterMessage::Welcome { .. }
            | MasterMessage::Launch { .. }
            | MasterMessage::Kill { .. }
            | MasterMessage::UpdateDurable { .. }
            | MasterMessage::Forget { .. }
            | MasterMessage::Move { .. }
            | MasterMessage::ReadFile(_)
            | MasterMessage::RemoveVolume { .. } => {
                self.counters.ignored += 1;
                self.output(Output::Close { connection });
                self.attempt_failed();
            }
        }
    }

    fn welcomed(
        &mut self,
        connection: ConnectionId,
        cluster: ClusterId,
        agent: AgentId,
        fence: Fence,
    ) {
        let foreign = self.book.bound.is_some_and(|(ours, _)| ours != cluster);
        if foreign || !self.obeys(connection, fence) {
            self.output(Output::Close { connection });
            self.attempt_failed();
            return;
        }
        let attempt = self.session.attempt.take().expect("a hello was answered");
        self.timers.stop(&Timer::Attempt);
        if self.book.bound != Some((cluster, agent)) {
            self.record(Record::Bound { cluster, agent });
        }
        self.record(Record::Fenced(fence));
        self.session.open = Some(connection);
        self.heard();
        self.session.failures = 0;
        self.session.next = 0;
        self.counters.sessions += 1;
        self.output(Output::Session(SessionChange::Opened {
            connection,
            master: attempt.to,
            cluster,
            agent,
        }));
        let reported = attempt.reported.unwrap_or_default();
        self.send_all(&reported);
    }

    fn refused(&mut self, connection: ConnectionId, refusal: SessionRefusal) {
        self.output(Output::Close { connection });
        match &refusal {
            SessionRefusal::Unavailable | SessionRefusal::Superseded(_) => {
                self.output(Output::Session(SessionChange::Refused(refusal)));
            }
            SessionRefusal::OtherCluster { .. }
            | SessionRefusal::ResourcesShrunk(_)
            | SessionRefusal::Invalid(_) => self.output(Output::Fatal(refusal)),
        }
        self.attempt_failed();
    }

    /// Has a volume's data removed, unless a task that has not ended uses it after all.
    fn remove_volume(&mut self, terms: Arc<Terms>) {
        let Some(created) = terms.volume().map(|volume| volume.created) else {
            return;
        };
        let uses = |task: &crate::book::Standing| {
            let mut all = task.assignment.spec.resources.iter();
            all.any(|r| {
                let volume = r.terms.as_ref().and_then(|terms| terms.volume());
                volume.is_some_and(|volume| volume.created == created)
            })
        };
        let mut tasks = self.book.tasks.values();
        if tasks.any(|task| !task.is_ended() && uses(task)) {
            self.counters.ignored += 1;
            return;
        }
        self.output(Output::RemoveVolume { terms });
    }

    fn read_file(&mut self, connection: ConnectionId, mut read: FileRead) {
        let known = matches!(&*read.file, "stdout" | "stderr");
        let problem = if !known {
            Some(FileError::NoSuchFile(Arc::clone(&read.file)))
        } else if self.reads >= limits::READS {
            Some(FileError::Unreadable(Arc::from(
                "too many files are being read on this agent",
            )))
        } else {
            None
        };
        if let Some(problem) = problem {
            self.output(Output::Send {
                connection,
                message: AgentMessage::FilePiece {
                    request: read.request,
                    piece: Err(problem),
                },
            });
            return;
        }
        let bound = u32::try_from(words::FILE_PIECE_BYTES).expect("a piece is small");
        read.length = read.length.min(bound);
        let complete = self
            .book
            .tasks
            .get(&read.task)
            .is_none_or(|standing| standing.is_ended());
        self.reads += 1;
        self.output(Output::ReadFile {
            connection,
            read,
            complete,
        });
    }

    pub(crate) fn file_read(
        &mut self,
        connection: ConnectionId,
        request: u64,
        piece: Result<FilePiece, FileError>,
    ) {
        assert!(
            self.reads > 0,
            "agent: a file was read that nobody asked for"
        );
        self.reads -= 1;
        if self.session.open() == Some(connection) {
            self.output(Output::Send {
                connection,
                message: AgentMessage::FilePiece { request, piece },
            });
        }
    }
}

/// An assignment without what only its framework reads: it is needed for a row that the ledger lacks,
/// and a hello must stay within its bound.
fn without_raw(assignment: &Assignment) -> Arc<Assignment> {
    let mut spec = TaskSpec::clone(&assignment.spec);
    spec.raw = Bytes::new();
    Arc::new(Assignment {
        spec: Arc::new(spec),
        ..assignment.clone()
    })
}
