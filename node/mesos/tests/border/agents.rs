//! What an agent says of itself has the shape of Mesos'.

use serde_json::Value;
use shoal_api::Timestamp;
use shoal_mesos::agent::{
    AgentState, Part, Run, Stage, Usage, answers, containers, part, push_containers,
    push_statistics, state,
};
use shoal_mesos::codec::Codec;
use shoal_mesos::listing::Tasks;
use shoal_mesos::proto::v1;
use shoal_mesos::proto::v1::agent::Response;

use crate::comparable;
use crate::recorded::{Recorded, operator_identity, without_what_is_not_ours};

fn recorded(name: &str) -> Value {
    let mut value = comparable(include_str!("../golden/agent.json"))[name].clone();
    without_what_is_not_ours(&mut value);
    value
}

fn ours(text: &[u8]) -> Value {
    let mut value = comparable(std::str::from_utf8(text).unwrap());
    without_what_is_not_ours(&mut value);
    value
}

const USAGE: Usage = Usage {
    pid: 23_509,
    at: Timestamp::from_nanos(1_795_336_476_126_502_000),
    user_seconds: 0.11,
    system_seconds: 0.04,
    resident_bytes: 110_874_624,
};

fn with_state<T>(then: impl FnOnce(&AgentState<'_>) -> T) -> T {
    let source = Recorded::operator();
    let (id, info, _) = &source.agents[0];
    let runs = source.tasks.iter().map(|task| Run {
        task: source.entry(task),
        stage: match task.group {
            Tasks::Live => Stage::Launched,
            Tasks::Unreachable => Stage::Terminated,
            Tasks::Completed => Stage::Completed,
        },
        framework_name: &source.framework.name,
        framework_user: &source.framework.user,
        usage: Some(USAGE),
        directory: "/data/runs/c1".to_owned(),
    });
    let identity = operator_identity();
    then(&AgentState {
        id: Some(*id),
        info,
        started: identity.started,
        master: Some("localhost"),
        flags: &[],
        build: identity.build,
        runs: runs.collect(),
    })
}

fn of_part(which: Part) -> Value {
    let json = with_state(|state| part(which, state, Codec::Json).concat());
    let protobuf = with_state(|state| part(which, state, Codec::Protobuf).concat());
    // Written again, since JSON has defaults where protobuf has nothing.
    let from_protobuf: Response = Codec::Protobuf.decode(&protobuf).unwrap();
    let from_json: Response = Codec::Json.decode(&json).unwrap();
    assert_eq!(
        Codec::Json.encode(&from_protobuf),
        Codec::Json.encode(&from_json)
    );
    ours(&json)
}

#[test]
fn answers_have_the_shape_of_mesos() {
    assert_eq!(of_part(Part::Tasks), recorded("get_tasks"));
    let build = operator_identity().build;
    let read = |text: &[u8]| answers::read(4, text.to_vec());
    for (name, response) in [
        ("get_health", answers::health()),
        ("get_version", answers::version(&build)),
        ("get_logging_level", answers::logging_level()),
        ("get_operations", answers::operations()),
        ("get_resource_providers", answers::resource_providers()),
        ("get_agent", with_state(answers::agent)),
        ("read_file", read(b"out\n")),
        ("read_file-range", read(b"")),
    ] {
        assert_eq!(
            ours(&Codec::Json.encode(&response)),
            recorded(name),
            "{name}"
        );
    }
    let listed: Response = Codec::Json
        .decode(recorded("list_files").to_string().as_bytes())
        .unwrap();
    let files = listed.list_files.clone().unwrap().file_infos;
    assert_eq!(answers::files(files), listed);
    let all = of_part(Part::State);
    for (name, which) in [
        ("get_tasks", Part::Tasks),
        ("get_executors", Part::Executors),
        ("get_frameworks", Part::Frameworks),
    ] {
        assert_eq!(all["get_state"][name], of_part(which)[name]);
    }
}

/// Every key that a recorded object has is in ours with the same kind of value, those apart that an
/// agent of ours does not know.
fn assert_covers(ours: &Value, theirs: &Value, unknown: &[&str], at: &str) {
    let (Some(ours), Some(theirs)) = (ours.as_object(), theirs.as_object()) else {
        panic!("{at} is no object");
    };
    for (key, value) in theirs {
        if unknown.contains(&key.as_str()) {
            continue;
        }
        let own = ours.get(key).unwrap_or_else(|| panic!("{at} lacks {key}"));
        let same = std::mem::discriminant(own) == std::mem::discriminant(value);
        assert!(same, "{at}.{key}: {own} and {value}");
    }
    for key in ours.keys() {
        let known = theirs.contains_key(key) || unknown.contains(&key.as_str());
        assert!(known, "{at} has a key of its own, {key}");
    }
}

#[test]
fn the_state_has_the_keys_of_mesos() {
    let mut pieces = Vec::new();
    with_state(|agent| state(agent, &mut |piece| pieces.push(piece)));
    let ours = ours(&pieces.concat());
    let theirs = recorded("state");
    assert_covers(&ours, &theirs, &["log_dir"], "state");
    let (ours, theirs) = (&ours["frameworks"][0], &theirs["frameworks"][0]);
    assert_covers(ours, theirs, &["failover_timeout"], "framework");
    for (list, tasks) in [
        ("executors", "tasks"),
        ("completed_executors", "completed_tasks"),
    ] {
        let (own, recorded) = (&ours[list][0], &theirs["executors"][0]);
        assert_covers(own, recorded, &[], list);
        assert_eq!(own[tasks].as_array().unwrap().len(), 1, "{list}");
        let task = &recorded["tasks"][0];
        assert_covers(&own[tasks][0], task, &["labels"], tasks);
    }
    assert_eq!(ours["executors"][0]["directory"], "/data/runs/c1");
    let name = ours["executors"][0]["name"].as_str().unwrap();
    assert!(
        name.starts_with("Command Executor (Task: op-run)"),
        "{name}"
    );
}

#[test]
fn executors_and_frameworks_have_the_keys_of_mesos() {
    let (ours, theirs) = (of_part(Part::Executors), recorded("get_executors"));
    for list in ["executors", "completed_executors"] {
        let of = |value: &Value| value["get_executors"][list][0]["executor_info"].clone();
        assert_covers(&of(&ours), &of(&theirs), &["command"], list);
    }
    let (ours, theirs) = (of_part(Part::Frameworks), recorded("get_frameworks"));
    let of = |value: &Value| value["get_frameworks"]["frameworks"][0]["framework_info"].clone();
    let unknown = ["failover_timeout", "principal", "capabilities", "labels"];
    assert_covers(&of(&ours), &of(&theirs), &unknown, "framework");
    assert_eq!(v1::agent::call::Type::GetAgent.as_str_name(), "GET_AGENT");
}

#[test]
fn containers_have_the_shape_of_mesos() {
    let json = with_state(|agent| containers(agent, Codec::Json).concat());
    let protobuf = with_state(|agent| containers(agent, Codec::Protobuf).concat());
    let from_protobuf: Response = Codec::Protobuf.decode(&protobuf).unwrap();
    assert_eq!(from_protobuf, Codec::Json.decode(&json).unwrap());
    let all = &from_protobuf.get_containers.unwrap().containers;
    let status = all[0].container_status.as_ref().unwrap();
    assert_eq!(status.executor_pid, Some(USAGE.pid));

    let list = |value: &Value| value["get_containers"]["containers"].clone();
    let (ours, theirs) = (list(&ours(&json)), list(&recorded("get_containers")));
    // The other task has ended.
    assert_eq!(ours.as_array().map(Vec::len), Some(1));
    let (ours, theirs) = (&ours[0], &theirs[0]);
    for same in [
        "framework_id",
        "executor_id",
        "container_id",
        "container_status",
    ] {
        assert_eq!(ours[same], theirs[same], "{same}");
    }
    assert_covers(ours, theirs, &[], "container");
    // Mesos adds what its executor holds besides.
    let (mut used, mut theirs) = (
        ours["resource_statistics"].clone(),
        theirs["resource_statistics"].clone(),
    );
    assert_eq!(used["mem_limit_bytes"], 33_554_432.0);
    for (limit, value) in [
        ("cpus_soft_limit", 0.1),
        ("mem_limit_bytes", 0.0),
        ("mem_soft_limit_bytes", 0.0),
    ] {
        for statistics in [&mut used, &mut theirs] {
            statistics[limit] = Value::from(value);
        }
    }
    assert_eq!(used, theirs);
}

#[test]
fn containers_of_version_0_have_the_keys_of_mesos() {
    let read = |write: fn(&AgentState<'_>, &mut dyn FnMut(bytes::Bytes))| {
        let mut pieces = Vec::new();
        with_state(|agent| write(agent, &mut |piece| pieces.push(piece)));
        ours(&pieces.concat())
    };
    for (name, ours) in [
        ("containers", read(push_containers)),
        ("statistics", read(push_statistics)),
    ] {
        assert_eq!(ours.as_array().map(Vec::len), Some(1), "{name}");
        let (ours, theirs) = (&ours[0], &recorded(name)[0]);
        assert_covers(ours, theirs, &[], name);
        assert_covers(&ours["statistics"], &theirs["statistics"], &[], name);
    }
}
