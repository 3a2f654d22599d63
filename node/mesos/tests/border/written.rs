//! Notices become the events that Mesos sent in the same place.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::agent::{AgentInfo, Attribute};
use shoal_api::call::AgentName;
use shoal_api::notice::{Notice, TaskStatus};
use shoal_api::offer::Offer;
use shoal_api::resource::{Amount, Range};
use shoal_api::task::Exit;
use shoal_api::{
    AgentId, AttributeValue, Capability, ContainerId, FrameworkInfo, HostPort, Name, NodeId,
    Reason, Resources, Role, Source, TaskState, Timestamp, UpdateId,
};
use shoal_mesos::codec::Codec;
use shoal_mesos::event::{Audience, Surroundings, record, refusal};
use shoal_mesos::master::Master;
use shoal_mesos::proto::v1::scheduler::Event;
use shoal_mesos::record_io::Decoder;

use crate::{comparable, events};

struct World(Master);

impl Surroundings for World {
    fn master(&self) -> &Master {
        &self.0
    }

    fn address_of(&self, _agent: &AgentId) -> Option<IpAddr> {
        "127.0.0.2".parse().ok()
    }
}

fn world() -> World {
    World(Master {
        id: Arc::from("d57482ac-1e1d-44cb-912a-2e916fc1add9"),
        http: HostPort::new("127.0.0.1", 5050),
    })
}

fn framework(capabilities: &[Capability]) -> FrameworkInfo {
    FrameworkInfo {
        id: None,
        name: Arc::from("n"),
        user: Arc::from("u"),
        principal: None,
        roles: BTreeSet::from([Role::any()]),
        suppressed: BTreeSet::new(),
        capabilities: capabilities.iter().copied().collect(),
        failover_timeout: Duration::ZERO,
        raw: Bytes::new(),
    }
}

fn modern() -> Audience {
    let capabilities = [Capability::MultiRole, Capability::ReservationRefinement];
    Audience::new(&framework(&capabilities), Codec::Json)
}

/// The JSON of the one record that a notice becomes.
fn json(notice: &Notice, audience: Audience) -> String {
    let mut decoder = Decoder::new();
    decoder.push(&record(notice, audience, &world()));
    let record = decoder.next_record().unwrap().expect("a whole record");
    assert!(decoder.is_between_records());
    String::from_utf8(record.to_vec()).unwrap()
}

/// The recorded event that holds all of these texts.
fn recorded(texts: &[&str]) -> &'static str {
    events()
        .find(|line| texts.iter().all(|text| line.contains(text)))
        .unwrap_or_else(|| panic!("no recorded event holds {texts:?}"))
}

fn agent() -> AgentId {
    "d57482ac-1e1d-44cb-912a-2e916fc1add9-S0".parse().unwrap()
}

fn agent_info() -> AgentInfo {
    let text = |name: &str, value: &str| Attribute {
        name: Arc::from(name),
        value: AttributeValue::Text(Arc::from(value)),
    };
    AgentInfo {
        node: NodeId(1),
        name: Name::new("a").unwrap(),
        http: HostPort::new("127.0.0.2", 5051),
        resources: Resources::new(),
        attributes: vec![text("rack", "r1"), text("zone", "z1")],
        version: Arc::from("1.0.0"),
    }
}

fn offers(role: &str) -> Notice {
    let offer = Offer {
        id: "d57482ac-1e1d-44cb-912a-2e916fc1add9-O0".parse().unwrap(),
        framework: "d57482ac-1e1d-44cb-912a-2e916fc1add9-0000".parse().unwrap(),
        agent: agent(),
        role: Role::new(role).unwrap(),
        resources: Resources::parse("cpus:4;mem:4096;disk:8192;ports:[31000-32000]").unwrap(),
    };
    Notice::Offers(vec![(offer, Arc::new(agent_info()))])
}

#[test]
fn the_first_events_are_those_of_mesos() {
    let subscribed = Notice::Subscribed {
        framework: "d57482ac-1e1d-44cb-912a-2e916fc1add9-0000".parse().unwrap(),
    };
    let expected = recorded(&["\"SUBSCRIBED\"", "916fc1add9-0000"]);
    let expected = expected.replace("\"1.12.0\"", "\"1.11.0\"");
    assert_eq!(json(&subscribed, modern()), expected);
    let heartbeat = record(&Notice::Heartbeat, modern(), &world());
    assert_eq!(&*heartbeat, b"20\n{\"type\":\"HEARTBEAT\"}");
}

