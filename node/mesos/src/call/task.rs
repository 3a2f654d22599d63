//! A task to launch: from Mesos' `TaskInfo` to our spec, or to the text of its TASK_ERROR.
//!
//! The checks stand in Mesos' order and use its texts. Those that need the ledger (a duplicate id, the
//! offer's agent, what is available) are the ledger's. What is well formed but cannot run yet is
//! named in the spec, so that it is refused at launch and not dropped.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use shoal_api::call::{AgentName, Launch};
use shoal_api::resource::{Amount, Resource, Resources};
use shoal_api::{Role, TaskId, TaskSpec};

use super::{agent_name, check, command, container, not_negative};
use crate::proto::v1;
use crate::resources;

/// A launch, valid or not; `unsupported` names what the operation around the task asks for.
pub fn launch(mut task: v1::TaskInfo, unsupported: Option<&'static str>) -> Launch {
    check::infer_type(&mut task);
    match spec(&task, unsupported) {
        Ok((spec, None)) => Launch::Task {
            agent: agent(&task),
            spec: Arc::new(spec),
        },
        Ok((spec, Some(role))) => Launch::TaskIn {
            role,
            agent: agent(&task),
            spec: Arc::new(spec),
        },
        Err(why) => invalid(&task, why),
    }
}

/// A launch that is answered with TASK_ERROR.
pub fn invalid(task: &v1::TaskInfo, why: String) -> Launch {
    Launch::Invalid {
        task: Arc::from(task_id(task)),
        agent: agent(task),
        why: Arc::from(why),
    }
}

fn agent(task: &v1::TaskInfo) -> AgentName {
    match &task.agent_id {
        Some(id) => agent_name(id),
        None => AgentName::Foreign(Arc::from("")),
    }
}

fn task_id(task: &v1::TaskInfo) -> &str {
    task.task_id.as_ref().map_or("", |id| id.value())
}

/// What it is, and the role that its resources were allocated to, where they say.
fn spec(
    task: &v1::TaskInfo,
    unsupported: Option<&'static str>,
) -> Result<(TaskSpec, Option<Role>), String> {
    let id = id(task_id(task))?;
    let kill_grace = kill_grace(task)?;
    if nanoseconds(task.max_completion_time.as_ref()).is_some_and(|n| n < 0) {
        return Err("Task's `max_completion_time` must be non-negative".to_owned());
    }
    if let Some(info) = &task.check {
        check::check(info).map_err(|why| format!("Task uses invalid check: {why}"))?;
    }
    if let Some(info) = &task.health_check {
        check::health_check(info)
            .map_err(|why| format!("Task uses invalid health check: {why}"))?;
    }
    let (resources, role) = task_resources(&task.resources)?;
    if let Some(info) = &task.command {
        command::environment(info)
            .map_err(|why| format!("Task's `CommandInfo` is invalid: {why}"))?;
    }
    if let Some(info) = &task.container {
        container::check(info)
            .map_err(|why| format!("Task's `ContainerInfo` is invalid: {why}"))?;
    }
    limits(task, &resources)?;
    if task.command.is_some() == task.executor.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
                .to_owned(),
        );
    }
    let info = task.command.as_ref();
    let spec = TaskSpec {
        id,
        name: Arc::from(task.name()),
        resources,
        command: info.map(command::command).transpose()?,
        environment: info.map(command::variables).unwrap_or_default(),
        user: info
            .and_then(|i| i.user.as_deref())
            .filter(|u| !u.is_empty())
            .map(Arc::from),
        kill_grace,
        unsupported: unsupported_text(task, unsupported),
        raw: Bytes::from(task.encode_to_vec()),
        digest: None,
    };
    Ok((spec, role))
}

/// The rule for ids that a client chooses, in the words of Mesos.
fn id(text: &str) -> Result<TaskId, String> {
    TaskId::new(text).map_err(|_| {
        let limit = shoal_api::limits::ID_BYTES;
        if text.is_empty() {
            "ID must not be empty".to_owned()
        } else if text.len() > limit {
            format!("ID must not be greater than {limit} characters")
        } else if text == "." || text == ".." {
            format!("'{text}' is disallowed")
        } else {
            format!("'{text}' contains invalid characters")
        }
    })
}

