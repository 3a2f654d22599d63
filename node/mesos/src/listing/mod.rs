//! The read side of version 0 that tools still use: `/version`, `/flags`, `/state` and the smaller
//! listings of a master.
//!
//! What is listed comes from a [`Source`], which the node fills from the ledger; the text leaves in
//! pieces as it is written. What the same things look like in version 1 is [`crate::operator`]'s.

pub(crate) mod entry;
mod roles;
pub(crate) mod stream;
mod summary;
mod tasks;
pub(crate) mod values;

pub use roles::{RoleEntry, role_entries, roles};
pub use summary::state_summary;
pub use tasks::{TaskQuery, tasks};
pub use values::{Allocations, Sum};

use std::net::IpAddr;

use bytes::Bytes;
use shoal_api::offer::Offer;
use shoal_api::task::Exit;
use shoal_api::{
    AgentId, AgentInfo, ContainerId, FrameworkId, FrameworkInfo, Reason, Role, TaskSpec, TaskState,
    Timestamp, UpdateId,
};

use crate::json::write;
use crate::master::{MASTER_CAPABILITIES, MESOS_VERSION, Master};
use stream::Stream;

/// From what the software was built; texts may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Build<'a> {
    /// As people read it.
    pub date: &'a str,
    /// The same moment.
    pub time: Timestamp,
    /// The branch of the source.
    pub branch: &'a str,
    /// The commit of the source.
    pub sha: &'a str,
}

/// The master that answers, and what it knows of its cluster.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// Who answers.
    pub master: Master,
    /// Who leads, if anybody does.
    pub leader: Option<Master>,
    /// The cluster's name; may be empty, and is then left out.
    pub cluster: &'a str,
    /// When the answering process started.
    pub started: Timestamp,
    /// When the leader was elected.
    pub elected: Option<Timestamp>,
    /// How the node was configured, in order of name.
    pub flags: &'a [(&'a str, String)],
    /// Its build.
    pub build: Build<'a>,
}

/// Whether an agent has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has one.
    Connected,
    /// It may come back soon.
    Disconnected,
    /// Its lease ended; it is counted and not listed.
    Unreachable,
}

/// An agent to list.
#[derive(Clone, Debug)]
pub struct AgentEntry<'a> {
    /// Its id.
    pub id: AgentId,
    /// What it is and has.
    pub info: &'a AgentInfo,
    /// Whether it has a session.
    pub presence: Presence,
    /// When it was first seen.
    pub registered: Timestamp,
    /// When its newest session began, if it is not its first.
    pub reregistered: Option<Timestamp>,
    /// What its tasks hold.
    pub used: Allocations,
    /// What is offered to frameworks.
    pub offered: Allocations,
}

/// A framework to list.
#[derive(Clone, Debug)]
pub struct FrameworkEntry<'a> {
    /// Its id.
    pub id: &'a FrameworkId,
    /// As subscribed.
    pub info: &'a FrameworkInfo,
    /// Whether it has a stream.
    pub connected: bool,
    /// Of its first subscription.
    pub registered: Timestamp,
    /// Of its newest subscription, if it is not its first.
    pub reregistered: Option<Timestamp>,
    /// When it was removed, if it was.
    pub unregistered: Option<Timestamp>,
    /// What its tasks hold.
    pub used: Allocations,
    /// What is offered to it.
    pub offered: Allocations,
}

/// A task to list.
#[derive(Clone, Debug)]
pub struct TaskEntry<'a> {
    /// Whose.
    pub framework: &'a FrameworkId,
    /// What it is.
    pub spec: &'a TaskSpec,
    /// Where it runs.
    pub agent: AgentId,
    /// The address of that agent, if it is known.
    pub address: Option<IpAddr>,
    /// Its sandbox.
    pub container: ContainerId,
    /// In whose name its resources are used.
    pub role: &'a Role,
    /// As a framework sees it.
    pub state: TaskState,
    /// What was said of it, in order.
    pub statuses: Vec<StatusEntry<'a>>,
    /// When it was launched, or found.
    pub launched: Timestamp,
}

