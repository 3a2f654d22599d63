//! One agent, framework, task or offer as version 0 lists it.

use prost::Message as _;
use shoal_api::offer::Offer;
use shoal_api::{Capability, FrameworkInfo, TaskState, Timestamp};

use super::stream::Stream;
use super::values::{self, Sum};
use super::{AgentEntry, FrameworkEntry, Presence, Source, TaskEntry, Tasks};
use crate::call;
use crate::event::container_status;
use crate::json::{Message, write};
use crate::master::{AGENT_CAPABILITIES, MESOS_VERSION};
use crate::proto::v1;
use crate::resources;

/// An agent, as an item.
pub fn agent(out: &mut Stream<'_>, agent: &AgentEntry<'_>) {
    let mut object = write::Object::new(out.item());
    push_agent(&mut object, agent);
    object.end();
}

/// An agent with its resources in the form of version 1 too, as an item.
pub fn agent_in_full(out: &mut Stream<'_>, agent: &AgentEntry<'_>) {
    let mut object = write::Object::new(out.item());
    push_agent(&mut object, agent);
    let total = &agent.info.resources;
    values::reserved_in_full(object.field(",\"reserved_resources_full\":"), total);
    let put = |out: &mut Vec<u8>, resource: &v1::Resource| resource.put(out);
    let lists = [
        (
            ",\"unreserved_resources_full\":",
            resources::of_nobody(resources::unreserved(total)),
        ),
        (
            ",\"used_resources_full\":",
            resources::of_roles(&agent.used),
        ),
        (
            ",\"offered_resources_full\":",
            resources::of_roles(&agent.offered),
        ),
    ];
    for (key, list) in lists {
        write::list(object.field(key), &list, put);
    }
    object.end();
}

/// What both forms of an agent begin with.
pub fn push_agent(object: &mut write::Object<'_>, agent: &AgentEntry<'_>) {
    let AgentEntry { info, .. } = agent;
    let active = agent.presence == Presence::Connected;
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
    let (used, offered) = (agent.used.total(), agent.offered.total());
    values::resources(object.field(",\"used_resources\":"), &used);
    values::resources(object.field(",\"offered_resources\":"), &offered);
    values::reserved(object.field(",\"reserved_resources\":"), &info.resources);
    let unreserved = values::unreserved(&info.resources);
    values::resources(object.field(",\"unreserved_resources\":"), &unreserved);
    write::boolean(object.field(",\"active\":"), active);
    write::boolean(object.field(",\"deactivated\":"), false);
    write::text(object.field(",\"version\":"), MESOS_VERSION);
    values::words(object.field(",\"capabilities\":"), AGENT_CAPABILITIES);
}

/// A framework with its tasks and offers, as an item.
pub fn framework(out: &mut Stream<'_>, framework: &FrameworkEntry<'_>, source: &dyn Source) {
    out.item();
    out.open('{');
    let details = call::details(framework.info);
    push_framework(out, framework, &details);
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
    if !details.labels.is_empty() {
        write::list(out.key("labels"), &details.labels, |out, (key, value)| {
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

/// What every form of a framework begins with.
pub fn push_summary(out: &mut Stream<'_>, framework: &FrameworkEntry<'_>, details: &call::Details) {
    let FrameworkEntry { info, .. } = framework;
    write::text(out.key("id"), framework.id.as_str());
    write::text(out.key("name"), &info.name);
    values::resources(out.key("used_resources"), &framework.used.total());
    values::resources(out.key("offered_resources"), &framework.offered.total());
    values::words(
        out.key("capabilities"),
        info.capabilities.iter().map(|c| capability(*c)),
    );
    write::text(out.key("hostname"), &details.hostname);
    write::text(out.key("webui_url"), &details.webui_url);
    write::boolean(out.key("active"), framework.connected);
    write::boolean(out.key("connected"), framework.connected);
    write::boolean(out.key("recovered"), false);
}

fn push_framework(out: &mut Stream<'_>, framework: &FrameworkEntry<'_>, details: &call::Details) {
    let FrameworkEntry { info, .. } = framework;
    push_summary(out, framework, details);
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
    let mut all = framework.used.total();
    all.add_sum(&framework.offered.total());
    values::resources(out.key("resources"), &all);
    if let Some(again) = framework.reregistered {
        write::double(out.key("reregistered_time"), again.as_seconds());
    }
    push_roles(out, info);
}

/// `roles`, or the one `role` of a framework that knows no more.
pub fn push_roles(out: &mut Stream<'_>, info: &FrameworkInfo) {
    if info.can(Capability::MultiRole) {
        let roles: Vec<&str> = info.roles.iter().map(|role| role.as_str()).collect();
        write::list(out.key("roles"), &roles, |out, role| write::text(out, role));
    } else {
        let role = info.roles.first().map_or("*", |role| role.as_str());
        write::text(out.key("role"), role);
    }
}

/// The name of a capability on the wire.
pub fn capability(capability: Capability) -> &'static str {
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
pub fn task(out: &mut Stream<'_>, task: &TaskEntry<'_>) {
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
        |out, entry| {
            status(out, entry.state, entry.timestamp, task);
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
    if state != TaskState::Staging {
        let container = container_status(task.container, task.address);
        container.put(object.field(",\"container_status\":"));
    }
    object.end();
}
