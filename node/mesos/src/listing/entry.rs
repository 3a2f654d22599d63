//! One agent, framework, task or offer as version 0 lists it.

use prost::Message as _;
use shoal_api::offer::Offer;
use shoal_api::{Capability, TaskState, Timestamp};

use super::stream::Stream;
use super::values::{self, Sum};
use super::{AgentEntry, FrameworkEntry, Presence, Source, TaskEntry, Tasks};
use crate::call;
use crate::event::container_at;
use crate::json::{Message, write};
use crate::master::{AGENT_CAPABILITIES, MESOS_VERSION};
use crate::proto::v1;

/// An agent, as an item.
pub fn agent(out: &mut Stream<'_>, agent: &AgentEntry<'_>) {
    let AgentEntry { info, .. } = agent;
    let active = agent.presence == Presence::Connected;
    let mut object = write::Object::new(out.item());
    write::text(object.field(",\"id\":"), &agent.id.to_string());
    write::text(object.field(",\"hostname\":"), &info.http.host);
    write::integer(object.field(",\"port\":"), info.http.port);
    values::attributes(object.field(",\"attributes\":"), info);
    write::text(
        object.field(",\"pid\":"),
        &format!("slave(1)@{}", info.http),
    );
    write::double(
        object.field(",\"registered_time\":"),
        agent.registered.as_seconds(),
    );
    if let Some(again) = agent.reregistered {
        write::double(object.field(",\"reregistered_time\":"), again.as_seconds());
    }
    let total = Sum::from(&info.resources);
    values::resources(object.field(",\"resources\":"), &total);
    values::resources(object.field(",\"used_resources\":"), &agent.used);
    values::resources(object.field(",\"offered_resources\":"), &agent.offered);
    object
        .field(",\"reserved_resources\":")
        .extend_from_slice(b"{}");
    values::resources(object.field(",\"unreserved_resources\":"), &total);
    write::boolean(object.field(",\"active\":"), active);
    write::boolean(object.field(",\"deactivated\":"), false);
    write::text(object.field(",\"version\":"), MESOS_VERSION);
    values::words(object.field(",\"capabilities\":"), AGENT_CAPABILITIES);
    object.end();
}

/// A framework with its tasks and offers, as an item.
pub fn framework(out: &mut Stream<'_>, framework: &FrameworkEntry<'_>, source: &dyn Source) {
    out.item();
    out.open('{');
    push_framework(out, framework);
    for (name, group) in [
        ("tasks", Tasks::Live),
        ("unreachable_tasks", Tasks::Unreachable),
        ("completed_tasks", Tasks::Completed),
    ] {
        out.key(name);
        out.open('[');
        for entry in source.tasks(framework.id, group) {
            task(out, &entry);
        }
        out.close(']');
    }
    out.key("offers");
    out.open('[');
    for offer in source.offers(framework.id) {
        push_offer(out, offer);
    }
    out.close(']');
    out.key("executors").extend_from_slice(b"[]");
    let labels = call::details(framework.info).labels;
    if !labels.is_empty() {
        write::list(out.key("labels"), &labels, |out, (key, value)| {
            let mut label = write::Object::new(out);
            write::text(label.field(",\"key\":"), key);
            if let Some(value) = value {
                write::text(label.field(",\"value\":"), value);
            }
            label.end();
        });
    }
    out.key("offer_constraints").extend_from_slice(b"{}");
    out.close('}');
}

