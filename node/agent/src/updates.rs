//! Status updates: minted, sent once they are on disk, sent again until the ledger has them.

use std::sync::Arc;
use std::time::Duration;

use shoal_api::session::AgentMessage;
use shoal_api::task::Exit;
use shoal_api::{
    Fence, Reason, Source, StatusUpdate, TaskKey, TaskState, Timestamp, UpdateId, limits as words,
};

use crate::limits;
use crate::machine::Agent;
use crate::port::Output;
use crate::record::{Record, Ticket};
use crate::timer::Timer;

/// An update about to be minted.
#[derive(Clone, Debug)]
pub(crate) struct Minted {
    state: TaskState,
    source: Source,
    at: Timestamp,
    reason: Option<Reason>,
    message: String,
    exit: Option<Exit>,
}

impl Minted {
    pub fn of(state: TaskState, source: Source, at: Timestamp) -> Minted {
        Minted {
            state,
            source,
            at,
            reason: None,
            message: String::new(),
            exit: None,
        }
    }

    pub fn because(mut self, reason: Reason) -> Minted {
        self.reason = Some(reason);
        self
    }

    pub fn saying(mut self, message: &str) -> Minted {
        let end = message.floor_char_boundary(words::STATUS_MESSAGE_BYTES);
        self.message = message[..end].to_owned();
        self
    }

    pub fn exiting(mut self, exit: Exit) -> Minted {
        self.exit = Some(exit);
        self
    }

    fn numbered(self, task: &TaskKey, sequence: u64, id: UpdateId) -> StatusUpdate {
        StatusUpdate {
            task: task.clone(),
            sequence,
            id,
            state: self.state,
            source: self.source,
            reason: self.reason,
            message: Arc::from(self.message),
            timestamp: self.at,
            exit: self.exit,
        }
    }
}

/// An update that was sent and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    pub sequence: u64,
    pub wait: Duration,
}

/// The answer to a kill of a task that this agent does not know: it will never run here.
///
/// It lives no longer than the session, as the master repeats the kill in the next one.
#[derive(Clone, Debug)]
pub(crate) struct Tombstone {
    pub update: StatusUpdate,
    pub fenced: Ticket,
    pub flight: Option<Flight>,
}

impl Agent {
    /// Makes an update out of it; it goes out once it is on disk.
    pub(crate) fn mint(&mut self, task: &TaskKey, minted: Minted) -> Ticket {
        let sequence = self.book.tasks[task].next_sequence();
        let id = UpdateId(self.update_dice.next_u128());
        let ticket = self.record(Record::Updated(minted.numbered(task, sequence, id)));
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        runtime.unwritten.push_back((sequence, ticket));
        self.wait_for(ticket, task);
        ticket
    }

    /// The highest update of a task that is on disk.
    pub(crate) fn written_sequence(&mut self, task: &TaskKey) -> u64 {
        let written = self.written;
        let Some(runtime) = self.runtime.get_mut(task) else {
            return 0;
        };
        while runtime
            .unwritten
            .front()
            .is_some_and(|(_, ticket)| *ticket <= written)
        {
            runtime.unwritten.pop_front();
        }
        match runtime.unwritten.front() {
            Some((sequence, _)) => sequence - 1,
            None => self.book.tasks[task].next_sequence() - 1,
        }
    }

    /// Sends the head of a task's updates if it is on disk and not under way.
    pub(crate) fn send_head(&mut self, task: &TaskKey) {
        let Some(connection) = self.session.open() else {
            return;
        };
        let written = self.written_sequence(task);
        let Some(standing) = self.book.tasks.get(task) else {
            return;
        };
        let Some(head) = standing.pending.front().filter(|u| u.sequence <= written) else {
            return;
        };
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        if runtime.flight.is_some_and(|f| f.sequence >= head.sequence) {
            return;
        }
        runtime.flight = Some(Flight {
            sequence: head.sequence,
            wait: limits::RESEND_FIRST,
        });
        let message = AgentMessage::Update(head.clone());
        self.counters.updates_sent += 1;
        self.output(Output::Send {
            connection,
            message,
        });
        let again = self.now + limits::RESEND_FIRST;
        self.timers.set(Timer::Resend(task.clone()), again);
    }

