//! From events of the ledger to events of Mesos' operator stream.
//!
//! An event of the ledger names what it is about; what a client is shown of it is read from the ledger
//! as it is now, which may be later than the event.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use shoal_api::{
    AgentId, Capability, ContainerId, FrameworkId, FrameworkInfo, Reason, Source, TaskKey,
    TaskState,
};
use shoal_master::{Event, Reported, State, What};
use shoal_mesos::listing::StatusEntry;
use shoal_mesos::operator::{events, show};
use shoal_mesos::proto::v1::master::Event as Told;
use shoal_offers::{CompletedTask, TaskRef};

use crate::api::moment::Moment;

/// The ledger as it is now, for a batch of events.
pub struct Rows<'a> {
    state: &'a State,
    moment: Moment<'a>,
    /// The newest of those that ended under each key; looked at only if a task has no row any more.
    completed: OnceCell<BTreeMap<&'a TaskKey, &'a CompletedTask>>,
}

impl<'a> Rows<'a> {
    /// Of this state.
    pub fn new(state: &'a State) -> Rows<'a> {
        Rows {
            state,
            moment: Moment::of_rows(state),
            completed: OnceCell::new(),
        }
    }

    /// A task that was launched, unless it is forgotten already.
    fn added(&self, task: &TaskKey) -> Option<Told> {
        if let Some(row) = self.state.offers.task(task) {
            let key = &row.assignment.key;
            let entry = self.moment.task(&TaskRef { key, row });
            return Some(events::task_added(&entry));
        }
        let completed = self.completed.get_or_init(|| {
            let all = self.state.offers.completed_tasks();
            all.map(|task| (&task.assignment.key, task)).collect()
        });
        let ended = completed.get(task)?;
        Some(events::task_added(&self.moment.completed(ended)))
    }
}

/// What one client was told to exist.
#[derive(Debug, Default)]
pub struct Translator {
    agents: BTreeSet<AgentId>,
    addresses: BTreeMap<AgentId, IpAddr>,
    frameworks: BTreeMap<FrameworkId, Arc<FrameworkInfo>>,
}

impl Translator {
    /// For a client that was shown this state.
    pub fn new(state: &State) -> Translator {
        let mut translator = Translator::default();
        for (id, row) in state.offers.agents() {
            if !row.is_unreachable() {
                translator.agents.insert(id);
            }
            translator.locate(state, id);
        }
        for (id, row) in state.offers.frameworks() {
            let info = Arc::clone(row.info.content());
            translator.frameworks.insert(id.clone(), info);
        }
        translator
    }

    /// Whether an event cannot be told without a look at the ledger.
    pub fn needs_rows(event: &Event) -> bool {
        match &event.what {
            What::TaskLaunched { .. }
            | What::AgentConnected { .. }
            | What::FrameworkSubscribed { .. }
            | What::FrameworkDisconnected { .. }
            | What::MasterRestarted { .. } => true,
            What::TaskStatus { .. }
            | What::AgentUnreachable { .. }
            | What::FrameworkRemoved { .. }
            | What::LeaderElected { .. }
            | What::QuorumChanged { .. }
            | What::ClusterFounded
            | What::MastersChanged
            | What::AgentDisconnected { .. }
            | What::FrameworkSuppressed { .. }
            | What::FrameworkRevived { .. }
            | What::OfferMade(_)
            | What::OffersAccepted { .. }
            | What::OffersDeclined { .. }
            | What::OfferRescinded { .. }
            | What::TaskRefused { .. }
            | What::TaskAcknowledged { .. }
            | What::TaskKillOrdered { .. }
            | What::RunCreated { .. }
            | What::RunKillOrdered { .. } => false,
        }
    }

