//! What waits for a moment when this replica is certain, and for pieces of files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::call::{FrameworkCall, ReconcileTask};
use shoal_api::session::{FileError, FilePiece, FileRead, MasterMessage};
use shoal_api::{AgentId, FrameworkId, Instant, RaftId, StreamId, TaskId};
use shoal_quorum::ReadId;

use crate::input::{Answer, Ask, Output, Refused, View};
use crate::limits::ASKS;
use crate::master::Master;
use crate::peer::{LedgerMessage, PeerMessage};

/// How long an agent may take to send a piece of a file. Ours.
const FILE_PATIENCE: Duration = Duration::from_secs(5);

/// What is done once this replica has applied all that was committed at the asking.
#[derive(Debug)]
pub(crate) enum Then {
    /// Show the state.
    Show(Ask),
    /// Look at a call again that the ledger here would refuse.
    Call(Ask, FrameworkCall),
    /// Answer a reconciliation.
    Reconcile(Ask, FrameworkId, StreamId, Vec<ReconcileTask>),
    /// Answer a reconciliation that another master took in, on a stream that is held here.
    ReconcileHere(FrameworkId, StreamId, Vec<ReconcileTask>),
    /// Look again for a task's sandbox.
    ReadFile(Ask, FrameworkId, TaskId, FileRead),
    /// Look again for a task to kill.
    Kill(Ask, FrameworkId, TaskId, Option<Duration>),
}

/// Who waits for a piece of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FileAsker {
    /// A request here.
    Ask(Ask),
    /// Another master.
    Peer {
        /// Which.
        raft: RaftId,
        /// Its number for it.
        request: u64,
    },
}

/// Everything that waits for certainty or for an agent.
///
/// # Invariants
/// - at most [`ASKS`] of each wait.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    number: u64,
    waiting: BTreeMap<ReadId, Then>,
    files: BTreeMap<u64, (FileAsker, Instant)>,
}

impl Master {
    /// Does something once this replica is certain; refuses when too much waits.
    pub(crate) fn when_certain(&mut self, then: Then) {
        if self.reads.waiting.len() >= ASKS {
            self.not_certain(then, Refused::Busy);
            return;
        }
        self.reads.number += 1;
        let context = ReadId(self.reads.number);
        self.reads.waiting.insert(context, then);
        self.quorum
            .step(self.now, shoal_quorum::Input::Read { context });
    }

    pub(crate) fn read_ready(&mut self, context: ReadId) {
        match self.reads.waiting.remove(&context) {
            None => {}
            Some(Then::Show(ask)) => {
                let view = self.view();
                self.answer(ask, Answer::State(view));
            }
            Some(Then::Call(ask, call)) => self.call_again(ask, call),
            Some(Then::Reconcile(ask, framework, stream, tasks)) => {
                self.reconcile_certain(ask, framework, stream, tasks);
            }
            Some(Then::ReconcileHere(framework, stream, tasks)) => {
                self.reconcile_here(&framework, stream, &tasks);
            }
            Some(Then::ReadFile(ask, framework, task, read)) => {
                self.read_file_again(ask, &framework, &task, read);
            }
            Some(Then::Kill(ask, framework, task, grace)) => {
                self.kill_again(ask, &framework, &task, grace);
            }
        }
    }

    pub(crate) fn read_failed(&mut self, context: ReadId) {
        if let Some(then) = self.reads.waiting.remove(&context) {
            self.not_certain(then, Refused::Unavailable);
        }
    }

    fn not_certain(&mut self, then: Then, refused: Refused) {
        let ask = match then {
            Then::Show(ask)
            | Then::Call(ask, _)
            | Then::Reconcile(ask, ..)
            | Then::ReadFile(ask, ..)
            | Then::Kill(ask, ..) => ask,
            // Whoever asked was told that it is on its way, and asks again when nothing comes.
            Then::ReconcileHere(..) => return,
        };
        self.refuse(crate::proposals::Waiter::Ask(ask), refused);
    }

    /// The state as it is here.
    pub(crate) fn view(&self) -> View {
        let age = match self.status.leader {
            Some(_) => Duration::ZERO,
            None => self.now.since(self.leader_heard),
        };
        let membership = &self.status.membership;
        let missing = membership.voters.iter();
        let missing =
            missing.filter_map(|id| Some((*id, self.members.missing_for(*id, self.now)?)));
        View {
            state: Arc::new(self.state.clone()),
            index: self.quorum.applied(),
            age,
            leader: self.status.leader,
            term: self.status.term,
            membership: membership.clone(),
            progress: self.quorum.progress(),
            missing: missing.collect(),
            replace_dead: self.config.tuning.replace_dead,
        }
    }

    /// Asks the agent whose session is here, or the master that holds it; `None` if nobody does.
    pub(crate) fn relay_read(
        &mut self,
        asker: FileAsker,
        agent: AgentId,
        mut read: FileRead,
    ) -> Option<()> {
        if self.reads.files.len() >= ASKS {
            return None;
        }
        self.reads.number += 1;
        read.request = self.reads.number;
        if let Some(conn) = self.sessions.conn_of(agent) {
            self.tell_agent(conn, MasterMessage::ReadFile(read));
        } else {
            // Only one hop: a master that is asked by another does not ask a third.
            let FileAsker::Ask(_) = asker else {
                return None;
            };
            let holder = self.holder_of(agent)?;
            let message = PeerMessage::Ledger(LedgerMessage::ReadFile { agent, read });
            self.outputs.push_back(Output::Send {
                to: holder,
                message,
            });
        }
        self.reads
            .files
            .insert(self.reads.number, (asker, self.now + FILE_PATIENCE));
        Some(())
    }

    fn holder_of(&self, agent: AgentId) -> Option<RaftId> {
        match self.state.offers.agent(agent)?.presence {
            shoal_offers::Presence::Connected { master, .. } if master != self.config.node => {
                self.state.charter.master_on(master).map(|info| info.raft)
            }
            shoal_offers::Presence::Connected { .. }
            | shoal_offers::Presence::Disconnected { .. }
            | shoal_offers::Presence::Unreachable { .. } => None,
        }
    }

    pub(crate) fn piece_from_agent(&mut self, request: u64, piece: Result<FilePiece, FileError>) {
        self.file_piece(request, piece);
    }

    /// A piece arrived, for whoever waits for it.
    pub(crate) fn file_piece(&mut self, request: u64, piece: Result<FilePiece, FileError>) {
        match self.reads.files.remove(&request) {
            None => {}
            Some((FileAsker::Ask(ask), _)) => self.answer(ask, Answer::File(piece)),
            Some((FileAsker::Peer { raft, request }, _)) => {
                let message = PeerMessage::Ledger(LedgerMessage::FilePiece { request, piece });
                self.outputs.push_back(Output::Send { to: raft, message });
            }
        }
    }

    pub(crate) fn expire_reads(&mut self) {
        let late: Vec<u64> = self
            .reads
            .files
            .iter()
            .filter(|(_, (_, by))| *by <= self.now)
            .map(|(request, _)| *request)
            .collect();
        for request in late {
            self.file_piece(request, Err(FileError::NotConnected));
        }
    }
}
