//! ACCEPT: its offers, its launches, its operations, and those that are refused.

use std::sync::Arc;

use shoal_api::call::{Call, Launch};
use shoal_api::operation::{Change, Operation as Changed, Step};

use super::{change, filters, task};
use crate::proto::v1::offer::Operation;
use crate::proto::v1::offer::operation::Type;
use crate::proto::v1::scheduler as wire;
use crate::refusal::Refusal;

/// An accept in our words.
///
/// # Errors
/// An operation that this version does not know, which makes the whole call fail: half an accept
/// would leave the framework guessing what became of the rest. Too many tasks.
pub fn accept(accept: wire::call::Accept) -> Result<Call, Refusal> {
    let filters = filters(accept.filters.as_ref());
    let offers = accept.offer_ids.iter().map(|id| {
        let text = id.value();
        text.parse().map_err(|_| Arc::from(text))
    });
    let offers = offers.collect();
    let limit = shoal_api::limits::TASKS_PER_ACCEPT;
    let only_launches = accept
        .operations
        .iter()
        .all(|operation| match operation.r#type() {
            Type::Reserve
            | Type::Unreserve
            | Type::Create
            | Type::Destroy
            | Type::GrowVolume
            | Type::ShrinkVolume => false,
            Type::Launch
            | Type::LaunchGroup
            | Type::Unknown
            | Type::CreateDisk
            | Type::DestroyDisk => true,
        });
    if !only_launches {
        let mut steps = Vec::new();
        for operation in accept.operations {
            steps.extend(steps_of(operation)?);
            if steps.len() > limit {
                return Err(Refusal::Invalid(format!(
                    "'accept' has more than {limit} tasks and operations"
                )));
            }
        }
        return Ok(Call::Operate {
            offers,
            steps,
            filters,
        });
    }
    let mut launches: Vec<Launch> = Vec::new();
    for operation in accept.operations {
        launches.extend(launches_of(operation)?);
        if launches.len() > limit {
            return Err(Refusal::Invalid(format!(
                "'accept' has more than {limit} tasks"
            )));
        }
    }
    Ok(Call::Accept {
        offers,
        launches,
        filters,
    })
}

fn steps_of(operation: Operation) -> Result<Vec<Step>, Refusal> {
    let id = operation.id.as_ref().map(|id| Arc::from(id.value()));
    let changed = match operation.r#type() {
        Type::Reserve => {
            let reserve = operation.reserve.unwrap_or_default();
            if reserve.source.is_empty() {
                change::all(&reserve.resources, Change::Reserve)
            } else {
                Err("'source' must not be set in a RESERVE operation".to_owned())
            }
        }
        Type::Unreserve => {
            let unreserve = operation.unreserve.unwrap_or_default();
            change::all(&unreserve.resources, Change::Unreserve)
        }
        Type::Create => change::all(
            &operation.create.unwrap_or_default().volumes,
            Change::Create,
        ),
        Type::Destroy => change::all(
            &operation.destroy.unwrap_or_default().volumes,
            Change::Destroy,
        ),
        Type::GrowVolume => {
            let grow = operation.grow_volume.unwrap_or_default();
            change::grow(grow.volume, grow.addition)
        }
        Type::ShrinkVolume => {
            let shrink = operation.shrink_volume.unwrap_or_default();
            change::shrink(shrink.volume, shrink.subtract)
        }
        Type::Launch | Type::LaunchGroup | Type::Unknown | Type::CreateDisk | Type::DestroyDisk => {
            let launches = launches_of(operation)?.into_iter();
            return Ok(launches.map(|l| Step::Launch(Box::new(l))).collect());
        }
    };
    let (change, allocated) = match changed {
        Ok((change, role)) => (Ok(change), role.map(Arc::from)),
        Err(why) => (Err(Arc::from(why)), None),
    };
    Ok(vec![Step::Operation(Changed {
        id,
        change,
        allocated,
    })])
}

fn launches_of(operation: Operation) -> Result<Vec<Launch>, Refusal> {
    let kind = operation.r#type();
    let named = operation.id.is_some();
    match kind {
        Type::Launch => {
            let tasks = operation.launch.unwrap_or_default().task_infos;
            let launch = |task| {
                if named {
                    let why = "Operation ID must not be set for a LAUNCH operation";
                    return task::invalid(&task, why.to_owned());
                }
                task::launch(task, None)
            };
            Ok(tasks.into_iter().map(launch).collect())
        }
        Type::LaunchGroup => {
            let group = operation.launch_group.unwrap_or_default();
            let tasks = group.task_group.unwrap_or_default().tasks;
            let launch = |task| task::launch(task, Some("a task group (LAUNCH_GROUP)"));
            Ok(tasks.into_iter().map(launch).collect())
        }
        Type::Unknown
        | Type::Reserve
        | Type::Unreserve
        | Type::Create
        | Type::Destroy
        | Type::GrowVolume
        | Type::ShrinkVolume
        | Type::CreateDisk
        | Type::DestroyDisk => Err(Refusal::NotImplemented(format!(
            "Operation '{}' is not supported yet; nothing of this 'accept' was done",
            kind.as_str_name()
        ))),
    }
}