    /// What a client is told of an event; `rows` are there if the event needs them.
    pub fn tell(&mut self, event: &Event, rows: Option<&Rows<'_>>, told: &mut Vec<Told>) {
        match &event.what {
            What::TaskLaunched { task, .. } => told.extend(rows.and_then(|rows| rows.added(task))),
            What::AgentConnected { agent, .. } => {
                told.extend(rows.and_then(|rows| self.agent(*agent, rows)));
            }
            What::FrameworkSubscribed { framework, .. }
            | What::FrameworkDisconnected { framework, .. } => {
                told.extend(rows.and_then(|rows| self.framework(framework, rows)));
            }
            What::MasterRestarted { .. } => {
                // Its streams ended with its older life, which is not told one by one.
                let rows = rows.into_iter();
                let all = rows.flat_map(|rows| {
                    let all = rows.state.offers.frameworks();
                    all.map(move |(id, row)| (id, row, rows))
                });
                for (id, _, rows) in all.filter(|(_, row, _)| row.stream().is_none()) {
                    told.extend(self.framework(id, rows));
                }
            }
            // An agent that only cannot be reached is not removed, in Mesos either.
            What::AgentUnreachable { agent } => {
                self.agents.remove(agent);
            }
            What::FrameworkRemoved { framework, .. } => {
                if let Some(info) = self.frameworks.remove(framework) {
                    told.push(events::framework_removed(framework, &info));
                }
            }
            What::TaskStatus { state, .. } if *state == TaskState::Staging => {}
            What::TaskStatus {
                task,
                agent,
                state,
                report,
            } => told.push(self.updated(event, task, *agent, *state, report.as_deref())),
            What::LeaderElected { .. }
            | What::QuorumChanged { .. }
            | What::ClusterFounded
            | What::MastersChanged
            | What::AgentDisconnected { .. }
            | What::FrameworkSuppressed { .. }
            | What::FrameworkRevived { .. }
            | What::OfferMade(_)
            | What::OffersAccepted { .. }
            | What::OffersDeclined { .. }
            | What::OfferRescinded { .. }
            | What::TaskRefused { .. }
            | What::TaskAcknowledged { .. }
            | What::TaskKillOrdered { .. }
            | What::RunCreated { .. }
            | What::RunKillOrdered { .. } => {}
        }
    }

    /// An agent that opened a session: new to this client, or only back.
    fn agent(&mut self, id: AgentId, rows: &Rows<'_>) -> Option<Told> {
        self.locate(rows.state, id);
        let row = rows.state.offers.agent(id)?;
        let entry = || events::agent_added(&rows.moment.agent(id, row));
        self.agents.insert(id).then(entry)
    }

    fn locate(&mut self, state: &State, agent: AgentId) {
        let row = state.offers.agent(agent);
        if let Some(ip) = row.and_then(|row| row.info.http.ip()) {
            self.addresses.insert(agent, ip);
        }
    }

    /// A framework that subscribed or lost its stream. One that is gone again is told to be gone next.
    fn framework(&mut self, id: &FrameworkId, rows: &Rows<'_>) -> Option<Told> {
        let row = rows.state.offers.framework(id)?;
        let info = Arc::clone(row.info.content());
        let known = self.frameworks.insert(id.clone(), info).is_some();
        let entry = rows.moment.framework(row.info.id.as_ref()?, row);
        Some(match known {
            true => events::framework_updated(&entry),
            false => events::framework_added(&entry),
        })
    }

    fn updated(
        &self,
        event: &Event,
        task: &TaskKey,
        agent: AgentId,
        state: TaskState,
        report: Option<&Reported>,
    ) -> Told {
        let framework = self.frameworks.get(&task.framework);
        let aware = framework.is_none_or(|info| info.can(Capability::PartitionAware));
        let state = state.seen_by(aware);
        let entry = match report {
            Some(report) => StatusEntry {
                state,
                source: report.source,
                reason: report.reason,
                message: &report.message,
                timestamp: report.timestamp,
                update: (report.source != Source::Master).then_some(report.update),
                exit: report.exit,
            },
            // A master concluded it, from the silence of the agent.
            None => StatusEntry {
                state,
                source: Source::Master,
                reason: Some(Reason::AgentRemoved),
                message: "Agent is unreachable",
                timestamp: event.wall.unwrap_or_default(),
                update: None,
                exit: None,
            },
        };
        let address = self.addresses.get(&agent).copied();
        let container = ContainerId::of(agent, task.launch);
        let status = show::status(&entry, &task.task, agent, container, address);
        events::task_updated(&task.framework, status, state)
    }
}
