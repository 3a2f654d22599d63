//! `/state-summary`: agents and frameworks with their tasks counted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use shoal_api::{AgentId, FrameworkId, TaskState};

use super::stream::Stream;
use super::{Identity, Source, Tasks, entry, listed};
use crate::call;
use crate::json::write;

/// The states that are counted, in Mesos' order.
const COUNTED: [(TaskState, &str); 10] = [
    (TaskState::Staging, ",\"TASK_STAGING\":"),
    (TaskState::Starting, ",\"TASK_STARTING\":"),
    (TaskState::Running, ",\"TASK_RUNNING\":"),
    (TaskState::Killing, ",\"TASK_KILLING\":"),
    (TaskState::Finished, ",\"TASK_FINISHED\":"),
    (TaskState::Killed, ",\"TASK_KILLED\":"),
    (TaskState::Failed, ",\"TASK_FAILED\":"),
    (TaskState::Lost, ",\"TASK_LOST\":"),
    (TaskState::Error, ",\"TASK_ERROR\":"),
    (TaskState::Unreachable, ",\"TASK_UNREACHABLE\":"),
];

/// How many tasks are in which state.
type Counts = BTreeMap<TaskState, u64>;

/// Who has tasks where, and how many in which state.
#[derive(Default)]
struct Tally<'a> {
    by_agent: BTreeMap<AgentId, (Counts, BTreeSet<&'a FrameworkId>)>,
    by_framework: BTreeMap<&'a FrameworkId, (Counts, BTreeSet<AgentId>)>,
}

impl<'a> Tally<'a> {
    /// One pass over all tasks of frameworks that were not removed.
    fn of(source: &'a dyn Source) -> Tally<'a> {
        let mut tally = Tally::default();
        for framework in source.frameworks() {
            for group in [Tasks::Live, Tasks::Unreachable, Tasks::Completed] {
                for task in source.tasks(framework.id, group) {
                    let agent = tally.by_agent.entry(task.agent).or_default();
                    *agent.0.entry(task.state).or_default() += 1;
                    agent.1.insert(framework.id);
                    let of = tally.by_framework.entry(framework.id).or_default();
                    *of.0.entry(task.state).or_default() += 1;
                    of.1.insert(task.agent);
                }
            }
        }
        tally
    }
}

/// The body of `/state-summary`, in pieces.
pub fn state_summary(identity: &Identity<'_>, source: &dyn Source, sink: &mut dyn FnMut(Bytes)) {
    let tally = Tally::of(source);
    let mut out = Stream::new(sink);
    out.open('{');
    write::text(out.key("hostname"), &identity.master.http.host);
    if !identity.cluster.is_empty() {
        write::text(out.key("cluster"), identity.cluster);
    }
    out.key("slaves");
    out.open('[');
    let nothing = (Counts::new(), BTreeSet::new());
    for agent in listed(source) {
        let (counts, frameworks) = tally.by_agent.get(&agent.id).unwrap_or(&nothing);
        let mut object = write::Object::new(out.item());
        entry::push_agent(&mut object, &agent);
        push_counts(&mut object, counts);
        let ids: Vec<&FrameworkId> = frameworks.iter().copied().collect();
        write::list(object.field(",\"framework_ids\":"), &ids, |out, id| {
            write::text(out, id.as_str());
        });
        object.end();
    }
    out.close(']');
    out.key("frameworks");
    out.open('[');
    let nothing = (Counts::new(), BTreeSet::new());
    for framework in source.frameworks() {
        let (counts, agents) = tally.by_framework.get(framework.id).unwrap_or(&nothing);
        out.item();
        out.open('{');
        entry::push_summary(&mut out, &framework, &call::details(framework.info));
        for (state, key) in COUNTED {
            let name = &key[2..key.len() - 2];
            write::integer(out.key(name), counts.get(&state).copied().unwrap_or(0));
        }
        let ids: Vec<AgentId> = agents.iter().copied().collect();
        write::list(out.key("slave_ids"), &ids, |out, id| {
            write::text(out, &id.to_string());
        });
        out.close('}');
    }
    out.close(']');
    out.close('}');
    out.finish();
}

fn push_counts(object: &mut write::Object<'_>, counts: &Counts) {
    for (state, key) in COUNTED {
        write::integer(object.field(key), counts.get(&state).copied().unwrap_or(0));
    }
}