#[test]
fn an_offer_has_the_fields_that_its_framework_understands() {
    let ours = comparable(&json(&offers("trace"), modern()));
    let theirs = comparable(recorded(&["\"OFFERS\"", "-O0\"", "\"trace\""]));
    same_offer(&ours["offers"]["offers"][0], &theirs["offers"]["offers"][0]);

    let old = Audience::new(&framework(&[]), Codec::Json);
    let ours = comparable(&json(&offers("*"), old));
    let theirs = comparable(recorded(&["\"OFFERS\"", "\"role\":\"*\""]));
    let ours = &ours["offers"]["offers"][0];
    let theirs = &theirs["offers"]["offers"][0];
    let keys = |offer: &serde_json::Value| -> Vec<String> {
        offer.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(ours), keys(theirs));
    assert_eq!(sorted(&ours["resources"]), sorted(&theirs["resources"]));
}

/// Equal but for the order of resources, which means nothing.
fn same_offer(ours: &serde_json::Value, theirs: &serde_json::Value) {
    let (mut left, mut right) = (ours.clone(), theirs.clone());
    left["resources"] = serde_json::Value::Null;
    right["resources"] = serde_json::Value::Null;
    assert_eq!(left, right);
    assert_eq!(sorted(&ours["resources"]), sorted(&theirs["resources"]));
}

fn sorted(list: &serde_json::Value) -> Vec<String> {
    let mut items: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    items.sort();
    items
}

fn status(task: &str, state: TaskState) -> TaskStatus {
    TaskStatus {
        task: Arc::from(task),
        agent: Some(AgentName::Id(agent())),
        state,
        source: Source::Executor,
        reason: None,
        message: Arc::from(""),
        timestamp: Timestamp::from_nanos(1_795_336_363_664_010_000),
        update: None,
        unreachable_since: None,
        exit: None,
        container: None,
    }
}

#[test]
fn the_end_of_a_task_is_told_as_mesos_does() {
    let finished = TaskStatus {
        update: Some(UpdateId(0x9ec8_3cdb_f4ce_434f_927b_51b0_1b9a_2ad0)),
        exit: Some(Exit::Code(0)),
        container: Some(ContainerId(0x2039_9aae_6bf1_4f08_a0b9_fed7_aeee_344f)),
        ..status("t-finish", TaskState::Finished)
    };
    let mut expected = comparable(recorded(&["1795336363.66401,"]));
    let container = &mut expected["update"]["status"]["container_status"];
    let container = container.as_object_mut().unwrap();
    container.remove("executor_pid");
    assert_eq!(
        comparable(&json(&Notice::Update(finished), modern())),
        expected
    );

    let killed = TaskStatus {
        exit: Some(Exit::Signal(9)),
        ..status("t", TaskState::Killed)
    };
    let killed = json(&Notice::Update(killed), modern());
    assert!(
        killed.contains("\"Command terminated with signal Killed\""),
        "{killed}"
    );
}

#[test]
fn what_a_master_says_has_no_executor_and_no_uuid() {
    let invalid = TaskStatus {
        source: Source::Master,
        reason: Some(Reason::InvalidOffers),
        message: Arc::from("Task launched with invalid offers: Offer nosuch-O1 is no longer valid"),
        agent: "d57482ac-1e1d-44cb-912a-2e916fc1add9-S1"
            .parse()
            .ok()
            .map(AgentName::Id),
        timestamp: Timestamp::from_nanos(1_795_336_370_393_828_000),
        ..status("t-badoffer", TaskState::Dropped)
    };
    let expected = recorded(&["t-badoffer"]);
    assert_eq!(
        comparable(&json(&Notice::Update(invalid), modern())),
        comparable(expected)
    );

    let unknown = TaskStatus {
        source: Source::Master,
        reason: Some(Reason::Reconciliation),
        message: Arc::from("Reconciliation: Task is unknown"),
        agent: Some(AgentName::Foreign(Arc::from("nosuchagent"))),
        timestamp: Timestamp::from_nanos(1_795_336_364_733_463_000),
        ..status("nosuch3", TaskState::Unknown)
    };
    let expected = recorded(&["nosuchagent"]);
    assert_eq!(
        comparable(&json(&Notice::Update(unknown), modern())),
        comparable(expected)
    );
}

