//! What an agent says of itself: `/state` of version 0, and the parts of it in version 1.
//!
//! A command task is its own executor here, so each task is listed as the one task of an executor of
//! its name, which is where tools look for its sandbox.

use std::collections::BTreeMap;

use bytes::Bytes;
use shoal_api::{AgentId, AgentInfo, Command, FrameworkId, Timestamp};

use crate::codec::Codec;
use crate::json::{Message as _, write};
use crate::listing::stream::Stream;
use crate::listing::values::{self, Sum};
use crate::listing::{Allocations, Build, TaskEntry, entry, push_build, push_empty, push_flags};
use crate::master::AGENT_CAPABILITIES;
use crate::operator::document::{Document, Field};
use crate::operator::show;
use crate::proto::v1;
use crate::proto::v1::agent::response::{self, Type};
use crate::proto::v1::agent::{Response, response::get_executors, response::get_frameworks};
use crate::resources;

mod containers;

pub use containers::{Usage, containers, push_containers, push_statistics};

/// How many characters of a command an executor's name shows. Source: Mesos.
const COMMAND_SHOWN: usize = 12;

/// How far a task of an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not ended.
    Launched,
    /// It ended, and that is not settled with its framework.
    Terminated,
    /// It is remembered for people only.
    Completed,
}

/// A task of an agent.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The task.
    pub task: TaskEntry<'a>,
    /// How far it is.
    pub stage: Stage,
    /// The name of its framework.
    pub framework_name: &'a str,
    /// Under which it runs where it names no user itself.
    pub framework_user: &'a str,
    /// Its sandbox.
    pub directory: String,
    /// What its processes use, while there are any.
    pub usage: Option<Usage>,
}

/// An agent at one moment.
#[derive(Clone, Debug)]
pub struct AgentState<'a> {
    /// Its id, once it has one.
    pub id: Option<AgentId>,
    /// What it is and has.
    pub info: &'a AgentInfo,
    /// When its process started.
    pub started: Timestamp,
    /// The host of the master that commands it, where known.
    pub master: Option<&'a str>,
    /// How the node was configured, in order of name.
    pub flags: &'a [(&'a str, String)],
    /// Its build.
    pub build: Build<'a>,
    /// In order of framework.
    pub runs: Vec<Run<'a>>,
}

/// A framework's tasks.
struct Group<'a> {
    id: &'a FrameworkId,
    runs: Vec<&'a Run<'a>>,
}

impl Group<'_> {
    /// Whether nothing of it is left but memories.
    fn is_completed(&self) -> bool {
        self.runs.iter().all(|run| run.stage == Stage::Completed)
    }
}

impl AgentState<'_> {
    fn frameworks(&self) -> Vec<Group<'_>> {
        let mut groups: BTreeMap<&FrameworkId, Vec<&Run<'_>>> = BTreeMap::new();
        for run in &self.runs {
            groups.entry(run.task.framework).or_default().push(run);
        }
        let groups = groups.into_iter();
        groups.map(|(id, runs)| Group { id, runs }).collect()
    }

    /// What tasks hold that have not ended.
    pub fn used(&self) -> Allocations {
        let mut used = Allocations::default();
        for run in self.runs.iter().filter(|run| run.stage == Stage::Launched) {
            used.add(run.task.role, &run.task.spec.resources);
        }
        used
    }

    fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &Run<'_>> {
        self.runs.iter().filter(move |run| run.stage == stage)
    }
}

