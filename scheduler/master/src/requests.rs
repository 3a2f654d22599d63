//! Requests to this master: each becomes a command, a read, or an order to the quorum.

use std::sync::Arc;
use std::time::Duration;

use shoal_api::call::{Call, Filters, FrameworkCall, ReconcileTask};
use shoal_api::session::FileRead;
use shoal_api::{AgentId, FrameworkId, OfferId, Plant, RaftId, StreamId, TaskId, TaskKey};
use shoal_builtin::RunsCommand;
use shoal_offers::{OffersCommand, Refusal, RemovalCause};
use shoal_quorum::{MembershipChange, RaftRole};

use crate::input::{Answer, Ask, Output, Refused, Request};
use crate::master::Master;
use crate::peer::{LedgerMessage, PeerMessage};
use crate::proposals::Waiter;
use crate::reads::{FileAsker, Then};
use crate::state::{LedgerCommand, runs_framework};

impl Master {
    pub(crate) fn request(&mut self, ask: Ask, request: Request) {
        match request {
            Request::Call(call) => self.call(ask, call),
            Request::Read => self.when_certain(Then::Show(ask)),
            Request::ReadStale => {
                let view = self.view();
                self.answer(ask, Answer::State(view));
            }
            Request::CreateRun(spec) => match spec.check() {
                Ok(()) => {
                    let command = RunsCommand::Create(spec);
                    self.submit(LedgerCommand::Runs(command), Waiter::Ask(ask));
                }
                Err(refusal) => self.answer(ask, Answer::Refused(Refused::Run(refusal))),
            },
            Request::KillRun(run) => {
                self.submit(
                    LedgerCommand::Runs(RunsCommand::Kill(run)),
                    Waiter::Ask(ask),
                );
            }
            Request::KillTask {
                framework,
                task,
                grace,
            } => {
                self.when_certain(Then::Kill(ask, framework, task, grace));
            }
            Request::RemoveFramework(framework) => self.remove_framework(ask, framework),
            Request::OperateAgent {
                agent,
                change,
                principal,
            } => {
                let command = OffersCommand::AgentOperated {
                    agent,
                    change,
                    principal,
                };
                self.submit(LedgerCommand::Offers(command), Waiter::Ask(ask));
            }
            Request::ReadFile {
                framework,
                task,
                file,
                offset,
                length,
            } => {
                self.read_file(ask, framework, task, file, offset, length);
            }
            Request::TransferLeadership(to) => self.transfer(ask, to),
            Request::RemoveMaster(id) => self.change_quorum(ask, MembershipChange::Remove { id }),
            Request::PromoteMaster(id) => self.change_quorum(ask, MembershipChange::Promote { id }),
        }
    }

    fn call(&mut self, ask: Ask, call: FrameworkCall) {
        let checked = self
            .state
            .offers
            .check_stream(&call.framework, call.stream)
            .map(|_| ());
        match checked {
            Ok(()) => self.submit_call(ask, call),
            // This replica may lag: certainty costs a round trip, but no write.
            Err(_) => self.when_certain(Then::Call(ask, call)),
        }
    }

    /// This replica is certain: what it refuses is refused.
    pub(crate) fn call_again(&mut self, ask: Ask, call: FrameworkCall) {
        let checked = self
            .state
            .offers
            .check_stream(&call.framework, call.stream)
            .map(|_| ());
        match checked {
            Ok(()) => self.submit_call(ask, call),
            Err(refusal) => self.answer(ask, Answer::Refused(Refused::Offers(refusal))),
        }
    }

    fn submit_call(
        &mut self,
        ask: Ask,
        FrameworkCall {
            framework,
            stream,
            call,
        }: FrameworkCall,
    ) {
        let command = match call {
            Call::Teardown => {
                let cause = RemovalCause::Teardown { stream };
                OffersCommand::FrameworkRemoved { framework, cause }
            }
            Call::Accept {
                offers,
                launches,
                filters,
            } => OffersCommand::Accepted {
                framework,
                stream,
                offers,
                launches,
                filters,
                claim: None,
            },
            Call::Decline { offers, filters } => {
                self.decline(ask, framework, stream, offers, filters);
                return;
            }
            Call::Revive(roles) => OffersCommand::Revived {
                framework,
                stream,
                roles,
            },
            Call::Suppress(roles) => OffersCommand::Suppressed {
                framework,
                stream,
                roles,
            },
            Call::Kill { task, agent, grace } => OffersCommand::Kill {
                framework,
                stream: Some(stream),
                task,
                agent,
                grace,
            },
            Call::Acknowledge {
                agent,
                task,
                update,
            } => OffersCommand::Acknowledged {
                framework,
                stream,
                agent,
                task,
                update,
            },
            call @ (Call::Operate { .. }
            | Call::AcknowledgeOperation { .. }
            | Call::ReconcileOperations(_)) => about_operations(framework, stream, call),
            Call::Reconcile(tasks) => {
                self.reconcile(ask, framework, stream, tasks);
                return;
            }
        };
        self.submit(LedgerCommand::Offers(command), Waiter::Ask(ask));
    }

