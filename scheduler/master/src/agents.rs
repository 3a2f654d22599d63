//! The agents whose sessions this master holds: opening, commanding, hearing.
//!
//! Commands are level-triggered: what the ledger wants of an agent is compared with what it knows, and
//! only the difference is sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::session::{AgentMessage, FileError, FileRead, Hello, MasterMessage, SessionRefusal};
use shoal_api::{AgentId, Epoch, Fence, Plant, RaftId, TaskKey, Terms};
use shoal_offers::{Desired, OffersCommand, Presence, Refusal};

use crate::input::{Conn, Output};
use crate::limits::{SESSIONS, UPDATES_PER_COMMAND};
use crate::master::Master;
use crate::peer::{LedgerMessage, PeerMessage};
use crate::proposals::Waiter;
use crate::reads::FileAsker;
use crate::sessions::{Due, Phase};
use crate::state::{LedgerCommand, Outcome};

/// How much longer a lease an agent may ask for when it restarts on purpose. Ours.
const RESTART_MOST: Duration = Duration::from_secs(60);

impl Master {
    pub(crate) fn tell_agent(&mut self, conn: Conn, message: MasterMessage) {
        self.outputs.push_back(Output::ToAgent { conn, message });
    }

    /// The fence of a command that is sent at this moment.
    fn fence(&self, epoch: Epoch) -> Fence {
        Fence {
            incarnation: self.state.incarnation(),
            epoch,
            index: self.quorum.applied(),
        }
    }

    pub(crate) fn agent_says(&mut self, conn: Conn, message: AgentMessage) {
        if let AgentMessage::Hello(hello) = message {
            self.agent_dials(conn, hello);
            return;
        }
        let Some(session) = self.sessions.heard(conn, self.now) else {
            self.outputs.push_back(Output::CloseSession(conn));
            return;
        };
        let Phase::Open { agent, epoch } = session.phase else {
            return;
        };
        match message {
            AgentMessage::Hello(_) => unreachable!("hellos were taken above"),
            AgentMessage::Update(update) => {
                self.updates.entry((agent, epoch)).or_default().push(update);
            }
            AgentMessage::Pong => {}
            // The agent knows a newer session than this one: this one is over.
            AgentMessage::Stale { .. } => self.drop_session(conn),
            AgentMessage::Restarting { back_within } => {
                let restarting = Some(back_within.min(RESTART_MOST));
                self.sessions.remove(conn);
                let command = OffersCommand::SessionClosed {
                    agent,
                    epoch,
                    restarting,
                };
                self.submit(LedgerCommand::Offers(command), Waiter::Fact);
                self.outputs.push_back(Output::CloseSession(conn));
            }
            AgentMessage::FilePiece { request, piece } => self.piece_from_agent(request, piece),
        }
    }

    fn agent_dials(&mut self, conn: Conn, hello: Box<Hello>) {
        let refusal = if self.sessions.len() >= SESSIONS
            || !self.is_known()
            || self.status.leader.is_none()
            // It obeys a newer life of the cluster: this master's is over, or not yet applied here.
            || (hello.cluster == Some(self.config.cluster)
                && hello.fence.incarnation > self.state.incarnation())
        {
            Some(SessionRefusal::Unavailable)
        } else if let Some(theirs) = hello
            .cluster
            .filter(|theirs| *theirs != self.config.cluster)
        {
            Some(SessionRefusal::OtherCluster {
                theirs,
                ours: self.config.cluster,
            })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.tell_agent(conn, MasterMessage::Refused(refusal));
            self.outputs.push_back(Output::CloseSession(conn));
            return;
        }
        let known: BTreeSet<TaskKey> = hello
            .tasks
            .iter()
            .map(|report| report.assignment.key.clone())
            .collect();
        if !self.sessions.begin(conn, known, self.now) {
            self.stats.bad_messages += 1;
            self.drop_session(conn);
            return;
        }
        let command = OffersCommand::SessionOpened {
            hello,
            master: self.config.node,
        };
        self.submit(LedgerCommand::Offers(command), Waiter::Session(conn));
    }

