//! What frameworks are told: statuses in the terms that they understand, addressed to their stream.

use std::sync::Arc;

use shoal_api::call::AgentName;
use shoal_api::notice::{Notice, TaskStatus};
use shoal_api::{
    AgentId, Capability, ContainerId, FrameworkId, FrameworkInfo, Reason, Resource, Resources,
    Role, Source, TaskKey, TaskState, Timestamp,
};

use crate::effect::Effect;
use crate::row::{FrameworkRow, Report, TaskRow};

/// A report of a task, to be acknowledged.
pub(crate) fn update_status(
    info: &FrameworkInfo,
    key: &TaskKey,
    row: &TaskRow,
    report: &Report,
) -> TaskStatus {
    TaskStatus {
        task: Arc::from(key.task.as_str()),
        agent: Some(AgentName::Id(row.assignment.agent)),
        state: report.state.seen_by(info.can(Capability::PartitionAware)),
        source: report.source,
        reason: report.reason,
        message: Arc::clone(&report.message),
        timestamp: report.timestamp,
        update: Some(report.id),
        unreachable_since: None,
        exit: report.exit,
        container: Some(ContainerId::of(row.assignment.agent, key.launch)),
    }
}

/// A master's word about a task: not to be acknowledged.
pub(crate) struct Word {
    pub(crate) task: Arc<str>,
    pub(crate) agent: Option<AgentName>,
    pub(crate) state: TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: Arc<str>,
    pub(crate) wall: Timestamp,
    pub(crate) unreachable_since: Option<Timestamp>,
    /// Of a task that has a row.
    pub(crate) container: Option<ContainerId>,
}

impl Word {
    pub(crate) fn status(self, info: &FrameworkInfo) -> TaskStatus {
        TaskStatus {
            task: self.task,
            agent: self.agent,
            state: self.state.seen_by(info.can(Capability::PartitionAware)),
            source: Source::Master,
            reason: Some(self.reason),
            message: self.message,
            timestamp: self.wall,
            update: None,
            unreachable_since: self.unreachable_since,
            exit: None,
            container: self.container,
        }
    }
}

/// Addresses a notice to a framework's stream; without a stream nobody is told.
pub(crate) fn tell(
    framework: &FrameworkId,
    row: Option<&FrameworkRow>,
    effects: &mut Vec<Effect>,
    notice: impl FnOnce(&FrameworkInfo) -> Notice,
) {
    let Some(row) = row else {
        return;
    };
    let Some((stream, holder)) = row.stream() else {
        return;
    };
    effects.push(Effect::Notice {
        framework: framework.clone(),
        stream,
        holder,
        notice: notice(&row.info),
    });
}

/// Adds tasks to what an agent is to look at, one effect per agent in a row.
pub(crate) fn runs_changed(agent: AgentId, task: TaskKey, effects: &mut Vec<Effect>) {
    if let Some(Effect::AgentRunsChanged { agent: last, tasks }) = effects.last_mut()
        && *last == agent
    {
        tasks.push(task);
        return;
    }
    effects.push(Effect::AgentRunsChanged {
        agent,
        tasks: vec![task],
    });
}

/// Resources as Mesos writes allocated ones.
pub(crate) fn allocated(resources: &Resources, role: &Role) -> String {
    if resources.is_empty() {
        return "{}".to_owned();
    }
    let one = |r: &Resource| {
        let terms = r
            .terms
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{}(allocated: {role}){terms}:{}", r.name, r.value)
    };
    let parts: Vec<String> = resources.iter().map(one).collect();
    parts.join("; ")
}