    fn reconcile(
        &mut self,
        ask: Ask,
        framework: FrameworkId,
        stream: StreamId,
        tasks: Vec<ReconcileTask>,
    ) {
        if self.config.plants.has(Plant::ReconcileStale) {
            self.reconcile_certain(ask, framework, stream, tasks);
        } else {
            self.when_certain(Then::Reconcile(ask, framework, stream, tasks));
        }
    }

    fn decline(
        &mut self,
        ask: Ask,
        framework: FrameworkId,
        stream: StreamId,
        offers: Vec<OfferId>,
        filters: Filters,
    ) {
        let held = self.streams.conn_of(&framework, stream).is_some();
        let command = LedgerCommand::Offers(OffersCommand::Declined {
            framework,
            stream,
            offers,
            filters,
        });
        if held && !self.lazy.is_full() {
            // Losing this master takes the offers back anyway.
            self.submit_lazily(command);
            self.answer(ask, Answer::Done);
        } else {
            self.submit(command, Waiter::Ask(ask));
        }
    }

    pub(crate) fn reconcile_certain(
        &mut self,
        ask: Ask,
        framework: FrameworkId,
        stream: StreamId,
        tasks: Vec<ReconcileTask>,
    ) {
        let holder = match self.state.offers.check_stream(&framework, stream) {
            Ok(row) => row.stream().map(|(_, holder)| holder),
            Err(refusal) => {
                self.answer(ask, Answer::Refused(Refused::Offers(refusal)));
                return;
            }
        };
        self.answer(ask, Answer::Done);
        match holder {
            Some(node) if node == self.config.node => {
                self.reconcile_here(&framework, stream, &tasks);
            }
            Some(node) => {
                let Some(to) = self.state.charter.master_on(node).map(|info| info.raft) else {
                    return;
                };
                let message = LedgerMessage::Reconcile {
                    framework,
                    stream,
                    tasks,
                };
                let message = PeerMessage::Ledger(message);
                self.outputs.push_back(Output::Send { to, message });
            }
            None => {}
        }
    }

    pub(crate) fn kill_again(
        &mut self,
        ask: Ask,
        framework: &FrameworkId,
        task: &TaskId,
        grace: Option<Duration>,
    ) {
        if self.state.offers.find_task(framework, task).is_none() {
            self.answer(ask, Answer::Refused(Refused::NoSuchTask(task.clone())));
            return;
        }
        let command = OffersCommand::Kill {
            framework: framework.clone(),
            stream: None,
            task: Arc::from(task.as_str()),
            agent: None,
            grace,
        };
        self.submit(LedgerCommand::Offers(command), Waiter::Ask(ask));
    }

    fn remove_framework(&mut self, ask: Ask, framework: FrameworkId) {
        if framework == runs_framework() {
            let why = "the built-in framework cannot be removed";
            let refusal = Refusal::InvalidFramework(Arc::from(why));
            self.answer(ask, Answer::Refused(Refused::Offers(refusal)));
            return;
        }
        let cause = RemovalCause::Operator;
        let command = OffersCommand::FrameworkRemoved { framework, cause };
        self.submit(LedgerCommand::Offers(command), Waiter::Ask(ask));
    }

    fn read_file(
        &mut self,
        ask: Ask,
        framework: FrameworkId,
        task: TaskId,
        file: Arc<str>,
        offset: u64,
        length: u32,
    ) {
        match self.whereabouts(&framework, &task) {
            Some((agent, key)) => {
                let read = FileRead {
                    request: 0,
                    task: key,
                    file,
                    offset,
                    length,
                };
                self.read_from(ask, agent, read);
            }
            None => {
                let launch = shoal_api::LaunchIndex(0);
                let key = TaskKey {
                    framework: framework.clone(),
                    task: task.clone(),
                    launch,
                };
                let read = FileRead {
                    request: 0,
                    task: key,
                    file,
                    offset,
                    length,
                };
                self.when_certain(Then::ReadFile(ask, framework, task, read));
            }
        }
    }

