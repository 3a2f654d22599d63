//! Tasks to launch: what is valid, what is refused with which text, what cannot run yet.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shoal_api::call::{AgentName, Call, Filters, FrameworkCall, Launch};
use shoal_api::operation::Step;
use shoal_api::{Command, TaskSpec};
use shoal_mesos::call::{Admitted, Head, Request, Standing, receive};
use shoal_mesos::proto::v1;
use shoal_mesos::refusal::Refusal;

const AGENT: &str = "d57482ac-1e1d-44cb-912a-2e916fc1add9-S0";
const OFFER: &str = "d57482ac-1e1d-44cb-912a-2e916fc1add9-O7";
const STREAM: &str = "7614c3a2-da41-4979-87ec-46ae20290c56";

/// Sends a call of framework `f` through both gates.
fn call(body: &Value) -> Result<Call, Refusal> {
    let mut body = body.clone();
    body["framework_id"] = json!({"value": "f"});
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        stream: Some(STREAM),
        ..Head::default()
    };
    let request = receive(&head, body.to_string().as_bytes())?;
    let Request::Call(received) = request else {
        panic!("{body} is a call");
    };
    let standing = Standing {
        principal: None,
        stream: STREAM.parse().ok(),
    };
    match received.admit(Some(&standing), None)? {
        Admitted::Call(FrameworkCall { call, .. }) => Ok(call),
        Admitted::Nothing => panic!("{body} has an effect"),
    }
}

fn accept(operations: &Value) -> Result<Vec<Launch>, Refusal> {
    let body = json!({
        "type": "ACCEPT",
        "accept": {"offer_ids": [{"value": OFFER}], "operations": operations},
    });
    call(&body).map(|call| match call {
        Call::Accept { launches, .. } => launches,
        other => panic!("an ACCEPT became {other:?}"),
    })
}

fn resources() -> Value {
    json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
    ])
}

/// A task that can run, with some fields set to other values; null takes one away.
fn task(changes: &Value) -> Value {
    let mut task = json!({
        "name": "n",
        "task_id": {"value": "t"},
        "agent_id": {"value": AGENT},
        "command": {"value": "true"},
        "resources": resources(),
    });
    for (name, value) in changes.as_object().expect("changes are an object") {
        task[name] = value.clone();
    }
    task
}

fn launch(changes: &Value) -> Launch {
    let operations = json!([{"type": "LAUNCH", "launch": {"task_infos": [task(changes)]}}]);
    let mut launches = accept(&operations).expect("a LAUNCH is served");
    assert_eq!(launches.len(), 1);
    launches.remove(0)
}

fn spec(changes: &Value) -> Arc<TaskSpec> {
    match launch(changes) {
        Launch::Task { spec, .. } | Launch::TaskIn { spec, .. } => spec,
        Launch::Invalid { why, .. } => panic!("{changes}: {why}"),
    }
}

fn why(changes: &Value) -> Arc<str> {
    match launch(changes) {
        Launch::Invalid { why, .. } => why,
        Launch::Task { spec, .. } | Launch::TaskIn { spec, .. } => {
            panic!("{changes} is valid: {spec:?}")
        }
    }
}

#[test]
fn a_plain_task_keeps_all_that_was_sent() {
    let changes = json!({
        "command": {
            "value": "echo $A",
            "user": "nobody",
            "environment": {"variables": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "2", "type": "VALUE"},
            ]},
        },
        "kill_policy": {"grace_period": {"nanoseconds": 2_000_000_000_u64}},
        "labels": {"labels": [{"key": "k", "value": "v"}]},
        "discovery": {"visibility": "CLUSTER"},
        "data": "aGk=",
    });
    let Launch::Task { agent, spec } = launch(&changes) else {
        panic!("the task is valid");
    };
    assert_eq!(agent, AgentName::Id(AGENT.parse().unwrap()));
    assert_eq!(spec.id.as_str(), "t");
    assert_eq!(spec.resources.to_string(), "cpus:0.1; mem:32");
    assert_eq!(spec.command, Some(Command::Shell(Arc::from("echo $A"))));
    let variables: Vec<_> = spec.environment.iter().map(|(n, v)| (&**n, &**v)).collect();
    assert_eq!(variables, [("A", "1"), ("B", "2")]);
    assert_eq!(spec.user.as_deref(), Some("nobody"));
    assert_eq!(spec.kill_grace, Some(Duration::from_secs(2)));
    assert_eq!(spec.unsupported, None);
    let raw: v1::TaskInfo = prost::Message::decode(&*spec.raw).unwrap();
    assert_eq!(raw.data(), b"hi");
    assert_eq!(raw.labels.unwrap().labels[0].key(), "k");
}

