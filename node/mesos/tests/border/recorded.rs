//! The clusters whose listings were recorded, as a source of our own listings.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shoal_api::agent::{AgentInfo, Attribute};
use shoal_api::offer::Offer;
use shoal_api::task::Exit;
use shoal_api::{
    AgentId, AttributeValue, Capability, ContainerId, FrameworkId, FrameworkInfo, HostPort, Name,
    NodeId, Resources, Role, TaskId, TaskSpec, TaskState, Timestamp, UpdateId,
};
use shoal_mesos::codec::Codec;
use shoal_mesos::listing::{
    AgentEntry, Allocations, Build, Entries, FrameworkEntry, Identity, Presence, Source,
    StatusEntry, TaskEntry, Tasks,
};
use shoal_mesos::master::Master;
use shoal_mesos::proto::v1;

/// One status of a recorded task: its state, its time in µs, and its uuid.
type Said = (TaskState, i64, u128);

/// A recorded task.
#[derive(Debug)]
pub struct RecordedTask {
    pub spec: TaskSpec,
    pub group: Tasks,
    pub said: Vec<Said>,
    pub container: ContainerId,
}

/// A recorded cluster of two agents and a framework with a task that runs and one that ended.
#[derive(Debug)]
pub struct Recorded {
    pub agents: Vec<(AgentId, AgentInfo, Timestamp)>,
    pub framework: FrameworkInfo,
    pub registered: Timestamp,
    pub role: Role,
    pub tasks: Vec<RecordedTask>,
    pub offers: Vec<Offer>,
    /// How often the running task is listed.
    pub copies: usize,
}

const V0: &str = "390e233c-c8c7-4c24-b952-acbba1d16e0b";
const OPERATOR: &str = "75d4a0aa-1b08-4a87-af23-d1c42ed9c3ca";

fn parse(text: &str) -> Resources {
    Resources::parse(text).expect(text)
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_nanos(micros * 1000)
}

