//! The operator API, version 1: calls of a master and of an agent, and their answers.
//!
//! Answers that grow with the cluster are [`document::Document`]s, written message by message from a
//! [`crate::listing::Source`]; the others are plain messages. What a call may see is the node's
//! affair.

pub mod answers;
pub mod document;
pub mod events;
pub mod show;

use shoal_api::operation::Change;

use crate::call::{Head, change};
use crate::codec::Codec;
use crate::json::Message;
use crate::limits;
use crate::negotiate;
use crate::proto::v1::agent::call::Type as AgentType;
use crate::proto::v1::master::call::Type as MasterType;
use crate::proto::v1::{agent, master};
use crate::refusal::Refusal;

/// A call that makes sense by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<C> {
    /// The encoding of the answer.
    pub codec: Codec,
    /// What is asked.
    pub call: C,
}

/// Reads and validates a call to a master.
///
/// # Errors
/// The first gate that it does not pass, in Mesos' order: method, type of the body, body, call, type
/// of the answer.
pub fn to_master(head: &Head<'_>, body: &[u8]) -> Result<Asked<master::Call>, Refusal> {
    receive(head, body, |call: &master::Call| {
        let invalid = |why: String| Refusal::InvalidOperation { api: "master", why };
        if call.r#type() == MasterType::Unknown {
            return Err(invalid(expected("type")));
        }
        match missing_of_master(call) {
            Some(name) => Err(invalid(expected(name))),
            None => Ok(()),
        }
    })
}

/// Reads and validates a call to an agent.
///
/// # Errors
/// As [`to_master`].
pub fn to_agent(head: &Head<'_>, body: &[u8]) -> Result<Asked<agent::Call>, Refusal> {
    receive(head, body, |call: &agent::Call| {
        let missing = match call.r#type() {
            AgentType::Unknown => Some("type"),
            AgentType::GetMetrics if call.get_metrics.is_none() => Some("get_metrics"),
            AgentType::ListFiles if call.list_files.is_none() => Some("list_files"),
            AgentType::ReadFile if call.read_file.is_none() => Some("read_file"),
            _ => None,
        };
        match missing {
            Some(name) => Err(Refusal::InvalidOperation {
                api: "agent",
                why: expected(name),
            }),
            None => Ok(()),
        }
    })
}

fn receive<C: Message>(
    head: &Head<'_>,
    body: &[u8],
    validate: impl FnOnce(&C) -> Result<(), Refusal>,
) -> Result<Asked<C>, Refusal> {
    if head.method != "POST" {
        return Err(Refusal::Method {
            method: head.method.chars().take(limits::QUOTED_BYTES).collect(),
        });
    }
    let call: C = negotiate::of_body(head.content_type)?.decode(body)?;
    validate(&call)?;
    let codec = negotiate::of_answer(head.accept)?;
    Ok(Asked { codec, call })
}

/// What a call about reservations or volumes asks for: the agent as it is named, and the change.
///
/// # Errors
/// What is wrong with it; another call has nothing to change.
pub fn change(call: master::Call) -> Result<(String, Change), String> {
    let (agent, changed) = match call.r#type() {
        MasterType::ReserveResources => {
            let reserve = call.reserve_resources.unwrap_or_default();
            if !reserve.source.is_empty() {
                return Err("Invalid RESERVE operation: 'source' is not supported".to_owned());
            }
            let changed = change::all(&reserve.resources, Change::Reserve);
            (reserve.agent_id, changed)
        }
        MasterType::UnreserveResources => {
            let unreserve = call.unreserve_resources.unwrap_or_default();
            let changed = change::all(&unreserve.resources, Change::Unreserve);
            (unreserve.agent_id, changed)
        }
        MasterType::CreateVolumes => {
            let create = call.create_volumes.unwrap_or_default();
            (
                create.agent_id,
                change::all(&create.volumes, Change::Create),
            )
        }
        MasterType::DestroyVolumes => {
            let destroy = call.destroy_volumes.unwrap_or_default();
            (
                destroy.agent_id,
                change::all(&destroy.volumes, Change::Destroy),
            )
        }
        MasterType::GrowVolume => {
            let grow = call.grow_volume.unwrap_or_default();
            (grow.agent_id, change::grow(grow.volume, grow.addition))
        }
        MasterType::ShrinkVolume => {
            let shrink = call.shrink_volume.unwrap_or_default();
            (
                shrink.agent_id,
                change::shrink(shrink.volume, shrink.subtract),
            )
        }
        other => return Err(format!("'{}' changes no resources", other.as_str_name())),
    };
    let agent = agent.unwrap_or_default().value.unwrap_or_default();
    let (change, _role) = changed.map_err(|why| format!("Invalid operation: {why}"))?;
    Ok((agent, change))
}