    /// A new session: what its hello carried is under way, everything else that waits goes out.
    pub(crate) fn send_all(&mut self, reported: &[(TaskKey, u64)]) {
        for runtime in self.runtime.values_mut() {
            runtime.flight = None;
        }
        let again = self.now + limits::RESEND_FIRST;
        for (task, sequence) in reported {
            let Some(runtime) = self.runtime.get_mut(task) else {
                continue;
            };
            runtime.flight = Some(Flight {
                sequence: *sequence,
                wait: limits::RESEND_FIRST,
            });
            self.timers.set(Timer::Resend(task.clone()), again);
        }
        let waiting: Vec<TaskKey> = self
            .book
            .tasks
            .iter()
            .filter(|(_, standing)| !standing.pending.is_empty())
            .map(|(task, _)| task.clone())
            .collect();
        for task in waiting {
            self.send_head(&task);
        }
    }

    /// An update had no answer for too long.
    pub(crate) fn resend(&mut self, task: &TaskKey) {
        let Some(connection) = self.session.open() else {
            return;
        };
        let (flight, update) = if let Some(tombstone) = self.tombstones.get_mut(task) {
            (&mut tombstone.flight, &tombstone.update)
        } else {
            let Some(runtime) = self.runtime.get_mut(task) else {
                return;
            };
            let Some(head) = self.book.tasks[task].pending.front() else {
                return;
            };
            (&mut runtime.flight, head)
        };
        let Some(flight) = flight else {
            return;
        };
        // A hello may have carried more than the head; from here on it is the head alone.
        flight.sequence = update.sequence;
        flight.wait = (flight.wait * 2).min(limits::RESEND_MAX);
        let again = self.now + flight.wait;
        let message = AgentMessage::Update(update.clone());
        self.timers.set(Timer::Resend(task.clone()), again);
        self.counters.updates_sent += 1;
        self.counters.updates_resent += 1;
        self.output(Output::Send {
            connection,
            message,
        });
    }

    /// The ledger has a task's updates up to this one.
    pub(crate) fn update_durable(&mut self, task: &TaskKey, sequence: u64) {
        self.drop_tombstone(task);
        let Some(standing) = self.book.tasks.get(task) else {
            return;
        };
        let news = standing
            .pending
            .front()
            .is_some_and(|u| u.sequence <= sequence);
        if !news {
            return;
        }
        self.record(Record::Durable {
            task: task.clone(),
            sequence,
        });
        let runtime = self.runtime.get_mut(task).expect("each task has a runtime");
        if runtime.flight.is_some_and(|f| f.sequence <= sequence) {
            runtime.flight = None;
            self.timers.stop(&Timer::Resend(task.clone()));
        }
        self.send_head(task);
    }

    /// Answers the kill of a task that is not here.
    pub(crate) fn bury(&mut self, fence: Fence, task: &TaskKey) {
        if self.tombstones.contains_key(task) {
            return;
        }
        if self.tombstones.len() >= limits::TOMBSTONES {
            self.tombstones.pop_first();
        }
        let fenced = self.record(Record::Fenced(fence));
        let id = UpdateId(self.update_dice.next_u128());
        let update = Minted::of(TaskState::Killed, Source::Agent, self.timestamp())
            .because(Reason::TaskKilledDuringLaunch)
            .saying("the task was killed before it reached its agent")
            .numbered(task, 1, id);
        let tombstone = Tombstone {
            update,
            fenced,
            flight: None,
        };
        self.tombstones.insert(task.clone(), tombstone);
        self.wait_for(fenced, task);
    }

    /// Sends the answer to the kill of a task that is not here, once the kill's fence is on disk.
    pub(crate) fn send_tombstone(&mut self, task: &TaskKey) {
        let (Some(connection), Some(tombstone)) =
            (self.session.open(), self.tombstones.get_mut(task))
        else {
            return;
        };
        if tombstone.fenced > self.written || tombstone.flight.is_some() {
            return;
        }
        tombstone.flight = Some(Flight {
            sequence: 1,
            wait: limits::RESEND_FIRST,
        });
        let message = AgentMessage::Update(tombstone.update.clone());
        self.counters.updates_sent += 1;
        self.output(Output::Send {
            connection,
            message,
        });
        let again = self.now + limits::RESEND_FIRST;
        self.timers.set(Timer::Resend(task.clone()), again);
    }

    pub(crate) fn drop_tombstone(&mut self, task: &TaskKey) {
        if self.tombstones.remove(task).is_some() {
            self.timers.stop(&Timer::Resend(task.clone()));
        }
    }
}
