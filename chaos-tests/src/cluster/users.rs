//! The lines between frameworks and masters: subscriptions, calls, answers.

use std::time::Duration;

use shoal_api::call::{Call, FrameworkCall};
use shoal_api::{FrameworkId, FrameworkInfo, OfferId, TaskId};
use shoal_master::{Answer, Ask, Conn, Input, Request};
use shoal_offers::TaskRow;

use super::framework::{Deed, LOOK, Word};
use super::{Asked, Cluster, Event, NODES, Packet};
use crate::invariants::Fact;
use crate::network::{Host, Side, StreamNumber};

/// A framework's connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    stream: Option<StreamNumber>,
    attempt: u64,
}

impl Cluster {
    pub(super) fn look(&mut self, framework: usize) {
        let now = self.queue.now();
        self.frameworks[framework].look(now);
        self.do_deeds(framework);
        self.queue.push(now + LOOK, Event::Look { framework });
    }

    pub(super) fn do_deeds(&mut self, framework: usize) {
        let from = Host(NODES + framework);
        for deed in self.frameworks[framework].take_deeds() {
            match deed {
                Deed::Dial(master) => {
                    self.users[framework].attempt += 1;
                    let attempt = self.users[framework].attempt;
                    let to = Host(master);
                    let wait = if self.network.is_connected(from, to) {
                        self.network.delay() * 2
                    } else {
                        Duration::from_secs(3)
                    };
                    let event = Event::Subscribe {
                        framework,
                        attempt,
                        to,
                    };
                    self.queue.push(self.queue.now() + wait, event);
                }
                Deed::Hangup => {
                    self.users[framework].attempt += 1;
                    if let Some(stream) = self.users[framework].stream.take() {
                        self.close_stream(stream, Side::Dialler);
                    }
                }
                Deed::Call {
                    number,
                    master,
                    call,
                } => {
                    self.send_datagram(
                        from,
                        Host(master),
                        Packet::Call {
                            framework,
                            number,
                            call,
                        },
                    );
                }
            }
        }
    }

    pub(super) fn subscribe(&mut self, framework: usize, attempt: u64, to: Host) {
        if self.users[framework].attempt != attempt {
            return;
        }
        let now = self.queue.now();
        let from = Host(NODES + framework);
        if !self.hosts.get(to).up || !self.network.is_connected(from, to) {
            self.frameworks[framework].hear(now, Word::Closed);
            return;
        }
        let stream = self.network.open(now, from, to);
        self.users[framework].stream = Some(stream);
        let info = Box::new(self.frameworks[framework].info.clone());
        self.send_stream(stream, Side::Dialler, Packet::Subscribe(info));
        self.frameworks[framework].hear(now, Word::Connected);
    }

    pub(super) fn subscription(
        &mut self,
        host: Host,
        stream: StreamNumber,
        info: Box<FrameworkInfo>,
    ) {
        self.step_master(
            host,
            Input::Subscribe {
                conn: Conn(stream.0),
                info,
            },
        );
    }

    pub(super) fn framework_told(&mut self, framework: usize, stream: StreamNumber, word: Word) {
        if self.users[framework].stream != Some(stream) {
            return;
        }
        let now = self.queue.now();
        if let Word::Notice(notice) = &word {
            self.trace.content(format!("{notice:?}").as_bytes());
            if let (shoal_api::notice::Notice::Update(status), Some(id)) =
                (&**notice, &self.frameworks[framework].info.id)
            {
                self.watch.tell(
                    now,
                    &Fact::Told {
                        framework: id,
                        status,
                    },
                );
            }
        }
        self.frameworks[framework].hear(now, word);
        self.do_deeds(framework);
    }

    pub(super) fn line_lost(&mut self, framework: usize, stream: StreamNumber) {
        if self.users[framework].stream == Some(stream) {
            self.users[framework].stream = None;
            self.frameworks[framework].hear(self.queue.now(), Word::Closed);
            self.do_deeds(framework);
        }
    }

