//! Agents, frameworks, tasks and roles as messages of version 1.

use std::net::IpAddr;
use std::sync::Arc;

use prost::Message as _;
use shoal_api::call::AgentName;
use shoal_api::notice::TaskStatus;
use shoal_api::offer::Offer;
use shoal_api::{
    AgentId, AgentInfo, ContainerId, FrameworkId, FrameworkInfo, Role, TaskId, Timestamp, Value,
};

use crate::event;
use crate::listing::entry::capability;
use crate::listing::{
    AgentEntry, Build, FrameworkEntry, Presence, RoleEntry, StatusEntry, TaskEntry,
};
use crate::master::{AGENT_CAPABILITIES, MESOS_VERSION};
use crate::proto::v1;
use crate::proto::v1::framework_info::capability::Type as CapabilityType;
use crate::proto::v1::master::response::{get_agents, get_frameworks};
use crate::resources::{self, Dialect};

/// Resources of tasks and offers, as an operator sees them.
const PLAIN: Dialect = Dialect {
    allocation_info: true,
    reservations: true,
};

/// A moment.
pub fn time(at: Timestamp) -> v1::TimeInfo {
    v1::TimeInfo {
        nanoseconds: Some(at.as_nanos()),
    }
}

/// A framework's id.
pub fn framework_id(id: &FrameworkId) -> v1::FrameworkId {
    v1::FrameworkId {
        value: Some(id.to_string()),
    }
}

/// An agent's id.
pub fn agent_id(id: AgentId) -> v1::AgentId {
    v1::AgentId {
        value: Some(id.to_string()),
    }
}

/// An agent as it describes itself.
pub fn agent_info(id: AgentId, info: &AgentInfo) -> v1::AgentInfo {
    v1::AgentInfo {
        hostname: Some(info.http.host.to_string()),
        port: Some(i32::from(info.http.port)),
        resources: resources::of_agent(&info.resources),
        attributes: event::attributes(info),
        id: Some(agent_id(id)),
        ..v1::AgentInfo::default()
    }
}

/// An agent.
pub fn agent(agent: &AgentEntry<'_>) -> get_agents::Agent {
    let capabilities = AGENT_CAPABILITIES.iter().map(|name| {
        let kind = v1::agent_info::capability::Type::from_str_name(name);
        v1::agent_info::Capability {
            r#type: kind.map(Into::into),
        }
    });
    get_agents::Agent {
        agent_info: Some(agent_info(agent.id, agent.info)),
        active: Some(agent.presence == Presence::Connected),
        deactivated: Some(false),
        version: Some(MESOS_VERSION.to_owned()),
        pid: Some(format!("slave(1)@{}", agent.info.http)),
        registered_time: Some(time(agent.registered)),
        reregistered_time: agent.reregistered.map(time),
        total_resources: resources::of_nobody(&agent.info.resources),
        allocated_resources: resources::of_roles(&agent.used),
        offered_resources: resources::of_roles(&agent.offered),
        capabilities: capabilities.collect(),
        ..get_agents::Agent::default()
    }
}

/// A framework as it subscribed, with its id. What did not subscribe by this border has the fields
/// that are known of it.
pub fn framework_info(id: &FrameworkId, info: &FrameworkInfo) -> v1::FrameworkInfo {
    let id = Some(framework_id(id));
    if !info.raw.is_empty() {
        let raw = v1::FrameworkInfo::decode(&*info.raw).unwrap_or_default();
        return v1::FrameworkInfo { id, ..raw };
    }
    let capabilities = info.capabilities.iter().map(|known| {
        let kind = CapabilityType::from_str_name(capability(*known));
        v1::framework_info::Capability {
            r#type: kind.map(Into::into),
        }
    });
    v1::FrameworkInfo {
        user: Some(info.user.to_string()),
        name: Some(info.name.to_string()),
        id,
        failover_timeout: Some(info.failover_timeout.as_secs_f64()),
        roles: info.roles.iter().map(|r| r.as_str().to_owned()).collect(),
        capabilities: capabilities.collect(),
        ..v1::FrameworkInfo::default()
    }
}

