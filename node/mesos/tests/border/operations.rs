//! The operator API has the shape of Mesos', in both encodings.

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use shoal_api::TaskState;
use shoal_mesos::call::Head;
use shoal_mesos::codec::Codec;
use shoal_mesos::json::Message;
use shoal_mesos::limits;
use shoal_mesos::listing::Source;
use shoal_mesos::operator::answers::{self, Part};
use shoal_mesos::operator::{events, show, to_agent, to_master};
use shoal_mesos::proto::v1::master::{Event, Response, call, response};
use shoal_mesos::record_io::Decoder;

use crate::recorded::{Recorded, operator_identity, without_what_is_not_ours};
use crate::{Exchange, comparable};

fn recorded(name: &str) -> Value {
    let mut value = comparable(include_str!("../golden/operator.json"))[name].clone();
    without_what_is_not_ours(&mut value);
    value
}

fn ours(text: &[u8]) -> Value {
    let mut value = comparable(std::str::from_utf8(text).unwrap());
    without_what_is_not_ours(&mut value);
    value
}

#[test]
fn parts_of_the_ledger_have_the_shape_of_mesos() {
    let source = Recorded::operator();
    for (name, part) in [
        ("get_state", Part::State),
        ("get_tasks", Part::Tasks),
        ("get_executors", Part::Executors),
        ("get_frameworks", Part::Frameworks),
        ("get_agents", Part::Agents),
    ] {
        let text = answers::part(part, &source, Codec::Json).concat();
        assert_eq!(ours(&text), recorded(name), "{name}");
        let bytes = answers::part(part, &source, Codec::Protobuf).concat();
        let from_protobuf: Response = Codec::Protobuf.decode(&bytes).expect(name);
        let from_json: Response = Codec::Json.decode(&text).expect(name);
        assert_eq!(from_protobuf, from_json, "{name}");
        assert_eq!(from_protobuf.encoded_len(), bytes.len(), "{name}");
    }
}

#[test]
fn short_answers_have_the_shape_of_mesos() {
    let identity = operator_identity();
    let source = Recorded::operator();
    for (name, response) in [
        ("get_health", answers::health()),
        ("get_version", answers::version(&identity)),
        ("get_logging_level", answers::logging_level()),
        ("get_operations", answers::operations()),
        ("get_roles", answers::roles(&source)),
        ("get_weights", answers::weights()),
        ("get_master", answers::master(&identity)),
        ("get_quota", answers::no_quota()),
        ("get_maintenance_status", answers::no_maintenance()),
        ("get_maintenance_schedule", answers::no_schedule()),
    ] {
        let text = Codec::Json.encode(&response);
        assert_eq!(ours(&text), recorded(name), "{name}");
        let bytes = Codec::Protobuf.encode(&response);
        let back: Response = Codec::Protobuf.decode(&bytes).expect(name);
        assert_eq!(back, response, "{name}");
    }
    let flags = answers::flags(&[("port", "5050".to_owned())]);
    let metrics = answers::metrics(&[("master/elected".to_owned(), 1.0)]);
    assert_eq!(
        ours(&Codec::Json.encode(&flags)).to_string(),
        r#"{"get_flags":{"flags":{}},"type":"GET_FLAGS"}"#
    );
    assert_eq!(
        ours(&Codec::Json.encode(&metrics))["get_metrics"]["metrics"][0]["value"],
        1.0
    );
}

