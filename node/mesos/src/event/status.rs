//! A task's status: from ours to Mesos'.
//!
//! A task's container is its sandbox, with the process in it.

use std::net::IpAddr;

use shoal_api::call::AgentName;
use shoal_api::notice::TaskStatus;
use shoal_api::task::Exit;
use shoal_api::{ContainerId, Reason, Source, TaskState};

use super::Surroundings;
use crate::proto::v1;
use crate::proto::v1::network_info::Protocol;
use crate::proto::v1::task_status::{Reason as WireReason, Source as WireSource};

/// The message of a status.
///
/// A command task is its own executor, so its reports carry its id as the executor's; what a master
/// says of itself names none.
pub fn status(status: &TaskStatus, around: &dyn Surroundings) -> v1::TaskStatus {
    let address = match &status.agent {
        Some(AgentName::Id(agent)) => around.address_of(agent),
        Some(AgentName::Foreign(_)) | None => None,
    };
    status_at(status, address)
}

/// The message of a status of a task on an agent with that address.
pub fn status_at(status: &TaskStatus, address: Option<IpAddr>) -> v1::TaskStatus {
    let reported = status.source != Source::Master;
    let message = message(status);
    v1::TaskStatus {
        task_id: Some(v1::TaskId {
            value: Some(status.task.to_string()),
        }),
        state: Some(state(status.state).into()),
        message: (!message.is_empty()).then_some(message),
        source: Some(source(status.source).into()),
        reason: status.reason.map(|r| reason(r).into()),
        agent_id: status.agent.as_ref().map(agent_id),
        executor_id: reported.then(|| v1::ExecutorId {
            value: Some(status.task.to_string()),
        }),
        timestamp: Some(status.timestamp.as_seconds()),
        uuid: status.update.map(|update| update.0.to_be_bytes().to_vec()),
        container_status: container(status, address),
        unreachable_time: status.unreachable_since.map(|since| v1::TimeInfo {
            nanoseconds: Some(since.as_nanos()),
        }),
        ..v1::TaskStatus::default()
    }
}

fn agent_id(agent: &AgentName) -> v1::AgentId {
    v1::AgentId {
        value: Some(match agent {
            AgentName::Id(id) => id.to_string(),
            AgentName::Foreign(text) => text.to_string(),
        }),
    }
}

/// The text of a status: its own, else how the process ended.
fn message(status: &TaskStatus) -> String {
    match status.exit {
        Some(exit) if status.message.is_empty() => ended(exit),
        Some(_) | None => status.message.to_string(),
    }
}

/// How a process ended, in the words of Mesos.
pub fn ended(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("Command exited with status {code}"),
        Exit::Signal(number) => format!("Command terminated with signal {}", signal(number)),
    }
}

/// The name of a signal as `strsignal` of Linux gives it.
fn signal(number: u8) -> String {
    let name = match number {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        5 => "Trace/breakpoint trap",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        24 => "CPU time limit exceeded",
        25 => "File size limit exceeded",
        31 => "Bad system call",
        _ => return format!("Unknown signal {number}"),
    };
    name.to_owned()
}

/// The container, and where it can be reached, of a task that is or was on its agent.
fn container(status: &TaskStatus, address: Option<IpAddr>) -> Option<v1::ContainerStatus> {
    let lives = match status.state {
        TaskState::Starting | TaskState::Running | TaskState::Killing => true,
        TaskState::Finished | TaskState::Failed | TaskState::Killed => {
            status.source == Source::Executor
        }
        TaskState::Staging
        | TaskState::Error
        | TaskState::Lost
        | TaskState::Dropped
        | TaskState::Unreachable
        | TaskState::Gone
        | TaskState::GoneByOperator
        | TaskState::Unknown => false,
    };
    let container = status.container.filter(|_| lives)?;
    Some(container_status(container, address))
}

/// A container on an agent with that address.
pub fn container_status(id: ContainerId, address: Option<IpAddr>) -> v1::ContainerStatus {
    v1::ContainerStatus {
        container_id: Some(container_id(id)),
        network_infos: address.map(network).into_iter().collect(),
        ..v1::ContainerStatus::default()
    }
}

/// A container's id.
pub fn container_id(id: ContainerId) -> v1::ContainerId {
    v1::ContainerId {
        value: Some(id.to_string()),
        ..v1::ContainerId::default()
    }
}

fn network(ip: IpAddr) -> v1::NetworkInfo {
    let protocol = if ip.is_ipv4() {
        Protocol::IPv4
    } else {
        Protocol::IPv6
    };
    v1::NetworkInfo {
        ip_addresses: vec![v1::network_info::IpAddress {
            protocol: Some(protocol.into()),
            ip_address: Some(ip.to_string()),
        }],
        ..v1::NetworkInfo::default()
    }
}

/// A state on the wire.
pub fn state(state: TaskState) -> v1::TaskState {
    match state {
        TaskState::Staging => v1::TaskState::TaskStaging,
        TaskState::Starting => v1::TaskState::TaskStarting,
        TaskState::Running => v1::TaskState::TaskRunning,
        TaskState::Killing => v1::TaskState::TaskKilling,
        TaskState::Finished => v1::TaskState::TaskFinished,
        TaskState::Failed => v1::TaskState::TaskFailed,
        TaskState::Killed => v1::TaskState::TaskKilled,
        TaskState::Error => v1::TaskState::TaskError,
        TaskState::Lost => v1::TaskState::TaskLost,
        TaskState::Dropped => v1::TaskState::TaskDropped,
        TaskState::Unreachable => v1::TaskState::TaskUnreachable,
        TaskState::Gone => v1::TaskState::TaskGone,
        TaskState::GoneByOperator => v1::TaskState::TaskGoneByOperator,
        TaskState::Unknown => v1::TaskState::TaskUnknown,
    }
}

fn source(source: Source) -> WireSource {
    match source {
        Source::Master => WireSource::Master,
        Source::Agent => WireSource::Agent,
        Source::Executor => WireSource::Executor,
    }
}

/// Mesos has no reason for "not supported": such a task is an invalid one.
fn reason(reason: Reason) -> WireReason {
    match reason {
        Reason::TaskInvalid | Reason::Unsupported => WireReason::TaskInvalid,
        Reason::TaskUnauthorized => WireReason::TaskUnauthorized,
        Reason::InvalidOffers => WireReason::InvalidOffers,
        Reason::AgentRemoved => WireReason::AgentRemoved,
        Reason::AgentDisconnected => WireReason::AgentDisconnected,
        Reason::Reconciliation => WireReason::Reconciliation,
        Reason::AgentReregistered => WireReason::AgentReregistered,
        Reason::FrameworkRemoved => WireReason::FrameworkRemoved,
        Reason::ContainerLaunchFailed => WireReason::ContainerLaunchFailed,
        Reason::ExecutorTerminated => WireReason::ExecutorTerminated,
        Reason::AgentRestarted => WireReason::AgentRestarted,
        Reason::ResourcesUnknown => WireReason::ResourcesUnknown,
        Reason::TaskKilledDuringLaunch => WireReason::TaskKilledDuringLaunch,
    }
}