    pub(crate) fn read_file_again(
        &mut self,
        ask: Ask,
        framework: &FrameworkId,
        task: &TaskId,
        mut read: FileRead,
    ) {
        match self.whereabouts(framework, task) {
            Some((agent, key)) => {
                read.task = key;
                self.read_from(ask, agent, read);
            }
            None => self.answer(ask, Answer::Refused(Refused::NoSuchTask(task.clone()))),
        }
    }

    fn read_from(&mut self, ask: Ask, agent: AgentId, read: FileRead) {
        if self.relay_read(FileAsker::Ask(ask), agent, read).is_none() {
            let error = shoal_api::session::FileError::NotConnected;
            self.answer(ask, Answer::File(Err(error)));
        }
    }

    /// Where a task runs or ran, and which use of its id is meant: the newest.
    fn whereabouts(&self, framework: &FrameworkId, task: &TaskId) -> Option<(AgentId, TaskKey)> {
        let offers = &self.state.offers;
        if let Some(found) = offers.find_task(framework, task) {
            return Some((found.row.assignment.agent, found.key.clone()));
        }
        let ended = offers.completed_tasks().rev().find(|ended| {
            ended.assignment.key.framework == *framework && ended.assignment.key.task == *task
        })?;
        Some((ended.assignment.agent, ended.assignment.key.clone()))
    }

    fn transfer(&mut self, ask: Ask, to: Option<RaftId>) {
        if self.quorum.status().role != RaftRole::Leader {
            self.refuse_follower(ask);
            return;
        }
        if let Some(to) = to.filter(|to| !self.status.membership.votes(*to)) {
            let why = Arc::from(format!("{to} is no voter of this quorum"));
            self.answer(ask, Answer::Refused(Refused::Quorum(why)));
            return;
        }
        self.quorum
            .step(self.now, shoal_quorum::Input::Transfer { to });
        self.answer(ask, Answer::Done);
    }

    fn change_quorum(&mut self, ask: Ask, change: MembershipChange) {
        if self.quorum.status().role != RaftRole::Leader {
            self.refuse_follower(ask);
            return;
        }
        if let Some((_, earlier)) = self.members.asked.replace((change, ask)) {
            let why = Arc::from("another change was asked for before this one was seen to be done");
            self.answer(earlier, Answer::Refused(Refused::Quorum(why)));
        }
        self.quorum
            .step(self.now, shoal_quorum::Input::Change(change));
    }

    fn refuse_follower(&mut self, ask: Ask) {
        let leader = self
            .status
            .leader
            .and_then(|raft| self.state.charter.master(raft));
        let refused = match leader {
            Some(info) => {
                let why = format!(
                    "only the leader can do that; it is {} at {}",
                    info.name, info.http
                );
                Refused::Quorum(Arc::from(why))
            }
            None => Refused::Unavailable,
        };
        self.answer(ask, Answer::Refused(refused));
    }
}

/// The command of a call that is about operations.
fn about_operations(framework: FrameworkId, stream: StreamId, call: Call) -> OffersCommand {
    match call {
        Call::Operate {
            offers,
            steps,
            filters,
        } => OffersCommand::Operated {
            framework,
            stream,
            offers,
            steps,
            filters,
        },
        Call::AcknowledgeOperation { operation, update } => OffersCommand::OperationAcknowledged {
            framework,
            stream,
            operation,
            update,
        },
        Call::ReconcileOperations(operations) => OffersCommand::OperationsReconciled {
            framework,
            stream,
            operations,
        },
        Call::Teardown
        | Call::Accept { .. }
        | Call::Decline { .. }
        | Call::Revive(_)
        | Call::Suppress(_)
        | Call::Kill { .. }
        | Call::Acknowledge { .. }
        | Call::Reconcile(_) => unreachable!("no call about operations"),
    }
}

/// What a refusal is on a framework's stream.
impl Refused {
    /// Whether a subscriber is told by an ERROR event; else the subscription is not answered at all.
    pub fn is_event(&self) -> bool {
        match self {
            Refused::Offers(
                Refusal::FrameworkRemoved
                | Refusal::InvalidFramework(_)
                | Refusal::PrincipalChanged { .. }
                | Refusal::TooMany { .. },
            ) => true,
            Refused::Offers(_)
            | Refused::Unavailable
            | Refused::Busy
            | Refused::Run(_)
            | Refused::NoSuchTask(_)
            | Refused::Quorum(_) => false,
        }
    }
}