/// A long answer is held in pieces, whose lengths stand before them where the encoding wants it.
#[test]
fn a_long_answer_comes_in_pieces() {
    let mut source = Recorded::operator();
    source.copies = 3000;
    for codec in [Codec::Json, Codec::Protobuf] {
        let pieces = answers::part(Part::State, &source, codec);
        assert!(pieces.len() > 10, "{}", pieces.len());
        let longest = pieces.iter().map(Bytes::len).max().unwrap();
        assert!(longest < 2 * limits::LISTING_CHUNK_BYTES, "{longest}");
        let response: Response = codec.decode(&pieces.concat()).unwrap();
        assert_eq!(response.r#type(), response::Type::GetState);
        let state = response.get_state.unwrap();
        assert_eq!(state.get_tasks.unwrap().tasks.len(), 3000);
        assert_eq!(state.get_agents.unwrap().agents.len(), 2);
    }
}

fn records(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut decoder = Decoder::new();
    pieces.iter().for_each(|piece| decoder.push(piece));
    let mut found = Vec::new();
    while let Some(record) = decoder.next_record().unwrap() {
        found.push(record);
    }
    assert!(decoder.is_between_records());
    found
}

fn written(event: &Event) -> Value {
    ours(&records(&[events::record(event, Codec::Json)])[0])
}

#[test]
fn events_have_the_shape_of_mesos() {
    let source = Recorded::operator();
    let theirs: Vec<Value> = include_str!("../golden/operator-events.jsonl")
        .lines()
        .map(|line| ours(line.as_bytes()))
        .collect();
    let find = |kind: &str, task: Option<&str>, state: Option<&str>| {
        let found = theirs.iter().find(|event| {
            let updated = &event["task_updated"];
            event["type"] == kind
                && task.is_none_or(|task| {
                    updated["status"]["task_id"]["value"] == task
                        || event["task_added"]["task"]["name"] == task
                })
                && state.is_none_or(|state| updated["state"] == state)
        });
        found
            .unwrap_or_else(|| panic!("no {kind} was recorded"))
            .clone()
    };
    assert_eq!(written(&events::heartbeat()), find("HEARTBEAT", None, None));

    let mut framework = source.frameworks().next().unwrap();
    framework.used = Default::default();
    framework.offered = Default::default();
    assert_eq!(
        written(&events::framework_added(&framework)),
        find("FRAMEWORK_ADDED", None, None)
    );
    assert_eq!(
        written(&events::framework_removed(framework.id, framework.info)),
        find("FRAMEWORK_REMOVED", None, None)
    );
    for task in &source.tasks {
        let entry = source.entry(task);
        let name = Some(task.spec.id.as_str());
        assert_eq!(
            written(&events::task_added(&entry)),
            find("TASK_ADDED", name, None)
        );
        for said in &entry.statuses {
            let status = show::status(
                said,
                &task.spec.id,
                entry.agent,
                entry.container,
                entry.address,
            );
            let event = events::task_updated(entry.framework, status, said.state);
            let state = Some(said.state.as_str());
            assert_eq!(written(&event), find("TASK_UPDATED", name, state));
        }
    }
    assert_eq!(source.entry(&source.tasks[1]).state, TaskState::Finished);
}

#[test]
fn a_stream_begins_with_everything() {
    let source = Recorded::operator();
    for codec in [Codec::Json, Codec::Protobuf] {
        let records = records(&events::subscribed(&source, codec));
        assert_eq!(records.len(), 1);
        let event: Event = codec.decode(&records[0]).unwrap();
        let subscribed = event.subscribed.unwrap();
        assert_eq!(subscribed.heartbeat_interval_seconds(), 15.0);
        let state = answers::part(Part::State, &source, codec).concat();
        let response: Response = codec.decode(&state).unwrap();
        assert_eq!(subscribed.get_state, response.get_state);
    }
    let agent = source.agents().next().unwrap();
    let added = events::agent_added(&agent);
    let line = Codec::Json.encode(&added);
    assert!(line.starts_with(br#"{"type":"AGENT_ADDED","agent_added":{"agent":{"agent_info":"#));
    let removed = written(&events::agent_removed(agent.id));
    assert_eq!(
        removed["agent_removed"]["agent_id"]["value"],
        agent.id.to_string()
    );
}

fn head<'a>(exchange: &'a Exchange) -> Head<'a> {
    Head {
        method: &exchange.method,
        content_type: exchange.content_type.as_deref(),
        accept: exchange.accept.as_deref(),
        ..Head::default()
    }
}

#[test]
fn bad_calls_are_refused_as_by_mesos() {
    let lines = include_str!("../golden/operator-refusals.jsonl").lines();
    let mut seen = 0;
    for line in lines {
        let exchange: Exchange = serde_json::from_str(line).unwrap();
        let refused = to_master(&head(&exchange), exchange.body.as_bytes());
        let by_the_border = [
            "Expecting",
            "405",
            "Failed to parse",
            "Failed to validate master",
        ]
        .iter()
        .any(|words| exchange.text.starts_with(words));
        if !by_the_border {
            // What the state of the cluster refused is a call that makes sense by itself.
            refused.expect(&exchange.name);
            continue;
        }
        let refusal = refused.expect_err(&exchange.name);
        assert_eq!(refusal.status(), exchange.status, "{}", exchange.name);
        // Of JSON that ends too early we quote the last character, and Mesos nothing.
        let text = refusal.to_string();
        assert!(
            text.starts_with(exchange.text.trim()),
            "{text}: {}",
            exchange.name
        );
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn an_agent_and_old_names_are_understood() {
    let post = Head {
        method: "POST",
        content_type: Some("application/json"),
        ..Head::default()
    };
    let call = to_master(&post, br#"{"type":"GET_LEADING_MASTER"}"#).unwrap();
    assert_eq!(call.call.r#type(), call::Type::GetMaster);
    assert_eq!(
        &*Codec::Json.encode(&call.call),
        br#"{"type":"GET_MASTER"}"#
    );
    assert!(to_agent(&post, br#"{"type":"GET_HEALTH"}"#).is_ok());
    for (body, text) in [
        (
            "{}",
            "Failed to validate agent::Call: Expecting 'type' to be present",
        ),
        (
            r#"{"type":"READ_FILE"}"#,
            "Failed to validate agent::Call: Expecting 'read_file' to be present",
        ),
        (
            r#"{"type":"LIST_FILES","list_files":{}}"#,
            "Failed to convert JSON into Call protobuf: Missing required fields: list_files.path",
        ),
    ] {
        let refusal = to_agent(&post, body.as_bytes()).unwrap_err();
        assert_eq!(refusal.to_string(), text);
        assert_eq!(refusal.status(), 400);
    }
}

/// An unknown name of a call reads as no type at all, whatever it asks for.
#[test]
fn every_call_names_what_it_lacks() {
    let post = Head {
        method: "POST",
        content_type: Some("application/json"),
        ..Head::default()
    };
    let mut lacking = 0;
    for number in 1..=39 {
        let kind = call::Type::try_from(number).expect("numbers have no gaps");
        let name = kind.as_str_name();
        let body = format!(r#"{{"type":"{name}"}}"#);
        let Err(refusal) = to_master(&post, body.as_bytes()) else {
            let reads = name.starts_with("GET_") || name == "SUBSCRIBE";
            assert!(reads, "{name}");
            continue;
        };
        let expected = format!(
            "Failed to validate master::Call: Expecting '{}' to be present",
            name.to_lowercase()
        );
        assert_eq!(refusal.to_string(), expected);
        lacking += 1;
    }
    assert_eq!(lacking, 22);
    assert_eq!(
        <call::Type as shoal_mesos::json::Names>::number("NOPE"),
        None
    );
    assert_eq!(Response::NAME, "mesos.v1.master.Response");
}