#[test]
fn a_program_is_run_with_its_arguments() {
    let command = json!({"command": {
        "shell": false, "value": "/bin/echo", "arguments": ["echo", "a b"],
    }});
    assert_eq!(
        spec(&command).command,
        Some(Command::Exec {
            program: Arc::from("/bin/echo"),
            arguments: vec![Arc::from("echo"), Arc::from("a b")],
        })
    );
}

#[test]
fn the_first_failure_is_told_in_the_words_of_mesos() {
    let cases = [
        (
            json!({"task_id": {"value": "bad/id"}}),
            "'bad/id' contains invalid characters",
        ),
        (json!({"task_id": {"value": ""}}), "ID must not be empty"),
        (json!({"task_id": {"value": ".."}}), "'..' is disallowed"),
        (json!({"resources": []}), "Task uses no resources"),
        (
            json!({"command": null}),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            json!({"executor": {"executor_id": {"value": "e"}}}),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            json!({"kill_policy": {"grace_period": {"nanoseconds": -1}}}),
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            json!({"health_check": {"http": {"port": 1, "path": "x"}}}),
            "Task uses invalid health check: The path 'x' of HTTP health check must start with \
             '/'",
        ),
        (
            json!({"health_check": {}}),
            "Task uses invalid health check: HealthCheck must specify 'type'",
        ),
        (
            json!({"check": {"type": "TCP"}}),
            "Task uses invalid check: Expecting 'tcp' to be set for TCP check",
        ),
        (
            json!({"container": {"type": "DOCKER"}}),
            "Task's `ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed \
             ContainerInfo",
        ),
        (
            json!({"command": {"value": "x", "environment": {"variables": [{"name": "A"}]}}}),
            "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have \
             a value set",
        ),
    ];
    for (changes, text) in cases {
        assert_eq!(&*why(&changes), text, "{changes}");
    }
    let long = json!({"task_id": {"value": "x".repeat(256)}});
    assert_eq!(&*why(&long), "ID must not be greater than 255 characters");
}

#[test]
fn resources_that_make_no_sense_are_refused() {
    let with = |extra: &Value| {
        let mut list = resources();
        for (name, value) in extra.as_object().unwrap() {
            list[0][name] = value.clone();
        }
        why(&json!({"resources": list}))
    };
    assert!(with(&json!({"role": "a//b"})).contains("Invalid reservation"));
    assert!(with(&json!({"reservations": [{"role": "web"}]})).contains("type' field must be set"));
    assert!(with(&json!({"disk": {"persistence": {"id": "v"}}})).contains("DiskInfo should not"));
    assert!(with(&json!({"scalar": {"value": -1}})).contains("value < 0"));
    let gpus = json!([{"name": "gpus", "type": "SCALAR", "scalar": {"value": 0.5}}]);
    assert!(why(&json!({"resources": gpus})).contains("unsigned integer"));
    let allocated = json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "allocation_info": {"role": "a"}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 1}, "allocation_info": {"role": "b"}},
    ]);
    assert!(why(&json!({"resources": allocated})).contains("multiple allocation roles"));
}

