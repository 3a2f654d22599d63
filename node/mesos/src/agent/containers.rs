//! The containers of an agent: here the sandboxes of tasks that have not ended, with their processes.
//!
//! What processes use is measured by the node.

use bytes::Bytes;
use shoal_api::{Resources, Timestamp, Value};

use super::{AgentState, Run, Stage, executor_name};
use crate::codec::Codec;
use crate::event::container_id;
use crate::json::{Message, write};
use crate::listing::stream::Stream;
use crate::operator::document::{Document, Field};
use crate::operator::show;
use crate::proto::v1;
use crate::proto::v1::agent::response::{Type, get_containers::Container};

/// Bytes in one unit of the resource `mem`.
const MEBIBYTE: f64 = 1_048_576.0;

/// What the processes of a task use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The first of them.
    pub pid: u32,
    /// When it was measured.
    pub at: Timestamp,
    /// Seconds of a processor so far, in programs; of processes that have not ended.
    pub user_seconds: f64,
    /// The same, in the kernel.
    pub system_seconds: f64,
    /// Memory in use.
    pub resident_bytes: u64,
}

/// GET_CONTAINERS, in pieces.
pub fn containers(state: &AgentState<'_>, codec: Codec) -> Vec<Bytes> {
    let mut document = Document::new(codec);
    document.named::<Type>(Field(1, "type"), Type::GetContainers.into());
    document.open(Field(10, "get_containers"));
    let all = listed(state).map(|run| Container {
        framework_id: Some(show::framework_id(run.task.framework)),
        executor_id: Some(v1::ExecutorId {
            value: Some(run.task.spec.id.to_string()),
        }),
        executor_name: Some(executor_name(run)),
        container_id: Some(container_id(run.task.container)),
        container_status: Some(status(run)),
        resource_statistics: run.usage.map(|usage| statistics(run, usage)),
    });
    document.list(Field(1, "containers"), all);
    document.close();
    document.finish()
}

/// The body of `/containers`, in pieces.
pub fn push_containers(state: &AgentState<'_>, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('[');
    for run in listed(state) {
        out.item();
        out.open('{');
        write::text(out.key("container_id"), &run.task.container.to_string());
        push_run(&mut out, run);
        status(run).put(out.key("status"));
        out.close('}');
    }
    out.close(']');
    out.finish();
}

/// The body of `/monitor/statistics`, in pieces.
pub fn push_statistics(state: &AgentState<'_>, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('[');
    for run in listed(state).filter(|run| run.usage.is_some()) {
        out.item();
        out.open('{');
        push_run(&mut out, run);
        out.close('}');
    }
    out.close(']');
    out.finish();
}

/// What both have.
fn push_run(out: &mut Stream<'_>, run: &Run<'_>) {
    let id = run.task.spec.id.as_str();
    write::text(out.key("executor_id"), id);
    write::text(out.key("executor_name"), &executor_name(run));
    write::text(out.key("framework_id"), run.task.framework.as_str());
    write::text(out.key("source"), id);
    if let Some(usage) = run.usage {
        statistics(run, usage).put(out.key("statistics"));
    }
}

fn listed<'a>(state: &'a AgentState<'_>) -> impl Iterator<Item = &'a Run<'a>> {
    state.of_stage(Stage::Launched)
}

fn status(run: &Run<'_>) -> v1::ContainerStatus {
    v1::ContainerStatus {
        container_id: Some(container_id(run.task.container)),
        executor_pid: run.usage.map(|usage| usage.pid),
        ..v1::ContainerStatus::default()
    }
}

/// As of Mesos' plain launcher, which holds nobody to its limits either.
fn statistics(run: &Run<'_>, usage: Usage) -> v1::ResourceStatistics {
    let held = &run.task.spec.resources;
    let memory = scalar(held, "mem").map(|mem| (mem * MEBIBYTE) as u64);
    v1::ResourceStatistics {
        timestamp: Some(usage.at.as_seconds()),
        cpus_user_time_secs: Some(usage.user_seconds),
        cpus_system_time_secs: Some(usage.system_seconds),
        cpus_soft_limit: scalar(held, "cpus"),
        mem_limit_bytes: memory,
        mem_soft_limit_bytes: memory,
        mem_rss_bytes: Some(usage.resident_bytes),
        ..v1::ResourceStatistics::default()
    }
}

fn scalar(resources: &Resources, name: &str) -> Option<f64> {
    match resources.get(name)? {
        Value::Scalar(amount) => Some(amount.as_f64()),
        Value::Ranges(_) | Value::Set(_) => None,
    }
}