fn kill_grace(task: &v1::TaskInfo) -> Result<Option<std::time::Duration>, String> {
    let period = task
        .kill_policy
        .as_ref()
        .and_then(|p| p.grace_period.as_ref());
    match nanoseconds(period) {
        None => Ok(None),
        Some(n) if n < 0 => {
            Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned())
        }
        Some(n) => Ok(Some(not_negative(n))),
    }
}

fn nanoseconds(duration: Option<&v1::DurationInfo>) -> Option<i64> {
    duration.map(v1::DurationInfo::nanoseconds)
}

fn task_resources(list: &[v1::Resource]) -> Result<(Resources, Option<Role>), String> {
    let (resources, role) =
        resources::from_wire(list).map_err(|why| format!("Task uses invalid resources: {why}"))?;
    let role = role
        .map(Role::new)
        .transpose()
        .map_err(|why| format!("Task uses invalid resources: {why}"))?;
    if resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    if resources.scalar("gpus").0 % 1000 != 0 {
        return Err(
            "Task uses invalid resources: The 'gpus' resource must be an unsigned integer"
                .to_owned(),
        );
    }
    mixes(&resources)?;
    Ok((resources, role))
}

/// A task takes of one name what can be taken back, or what cannot, and a volume of an id once.
fn mixes(resources: &Resources) -> Result<(), String> {
    if resources.is_plain() {
        return Ok(());
    }
    let terms = |resource: &Resource| resource.terms.clone().unwrap_or_default();
    for resource in resources {
        let revocable = terms(resource).revocable;
        let mut same = resources.named(&resource.name);
        if same.any(|other| terms(other).revocable != revocable) {
            return Err(format!(
                "Task uses invalid resources: Cannot use both revocable and non-revocable '{}' at \
                 the same time",
                resource.name
            ));
        }
    }
    let mut volumes: Vec<(Option<Role>, Arc<str>)> = Vec::new();
    for resource in resources {
        let terms = terms(resource);
        if let Some(volume) = terms.volume() {
            volumes.push((terms.role().cloned(), Arc::clone(&volume.id)));
        }
    }
    volumes.sort_unstable();
    match volumes.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(twice) => Err(format!(
            "Task uses invalid resources: Persistence ID '{}' is not unique",
            twice[0].1
        )),
    }
}

/// A limit needs a request of the same name and is not below it.
fn limits(task: &v1::TaskInfo, resources: &Resources) -> Result<(), String> {
    for (name, limit) in &task.limits {
        if name != "cpus" && name != "mem" {
            return Err(format!(
                "Resource limits are only supported for cpus and mem, not for '{name}'"
            ));
        }
        let request = resources.scalar(name);
        if request == Amount::ZERO {
            return Err(format!(
                "When a limit is set for '{name}', a request must be set too"
            ));
        }
        let value = limit.value();
        if value.is_nan() || value < request.as_f64() {
            return Err(format!("The limit of '{name}' is less than its request"));
        }
    }
    Ok(())
}

/// Everything that the task asks for and this version cannot give.
fn unsupported_text(task: &v1::TaskInfo, around: Option<&'static str>) -> Option<Arc<str>> {
    let mut found: Vec<&str> = around.into_iter().collect();
    if task.executor.is_some() {
        found.push("a custom executor");
    }
    if let Some(info) = &task.command {
        found.extend(command::unsupported(info));
    }
    if let Some(info) = &task.container {
        found.extend(container::unsupported(info));
    }
    let others = [
        (task.health_check.is_some(), "a health check"),
        (task.check.is_some(), "a check"),
        (
            task.max_completion_time.is_some(),
            "a maximum completion time",
        ),
        (!task.limits.is_empty(), "resource limits"),
    ];
    found.extend(
        others
            .iter()
            .filter(|(asked, _)| *asked)
            .map(|(_, what)| what),
    );
    if found.is_empty() {
        return None;
    }
    let list = found.join(", ");
    Some(Arc::from(format!(
        "Task asks for what is not supported yet: {list}"
    )))
}