/// A framework without its offers.
pub fn framework(framework: &FrameworkEntry<'_>) -> get_frameworks::Framework {
    let again = framework.reregistered.unwrap_or(framework.registered);
    get_frameworks::Framework {
        framework_info: Some(framework_info(framework.id, framework.info)),
        active: Some(framework.connected),
        connected: Some(framework.connected),
        recovered: Some(false),
        registered_time: Some(time(framework.registered)),
        reregistered_time: Some(time(again)),
        unregistered_time: framework.unregistered.map(time),
        allocated_resources: resources::of_roles(&framework.used),
        offered_resources: resources::of_roles(&framework.offered),
        ..get_frameworks::Framework::default()
    }
}

/// An offer on that agent.
pub fn offer(offer: &Offer, agent: &AgentInfo) -> v1::Offer {
    event::offer(offer, agent, PLAIN)
}

/// A task.
pub fn task(task: &TaskEntry<'_>) -> v1::Task {
    let TaskEntry { spec, .. } = task;
    let raw = v1::TaskInfo::decode(&*spec.raw).unwrap_or_default();
    let sent = task.statuses.iter().rev().find(|s| s.update.is_some());
    v1::Task {
        name: Some(spec.name.to_string()),
        task_id: Some(v1::TaskId {
            value: Some(spec.id.to_string()),
        }),
        framework_id: Some(framework_id(task.framework)),
        agent_id: Some(agent_id(task.agent)),
        state: Some(event::state(task.state).into()),
        resources: resources::to_wire(&spec.resources, task.role.as_str(), PLAIN),
        statuses: task
            .statuses
            .iter()
            .map(|entry| status(entry, &spec.id, task.agent, task.container, task.address))
            .collect(),
        status_update_state: sent.map(|status| event::state(status.state).into()),
        status_update_uuid: sent.and_then(|status| Some(status.update?.0.to_be_bytes().to_vec())),
        labels: raw.labels,
        discovery: raw.discovery,
        container: raw.container,
        health_check: raw.health_check,
        kill_policy: raw.kill_policy,
        user: spec.user.as_deref().map(str::to_owned),
        limits: raw.limits,
        ..v1::Task::default()
    }
}

/// One thing that was said of a task in that container, on an agent with that address.
pub fn status(
    entry: &StatusEntry<'_>,
    task: &TaskId,
    agent: AgentId,
    container: ContainerId,
    address: Option<IpAddr>,
) -> v1::TaskStatus {
    let status = TaskStatus {
        task: Arc::from(task.as_str()),
        agent: Some(AgentName::Id(agent)),
        state: entry.state,
        source: entry.source,
        reason: entry.reason,
        message: Arc::from(entry.message),
        timestamp: entry.timestamp,
        update: entry.update,
        unreachable_since: None,
        exit: entry.exit,
        container: Some(container),
    };
    event::status_at(&status, address)
}

/// A role with its scalars, which are all that Mesos shows of it here. None has a weight of its own.
pub fn role(name: &Role, entry: &RoleEntry<'_>) -> v1::Role {
    let mut all = entry.allocated.clone();
    all.add_sum(&entry.offered);
    v1::Role {
        name: Some(name.as_str().to_owned()),
        weight: Some(1.0),
        frameworks: entry.frameworks.iter().map(|id| framework_id(id)).collect(),
        resources: all
            .named()
            .iter()
            .filter(|(_, value)| matches!(value, Value::Scalar(_)))
            .map(|(name, value)| resources::valued(name, value))
            .collect(),
    }
}

/// The build.
pub fn version(build: &Build<'_>) -> v1::VersionInfo {
    v1::VersionInfo {
        version: Some(MESOS_VERSION.to_owned()),
        build_date: Some(build.date.to_owned()),
        build_time: Some(build.time.as_seconds()),
        build_user: Some(String::new()),
        git_sha: Some(build.sha.to_owned()),
        git_branch: Some(build.branch.to_owned()),
        git_tag: None,
    }
}

/// Flags in order of name.
pub fn flags(flags: &[(&str, String)]) -> Vec<v1::Flag> {
    let flag = |(name, value): &(&str, String)| v1::Flag {
        name: Some((*name).to_owned()),
        value: Some(value.clone()),
    };
    flags.iter().map(flag).collect()
}

/// Metrics in order of name.
pub fn metrics(metrics: &[(String, f64)]) -> Vec<v1::Metric> {
    let metric = |(name, value): &(String, f64)| v1::Metric {
        name: Some(name.clone()),
        value: Some(*value),
    };
    metrics.iter().map(metric).collect()
}
