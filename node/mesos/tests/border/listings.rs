//! The listings of version 0 have the shape of Mesos'.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use shoal_api::agent::{AgentInfo, Attribute};
use shoal_api::offer::Offer;
use shoal_api::{
    AgentId, AttributeValue, Capability, FrameworkId, FrameworkInfo, HostPort, Name, NodeId,
    Resources, Role, TaskId, TaskSpec, TaskState, Timestamp,
};
use shoal_mesos::codec::Codec;
use shoal_mesos::limits;
use shoal_mesos::listing::{
    AgentEntry, Build, Entries, FrameworkEntry, Identity, Presence, Source, Sum, TaskEntry, Tasks,
    frameworks, state, version,
};
use shoal_mesos::master::Master;
use shoal_mesos::proto::v1;

use crate::comparable;

const ORIGIN: &str = "390e233c-c8c7-4c24-b952-acbba1d16e0b";

/// The cluster whose state was recorded.
struct Recorded {
    agents: Vec<(AgentId, AgentInfo, Timestamp)>,
    framework: FrameworkInfo,
    role: Role,
    running: TaskSpec,
    failed: TaskSpec,
    offers: Vec<Offer>,
    /// How often the running task is listed.
    copies: usize,
}

fn parse(text: &str) -> Resources {
    Resources::parse(text).expect(text)
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_nanos(micros * 1000)
}

fn agent(number: u64) -> AgentId {
    format!("{ORIGIN}-S{number}").parse().unwrap()
}

fn agent_info(host: &str, rack: &str) -> AgentInfo {
    let text = |name: &str, value: &str| Attribute {
        name: Arc::from(name),
        value: AttributeValue::Text(Arc::from(value)),
    };
    AgentInfo {
        node: NodeId(1),
        name: Name::new(host).unwrap(),
        http: HostPort::new(host, 5051),
        resources: parse("cpus:4;mem:4096;disk:8192;ports:[31000-32000]"),
        attributes: vec![text("rack", rack), text("zone", "z1")],
        version: Arc::from("0.1.0"),
    }
}

fn task(name: &str) -> TaskSpec {
    TaskSpec {
        id: TaskId::new(name).unwrap(),
        name: Arc::from(name),
        resources: parse("cpus:0.1;mem:32"),
        command: None,
        environment: Vec::new(),
        user: None,
        kill_grace: None,
        unsupported: None,
        raw: Bytes::new(),
        digest: None,
    }
}

impl Recorded {
    fn new() -> Recorded {
        let id: FrameworkId = format!("{ORIGIN}-0000").parse().unwrap();
        let role = Role::new("v0role").unwrap();
        let raw = v1::FrameworkInfo {
            user: Some("root".to_owned()),
            name: Some("v0-fw".to_owned()),
            checkpoint: Some(true),
            ..v1::FrameworkInfo::default()
        };
        let offer = |number: u64, on: u64, resources: &str| Offer {
            id: format!("{ORIGIN}-O{number}").parse().unwrap(),
            framework: id.clone(),
            agent: agent(on),
            role: role.clone(),
            resources: parse(resources),
        };
        Recorded {
            agents: vec![
                (
                    agent(1),
                    agent_info("127.0.0.3", "r2"),
                    at(1_795_336_512_848_988),
                ),
                (
                    agent(0),
                    agent_info("127.0.0.2", "r1"),
                    at(1_795_336_512_832_910),
                ),
            ],
            offers: vec![
                offer(2, 1, "cpus:3.9;mem:4064;disk:8192;ports:[31000-32000]"),
                offer(1, 0, "cpus:4;mem:4096;disk:8192;ports:[31000-32000]"),
            ],
            framework: FrameworkInfo {
                id: Some(id),
                name: Arc::from("v0-fw"),
                user: Arc::from("root"),
                principal: None,
                roles: BTreeSet::from([role.clone()]),
                suppressed: BTreeSet::new(),
                capabilities: BTreeSet::from([Capability::MultiRole]),
                failover_timeout: Duration::from_secs(60),
                raw: Codec::Protobuf.encode(&raw),
            },
            role,
            running: task("v0-run"),
            failed: task("v0-fail"),
            copies: 1,
        }
    }

    fn entry<'a>(&'a self, spec: &'a TaskSpec, statuses: &[(TaskState, i64)]) -> TaskEntry<'a> {
        let (state, _) = *statuses.last().unwrap();
        TaskEntry {
            framework: self.framework.id.as_ref().unwrap(),
            spec,
            agent: agent(1),
            address: "127.0.0.3".parse().ok(),
            role: &self.role,
            state,
            statuses: statuses
                .iter()
                .map(|(state, time)| (*state, at(*time)))
                .collect(),
        }
    }
}

impl Source for Recorded {
    fn agents(&self) -> Entries<'_, AgentEntry<'_>> {
        Box::new(self.agents.iter().map(|(id, info, registered)| {
            AgentEntry {
                id: *id,
                info,
                presence: Presence::Connected,
                registered: *registered,
                reregistered: None,
                used: if *id == agent(1) {
                    Sum::from(&self.running.resources)
                } else {
                    Sum::default()
                },
                offered: self
                    .offers
                    .iter()
                    .find(|offer| offer.agent == *id)
                    .map(|offer| Sum::from(&offer.resources))
                    .unwrap_or_default(),
            }
        }))
    }