fn push_framework(out: &mut Stream<'_>, framework: &FrameworkEntry<'_>) {
    let FrameworkEntry { info, .. } = framework;
    let details = call::details(info);
    write::text(out.key("id"), framework.id.as_str());
    write::text(out.key("name"), &info.name);
    values::resources(out.key("used_resources"), &framework.used);
    values::resources(out.key("offered_resources"), &framework.offered);
    values::words(
        out.key("capabilities"),
        info.capabilities.iter().map(|c| capability(*c)),
    );
    write::text(out.key("hostname"), &details.hostname);
    write::text(out.key("webui_url"), &details.webui_url);
    write::boolean(out.key("active"), framework.connected);
    write::boolean(out.key("connected"), framework.connected);
    write::boolean(out.key("recovered"), false);
    write::text(out.key("user"), &info.user);
    write::double(
        out.key("failover_timeout"),
        info.failover_timeout.as_secs_f64(),
    );
    write::boolean(out.key("checkpoint"), details.checkpoint);
    write::double(
        out.key("registered_time"),
        framework.registered.as_seconds(),
    );
    let ended = framework.unregistered.map_or(0.0, Timestamp::as_seconds);
    write::double(out.key("unregistered_time"), ended);
    if let Some(principal) = &info.principal {
        write::text(out.key("principal"), principal.as_str());
    }
    let mut all = framework.used.clone();
    all.add_sum(&framework.offered);
    values::resources(out.key("resources"), &all);
    if let Some(again) = framework.reregistered {
        write::double(out.key("reregistered_time"), again.as_seconds());
    }
    if info.can(Capability::MultiRole) {
        let roles: Vec<&str> = info.roles.iter().map(|role| role.as_str()).collect();
        write::list(out.key("roles"), &roles, |out, role| write::text(out, role));
    } else {
        let role = info.roles.first().map_or("*", |role| role.as_str());
        write::text(out.key("role"), role);
    }
}

fn capability(capability: Capability) -> &'static str {
    match capability {
        Capability::RevocableResources => "REVOCABLE_RESOURCES",
        Capability::TaskKillingState => "TASK_KILLING_STATE",
        Capability::GpuResources => "GPU_RESOURCES",
        Capability::SharedResources => "SHARED_RESOURCES",
        Capability::PartitionAware => "PARTITION_AWARE",
        Capability::MultiRole => "MULTI_ROLE",
        Capability::ReservationRefinement => "RESERVATION_REFINEMENT",
        Capability::RegionAware => "REGION_AWARE",
    }
}

fn push_offer(out: &mut Stream<'_>, offer: &Offer) {
    let mut object = write::Object::new(out.item());
    write::text(object.field(",\"id\":"), &offer.id.to_string());
    write::text(object.field(",\"framework_id\":"), offer.framework.as_str());
    let mut allocation = write::Object::new(object.field(",\"allocation_info\":"));
    write::text(allocation.field(",\"role\":"), offer.role.as_str());
    allocation.end();
    write::text(object.field(",\"slave_id\":"), &offer.agent.to_string());
    values::resources(
        object.field(",\"resources\":"),
        &Sum::from(&offer.resources),
    );
    object.end();
}

/// A task, as an item. A command task has no executor of its own.
fn task(out: &mut Stream<'_>, task: &TaskEntry<'_>) {
    let TaskEntry { spec, .. } = task;
    let mut object = write::Object::new(out.item());
    write::text(object.field(",\"id\":"), spec.id.as_str());
    write::text(object.field(",\"name\":"), &spec.name);
    write::text(object.field(",\"framework_id\":"), task.framework.as_str());
    write::text(object.field(",\"executor_id\":"), "");
    write::text(object.field(",\"slave_id\":"), &task.agent.to_string());
    write::word(object.field(",\"state\":"), task.state.as_str());
    values::resources(object.field(",\"resources\":"), &Sum::from(&spec.resources));
    write::text(object.field(",\"role\":"), task.role.as_str());
    write::list(
        object.field(",\"statuses\":"),
        &task.statuses,
        |out, (state, time)| {
            status(out, *state, *time, task);
        },
    );
    let raw = v1::TaskInfo::decode(&*spec.raw).unwrap_or_default();
    if let Some(labels) = raw.labels.filter(|labels| !labels.labels.is_empty()) {
        write::list(
            object.field(",\"labels\":"),
            &labels.labels,
            |out, label| label.put(out),
        );
    }
    if let Some(discovery) = &raw.discovery {
        discovery.put(object.field(",\"discovery\":"));
    }
    if let Some(container) = &raw.container {
        container.put(object.field(",\"container\":"));
    }
    if let Some(check) = &raw.health_check {
        check.put(object.field(",\"health_check\":"));
    }
    if let Some(user) = &spec.user {
        write::text(object.field(",\"user\":"), user);
    }
    object.end();
}

fn status(out: &mut Vec<u8>, state: TaskState, time: Timestamp, task: &TaskEntry<'_>) {
    let mut object = write::Object::new(out);
    write::word(object.field(",\"state\":"), state.as_str());
    write::double(object.field(",\"timestamp\":"), time.as_seconds());
    if let Some(ip) = task.address.filter(|_| state != TaskState::Staging) {
        container_at(ip).put(object.field(",\"container_status\":"));
    }
    object.end();
}
