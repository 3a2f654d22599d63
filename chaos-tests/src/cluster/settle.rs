//! What must be true some time after the faults ended, whatever they were.

use std::collections::BTreeSet;

use shoal_api::member::MemberStatus;
use shoal_api::{Index, TaskId};

use super::framework::Framework;
use super::{AGENTS, Cluster, MASTERS, NODES};
use crate::network::Host;

impl Cluster {
    /// The first thing that is not as it should be.
    pub(super) fn unsettled(&self) -> Option<String> {
        self.unsettled_masters()
            .or_else(|| self.unsettled_agents())
            .or_else(|| self.unsettled_frameworks())
            .or_else(|| self.unsettled_world())
            .or_else(|| self.unsettled_gossip())
    }

    fn unsettled_masters(&self) -> Option<String> {
        let mut voters = BTreeSet::new();
        let mut leaders = 0;
        let mut applied: Vec<Index> = Vec::new();
        for (at, master) in self.masters.iter().enumerate() {
            let Some(machine) = &master.machine else {
                return Some(format!("master {at} is down"));
            };
            let status = machine.leadership();
            leaders += usize::from(status.leading);
            voters.insert(status.membership.voters.clone());
            applied.push(machine.applied());
            if status.membership.is_joint() || !status.membership.learners.is_empty() {
                return Some(format!(
                    "master {at} sees the membership {:?}",
                    status.membership
                ));
            }
        }
        if leaders != 1 {
            return Some(format!("{leaders} masters lead"));
        }
        let expected =
            BTreeSet::from([self.masters.iter().map(|m| m.raft).collect::<BTreeSet<_>>()]);
        let seen: BTreeSet<_> = voters
            .iter()
            .map(|list| list.iter().copied().collect::<BTreeSet<_>>())
            .collect();
        if seen != expected {
            return Some(format!("the voters are {seen:?}, not {expected:?}"));
        }
        let newest = self.newest.0;
        let behind = applied.iter().find(|index| index.0 + 20 < newest.0)?;
        Some(format!("a master is at {behind}, the newest at {newest}"))
    }

    fn unsettled_agents(&self) -> Option<String> {
        let offers = &self.newest.1.offers;
        let rows: Vec<_> = offers.agents().collect();
        if rows.len() != AGENTS {
            return Some(format!("{} agents are known", rows.len()));
        }
        for (id, row) in rows {
            if !row.is_connected() {
                return Some(format!("agent {id} is {:?}", row.presence));
            }
            let mut sum = row.free.clone();
            for offer in offers.offers_on(id) {
                if sum.add(&offer.offer.resources).is_err() {
                    return Some(format!("agent {id}: offers overlap"));
                }
            }
            if sum != row.info.resources {
                return Some(format!("agent {id}: free and offered is {sum}"));
            }
        }
        None
    }

    fn unsettled_frameworks(&self) -> Option<String> {
        for framework in &self.frameworks {
            if !framework.is_subscribed() {
                return Some(format!("framework {} is not subscribed", framework.number));
            }
            if framework.wanted > 0 {
                let number = framework.number;
                return Some(format!("framework {number} waits for an offer"));
            }
            if let Some((task, tracked)) = framework.tasks.iter().next() {
                let number = framework.number;
                let row = self.row_of(framework, task);
                let process = self.process_of(task);
                return Some(format!(
                    "framework {number} waits for the end of {task}, known as {tracked:?}, in the ledger as \
                     {row}, as a process {process}"
                ));
            }
        }
        let runs = &self.newest.1.runs;
        if let Some((id, row)) = runs.runs().find(|(_, row)| row.unfinished > 0) {
            return Some(format!(
                "{} slots of run {id} have not ended: {row:?}",
                row.unfinished
            ));
        }
        let task = self.newest.1.offers.tasks().next()?;
        Some(format!("task {} still has a row: {:?}", task.key, task.row))
    }

    fn unsettled_gossip(&self) -> Option<String> {
        for host in (0..NODES).map(Host) {
            for other in (0..NODES).map(Host) {
                let (_, node) = self.identity(other);
                let status = self.status_at(host, node);
                if status != Some(MemberStatus::Alive) {
                    let (host, other) = (host.0, other.0);
                    return Some(format!("host {host} takes host {other} for {status:?}"));
                }
            }
        }
        None
    }

    fn row_of(&self, framework: &Framework, task: &str) -> String {
        let offers = &self.newest.1.offers;
        let id = framework.info.id.as_ref();
        let found = id
            .zip(TaskId::new(task).ok())
            .and_then(|(framework, task)| offers.find_task(framework, &task));
        found.map_or_else(|| "nothing".to_owned(), |found| format!("{:?}", found.row))
    }

    fn process_of(&self, task: &str) -> String {
        let mut processes = self
            .agents
            .iter()
            .flat_map(|agent| agent.keeper.processes());
        let found = processes.find(|process| process.assignment.key.task.as_str() == task);
        found.map_or_else(|| "nothing".to_owned(), |found| format!("{:?}", found.seen))
    }

    fn unsettled_world(&self) -> Option<String> {
        for (at, agent) in self.agents.iter().enumerate() {
            if let Some(process) = agent.keeper.processes().next() {
                let key = &process.assignment.key;
                return Some(format!(
                    "the keeper of agent {at} still knows {key}: {:?}",
                    process.seen
                ));
            }
        }
        debug_assert_eq!(self.masters.len(), MASTERS);
        None
    }
}