#[test]
fn what_cannot_run_yet_is_named() {
    let cases = [
        (
            json!({"command": null, "executor": {"executor_id": {"value": "e"}}}),
            "executor",
        ),
        (
            json!({"command": {"value": "x", "uris": [{"value": "http://a/b"}]}}),
            "URIs",
        ),
        (
            json!({"container": {"type": "DOCKER", "docker": {"image": "i"}}}),
            "DOCKER",
        ),
        (
            json!({"container": {"type": "MESOS", "network_infos": [{}]}}),
            "networks",
        ),
        (
            json!({"container": {"type": "MESOS", "volumes": [
                {"mode": "RW", "container_path": "/a", "host_path": "/b"}]}}),
            "volumes",
        ),
        (
            json!({"health_check": {"command": {"value": "true"}}}),
            "a health check",
        ),
        (json!({"limits": {"cpus": {"value": 2}}}), "limits"),
        (
            json!({"max_completion_time": {"nanoseconds": 1}}),
            "completion time",
        ),
    ];
    for (changes, word) in cases {
        let spec = spec(&changes);
        let text = spec.unsupported.as_deref().unwrap_or_default();
        assert!(text.contains(word), "{changes}: {text:?}");
        assert!(!spec.raw.is_empty());
    }
    assert_eq!(
        spec(&json!({"container": {"type": "MESOS"}})).unsupported,
        None
    );
}

#[test]
fn the_role_of_the_resources_is_kept_for_the_ledger_to_compare() {
    let of = |roles: &[&str]| {
        let resource = |role: &&str| {
            json!({
                "name": "cpus", "type": "SCALAR", "scalar": {"value": 1},
                "allocation_info": {"role": role},
            })
        };
        json!({"resources": roles.iter().map(resource).collect::<Vec<_>>()})
    };
    let Launch::TaskIn { role, .. } = launch(&of(&["web"])) else {
        panic!("the role is there");
    };
    assert_eq!(role.as_str(), "web");
    assert!(why(&of(&["web", "api"])).contains("multiple allocation roles"));
    assert!(why(&of(&["a b"])).starts_with("Task uses invalid resources: role"));
}

#[test]
fn a_task_group_is_launched_to_be_refused() {
    let operations = json!([{"type": "LAUNCH_GROUP", "launch_group": {
        "executor": {"type": "DEFAULT", "executor_id": {"value": "e"}},
        "task_group": {"tasks": [task(&json!({})), task(&json!({"resources": []}))]},
    }}]);
    let launches = accept(&operations).unwrap();
    let [Launch::Task { spec, .. }, Launch::Invalid { .. }] = &launches[..] else {
        panic!("one is valid, one is not: {launches:?}");
    };
    assert!(
        spec.unsupported
            .as_deref()
            .unwrap()
            .contains("LAUNCH_GROUP")
    );
}

#[test]
fn one_unknown_operation_fails_the_accept() {
    let operations = json!([
        {"type": "LAUNCH", "launch": {"task_infos": [task(&json!({}))]}},
        {"type": "CREATE_DISK"},
    ]);
    let refusal = accept(&operations).unwrap_err();
    assert_eq!(refusal.status(), 501);
    assert!(refusal.to_string().contains("'CREATE_DISK'"), "{refusal}");
}

#[test]
fn one_operation_of_any_kind_is_read() {
    let disk = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 8},
        "reservations": [{"type": "DYNAMIC", "role": "web"}]});
    let resources = json!({"resources": [disk]});
    let volumes = json!({"volumes": [disk]});
    for operation in [
        json!({"type": "RESERVE", "reserve": resources}),
        json!({"type": "UNRESERVE", "unreserve": resources}),
        json!({"type": "CREATE", "create": volumes}),
        json!({"type": "DESTROY", "destroy": volumes}),
        json!({"type": "GROW_VOLUME", "grow_volume": {"volume": disk, "addition": disk}}),
        json!({"type": "SHRINK_VOLUME",
            "shrink_volume": {"volume": disk, "subtract": {"value": 4}}}),
    ] {
        let body = json!({"type": "ACCEPT", "accept": {
            "offer_ids": [{"value": "nosuch-O1"}], "operations": [operation]}});
        let Ok(Call::Operate { steps, .. }) = call(&body) else {
            panic!("{operation} is not read");
        };
        assert!(
            matches!(&steps[..], [Step::Operation(one)] if one.change.is_ok()),
            "{steps:?}"
        );
    }
}