    pub(crate) fn refuse_session(&mut self, conn: Conn) {
        self.sessions.remove(conn);
        self.tell_agent(conn, MasterMessage::Refused(SessionRefusal::Unavailable));
        self.outputs.push_back(Output::CloseSession(conn));
    }

    pub(crate) fn session_settled(&mut self, conn: Conn, outcome: Outcome) {
        let refusal = match outcome {
            Outcome::Offers(Ok(shoal_offers::Outcome::Session { agent, epoch })) => {
                self.session_opened(conn, agent, epoch);
                return;
            }
            Outcome::Offers(Err(Refusal::Session(refusal))) => refusal,
            Outcome::Offers(Err(refusal)) => {
                SessionRefusal::Invalid(Arc::from(refusal.to_string()))
            }
            Outcome::Offers(Ok(_))
            | Outcome::RunCreated(_)
            | Outcome::RunKilled(_)
            | Outcome::SlotsTaken
            | Outcome::Charter
            | Outcome::Malformed => SessionRefusal::Unavailable,
        };
        self.sessions.remove(conn);
        self.tell_agent(conn, MasterMessage::Refused(refusal));
        self.outputs.push_back(Output::CloseSession(conn));
    }

    fn session_opened(&mut self, conn: Conn, agent: AgentId, epoch: Epoch) {
        if self.sessions.get(conn).is_none() {
            // It went away while its opening was on the way.
            let command = OffersCommand::SessionClosed {
                agent,
                epoch,
                restarting: None,
            };
            self.submit(LedgerCommand::Offers(command), Waiter::Fact);
            return;
        }
        if let Some(older) = self.sessions.opened(conn, agent, epoch) {
            self.sessions.remove(older);
            self.outputs.push_back(Output::CloseSession(older));
        }
        let fence = self.fence(epoch);
        let cluster = self.config.cluster;
        self.tell_agent(
            conn,
            MasterMessage::Welcome {
                cluster,
                agent,
                fence,
            },
        );
        let desired: Vec<Desired> = self.state.offers.desired(agent).collect();
        for desired in desired {
            self.want(agent, epoch, desired);
        }
        self.forget_unknown(conn, agent, epoch);
    }

    /// Tasks that the agent reported and that have no row any more are over: it may forget them.
    fn forget_unknown(&mut self, conn: Conn, agent: AgentId, epoch: Epoch) {
        let Some(session) = self.sessions.get(conn) else {
            return;
        };
        let gone: Vec<Desired> = session
            .known
            .iter()
            .filter(|key| self.state.offers.task(key).is_none())
            .map(|key| Desired::Forget(key.clone()))
            .collect();
        for desired in gone {
            self.want(agent, epoch, desired);
        }
    }

    /// What the ledger wants of these tasks changed.
    pub(crate) fn command_agent(&mut self, agent: AgentId, tasks: &[TaskKey]) {
        let Some(epoch) = self.commanded(agent) else {
            return;
        };
        for key in tasks {
            if let Some(desired) = self.state.offers.desired_of(agent, key) {
                self.want(agent, epoch, desired);
            }
        }
    }

    /// The epoch in which this master may command the agent, if the ledger names it.
    fn commanded(&self, agent: AgentId) -> Option<Epoch> {
        let row = self.state.offers.agent(agent)?;
        let ours = matches!(
            row.presence,
            Presence::Connected { master, .. } if master == self.config.node
        );
        (ours || self.config.plants.has(Plant::IgnoreSessions)).then_some(row.epoch)
    }

    fn want(&mut self, agent: AgentId, epoch: Epoch, desired: Desired) {
        let fence = self.fence(epoch);
        let Some((conn, session)) = self.sessions.of(agent, epoch) else {
            return;
        };
        let message = match desired {
            Desired::Run(assignment) => {
                if !session.known.insert(assignment.key.clone()) {
                    return;
                }
                MasterMessage::Launch { fence, assignment }
            }
            Desired::Kill { task, grace } => MasterMessage::Kill { fence, task, grace },
            Desired::Forget(task) => {
                session.known.remove(&task);
                MasterMessage::Forget { fence, task }
            }
        };
        self.tell_agent(conn, message);
    }