fn agent(origin: &str, number: u64) -> AgentId {
    format!("{origin}-S{number}").parse().unwrap()
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

fn task(name: &str, raw: &v1::TaskInfo, group: Tasks, said: Vec<Said>) -> RecordedTask {
    RecordedTask {
        spec: TaskSpec {
            id: TaskId::new(name).unwrap(),
            name: Arc::from(name),
            resources: parse("cpus:0.1;mem:32"),
            command: None,
            environment: Vec::new(),
            user: None,
            kill_grace: None,
            unsupported: None,
            raw: Codec::Protobuf.encode(raw),
            digest: None,
        },
        group,
        said,
        container: ContainerId(match name {
            "op-run" => 0x539c_5148_7d26_427e_8257_b67e_d0b6_45fd,
            "op-done" => 0xde58_534e_4573_497b_88d9_bed2_8d7f_ff96,
            "v0-run" => 0xff72_6e7d_fd8c_4948_bbde_618d_a54e_3ce7,
            "v0-fail" => 0xef82_f7f1_0539_438f_a5a4_8a76_e859_50d0,
            _ => panic!("{name} was not recorded"),
        }),
    }
}

fn labels(key: &str, value: &str) -> v1::Labels {
    v1::Labels {
        labels: vec![v1::Label {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        }],
    }
}

fn framework(id: &str, name: &str, role: &Role, raw: &v1::FrameworkInfo) -> FrameworkInfo {
    FrameworkInfo {
        id: Some(format!("{id}-0000").parse().unwrap()),
        name: Arc::from(name),
        user: Arc::from("root"),
        principal: None,
        roles: BTreeSet::from([role.clone()]),
        suppressed: BTreeSet::new(),
        capabilities: BTreeSet::from([Capability::MultiRole]),
        failover_timeout: Duration::from_secs(60),
        raw: Codec::Protobuf.encode(raw),
    }
}

fn offers(origin: &str, role: &Role) -> Vec<Offer> {
    let offer = |number: u64, on: u64, resources: &str| Offer {
        id: format!("{origin}-O{number}").parse().unwrap(),
        framework: format!("{origin}-0000").parse().unwrap(),
        agent: agent(origin, on),
        role: role.clone(),
        resources: parse(resources),
    };
    vec![
        offer(2, 1, "cpus:3.9;mem:4064;disk:8192;ports:[31000-32000]"),
        offer(1, 0, "cpus:4;mem:4096;disk:8192;ports:[31000-32000]"),
    ]
}

impl Recorded {
    /// The cluster of the recordings of version 0.
    pub fn v0() -> Recorded {
        let role = Role::new("v0role").unwrap();
        let raw = v1::FrameworkInfo {
            user: Some("root".to_owned()),
            name: Some("v0-fw".to_owned()),
            checkpoint: Some(true),
            ..v1::FrameworkInfo::default()
        };
        let running = vec![
            (TaskState::Starting, 1_795_336_518_113_736, 1),
            (TaskState::Running, 1_795_336_518_124_604, 2),
        ];
        let failed = vec![
            (TaskState::Starting, 1_795_336_518_112_836, 3),
            (TaskState::Running, 1_795_336_518_135_896, 4),
            (TaskState::Failed, 1_795_336_518_205_471, 5),
        ];
        let plain = v1::TaskInfo::default();
        Recorded {
            agents: vec![
                (
                    agent(V0, 1),
                    agent_info("127.0.0.3", "r2"),
                    at(1_795_336_512_848_988),
                ),
                (
                    agent(V0, 0),
                    agent_info("127.0.0.2", "r1"),
                    at(1_795_336_512_832_910),
                ),
            ],
            offers: offers(V0, &role),
            framework: framework(V0, "v0-fw", &role, &raw),
            registered: at(1_795_336_517_981_094),
            role,
            tasks: vec![
                task("v0-run", &plain, Tasks::Live, running),
                task("v0-fail", &plain, Tasks::Completed, failed),
            ],
            copies: 1,
        }
    }

    /// The cluster of the recordings of the operator API.
    pub fn operator() -> Recorded {
        let role = Role::new("oprole").unwrap();
        let info = r#"{"user":"root","name":"op-fw","failover_timeout":60.0,"checkpoint":true,
            "roles":["oprole"],"principal":"p1",
            "capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"}],
            "labels":{"labels":[{"key":"k","value":"v"}]}}"#;
        let raw: v1::FrameworkInfo = Codec::Json.decode(info.as_bytes()).unwrap();
        let labelled = v1::TaskInfo {
            labels: Some(labels("a", "b")),
            ..v1::TaskInfo::default()
        };
        let uuid = |text: &str| {
            let bytes = STANDARD.decode(text).unwrap();
            u128::from_be_bytes(bytes.try_into().unwrap())
        };
        let running = vec![
            (
                TaskState::Starting,
                1_795_336_472_665_721,
                uuid("7X2u2dlaRkG4yLxG4AZloQ=="),
            ),
            (
                TaskState::Running,
                1_795_336_472_670_801,
                uuid("MVpFl0CsTpKn7AHcr+fgQQ=="),
            ),
        ];
        let done = vec![
            (
                TaskState::Starting,
                1_795_336_472_752_155,
                uuid("RosxNCvTRfa9CmXyJEjS2Q=="),
            ),
            (
                TaskState::Running,
                1_795_336_472_756_534,
                uuid("Y7yNDLo1Qwet6Ur7XmjwLg=="),
            ),
            (
                TaskState::Finished,
                1_795_336_472_849_518,
                uuid("iVXkTt0BQr6xkgsqP2Tkrw=="),
            ),
        ];
        let registered = Timestamp::from_nanos;
        Recorded {
            agents: vec![
                (
                    agent(OPERATOR, 1),
                    agent_info("127.0.0.2", "r1"),
                    registered(1_795_336_467_252_513_792),
                ),
                (
                    agent(OPERATOR, 0),
                    agent_info("127.0.0.3", "r2"),
                    registered(1_795_336_467_232_854_016),
                ),
            ],
            offers: offers(OPERATOR, &role),
            framework: framework(OPERATOR, "op-fw", &role, &raw),
            registered: registered(1_795_336_472_468_343_040),
            role,
            tasks: vec![
                task("op-run", &labelled, Tasks::Live, running),
                task("op-done", &labelled, Tasks::Completed, done),
            ],
            copies: 1,
        }
    }

    /// Where both tasks are.
    fn busy(&self) -> &(AgentId, AgentInfo, Timestamp) {
        &self.agents[0]
    }

    /// A task as a listing shows it.
    pub fn entry<'a>(&'a self, task: &'a RecordedTask) -> TaskEntry<'a> {
        let (state, launched, _) = *task.said.last().unwrap();
        let (id, info, _) = self.busy();
        let status = |(state, time, uuid): &Said| StatusEntry {
            state: *state,
            source: shoal_api::Source::Executor,
            reason: None,
            message: "",
            timestamp: at(*time),
            update: Some(UpdateId(*uuid)),
            exit: (*state == TaskState::Finished).then_some(Exit::Code(0)),
        };
        TaskEntry {
            framework: self.framework.id.as_ref().unwrap(),
            spec: &task.spec,
            agent: *id,
            address: info.http.ip(),
            container: task.container,
            role: &self.role,
            state,
            statuses: task.said.iter().map(status).collect(),
            launched: at(launched),
        }
    }

    fn used(&self) -> Allocations {
        let mut used = Allocations::default();
        used.add(&self.role, &self.tasks[0].spec.resources);
        used
    }
}

