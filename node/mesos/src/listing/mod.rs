//! The read side of version 0 that tools still use: `/version`, `/state` and `/frameworks`.
//!
//! What is listed comes from a [`Source`], which the node fills from the ledger; nothing is gathered
//! in here, the text leaves in pieces as it is written. Other listings of Mesos are not served yet.

mod entry;
mod stream;
mod values;

pub use values::Sum;

use std::net::IpAddr;

use bytes::Bytes;
use shoal_api::offer::Offer;
use shoal_api::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Role, TaskSpec, TaskState, Timestamp,
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
    pub used: Sum,
    /// What is offered to frameworks.
    pub offered: Sum,
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
    pub used: Sum,
    /// What is offered to it.
    pub offered: Sum,
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
    /// In whose name its resources are used.
    pub role: &'a Role,
    /// As a framework sees it.
    pub state: TaskState,
    /// Its states in order, with their times.
    pub statuses: Vec<(TaskState, Timestamp)>,
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
    /// All frameworks that were not removed.
    fn frameworks(&self) -> Entries<'_, FrameworkEntry<'_>>;
    /// Those that were removed, as far as they are remembered.
    fn completed_frameworks(&self) -> Entries<'_, FrameworkEntry<'_>>;
    /// Tasks of one framework.
    fn tasks<'a>(&'a self, framework: &'a FrameworkId, tasks: Tasks) -> Entries<'a, TaskEntry<'a>>;
    /// Offers that are out to one framework.
    fn offers<'a>(&'a self, framework: &'a FrameworkId) -> Entries<'a, &'a Offer>;
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
    for agent in source
        .agents()
        .filter(|a| a.presence != Presence::Unreachable)
    {
        entry::agent(&mut out, &agent);
    }
    out.close(']');
    push_empty(&mut out, "recovered_slaves");
    push_frameworks(&mut out, source);
    push_empty(&mut out, "orphan_tasks");
    push_empty(&mut out, "unregistered_frameworks");
    out.close('}');
    out.finish();
}

/// The body of `/frameworks`, in pieces.
pub fn frameworks(source: &dyn Source, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('{');
    push_frameworks(&mut out, source);
    out.close('}');
    out.finish();
}

fn push_identity(out: &mut Stream<'_>, identity: &Identity<'_>) {
    let Identity { master, build, .. } = identity;
    write::text(out.key("version"), MESOS_VERSION);
    write::text(out.key("git_sha"), build.sha);
    write::text(out.key("git_branch"), build.branch);
    write::text(out.key("build_date"), build.date);
    write::double(out.key("build_time"), build.time.as_seconds());
    write::text(out.key("build_user"), "");
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

fn push_flags(out: &mut Stream<'_>, flags: &[(&str, String)]) {
    let mut object = write::Object::new(out.key("flags"));
    for (name, value) in flags {
        write::text(object.entry(name), value);
    }
    object.end();
}

fn push_frameworks(out: &mut Stream<'_>, source: &dyn Source) {
    out.key("frameworks");
    out.open('[');
    for framework in source.frameworks() {
        entry::framework(out, &framework, source);
    }
    out.close(']');
    out.key("completed_frameworks");
    out.open('[');
    for framework in source.completed_frameworks() {
        entry::framework(out, &framework, source);
    }
    out.close(']');
}

fn push_empty(out: &mut Stream<'_>, name: &'static str) {
    out.key(name).extend_from_slice(b"[]");
}