#[test]
fn a_lost_agent_is_told_with_its_time() {
    let expected = recorded(&[
        "health check timed out",
        "unreachable_time",
        "TASK_UNREACHABLE",
    ]);
    let theirs = comparable(expected);
    let theirs = &theirs["update"]["status"];
    let seconds = theirs["timestamp"].as_f64().unwrap();
    let since: serde_json::Value = serde_json::from_str(expected).unwrap();
    let since = since["update"]["status"]["unreachable_time"]["nanoseconds"]
        .as_i64()
        .unwrap();
    let unreachable = TaskStatus {
        agent: theirs["agent_id"]["value"]
            .as_str()
            .unwrap()
            .parse()
            .ok()
            .map(AgentName::Id),
        source: Source::Master,
        reason: Some(Reason::AgentRemoved),
        message: Arc::from("health check timed out"),
        timestamp: Timestamp::from_nanos((seconds * 1e6) as i64 * 1000),
        unreachable_since: Some(Timestamp::from_nanos(since)),
        ..status(
            theirs["task_id"]["value"].as_str().unwrap(),
            TaskState::Unreachable,
        )
    };
    let ours = comparable(&json(&Notice::Update(unreachable), modern()));
    assert_eq!(
        &ours["update"]["status"]["unreachable_time"],
        &theirs["unreachable_time"]
    );
    assert_eq!(ours["update"]["status"]["reason"], theirs["reason"]);
}

#[test]
fn the_short_events_are_those_of_mesos() {
    let failure = Notice::Failure {
        agent: "1f004fe3-65cc-45a9-ab06-c90b1cebe749-S0".parse().unwrap(),
    };
    assert_eq!(
        json(&failure, modern()),
        recorded(&["\"FAILURE\"", "1cebe749-S0\"}}}"])
    );
    let rescind = Notice::Rescind("1f004fe3-65cc-45a9-ab06-c90b1cebe749-O3".parse().unwrap());
    assert_eq!(
        json(&rescind, modern()),
        recorded(&["\"RESCIND\"", "1cebe749-O3"])
    );
    let error = Notice::Error(Arc::from("Framework failed over"));
    assert_eq!(
        json(&error, modern()),
        recorded(&["\"ERROR\"", "failed over"])
    );
    assert_eq!(
        &*refusal("Framework has been removed", Codec::Json),
        b"65\n{\"type\":\"ERROR\",\"error\":{\"message\":\"Framework has been removed\"}}"
    );
}

#[test]
fn every_notice_is_written_in_protobuf_too() {
    let audience = Audience {
        codec: Codec::Protobuf,
        ..modern()
    };
    for notice in [Notice::Heartbeat, offers("trace")] {
        let mut decoder = Decoder::new();
        decoder.push(&record(&notice, audience, &world()));
        let bytes = decoder.next_record().unwrap().unwrap();
        let event: Event = Codec::Protobuf.decode(&bytes).unwrap();
        let text = Codec::Json.encode(&event);
        assert_eq!(std::str::from_utf8(&text).unwrap(), json(&notice, modern()));
    }
}

#[test]
fn attributes_of_all_kinds_are_written() {
    let attribute = |name: &str, value| Attribute {
        name: Arc::from(name),
        value,
    };
    let mut info = agent_info();
    info.http = HostPort::new("host.example", 5051);
    info.attributes = vec![
        attribute("level", AttributeValue::Scalar(Amount(1500))),
        attribute(
            "zones",
            AttributeValue::Ranges(vec![Range { begin: 1, end: 3 }]),
        ),
    ];
    let Notice::Offers(mut list) = offers("trace") else {
        panic!("these are offers");
    };
    list[0].1 = Arc::new(info);
    let value = comparable(&json(&Notice::Offers(list), modern()));
    let offer = &value["offers"]["offers"][0];
    assert_eq!(offer["attributes"][0]["scalar"]["value"], 1.5);
    assert_eq!(offer["attributes"][1]["ranges"]["range"][0]["end"], 3.0);
    assert_eq!(offer["url"]["address"].get("ip"), None);
}