/// One thing that was said of a task.
#[derive(Clone, Copy, Debug)]
pub struct StatusEntry<'a> {
    /// The state.
    pub state: TaskState,
    /// Who says so.
    pub source: shoal_api::Source,
    /// Why.
    pub reason: Option<Reason>,
    /// For people; may be empty.
    pub message: &'a str,
    /// When.
    pub timestamp: Timestamp,
    /// What its framework acknowledges.
    pub update: Option<UpdateId>,
    /// How the process ended.
    pub exit: Option<Exit>,
}

/// Which tasks of a framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// Neither of the others.
    Live,
    /// Their agent is unreachable.
    Unreachable,
    /// They ended and that was acknowledged.
    Completed,
}

/// Entries one after another.
pub type Entries<'a, T> = Box<dyn Iterator<Item = T> + 'a>;

/// What is listed: one moment of the ledger.
pub trait Source {
    /// All agents, in order of id.
    fn agents(&self) -> Entries<'_, AgentEntry<'_>>;
    /// One agent as it describes itself.
    fn agent_info(&self, agent: AgentId) -> Option<&AgentInfo>;
    /// All frameworks that were not removed.
    fn frameworks(&self) -> Entries<'_, FrameworkEntry<'_>>;
    /// Those that were removed, as far as they are remembered.
    fn completed_frameworks(&self) -> Entries<'_, FrameworkEntry<'_>>;
    /// Tasks of one framework.
    fn tasks<'a>(&'a self, framework: &'a FrameworkId, tasks: Tasks) -> Entries<'a, TaskEntry<'a>>;
    /// Offers that are out to one framework.
    fn offers<'a>(&'a self, framework: &'a FrameworkId) -> Entries<'a, &'a Offer>;
}

/// The build, as fields of an object that is open.
pub(crate) fn push_build(out: &mut Stream<'_>, build: &Build<'_>) {
    write::text(out.key("version"), MESOS_VERSION);
    write::text(out.key("git_sha"), build.sha);
    write::text(out.key("git_branch"), build.branch);
    write::text(out.key("build_date"), build.date);
    write::double(out.key("build_time"), build.time.as_seconds());
    write::text(out.key("build_user"), "");
}

/// The body of `/version`.
pub fn version(build: &Build<'_>) -> Bytes {
    let mut out = Vec::new();
    let mut object = write::Object::new(&mut out);
    write::text(object.field(",\"build_date\":"), build.date);
    write::double(object.field(",\"build_time\":"), build.time.as_seconds());
    write::text(object.field(",\"build_user\":"), "");
    write::text(object.field(",\"git_branch\":"), build.branch);
    write::text(object.field(",\"git_sha\":"), build.sha);
    write::text(object.field(",\"version\":"), MESOS_VERSION);
    object.end();
    Bytes::from(out)
}