    fn frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        let mut offered = Sum::default();
        self.offers
            .iter()
            .for_each(|offer| offered.add(&offer.resources));
        Box::new(std::iter::once(FrameworkEntry {
            id: self.framework.id.as_ref().unwrap(),
            info: &self.framework,
            connected: true,
            registered: at(1_795_336_517_981_094),
            reregistered: None,
            unregistered: None,
            used: Sum::from(&self.running.resources),
            offered,
        }))
    }

    fn completed_frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        Box::new(std::iter::empty())
    }

    fn tasks<'a>(
        &'a self,
        _framework: &'a FrameworkId,
        tasks: Tasks,
    ) -> Entries<'a, TaskEntry<'a>> {
        let running = [
            (TaskState::Starting, 1_795_336_518_113_736),
            (TaskState::Running, 1_795_336_518_124_604),
        ];
        let failed = [
            (TaskState::Starting, 1_795_336_518_112_836),
            (TaskState::Running, 1_795_336_518_135_896),
            (TaskState::Failed, 1_795_336_518_205_471),
        ];
        match tasks {
            Tasks::Live => {
                Box::new((0..self.copies).map(move |_| self.entry(&self.running, &running)))
            }
            Tasks::Unreachable => Box::new(std::iter::empty()),
            Tasks::Completed => Box::new(std::iter::once(self.entry(&self.failed, &failed))),
        }
    }

    fn offers<'a>(&'a self, _framework: &'a FrameworkId) -> Entries<'a, &'a Offer> {
        Box::new(self.offers.iter())
    }
}

fn identity() -> Identity<'static> {
    let master = Master {
        id: Arc::from(ORIGIN),
        http: HostPort::new("127.0.0.1", 5050),
    };
    Identity {
        leader: Some(master.clone()),
        master,
        cluster: "peer",
        started: at(1_795_336_511_974_186),
        elected: Some(at(1_795_336_511_975_751)),
        flags: &[],
        build: Build {
            date: "2026-11-22 08:20:24 UTC",
            time: at(1_795_335_624_000_000),
            branch: "refs/heads/master",
            sha: "3e76677fe0a38b416286ac4219f5eb2ff76bef4e",
        },
    }
}

fn text_of(write: impl FnOnce(&mut dyn FnMut(Bytes))) -> (String, usize) {
    let mut pieces = Vec::new();
    write(&mut |piece| pieces.push(piece));
    (String::from_utf8(pieces.concat()).unwrap(), pieces.len())
}

/// What a recorded state has and ours has not: where Mesos keeps its files, its settings, and the
/// ids of containers.
fn without_what_is_not_ours(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("container_id");
            fields.remove("log_dir");
            if let Some(flags) = fields.get_mut("flags") {
                *flags = Value::Object(Default::default());
            }
            if let Some(version) = fields.get_mut("version") {
                *version = Value::from("1.11.0");
            }
            fields.values_mut().for_each(without_what_is_not_ours);
        }
        Value::Array(items) => items.iter_mut().for_each(without_what_is_not_ours),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_state_has_the_shape_of_mesos() {
    let (ours, _) = text_of(|sink| state(&identity(), &Recorded::new(), sink));
    let mut theirs = comparable(include_str!("../golden/state.json"));
    without_what_is_not_ours(&mut theirs);
    assert_eq!(comparable(&ours), theirs);
}

#[test]
fn a_long_state_leaves_in_pieces() {
    let mut source = Recorded::new();
    source.copies = 1000;
    let (text, pieces) = text_of(|sink| frameworks(&source, sink));
    assert!(pieces > 3, "{pieces}");
    assert!(text.len() / pieces < 2 * limits::LISTING_CHUNK_BYTES);
    let tasks = comparable(&text)["frameworks"][0]["tasks"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(tasks, 1000);
}

#[test]
fn without_a_leader_none_is_named() {
    let identity = Identity {
        leader: None,
        elected: None,
        ..identity()
    };
    let (text, _) = text_of(|sink| state(&identity, &Recorded::new(), sink));
    let value = comparable(&text);
    assert_eq!(
        (value.get("leader"), value.get("leader_info")),
        (None, None)
    );
}

#[test]
fn the_version_has_numbers_only() {
    let text = version(&identity().build);
    let value = comparable(std::str::from_utf8(&text).unwrap());
    let version = value["version"].as_str().unwrap();
    assert!(
        version.split('.').all(|part| part.parse::<u32>().is_ok()),
        "{version}"
    );
    assert_eq!(value["build_time"], 1_795_335_624.0);
}

#[test]
fn labels_and_discovery_of_a_task_are_listed() {
    let mut source = Recorded::new();
    let raw: v1::TaskInfo = Codec::Json
        .decode(
            br#"{"name":"n","task_id":{"value":"t"},"agent_id":{"value":"a"},
                "labels":{"labels":[{"key":"x","value":"y"}]},
                "discovery":{"visibility":"CLUSTER","name":"d","ports":{"ports":[{"number":80}]}}}"#,
        )
        .unwrap();
    source.running.raw = Codec::Protobuf.encode(&raw);
    let (text, _) = text_of(|sink| frameworks(&source, sink));
    let value = comparable(&text);
    let task = &value["frameworks"][0]["tasks"][0];
    assert_eq!(task["labels"][0]["key"], "x");
    assert_eq!(task["discovery"]["ports"]["ports"][0]["number"], 80.0);
}