impl Source for Recorded {
    fn agents(&self) -> Entries<'_, AgentEntry<'_>> {
        Box::new(self.agents.iter().map(|(id, info, registered)| {
            let mut offered = Allocations::default();
            for offer in self.offers.iter().filter(|offer| offer.agent == *id) {
                offered.add(&offer.role, &offer.resources);
            }
            AgentEntry {
                id: *id,
                info,
                presence: Presence::Connected,
                registered: *registered,
                reregistered: None,
                used: match *id == self.busy().0 {
                    true => self.used(),
                    false => Allocations::default(),
                },
                offered,
            }
        }))
    }

    fn agent_info(&self, agent: AgentId) -> Option<&AgentInfo> {
        let found = self.agents.iter().find(|(id, _, _)| *id == agent);
        found.map(|(_, info, _)| info)
    }

    fn frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        let mut offered = Allocations::default();
        for offer in &self.offers {
            offered.add(&offer.role, &offer.resources);
        }
        Box::new(std::iter::once(FrameworkEntry {
            id: self.framework.id.as_ref().unwrap(),
            info: &self.framework,
            connected: true,
            registered: self.registered,
            reregistered: None,
            unregistered: None,
            used: self.used(),
            offered,
        }))
    }

    fn completed_frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        Box::new(std::iter::empty())
    }

    fn tasks<'a>(&'a self, _of: &'a FrameworkId, group: Tasks) -> Entries<'a, TaskEntry<'a>> {
        let copies = match group {
            Tasks::Live => self.copies,
            Tasks::Unreachable | Tasks::Completed => 1,
        };
        let tasks = self.tasks.iter().filter(move |task| task.group == group);
        Box::new(tasks.flat_map(move |task| (0..copies).map(move |_| self.entry(task))))
    }

    fn offers<'a>(&'a self, _framework: &'a FrameworkId) -> Entries<'a, &'a Offer> {
        Box::new(self.offers.iter())
    }
}

fn of(origin: &str, started: i64, elected: i64) -> Identity<'static> {
    let master = Master {
        id: Arc::from(origin),
        http: HostPort::new("127.0.0.1", 5050),
    };
    Identity {
        leader: Some(master.clone()),
        master,
        cluster: "peer",
        started: at(started),
        elected: Some(at(elected)),
        flags: &[],
        build: Build {
            date: "2026-11-22 08:20:24 UTC",
            time: at(1_795_335_624_000_000),
            branch: "refs/heads/master",
            sha: "3e76677fe0a38b416286ac4219f5eb2ff76bef4e",
        },
    }
}

/// The master of the recordings of version 0.
pub fn identity() -> Identity<'static> {
    of(V0, 1_795_336_511_974_186, 1_795_336_511_975_751)
}

/// The master of the recordings of the operator API.
pub fn operator_identity() -> Identity<'static> {
    of(OPERATOR, 1_795_336_466_410_650, 1_795_336_466_411_941)
}

/// Takes away what a recording has and ours has not: where Mesos keeps its files, its settings, the
/// process of an executor in a status, a field of an agent that is in no message of version 1. Sorts resources, whose order
/// says nothing.
pub fn without_what_is_not_ours(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["executor_pid", "log_dir"] {
                fields.remove(name);
            }
            if fields.contains_key("hostname") && fields.contains_key("attributes") {
                fields.remove("checkpoint");
            }
            if let Some(flags) = fields.get_mut("flags") {
                *flags = Value::Object(Default::default());
            }
            if let Some(version) = fields.get_mut("version") {
                *version = Value::from("1.11.0");
            }
            fields.values_mut().for_each(without_what_is_not_ours);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(without_what_is_not_ours);
            if items
                .iter()
                .all(|item| item.get("scalar").is_some() || item.get("ranges").is_some())
            {
                items.sort_by_key(|item| item["name"].as_str().unwrap_or_default().to_owned());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