fn expected(name: &str) -> String {
    format!("Expecting '{name}' to be present")
}

/// The name of the part that the type of a call asks for and that is not there.
fn missing_of_master(call: &master::Call) -> Option<&'static str> {
    let (name, absent) = match call.r#type() {
        MasterType::GetMetrics => ("get_metrics", call.get_metrics.is_none()),
        MasterType::SetLoggingLevel => ("set_logging_level", call.set_logging_level.is_none()),
        MasterType::ListFiles => ("list_files", call.list_files.is_none()),
        MasterType::ReadFile => ("read_file", call.read_file.is_none()),
        MasterType::UpdateWeights => ("update_weights", call.update_weights.is_none()),
        MasterType::ReserveResources => ("reserve_resources", call.reserve_resources.is_none()),
        MasterType::UnreserveResources => {
            ("unreserve_resources", call.unreserve_resources.is_none())
        }
        MasterType::CreateVolumes => ("create_volumes", call.create_volumes.is_none()),
        MasterType::DestroyVolumes => ("destroy_volumes", call.destroy_volumes.is_none()),
        MasterType::GrowVolume => ("grow_volume", call.grow_volume.is_none()),
        MasterType::ShrinkVolume => ("shrink_volume", call.shrink_volume.is_none()),
        MasterType::UpdateMaintenanceSchedule => (
            "update_maintenance_schedule",
            call.update_maintenance_schedule.is_none(),
        ),
        MasterType::StartMaintenance => ("start_maintenance", call.start_maintenance.is_none()),
        MasterType::StopMaintenance => ("stop_maintenance", call.stop_maintenance.is_none()),
        MasterType::DrainAgent => ("drain_agent", call.drain_agent.is_none()),
        MasterType::DeactivateAgent => ("deactivate_agent", call.deactivate_agent.is_none()),
        MasterType::ReactivateAgent => ("reactivate_agent", call.reactivate_agent.is_none()),
        MasterType::UpdateQuota => ("update_quota", call.update_quota.is_none()),
        MasterType::SetQuota => ("set_quota", call.set_quota.is_none()),
        MasterType::RemoveQuota => ("remove_quota", call.remove_quota.is_none()),
        MasterType::Teardown => ("teardown", call.teardown.is_none()),
        MasterType::MarkAgentGone => ("mark_agent_gone", call.mark_agent_gone.is_none()),
        MasterType::Unknown
        | MasterType::GetHealth
        | MasterType::GetFlags
        | MasterType::GetVersion
        | MasterType::GetLoggingLevel
        | MasterType::GetState
        | MasterType::GetAgents
        | MasterType::GetFrameworks
        | MasterType::GetExecutors
        | MasterType::GetOperations
        | MasterType::GetTasks
        | MasterType::GetRoles
        | MasterType::GetWeights
        | MasterType::GetMaster
        | MasterType::Subscribe
        | MasterType::GetMaintenanceStatus
        | MasterType::GetMaintenanceSchedule
        | MasterType::GetQuota => return None,
    };
    absent.then_some(name)
}
