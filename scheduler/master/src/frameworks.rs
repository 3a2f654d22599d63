//! The frameworks whose streams this master holds: subscribing, telling, reconciling.

use shoal_api::call::{ReconcileTask, Subscribe};
use shoal_api::notice::{Notice, TaskStatus};
use shoal_api::operation::OperationStatus;
use shoal_api::{FrameworkId, FrameworkInfo, StreamId, TaskId};
use shoal_offers::{DisconnectCause, OffersCommand};

use crate::input::{Conn, Output, Refused};
use crate::limits::STREAMS;
use crate::master::Master;
use crate::proposals::Waiter;
use crate::state::{LedgerCommand, Outcome};

/// A subscription on its way into the ledger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    stream: StreamId,
    closed: bool,
}

impl Master {
    pub(crate) fn subscribe(&mut self, conn: Conn, info: FrameworkInfo) {
        if !self.is_known() || self.status.leader.is_none() {
            self.refuse_stream(conn, &Refused::Unavailable);
            return;
        }
        if self.streams.len() + self.pending_streams.len() >= STREAMS {
            self.refuse_stream(conn, &Refused::Busy);
            return;
        }
        // The version and variant bits of a random UUID.
        let bits = self.dice.next_u128();
        let stream = StreamId(bits & !(0xf << 76) & !(0xc << 60) | (0x4 << 76) | (0x8 << 60));
        self.pending_streams.insert(
            conn,
            Pending {
                stream,
                closed: false,
            },
        );
        let subscribe = Box::new(Subscribe { info, stream });
        let holder = self.config.node;
        let command = OffersCommand::Subscribed { subscribe, holder };
        self.submit(LedgerCommand::Offers(command), Waiter::Stream(conn));
    }

    /// Ends a subscription that did not come about. Nobody else is told.
    pub(crate) fn refuse_stream(&mut self, conn: Conn, refused: &Refused) {
        self.pending_streams.remove(&conn);
        self.outputs.push_back(Output::StreamRefused {
            conn,
            refused: refused.clone(),
        });
    }

    pub(crate) fn stream_settled(&mut self, conn: Conn, outcome: Outcome) {
        let refused = match outcome {
            Outcome::Offers(Ok(shoal_offers::Outcome::Subscribed { framework })) => {
                self.stream_opened(conn, framework);
                return;
            }
            Outcome::Offers(Err(refusal)) => Refused::Offers(refusal),
            Outcome::Offers(Ok(_))
            | Outcome::RunCreated(_)
            | Outcome::RunKilled(_)
            | Outcome::SlotsTaken
            | Outcome::Charter
            | Outcome::Malformed => Refused::Unavailable,
        };
        self.refuse_stream(conn, &refused);
    }

    fn stream_opened(&mut self, conn: Conn, framework: FrameworkId) {
        let Some(Pending { stream, closed }) = self.pending_streams.remove(&conn) else {
            return;
        };
        if closed {
            self.disconnect(framework, stream, DisconnectCause::StreamClosed);
            return;
        }
        let heartbeat = self.now + self.config.tuning.heartbeat;
        self.streams
            .open(conn, framework.clone(), stream, heartbeat);
        self.outputs.push_back(Output::StreamOpened {
            conn,
            framework: framework.clone(),
            stream,
        });
    }

    /// After SUBSCRIBED comes a heartbeat at once, as in Mesos, then what was not acknowledged.
    fn greet(&mut self, conn: Conn, framework: &FrameworkId, stream: StreamId) {
        self.tell(conn, Notice::Heartbeat);
        let pending: Vec<TaskStatus> = self
            .state
            .offers
            .pending_updates(framework)
            .map(|(_, status)| status)
            .collect();
        for status in pending {
            self.notify(framework, stream, Notice::Update(status));
        }
        let operations: Vec<OperationStatus> =
            self.state.offers.pending_operations(framework).collect();
        for status in operations {
            self.tell(conn, Notice::Operation(status));
        }
    }

    fn tell(&mut self, conn: Conn, notice: Notice) {
        self.stats.notices += 1;
        self.outputs.push_back(Output::ToStream { conn, notice });
    }

    /// Tells a framework, if its stream is held here.
    pub(crate) fn notify(&mut self, framework: &FrameworkId, stream: StreamId, notice: Notice) {
        let Some(conn) = self.streams.conn_of(framework, stream) else {
            return;
        };
        if let Notice::Update(status) = &notice
            && status.update.is_some()
            && let Ok(task) = TaskId::new(&status.task)
        {
            self.streams.update_sent(conn, task, self.now);
        }
        let greeted = matches!(notice, Notice::Subscribed { .. });
        self.tell(conn, notice);
        if greeted {
            self.greet(conn, framework, stream);
        }
    }

    pub(crate) fn close_stream(&mut self, conn: Conn) {
        self.streams.remove(conn);
        self.outputs.push_back(Output::CloseStream(conn));
    }

    pub(crate) fn stream_closed(&mut self, conn: Conn) {
        if let Some(pending) = self.pending_streams.get_mut(&conn) {
            // Whether its subscription is in the ledger shows later; its end is told then.
            pending.closed = true;
            return;
        }
        let Some(held) = self.streams.remove(conn) else {
            return;
        };
        self.disconnect(held.framework, held.stream, DisconnectCause::StreamClosed);
    }

    fn disconnect(&mut self, framework: FrameworkId, stream: StreamId, cause: DisconnectCause) {
        let command = OffersCommand::Disconnected {
            framework,
            stream,
            cause,
        };
        self.submit(LedgerCommand::Offers(command), Waiter::Fact);
    }

    pub(crate) fn keep_streams(&mut self) {
        let every = self.config.tuning.heartbeat;
        for conn in self.streams.heartbeats(self.now, every) {
            self.tell(conn, Notice::Heartbeat);
        }
        for (conn, framework, task) in self.streams.resends(self.now) {
            let key = self
                .state
                .offers
                .find_task(&framework, &task)
                .map(|found| found.key.clone());
            match key.and_then(|key| self.state.offers.head_update(&key)) {
                Some(status) => self.tell(conn, Notice::Update(status)),
                None => self.streams.settled(conn, &task),
            }
        }
        // A master that no leader confirms must not let clients believe that they are connected.
        if self.now.since(self.leader_heard) >= self.config.tuning.orphaned_streams {
            for conn in self.streams.conns() {
                let Some(held) = self.streams.remove(conn) else {
                    continue;
                };
                self.outputs.push_back(Output::CloseStream(conn));
                self.disconnect(held.framework, held.stream, DisconnectCause::HolderDied);
            }
        }
    }

    /// After the ledger was replaced: a stream that it does not name is over.
    pub(crate) fn check_streams(&mut self) {
        for conn in self.streams.conns() {
            let named = self.streams.get(conn).is_some_and(|held| {
                self.state
                    .offers
                    .check_stream(&held.framework, held.stream)
                    .is_ok()
            });
            if !named {
                self.close_stream(conn);
            }
        }
    }

    /// Answers a reconciliation on a stream that is held here.
    pub(crate) fn reconcile_here(
        &mut self,
        framework: &FrameworkId,
        stream: StreamId,
        tasks: &[ReconcileTask],
    ) {
        let Some(conn) = self.streams.conn_of(framework, stream) else {
            return;
        };
        for status in self.state.offers.reconcile(framework, tasks, self.wall) {
            self.tell(conn, Notice::Update(status));
        }
    }
}