    /// A volume was destroyed: its agent removes the data. If the session breaks just then the data
    /// stays, where no later volume shows it.
    pub(crate) fn remove_volume(&mut self, agent: AgentId, terms: Arc<Terms>) {
        let Some(epoch) = self.commanded(agent) else {
            return;
        };
        let fence = self.fence(epoch);
        if let Some((conn, _)) = self.sessions.of(agent, epoch) {
            self.tell_agent(conn, MasterMessage::RemoveVolume { fence, terms });
        }
    }

    pub(crate) fn update_durable(&mut self, agent: AgentId, task: TaskKey, sequence: u64) {
        if let Some(conn) = self.sessions.conn_of(agent) {
            self.tell_agent(conn, MasterMessage::UpdateDurable { task, sequence });
        }
    }

    /// Reports that came since the last poll go into the ledger, one command per session.
    pub(crate) fn flush_updates(&mut self) {
        for ((agent, epoch), mut updates) in std::mem::take(&mut self.updates) {
            while !updates.is_empty() {
                let rest = updates.split_off(updates.len().min(UPDATES_PER_COMMAND));
                let command = OffersCommand::TaskStatus {
                    agent,
                    epoch,
                    updates,
                };
                self.submit(LedgerCommand::Offers(command), Waiter::Fact);
                updates = rest;
            }
        }
    }

    /// The ledger opened or closed a session: a connection that it does not name is closed.
    pub(crate) fn session_changed(&mut self, agent: AgentId) {
        let Some(conn) = self.sessions.conn_of(agent) else {
            return;
        };
        let Some(Phase::Open { epoch, .. }) = self.sessions.get(conn).map(|session| session.phase)
        else {
            return;
        };
        let over = self.commanded(agent) != Some(epoch);
        if over && !self.config.plants.has(Plant::IgnoreSessions) {
            self.sessions.remove(conn);
            self.outputs.push_back(Output::CloseSession(conn));
        }
    }

    /// After the ledger was replaced.
    pub(crate) fn check_sessions(&mut self) {
        let open: Vec<(AgentId, Conn)> = self.sessions.open().collect();
        for (agent, _) in open {
            self.session_changed(agent);
            if let Some(epoch) = self.commanded(agent) {
                let desired: Vec<Desired> = self.state.offers.desired(agent).collect();
                for desired in desired {
                    self.want(agent, epoch, desired);
                }
            }
        }
    }

    pub(crate) fn session_closed(&mut self, conn: Conn) {
        let Some(session) = self.sessions.remove(conn) else {
            return;
        };
        let Phase::Open { agent, epoch } = session.phase else {
            return;
        };
        let command = OffersCommand::SessionClosed {
            agent,
            epoch,
            restarting: None,
        };
        self.submit(LedgerCommand::Offers(command), Waiter::Fact);
    }

    fn drop_session(&mut self, conn: Conn) {
        self.session_closed(conn);
        self.outputs.push_back(Output::CloseSession(conn));
    }

    pub(crate) fn keep_sessions(&mut self) {
        for due in self.sessions.due(self.now) {
            match due {
                Due::Ping(conn) => self.tell_agent(conn, MasterMessage::Ping),
                Due::Silent(conn) => self.drop_session(conn),
            }
        }
    }

    /// Another master asks for a file of an agent whose session is here.
    pub(crate) fn read_file_here(&mut self, from: RaftId, agent: AgentId, read: FileRead) {
        let request = read.request;
        if self
            .relay_read(
                FileAsker::Peer {
                    raft: from,
                    request,
                },
                agent,
                read,
            )
            .is_none()
        {
            let piece = Err(FileError::NotConnected);
            let message = PeerMessage::Ledger(LedgerMessage::FilePiece { request, piece });
            self.outputs.push_back(Output::Send { to: from, message });
        }
    }
}