/// The body of `/state`, in pieces.
pub fn state(identity: &Identity<'_>, source: &dyn Source, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('{');
    push_identity(&mut out, identity);
    push_counts(&mut out, source);
    push_leader(&mut out, identity);
    push_flags(&mut out, identity.flags);
    out.key("slaves");
    out.open('[');
    for agent in listed(source) {
        entry::agent(&mut out, &agent);
    }
    out.close(']');
    push_empty(&mut out, "recovered_slaves");
    push_frameworks(&mut out, source, None);
    push_empty(&mut out, "orphan_tasks");
    push_empty(&mut out, "unregistered_frameworks");
    out.close('}');
    out.finish();
}

/// The body of `/frameworks`, in pieces; of one framework only, if one is asked for.
pub fn frameworks(source: &dyn Source, only: Option<&str>, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('{');
    push_frameworks(&mut out, source, only);
    push_empty(&mut out, "unregistered_frameworks");
    out.close('}');
    out.finish();
}

/// The body of `/slaves`, in pieces; of one agent only, if one is asked for.
pub fn slaves(source: &dyn Source, only: Option<&str>, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('{');
    out.key("slaves");
    out.open('[');
    for agent in listed(source) {
        if only.is_none_or(|only| agent.id.to_string() == only) {
            entry::agent_in_full(&mut out, &agent);
        }
    }
    out.close(']');
    push_empty(&mut out, "recovered_slaves");
    out.close('}');
    out.finish();
}

/// The body of `/flags`.
pub fn flags(flags: &[(&str, String)]) -> Bytes {
    let mut pieces = Vec::new();
    let mut sink = |piece: Bytes| pieces.push(piece);
    let mut out = Stream::new(&mut sink);
    out.open('{');
    push_flags(&mut out, flags);
    out.close('}');
    out.finish();
    Bytes::from(pieces.concat())
}

/// The agents that are shown: not those whose lease ended.
pub(crate) fn listed<'a>(source: &'a dyn Source) -> impl Iterator<Item = AgentEntry<'a>> {
    source
        .agents()
        .filter(|agent| agent.presence != Presence::Unreachable)
}

fn push_identity(out: &mut Stream<'_>, identity: &Identity<'_>) {
    let Identity { master, build, .. } = identity;
    push_build(out, build);
    write::double(out.key("start_time"), identity.started.as_seconds());
    if let Some(elected) = identity.elected {
        write::double(out.key("elected_time"), elected.as_seconds());
    }
    write::text(out.key("id"), &master.id);
    write::text(out.key("pid"), &master.pid());
    write::text(out.key("hostname"), &master.http.host);
    values::words(out.key("capabilities"), MASTER_CAPABILITIES);
}

fn push_counts(out: &mut Stream<'_>, source: &dyn Source) {
    let mut counts = [0_u64; 3];
    for agent in source.agents() {
        match agent.presence {
            Presence::Connected => counts[0] += 1,
            Presence::Disconnected => counts[1] += 1,
            Presence::Unreachable => counts[2] += 1,
        }
    }
    write::double(out.key("activated_slaves"), counts[0] as f64);
    write::double(out.key("deactivated_slaves"), counts[1] as f64);
    write::double(out.key("unreachable_slaves"), counts[2] as f64);
}

fn push_leader(out: &mut Stream<'_>, identity: &Identity<'_>) {
    if let Some(leader) = &identity.leader {
        let pid = leader.pid();
        write::text(out.key("leader"), &pid);
        let mut info = write::Object::new(out.key("leader_info"));
        write::text(info.field(",\"id\":"), &leader.id);
        write::text(info.field(",\"pid\":"), &pid);
        write::integer(info.field(",\"port\":"), leader.http.port);
        write::text(info.field(",\"hostname\":"), &leader.http.host);
        info.end();
    }
    if !identity.cluster.is_empty() {
        write::text(out.key("cluster"), identity.cluster);
    }
}

pub(crate) fn push_flags(out: &mut Stream<'_>, flags: &[(&str, String)]) {
    let mut object = write::Object::new(out.key("flags"));
    for (name, value) in flags {
        write::text(object.entry(name), value);
    }
    object.end();
}

fn push_frameworks(out: &mut Stream<'_>, source: &dyn Source, only: Option<&str>) {
    let groups = [
        ("frameworks", source.frameworks()),
        ("completed_frameworks", source.completed_frameworks()),
    ];
    for (name, group) in groups {
        out.key(name);
        out.open('[');
        for framework in group.filter(|f| only.is_none_or(|only| f.id.as_str() == only)) {
            entry::framework(out, &framework, source);
        }
        out.close(']');
    }
}

pub(crate) fn push_empty_object(out: &mut Stream<'_>, name: &'static str) {
    out.key(name).extend_from_slice(b"{}");
}

pub(crate) fn push_empty(out: &mut Stream<'_>, name: &'static str) {
    out.key(name).extend_from_slice(b"[]");
}
