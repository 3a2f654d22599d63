//! The listings of version 0 have the shape of Mesos'.

use bytes::Bytes;
use serde_json::Value;
use shoal_mesos::codec::Codec;
use shoal_mesos::limits;
use shoal_mesos::listing::{
    Identity, TaskQuery, flags, frameworks, roles, slaves, state, state_summary, tasks, version,
};
use shoal_mesos::proto::v1;

use crate::comparable;
use crate::recorded::{Recorded, identity, without_what_is_not_ours};

fn text_of(write: impl FnOnce(&mut dyn FnMut(Bytes))) -> (String, usize) {
    let mut pieces = Vec::new();
    write(&mut |piece| pieces.push(piece));
    (String::from_utf8(pieces.concat()).unwrap(), pieces.len())
}

#[test]
fn the_state_has_the_shape_of_mesos() {
    let (ours, _) = text_of(|sink| state(&identity(), &Recorded::v0(), sink));
    let mut theirs = comparable(include_str!("../golden/state.json"));
    without_what_is_not_ours(&mut theirs);
    assert_eq!(comparable(&ours), theirs);
}

#[test]
fn a_long_state_leaves_in_pieces() {
    let mut source = Recorded::v0();
    source.copies = 1000;
    let (text, pieces) = text_of(|sink| frameworks(&source, None, sink));
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
    let (text, _) = text_of(|sink| state(&identity, &Recorded::v0(), sink));
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
    let mut source = Recorded::v0();
    let raw: v1::TaskInfo = Codec::Json
        .decode(
            br#"{"name":"n","task_id":{"value":"t"},"agent_id":{"value":"a"},
                "labels":{"labels":[{"key":"x","value":"y"}]},
                "discovery":{"visibility":"CLUSTER","name":"d","ports":{"ports":[{"number":80}]}}}"#,
        )
        .unwrap();
    source.tasks[0].spec.raw = Codec::Protobuf.encode(&raw);
    let (text, _) = text_of(|sink| frameworks(&source, None, sink));
    let value = comparable(&text);
    let task = &value["frameworks"][0]["tasks"][0];
    assert_eq!(task["labels"][0]["key"], "x");
    assert_eq!(task["discovery"]["ports"]["ports"][0]["number"], 80.0);
}

/// What Mesos answered for one of its smaller listings.
fn recorded(name: &str) -> Value {
    let all = comparable(include_str!("../golden/v0.json"));
    let mut value = all[name].clone();
    without_what_is_not_ours(&mut value);
    value
}

#[test]
fn the_smaller_listings_have_the_shape_of_mesos() {
    let source = Recorded::v0();
    let identity = identity();
    let newest = TaskQuery::default();
    let oldest = TaskQuery {
        limit: Some(1),
        ascending: true,
        ..TaskQuery::default()
    };
    let listings = [
        (
            "state-summary",
            text_of(|sink| state_summary(&identity, &source, sink)),
        ),
        ("slaves", text_of(|sink| slaves(&source, None, sink))),
        (
            "frameworks",
            text_of(|sink| frameworks(&source, None, sink)),
        ),
        ("tasks", text_of(|sink| tasks(&newest, &source, sink))),
        (
            "tasks-limit-1-asc",
            text_of(|sink| tasks(&oldest, &source, sink)),
        ),
        ("roles", text_of(|sink| roles(&source, sink))),
    ];
    for (name, (ours, _)) in listings {
        let mut ours = comparable(&ours);
        without_what_is_not_ours(&mut ours);
        assert_eq!(ours, recorded(name), "{name}");
    }
}

#[test]
fn listings_are_filtered() {
    let source = Recorded::v0();
    let agent = source.agents[0].0.to_string();
    let (text, _) = text_of(|sink| slaves(&source, Some(&agent), sink));
    let value = comparable(&text);
    assert_eq!(value["slaves"].as_array().unwrap().len(), 1);
    assert_eq!(value["slaves"][0]["id"], agent.as_str());
    let (text, _) = text_of(|sink| frameworks(&source, Some("nobody"), sink));
    assert_eq!(comparable(&text)["frameworks"], Value::Array(Vec::new()));

    let count = |query: &TaskQuery| {
        let (text, _) = text_of(|sink| tasks(query, &source, sink));
        comparable(&text)["tasks"].as_array().unwrap().len()
    };
    let with = |change: &dyn Fn(&mut TaskQuery)| {
        let mut query = TaskQuery::default();
        change(&mut query);
        count(&query)
    };
    assert_eq!(with(&|_| {}), 2);
    assert_eq!(with(&|query| query.limit = Some(0)), 0);
    assert_eq!(with(&|query| query.limit = None), 2);
    assert_eq!(with(&|query| query.offset = 1), 1);
    assert_eq!(with(&|query| query.offset = 7), 0);
    assert_eq!(with(&|query| query.task = Some("v0-run".to_owned())), 1);
    assert_eq!(with(&|query| query.framework = Some("x".to_owned())), 0);
}

#[test]
fn flags_are_an_object() {
    let text = flags(&[("hostname", "a\"b".to_owned()), ("port", "5050".to_owned())]);
    let value = comparable(std::str::from_utf8(&text).unwrap());
    assert_eq!(value["flags"]["hostname"], "a\"b");
    assert_eq!(value["flags"]["port"], "5050");
}