/// The body of an agent's `/state`, in pieces.
pub fn state(state: &AgentState<'_>, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('{');
    push_build(&mut out, &state.build);
    write::double(out.key("start_time"), state.started.as_seconds());
    let id = state.id.map(|id| id.to_string()).unwrap_or_default();
    write::text(out.key("id"), &id);
    let pid = format!("slave(1)@{}", state.info.http);
    write::text(out.key("pid"), &pid);
    write::text(out.key("hostname"), &state.info.http.host);
    values::words(out.key("capabilities"), AGENT_CAPABILITIES);
    push_resources(&mut out, state);
    push_empty(&mut out, "resource_providers");
    values::attributes(out.key("attributes"), state.info);
    if let Some(master) = state.master {
        write::text(out.key("master_hostname"), master);
    }
    push_flags(&mut out, state.flags);
    let (gone, here): (Vec<_>, Vec<_>) = state
        .frameworks()
        .into_iter()
        .partition(Group::is_completed);
    for (name, groups) in [("frameworks", here), ("completed_frameworks", gone)] {
        out.key(name);
        out.open('[');
        groups
            .iter()
            .for_each(|group| push_framework(&mut out, group));
        out.close(']');
    }
    out.close('}');
    out.finish();
}

fn push_resources(out: &mut Stream<'_>, state: &AgentState<'_>) {
    let total = Sum::from(&state.info.resources);
    values::resources(out.key("resources"), &total);
    let nothing = |out: &mut Stream<'_>, name| out.key(name).extend_from_slice(b"{}");
    let all = &state.info.resources;
    values::reserved(out.key("reserved_resources"), all);
    values::resources(out.key("unreserved_resources"), &values::unreserved(all));
    values::reserved_in_full(out.key("reserved_resources_full"), all);
    let full = resources::of_nobody(resources::unreserved(all));
    let put = |out: &mut Vec<u8>, resource: &v1::Resource| resource.put(out);
    write::list(out.key("unreserved_resources_full"), &full, put);
    nothing(out, "reserved_resources_allocated");
    let used = state.used().total();
    values::resources(out.key("unreserved_resources_allocated"), &used);
}

fn push_framework(out: &mut Stream<'_>, group: &Group<'_>) {
    let first = group.runs[0];
    out.item();
    out.open('{');
    write::text(out.key("id"), group.id.as_str());
    write::text(out.key("name"), first.framework_name);
    write::text(out.key("user"), first.framework_user);
    // Every task is written down, whatever its framework asks for.
    write::boolean(out.key("checkpoint"), true);
    write::text(out.key("hostname"), "");
    let mut roles: Vec<&str> = group.runs.iter().map(|r| r.task.role.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    write::list(out.key("roles"), &roles, |out, role| write::text(out, role));
    for (name, completed) in [("executors", false), ("completed_executors", true)] {
        out.key(name);
        out.open('[');
        for run in &group.runs {
            if (run.stage == Stage::Completed) == completed {
                push_executor(out, run);
            }
        }
        out.close(']');
    }
    out.close('}');
}

fn push_executor(out: &mut Stream<'_>, run: &Run<'_>) {
    let spec = run.task.spec;
    out.item();
    out.open('{');
    write::text(out.key("id"), spec.id.as_str());
    write::text(out.key("name"), &executor_name(run));
    write::text(out.key("source"), spec.id.as_str());
    write::text(out.key("container"), &run.task.container.to_string());
    write::text(out.key("directory"), &run.directory);
    let held = match run.stage {
        Stage::Launched => Sum::from(&spec.resources),
        Stage::Terminated | Stage::Completed => Sum::default(),
    };
    values::resources(out.key("resources"), &held);
    write::text(out.key("role"), run.task.role.as_str());
    let launched = run.stage == Stage::Launched;
    for (name, listed) in [
        ("tasks", launched),
        ("queued_tasks", false),
        ("completed_tasks", !launched),
    ] {
        out.key(name);
        out.open('[');
        if listed {
            entry::task(out, &run.task);
        }
        out.close(']');
    }
    out.close('}');
}

/// As Mesos names the executor of a command.
fn executor_name(run: &Run<'_>) -> String {
    let spec = run.task.spec;
    let (start, command, end) = match &spec.command {
        Some(Command::Shell(text)) => ("sh -c '", text.to_string(), "'"),
        Some(Command::Exec { program, .. }) => ("", program.to_string(), ""),
        None => ("", String::new(), ""),
    };
    let mut shown: String = command.chars().take(COMMAND_SHOWN).collect();
    if shown.len() < command.len() {
        shown.push_str("...");
    }
    format!(
        "Command Executor (Task: {}) (Command: {start}{shown}{end})",
        spec.id
    )
}

/// A part of an agent's state in version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// GET_STATE: all of the following.
    State,
    /// GET_TASKS.
    Tasks,
    /// GET_EXECUTORS.
    Executors,
    /// GET_FRAMEWORKS.
    Frameworks,
}

/// The answer to a call for a part of an agent's state, in pieces.
pub fn part(part: Part, state: &AgentState<'_>, codec: Codec) -> Vec<Bytes> {
    let mut document = Document::new(codec);
    let (kind, field) = match part {
        Part::State => (Type::GetState, Field(9, "get_state")),
        Part::Tasks => (Type::GetTasks, Field(13, "get_tasks")),
        Part::Executors => (Type::GetExecutors, Field(12, "get_executors")),
        Part::Frameworks => (Type::GetFrameworks, Field(11, "get_frameworks")),
    };
    document.named::<Type>(Field(1, "type"), kind.into());
    document.open(field);
    match part {
        Part::State => {
            document.open(Field(1, "get_tasks"));
            tasks(&mut document, state);
            document.close();
            document.open(Field(2, "get_executors"));
            executors(&mut document, state);
            document.close();
            document.open(Field(3, "get_frameworks"));
            frameworks(&mut document, state);
            document.close();
        }
        Part::Tasks => tasks(&mut document, state),
        Part::Executors => executors(&mut document, state),
        Part::Frameworks => frameworks(&mut document, state),
    }
    document.close();
    document.finish()
}

fn tasks(document: &mut Document, state: &AgentState<'_>) {
    let none = std::iter::empty::<v1::Task>;
    document.list(Field(1, "pending_tasks"), none());
    document.list(Field(2, "queued_tasks"), none());
    for (field, stage) in [
        (Field(3, "launched_tasks"), Stage::Launched),
        (Field(4, "terminated_tasks"), Stage::Terminated),
        (Field(5, "completed_tasks"), Stage::Completed),
    ] {
        let runs = state.of_stage(stage);
        document.list(field, runs.map(|run| show::task(&run.task)));
    }
}

fn executors(document: &mut Document, state: &AgentState<'_>) {
    let live = state.runs.iter().filter(|r| r.stage != Stage::Completed);
    document.list(Field(1, "executors"), live.map(executor));
    let gone = state.of_stage(Stage::Completed);
    document.list(Field(2, "completed_executors"), gone.map(executor));
}

fn executor(run: &Run<'_>) -> get_executors::Executor {
    let spec = run.task.spec;
    let task = show::task(&run.task);
    get_executors::Executor {
        executor_info: Some(v1::ExecutorInfo {
            executor_id: Some(v1::ExecutorId {
                value: Some(spec.id.to_string()),
            }),
            framework_id: task.framework_id,
            resources: task.resources,
            name: Some(executor_name(run)),
            source: Some(spec.id.to_string()),
            labels: task.labels,
            ..v1::ExecutorInfo::default()
        }),
    }
}

fn frameworks(document: &mut Document, state: &AgentState<'_>) {
    let groups = state.frameworks();
    for (field, completed) in [
        (Field(1, "frameworks"), false),
        (Field(2, "completed_frameworks"), true),
    ] {
        let groups = groups.iter().filter(|g| g.is_completed() == completed);
        document.list(field, groups.map(framework));
    }
}

/// What an agent knows of a framework.
fn framework(group: &Group<'_>) -> get_frameworks::Framework {
    let first = group.runs[0];
    let mut roles: Vec<String> = group
        .runs
        .iter()
        .map(|run| run.task.role.as_str().to_owned())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    get_frameworks::Framework {
        framework_info: Some(v1::FrameworkInfo {
            user: Some(first.framework_user.to_owned()),
            name: Some(first.framework_name.to_owned()),
            id: Some(show::framework_id(group.id)),
            checkpoint: Some(true),
            roles,
            ..v1::FrameworkInfo::default()
        }),
    }
}

/// The answers of an agent that are short.
pub mod answers {
    use super::{AgentState, Build, Response, Type, response, show, v1};

    fn of(kind: Type) -> Response {
        Response {
            r#type: Some(kind.into()),
            ..Response::default()
        }
    }

    /// GET_HEALTH: who answers is healthy.
    pub fn health() -> Response {
        Response {
            get_health: Some(response::GetHealth {
                healthy: Some(true),
            }),
            ..of(Type::GetHealth)
        }
    }

    /// GET_FLAGS.
    pub fn flags(flags: &[(&str, String)]) -> Response {
        Response {
            get_flags: Some(response::GetFlags {
                flags: show::flags(flags),
            }),
            ..of(Type::GetFlags)
        }
    }

    /// GET_VERSION.
    pub fn version(build: &Build<'_>) -> Response {
        Response {
            get_version: Some(response::GetVersion {
                version_info: Some(show::version(build)),
            }),
            ..of(Type::GetVersion)
        }
    }

    /// GET_METRICS.
    pub fn metrics(metrics: &[(String, f64)]) -> Response {
        Response {
            get_metrics: Some(response::GetMetrics {
                metrics: show::metrics(metrics),
            }),
            ..of(Type::GetMetrics)
        }
    }

    /// GET_LOGGING_LEVEL: nothing is said verbosely.
    pub fn logging_level() -> Response {
        Response {
            get_logging_level: Some(response::GetLoggingLevel { level: Some(0) }),
            ..of(Type::GetLoggingLevel)
        }
    }

    /// GET_OPERATIONS: none is ever made.
    pub fn operations() -> Response {
        Response {
            get_operations: Some(response::GetOperations::default()),
            ..of(Type::GetOperations)
        }
    }

    /// GET_RESOURCE_PROVIDERS: there is none.
    pub fn resource_providers() -> Response {
        Response {
            get_resource_providers: Some(response::GetResourceProviders::default()),
            ..of(Type::GetResourceProviders)
        }
    }

    /// GET_AGENT; without an id it has none to tell.
    pub fn agent(state: &AgentState<'_>) -> Response {
        let info = state.id.map(|id| show::agent_info(id, state.info));
        Response {
            get_agent: Some(response::GetAgent {
                agent_info: info,
                ..response::GetAgent::default()
            }),
            ..of(Type::GetAgent)
        }
    }

    /// LIST_FILES.
    pub fn files(file_infos: Vec<v1::FileInfo>) -> Response {
        Response {
            list_files: Some(response::ListFiles { file_infos }),
            ..of(Type::ListFiles)
        }
    }

    /// READ_FILE: the size of the whole file, and a piece of it.
    pub fn read(size: u64, data: Vec<u8>) -> Response {
        Response {
            read_file: Some(response::ReadFile {
                size: Some(size),
                data: Some(data),
            }),
            ..of(Type::ReadFile)
        }
    }
}