    pub(super) fn called(
        &mut self,
        host: Host,
        framework: usize,
        number: u64,
        call: Box<FrameworkCall>,
    ) {
        match &call.call {
            Call::Accept { offers, .. } | Call::Operate { offers, .. } => {
                let offers: Vec<OfferId> = offers.iter().flatten().copied().collect();
                self.handed.answered(&offers);
            }
            Call::Decline { offers, .. } => self.handed.answered(offers),
            Call::Reconcile(tasks) => {
                let framework = &call.framework;
                self.watch
                    .tell(self.queue.now(), &Fact::Reconciles { framework, tasks });
            }
            Call::Kill { .. }
            | Call::Acknowledge { .. }
            | Call::Teardown
            | Call::Revive(_)
            | Call::Suppress(_)
            | Call::AcknowledgeOperation { .. }
            | Call::ReconcileOperations(_) => {}
        }
        self.last_ask += 1;
        let ask = Ask(self.last_ask);
        let had_task = match &call.call {
            Call::Kill { task, .. } | Call::Acknowledge { task, .. } => {
                self.row_at(host, &call.framework, task).is_some()
            }
            Call::Accept { .. }
            | Call::Decline { .. }
            | Call::Teardown
            | Call::Revive(_)
            | Call::Suppress(_)
            | Call::Reconcile(_)
            | Call::Operate { .. }
            | Call::AcknowledgeOperation { .. }
            | Call::ReconcileOperations(_) => false,
        };
        let asked = Asked {
            framework,
            number,
            call: call.clone(),
            had_task,
        };
        self.asks.insert(ask, asked);
        self.step_master(
            host,
            Input::Request {
                ask,
                request: Request::Call(*call),
            },
        );
    }

    /// A master answers: what it says is done must be in its ledger.
    pub(super) fn answered(&mut self, host: Host, ask: Ask, answer: &Answer) {
        if self.operator_answered(host, ask, answer) {
            return;
        }
        let Some(asked) = self.asks.remove(&ask) else {
            return;
        };
        let done = match answer {
            Answer::Done => true,
            Answer::State(_) | Answer::RunCreated(_) | Answer::File(_) | Answer::Refused(_) => {
                false
            }
        };
        if done && let Some(detail) = self.not_done(host, &asked) {
            self.tell(&Fact::NotDone(detail));
        }
        if done && let Call::Accept { offers, .. } | Call::Operate { offers, .. } = &asked.call.call
        {
            let used: Vec<OfferId> = offers.iter().flatten().copied().collect();
            self.tell(&Fact::Used { offers: &used });
        }
        let Asked {
            framework, number, ..
        } = asked;
        let to = Host(NODES + framework);
        self.send_datagram(
            host,
            to,
            Packet::Answer {
                framework,
                number,
                done,
            },
        );
    }

    /// A task as a master's ledger has it.
    fn row_at(&self, host: Host, framework: &FrameworkId, task: &str) -> Option<&TaskRow> {
        let offers = &self.masters[host.0].machine.as_ref()?.state().offers;
        let id = TaskId::new(task).ok()?;
        offers.find_task(framework, &id).map(|found| found.row)
    }

    /// What of a call that is said to be done is not in the ledger of the master that says so.
    fn not_done(&self, host: Host, asked: &Asked) -> Option<String> {
        let offers = &self.masters[host.0].machine.as_ref()?.state().offers;
        let framework = &asked.call.framework;
        match &asked.call.call {
            Call::Accept { offers: used, .. } | Call::Operate { offers: used, .. } => {
                let open = used
                    .iter()
                    .flatten()
                    .find(|id| offers.offer(**id).is_some())?;
                Some(format!(
                    "an accept is done, but its offer {open} is still out"
                ))
            }
            Call::Teardown => {
                offers.framework(framework)?;
                Some(format!(
                    "a teardown is done, but {framework} is still there"
                ))
            }
            Call::Kill { task, .. } if asked.had_task => {
                let row = self.row_at(host, framework, task)?;
                let open = row.kill.is_none() && row.holds();
                open.then(|| format!("a kill is done, but {task} has none"))
            }
            Call::Acknowledge { task, update, .. } if asked.had_task => {
                let row = self.row_at(host, framework, task)?;
                let open = row.pending.first().is_some_and(|head| head.id == *update);
                open.then(|| format!("an acknowledgement is done, but {task} still waits for it"))
            }
            // A task that was launched after the call was asked may be there without its effect.
            Call::Kill { .. }
            | Call::Acknowledge { .. }
            | Call::Decline { .. }
            | Call::Revive(_)
            | Call::Suppress(_)
            | Call::AcknowledgeOperation { .. }
            | Call::ReconcileOperations(_)
            | Call::Reconcile(_) => None,
        }
    }
}
