//! One moment of the ledger, as the listings of Mesos read it.
//!
//! Reading costs nothing until somebody asks: the view shares its structure with the machine's state.

use std::collections::BTreeMap;
use std::net::IpAddr;

use shoal_api::offer::Offer;
use shoal_api::{AgentId, AgentInfo, Capability, ContainerId, FrameworkId};
use shoal_master::State;
use shoal_mesos::listing::{
    AgentEntry, Allocations, Entries, FrameworkEntry, Presence, Source, StatusEntry, TaskEntry,
    Tasks,
};
use shoal_offers::{AgentRow, CompletedTask, FrameworkRow, Offers, Report, TaskRef};

/// One moment of the ledger.
pub struct Moment<'a> {
    offers: &'a Offers,
    /// Tasks that ended, by framework.
    completed: BTreeMap<&'a FrameworkId, Vec<&'a CompletedTask>>,
}

impl<'a> Moment<'a> {
    /// Of this state; looks once at the tasks that ended.
    pub fn new(state: &'a State) -> Moment<'a> {
        let mut completed: BTreeMap<&FrameworkId, Vec<&CompletedTask>> = BTreeMap::new();
        for task in state.offers.completed_tasks() {
            let framework = &task.assignment.key.framework;
            completed.entry(framework).or_default().push(task);
        }
        Moment {
            offers: &state.offers,
            completed,
        }
    }

    /// Of this state, for whoever asks about single rows: nothing that ended is in it.
    pub fn of_rows(state: &'a State) -> Moment<'a> {
        Moment {
            offers: &state.offers,
            completed: BTreeMap::new(),
        }
    }

    fn address(&self, agent: AgentId) -> Option<IpAddr> {
        self.offers.agent(agent)?.info.http.ip()
    }

    /// Whether a framework knows the states of a partition; of a removed one nobody asks any more.
    fn aware(&self, framework: &FrameworkId) -> bool {
        let row = self.offers.framework(framework);
        row.is_none_or(|row| row.info.can(Capability::PartitionAware))
    }

    /// A task.
    pub fn task(&self, task: &TaskRef<'a>) -> TaskEntry<'a> {
        let aware = self.aware(&task.key.framework);
        TaskEntry {
            framework: &task.key.framework,
            spec: &task.row.assignment.spec,
            agent: task.row.assignment.agent,
            address: self.address(task.row.assignment.agent),
            container: ContainerId::of(task.row.assignment.agent, task.key.launch),
            role: &task.row.assignment.role,
            state: task.row.state_seen().seen_by(aware),
            statuses: statuses(&task.row.statuses, aware),
            launched: task.row.launched,
        }
    }

    /// A task that ended.
    pub fn completed(&self, task: &'a CompletedTask) -> TaskEntry<'a> {
        let aware = self.aware(&task.assignment.key.framework);
        TaskEntry {
            framework: &task.assignment.key.framework,
            spec: &task.assignment.spec,
            agent: task.assignment.agent,
            address: self.address(task.assignment.agent),
            container: ContainerId::of(task.assignment.agent, task.assignment.key.launch),
            role: &task.assignment.role,
            state: task.state.seen_by(aware),
            statuses: statuses(&task.statuses, aware),
            launched: task.ended,
        }
    }

    /// An agent.
    pub fn agent(&self, id: AgentId, row: &'a AgentRow) -> AgentEntry<'a> {
        let (mut used, mut offered) = (Allocations::default(), Allocations::default());
        for task in self.offers.tasks_of_agent(id).filter(|t| t.row.holds()) {
            let assignment = &task.row.assignment;
            used.add(&assignment.role, &assignment.spec.resources);
        }
        for row in self.offers.offers_on(id) {
            offered.add(&row.offer.role, &row.offer.resources);
        }
        let (presence, since) = match row.presence {
            shoal_offers::Presence::Connected { since, .. } => (Presence::Connected, Some(since)),
            shoal_offers::Presence::Disconnected { .. } => (Presence::Disconnected, None),
            shoal_offers::Presence::Unreachable { .. } => (Presence::Unreachable, None),
        };
        AgentEntry {
            id,
            info: &row.info,
            presence,
            registered: row.registered,
            reregistered: since.filter(|since| *since != row.registered),
            used,
            offered,
        }
    }

    /// A framework.
    pub fn framework(&self, id: &'a FrameworkId, row: &'a FrameworkRow) -> FrameworkEntry<'a> {
        let (mut used, mut offered) = (Allocations::default(), Allocations::default());
        for task in self
            .offers
            .tasks_of_framework(id)
            .filter(|task| task.row.holds())
        {
            let assignment = &task.row.assignment;
            used.add(&assignment.role, &assignment.spec.resources);
        }
        for row in self.offers.offers_of(id) {
            offered.add(&row.offer.role, &row.offer.resources);
        }
        FrameworkEntry {
            id,
            info: &row.info,
            connected: row.stream().is_some(),
            registered: row.registered,
            reregistered: (row.subscribed != row.registered).then_some(row.subscribed),
            unregistered: None,
            used,
            offered,
        }
    }
}

fn statuses(reports: &[Report], aware: bool) -> Vec<StatusEntry<'_>> {
    reports.iter().map(|report| status(report, aware)).collect()
}

/// One report of a task, in the terms that its framework understands.
pub fn status(report: &Report, aware: bool) -> StatusEntry<'_> {
    StatusEntry {
        state: report.state.seen_by(aware),
        source: report.source,
        reason: report.reason,
        message: &report.message,
        timestamp: report.timestamp,
        // The ledger's own words have an id too, and Mesos shows none for its own.
        update: (report.source != shoal_api::Source::Master).then_some(report.id),
        exit: report.exit,
    }
}

impl Source for Moment<'_> {
    fn agents(&self) -> Entries<'_, AgentEntry<'_>> {
        Box::new(self.offers.agents().map(|(id, row)| self.agent(id, row)))
    }

    fn agent_info(&self, agent: AgentId) -> Option<&AgentInfo> {
        let row = self.offers.agent(agent)?;
        Some(&row.info)
    }

    fn frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        let rows = self.offers.frameworks();
        Box::new(rows.map(|(id, row)| self.framework(id, row)))
    }

    fn completed_frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        let rows = self.offers.completed_frameworks();
        Box::new(rows.map(|(id, row)| FrameworkEntry {
            id,
            info: &row.info,
            connected: false,
            registered: row.registered,
            reregistered: None,
            unregistered: Some(row.ended),
            used: Allocations::default(),
            offered: Allocations::default(),
        }))
    }

    fn tasks<'a>(&'a self, framework: &'a FrameworkId, tasks: Tasks) -> Entries<'a, TaskEntry<'a>> {
        let of = |lost: bool| {
            self.offers
                .tasks_of_framework(framework)
                .filter(move |task| task.row.unreachable_since.is_some() == lost)
                .map(|task| self.task(&task))
        };
        match tasks {
            Tasks::Live => Box::new(of(false)),
            Tasks::Unreachable => Box::new(of(true)),
            Tasks::Completed => {
                let ended = self.completed.get(framework).into_iter().flatten();
                Box::new(ended.map(|task| self.completed(task)))
            }
        }
    }

    fn offers<'a>(&'a self, framework: &'a FrameworkId) -> Entries<'a, &'a Offer> {
        let rows = self.offers.offers_of(framework);
        Box::new(rows.map(|row| &row.offer))
    }
}