#[test]
fn an_operation_id_makes_its_tasks_invalid() {
    let operations = json!([{
        "type": "LAUNCH", "id": {"value": "op"}, "launch": {"task_infos": [task(&json!({}))]},
    }]);
    assert!(matches!(
        &accept(&operations).unwrap()[..],
        [Launch::Invalid { .. }]
    ));
}

#[test]
fn offers_and_agents_of_other_clusters_keep_their_text() {
    let body = json!({"type": "ACCEPT", "accept": {"offer_ids": [{"value": "nosuch-O1"}]}});
    let Call::Accept {
        offers, launches, ..
    } = call(&body).unwrap()
    else {
        panic!("an ACCEPT is one");
    };
    assert_eq!(offers, [Err(Arc::from("nosuch-O1"))]);
    assert!(launches.is_empty());
    let Launch::Task { agent, .. } = launch(&json!({"agent_id": {"value": "nosuch"}})) else {
        panic!("whether the agent fits is for the ledger to say");
    };
    assert_eq!(agent, AgentName::Foreign(Arc::from("nosuch")));
}

#[test]
fn filters_are_five_seconds_unless_they_say_otherwise() {
    let refuse = |filters: &Value| {
        let body = json!({"type": "DECLINE", "decline": {"filters": filters}});
        match call(&body).unwrap() {
            Call::Decline { filters, .. } => filters.refuse,
            other => panic!("a DECLINE became {other:?}"),
        }
    };
    let default = Filters::default().refuse;
    assert_eq!(refuse(&json!(null)), default);
    assert_eq!(refuse(&json!({})), default);
    assert_eq!(refuse(&json!({"refuse_seconds": -1})), default);
    assert_eq!(refuse(&json!({"refuse_seconds": 0})), Duration::ZERO);
    assert_eq!(
        refuse(&json!({"refuse_seconds": 0.1})),
        Duration::from_millis(100)
    );
    let year = Duration::from_secs(365 * 24 * 3600);
    assert_eq!(refuse(&json!({"refuse_seconds": 1e18})), year);
    assert_eq!(refuse(&json!({"refuse_seconds": "Infinity"})), year);
}

#[test]
fn the_other_calls_keep_what_they_name() {
    let kill = json!({"type": "KILL", "kill": {"task_id": {"value": "t"},
        "kill_policy": {"grace_period": {"nanoseconds": 5}}}});
    assert_eq!(
        call(&kill),
        Ok(Call::Kill {
            task: Arc::from("t"),
            agent: None,
            grace: Some(Duration::from_nanos(5)),
        })
    );
    let acknowledge = json!({"type": "ACKNOWLEDGE", "acknowledge": {
        "agent_id": {"value": AGENT}, "task_id": {"value": "t"},
        "uuid": "AAAAAAAAAAAAAAAAAAAAAQ=="}});
    assert_eq!(
        call(&acknowledge),
        Ok(Call::Acknowledge {
            agent: AgentName::Id(AGENT.parse().unwrap()),
            task: Arc::from("t"),
            update: shoal_api::UpdateId(1),
        })
    );
    let suppress = json!({"type": "SUPPRESS", "suppress": {"roles": ["a", "b"]}});
    let Ok(Call::Suppress(roles)) = call(&suppress) else {
        panic!("a SUPPRESS is one");
    };
    assert_eq!(roles.len(), 2);
    assert_eq!(
        call(&json!({"type": "REVIVE"})),
        Ok(Call::Revive(Default::default()))
    );
    assert_eq!(call(&json!({"type": "TEARDOWN"})), Ok(Call::Teardown));
    assert_eq!(call(&json!({"type": "UNKNOWN"})).unwrap_err().status(), 501);
}
