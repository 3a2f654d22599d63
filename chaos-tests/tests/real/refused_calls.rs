//! Calls of the scheduler API that make no sense: each gets the status or the event that Mesos gives,
//! over a real connection, and nothing else comes of it.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::http::{self, Answer};
use crate::protobuf_client::Framework;

/// What is sent: the line of the request, headers, and the body.
struct Sent {
    line: &'static str,
    headers: String,
    body: Vec<u8>,
}

const POST: &str = "POST /api/v1/scheduler";
const JSON: &str = "Content-Type: application/json\r\n";

impl Sent {
    fn to(self, address: &str) -> Answer {
        let Sent {
            line,
            headers,
            body,
        } = self;
        let length = body.len();
        let mut request = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\
             Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend(body);
        http::request(address, &request).expect("it is answered")
    }
}

/// The calls of one framework.
struct Caller {
    framework: Framework,
    address: String,
}

impl Caller {
    fn headers(&self) -> String {
        format!("{JSON}Mesos-Stream-Id: {}\r\n", self.framework.stream)
    }

    /// A call of this framework on its stream.
    fn body(&self, call: &Value) -> Vec<u8> {
        let mut call = call.clone();
        call["framework_id"] = self.framework.id.clone();
        call.to_string().into_bytes()
    }

    fn text(&self, text: &str) -> Vec<u8> {
        text.replace("ID", &self.framework.id.to_string())
            .into_bytes()
    }

    /// Sends all of these and lists what is not answered as it should be.
    fn expect(&self, cases: Vec<(Sent, u16, &str)>) {
        let mut wrong = Vec::new();
        for (sent, status, text) in cases {
            let shown: String = String::from_utf8_lossy(&sent.body)
                .chars()
                .take(90)
                .collect();
            let what = format!("{} {:?} {shown}", sent.line, sent.headers);
            let answer = sent.to(&self.address);
            if answer.status != status || !answer.text().starts_with(text) {
                let got = answer.text();
                wrong.push(format!(
                    "{what}: {} {got} for {status} {text}",
                    answer.status
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn sent(headers: impl Into<String>, body: impl Into<Vec<u8>>) -> Sent {
    Sent {
        line: POST,
        headers: headers.into(),
        body: body.into(),
    }
}

const REVIVE: &str = r#"{"type":"REVIVE","framework_id":ID,"revive":{"roles":["foreign"]}}"#;
const SUBSCRIBE: &str =
    r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;

const WRONG_TYPE: &str = "Expecting 'Content-Type' of application/json or application/x-protobuf";
const WRONG_ACCEPT: &str =
    "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
const ENCODED: &str = "Expecting 'Content-Encoding' to be absent";
const NO_STREAM: &str = "All non-subscribe calls should include the 'Mesos-Stream-Id' header";
const OTHER_STREAM: &str = "The stream ID '";
const SYNTAX: &str = "Failed to parse body into JSON: ";
const FIELDS: &str = "Failed to convert JSON into Call protobuf: ";

/// What is refused, or taken, for its head.
fn heads(caller: &Caller) -> Vec<(Sent, u16, &'static str)> {
    let own = caller.headers();
    let stream = own.strip_prefix(JSON).expect("it stands first");
    let revive = || caller.text(REVIVE);
    let typed = |kind: &str| sent(format!("Content-Type: {kind}\r\n{stream}"), revive());
    let with = |more: &str| sent(format!("{own}{more}\r\n"), revive());
    let subscribe = |headers: &str| sent(format!("{JSON}{headers}"), SUBSCRIBE);
    let operations =
        r#"{"type":"RECONCILE_OPERATIONS","framework_id":ID,"reconcile_operations":{}}"#;
    let operations = |accept: &str| sent(format!("{own}{accept}"), caller.text(operations));
    let garbled = || sent(format!("{JSON}Mesos-Stream-Id: \u{e9}\r\n"), revive());
    vec![
        (with("X-Fine: yes"), 202, ""),
        (typed("application/json; charset=utf-8"), 202, ""),
        (typed("text/plain"), 415, WRONG_TYPE),
        (typed("application/recordio"), 415, WRONG_TYPE),
        (
            typed("application/json\r\nContent-Type: application/json"),
            415,
            WRONG_TYPE,
        ),
        (
            typed("application/x-protobuf"),
            400,
            "Failed to parse body into Call protobuf",
        ),
        (
            sent(stream, revive()),
            400,
            "Expecting 'Content-Type' to be present",
        ),
        (with("Accept: text/html"), 202, ""),
        (with("Content-Encoding: identity"), 202, ""),
        (with("Content-Encoding: gzip"), 415, ENCODED),
        (with("Content-Encoding: identity, br"), 415, ENCODED),
        (sent(JSON, revive()), 400, NO_STREAM),
        (garbled(), 400, OTHER_STREAM),
        (
            sent(format!("{JSON}Mesos-Stream-Id: s\r\n"), revive()),
            400,
            OTHER_STREAM,
        ),
        (subscribe("Accept: text/html\r\n"), 406, WRONG_ACCEPT),
        (subscribe("Accept: */*;q=0\r\n"), 406, WRONG_ACCEPT),
        (
            subscribe(stream),
            400,
            "Subscribe calls should not include the 'Mesos-Stream-Id' header",
        ),
        (operations("Accept: text/html\r\n"), 406, WRONG_ACCEPT),
        (operations(""), 202, ""),
    ]
}

/// What is refused, or taken, for the line of its request.
fn lines(caller: &Caller) -> Vec<(Sent, u16, &'static str)> {
    let at = |line| Sent {
        line,
        ..sent(caller.headers(), caller.text(REVIVE))
    };
    vec![
        (
            at("PUT /api/v1/scheduler"),
            405,
            "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'PUT'.",
        ),
        (at("POST //api/v1/scheduler"), 202, ""),
        (at("POST /master/api/v1/scheduler/"), 202, ""),
        (at("POST /api//v1/scheduler"), 404, ""),
        (at("POST /%61pi/v1/scheduler"), 404, ""),
        (at("POST /api/v2/scheduler"), 404, ""),
    ]
}

/// Bodies that are no call.
fn garbled(caller: &Caller) -> Vec<(Sent, u16, &'static str)> {
    let own = || caller.headers();
    let text = |text: &str| sent(own(), caller.text(text));
    let call = |call: Value| sent(own(), caller.body(&call));
    let large = vec![b' '; 8 * 1024 * 1024 + 1];
    vec![
        (sent(own(), ""), 400, SYNTAX),
        (text("{"), 400, SYNTAX),
        (
            text("[]"),
            400,
            "Failed to convert JSON into Call protobuf: Expecting a JSON object",
        ),
        (text(&format!("{REVIVE} x")), 400, SYNTAX),
        (sent(own(), b"{\"type\":\"\xff\"}"), 400, SYNTAX),
        (text(r#"{"type":"\ud800"}"#), 400, SYNTAX),
        (
            text(r#"{"type":"KILL","type":"SUPPRESS","framework_id":ID}"#),
            202,
            "",
        ),
        (
            sent(own(), large),
            413,
            "The body is larger than 8388608 bytes",
        ),
        (
            call(
                json!({ "type": "ACKNOWLEDGE_OPERATION_STATUS", "acknowledge_operation_status": {
                "uuid": "AAAA", "operation_id": { "value": "o" } } }),
            ),
            400,
            "Failed to validate scheduler::Call: Expecting 'acknowledge_operation_status.agent_id'",
        ),
    ]
}

/// Values that do not fit, and some that nearly do not.
fn values(caller: &Caller) -> Vec<(Sent, u16, &'static str)> {
    let text = |text: &str| sent(caller.headers(), caller.text(text));
    let nested = |field: &str, open: &str, close: &str| {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        text(&format!(
            r#"{{"type":"SUPPRESS","framework_id":ID,"{field}":{open}{close}}}"#
        ))
    };
    let grace = |number: &str| {
        text(&format!(
            r#"{{"type":"KILL","framework_id":ID,"kill":{{"task_id":{{"value":"t"}},
                "kill_policy":{{"grace_period":{{"nanoseconds":{number}}}}}}}}}"#
        ))
    };
    let refuse = |number: &str| {
        text(&format!(
            r#"{{"type":"DECLINE","framework_id":ID,"decline":{{"offer_ids":[],
                "filters":{{"refuse_seconds":{number}}}}}}}"#
        ))
    };
    vec![
        (nested("revive", "[", "]"), 400, FIELDS),
        (nested("nosuch", "[", "]"), 202, ""),
        (nested("revive", r#"{"roles":["#, "]}"), 400, FIELDS),
        (grace("1"), 202, ""),
        (grace("9223372036854775807"), 202, ""),
        (
            grace("9223372036854775808"),
            400,
            "Failed to convert JSON into Call protobuf: The number is out of range for field 'nanoseconds'",
        ),
        (grace("1e30"), 400, FIELDS),
        (grace("NaN"), 400, SYNTAX),
        (refuse("-1"), 202, ""),
        (refuse("1e300"), 202, ""),
        (refuse("1e999"), 400, SYNTAX),
        (refuse("NaN"), 400, SYNTAX),
        (refuse("\"NaN\""), 400, FIELDS),
    ]
}

/// Calls without what they need.
fn calls(caller: &Caller) -> Vec<(Sent, u16, &'static str)> {
    let own = || caller.headers();
    let text = |text: &str| sent(own(), caller.text(text));
    let call = |call: Value| sent(own(), caller.body(&call));
    vec![
        (
            call(json!({ "type": "UNKNOWN" })),
            501,
            "501 Not Implemented. Call 'UNKNOWN'",
        ),
        (
            call(json!({ "type": "NOSUCH" })),
            400,
            "Failed to validate scheduler::Call: Expecting 'type' to be present",
        ),
        (
            text(r#"{"type":"REVIVE"}"#),
            400,
            "Failed to validate scheduler::Call: Expecting 'framework_id' to be present",
        ),
        (
            text(r#"{"type":"REVIVE","framework_id":{"value":"f"}}"#),
            400,
            "Framework cannot be found",
        ),
        (
            text(r#"{"type":"REVIVE","framework_id":{}}"#),
            400,
            "Failed to convert JSON into Call protobuf: Missing required fields: framework_id.value",
        ),
        (
            call(json!({ "type": "KILL", "kill": {} })),
            400,
            "Failed to convert JSON into Call protobuf: Missing required fields: kill.task_id",
        ),
        (
            call(json!({ "type": "ACKNOWLEDGE", "acknowledge": {
                "agent_id": { "value": "a" }, "task_id": { "value": "t" }, "uuid": "AAAA" } })),
            400,
            "Failed to validate scheduler::Call: Not a valid UUID",
        ),
        (
            call(json!({ "type": "REVIVE", "revive": { "roles": ["not a role"] } })),
            202,
            "",
        ),
        (
            call(json!({ "type": "SUPPRESS", "suppress": { "roles": ["foreign"] } })),
            202,
            "",
        ),
        (
            text(
                r#"{"type":"SUBSCRIBE","framework_id":ID,"subscribe":{"framework_info":{"user":"u","name":"n"}}}"#,
            ),
            400,
            "Failed to validate scheduler::Call: 'framework_id' differs from",
        ),
    ]
}

/// Calls without their own part.
fn parts(caller: &Caller) -> Vec<(Sent, u16, &'static str)> {
    let call = |call: Value| sent(caller.headers(), caller.body(&call));
    let mut cases = Vec::new();
    for (kind, absent) in [
        (
            "ACCEPT",
            "Failed to validate scheduler::Call: Expecting 'accept'",
        ),
        (
            "DECLINE",
            "Failed to validate scheduler::Call: Expecting 'decline'",
        ),
        (
            "KILL",
            "Failed to validate scheduler::Call: Expecting 'kill'",
        ),
        (
            "SHUTDOWN",
            "Failed to validate scheduler::Call: Expecting 'shutdown'",
        ),
        (
            "ACKNOWLEDGE",
            "Failed to validate scheduler::Call: Expecting 'acknowledge'",
        ),
        (
            "RECONCILE",
            "Failed to validate scheduler::Call: Expecting 'reconcile'",
        ),
        (
            "MESSAGE",
            "Failed to validate scheduler::Call: Expecting 'message'",
        ),
        (
            "REQUEST",
            "Failed to validate scheduler::Call: Expecting 'request'",
        ),
        (
            "UPDATE_FRAMEWORK",
            "Failed to validate scheduler::Call: Expecting 'update_framework'",
        ),
        (
            "ACCEPT_INVERSE_OFFERS",
            "Failed to validate scheduler::Call: Expecting 'accept_inverse",
        ),
        (
            "DECLINE_INVERSE_OFFERS",
            "Failed to validate scheduler::Call: Expecting 'decline_inverse",
        ),
        (
            "RECONCILE_OPERATIONS",
            "Failed to validate scheduler::Call: Expecting 'reconcile_oper",
        ),
    ] {
        cases.push((call(json!({ "type": kind })), 400, absent));
    }
    cases
}

/// Frameworks that may not subscribe, and a part of what they are told.
fn bad_frameworks() -> Vec<(Value, &'static str)> {
    let multi = json!([{ "type": "MULTI_ROLE" }]);
    let one = |name: &str, value: Value| {
        let mut info = json!({ "user": "u", "name": "n" });
        info[name] = value;
        info
    };
    let many = |roles: Value| {
        let mut info = one("roles", roles);
        info["capabilities"] = multi.clone();
        info
    };
    let mut both = many(json!(["a"]));
    both["role"] = "b".into();
    vec![
        (one("roles", json!(["a"])), "roles"),
        (both, "'FrameworkInfo.role' must not be set"),
        (many(json!([])), "at least one role"),
        (many(json!(["a", "a"])), "duplicate role 'a'"),
        (many(json!(["a", "/b"])), "Role is invalid"),
        (one("role", json!("..")), "Role is invalid"),
        (one("role", json!("a b")), "Role is invalid"),
        (one("failover_timeout", json!(1e30)), "failover_timeout"),
        (
            one("failover_timeout", json!("Infinity")),
            "failover_timeout",
        ),
    ]
}

/// Tasks that cannot be launched, and the whole of what is said of each.
fn bad_tasks() -> Vec<(Value, &'static str)> {
    let seconds = |number: i64| json!({ "nanoseconds": number });
    let cpus =
        |value: Value| json!([{ "name": "cpus", "type": "SCALAR", "scalar": { "value": value } }]);
    vec![
        (
            json!({ "task_id": { "value": "a/b" } }),
            "'a/b' contains invalid characters",
        ),
        (json!({ "task_id": { "value": "." } }), "'.' is disallowed"),
        (
            json!({ "agent_id": { "value": "elsewhere" } }),
            "Task uses invalid agent elsewhere while",
        ),
        (
            json!({ "kill_policy": { "grace_period": seconds(-1) } }),
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            json!({ "max_completion_time": seconds(-1) }),
            "Task's `max_completion_time` must be non-negative",
        ),
        (
            json!({ "check": { "type": "TCP" } }),
            "Task uses invalid check: Expecting 'tcp'",
        ),
        (
            json!({ "health_check": {} }),
            "Task uses invalid health check: HealthCheck must specify",
        ),
        (json!({ "resources": [] }), "Task uses no resources"),
        (
            json!({ "resources": cpus(json!(-1)) }),
            "Task uses invalid resources: ",
        ),
        (
            json!({ "resources": cpus(json!("Infinity")) }),
            "Task uses invalid resources: ",
        ),
        (
            json!({ "resources": cpus(json!(1e9)) }),
            "Total resources cpus(allocated: strict):1000000000",
        ),
        (
            json!({ "command": { "value": "x", "environment": { "variables": [{ "name": "A" }] } } }),
            "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have",
        ),
        (
            json!({ "container": { "type": "DOCKER" } }),
            "Task's `ContainerInfo` is invalid: ",
        ),
        (
            json!({ "limits": { "disk": { "value": 1 } } }),
            "Resource limits are only supported for",
        ),
        (
            json!({ "limits": { "cpus": { "value": 0.01 } } }),
            "The limit of 'cpus' is less than",
        ),
        (
            json!({ "command": null }),
            "Task should have at least one (but not both) of CommandInfo",
        ),
        (
            json!({ "executor": { "executor_id": { "value": "e" } } }),
            "Task should have at least one",
        ),
    ]
}

fn task(id: &str, agent: &Value, changes: &Value) -> Value {
    let mut task = json!({
        "name": id, "task_id": { "value": id }, "agent_id": agent,
        "resources": [{ "name": "cpus", "type": "SCALAR", "scalar": { "value": 0.1 } }],
        "command": { "value": "true" },
    });
    for (name, value) in changes.as_object().expect("changes are an object") {
        task[name] = value.clone();
    }
    task
}

fn accept(offers: &[Value], tasks: &[Value]) -> Value {
    let launch = json!({ "type": "LAUNCH", "launch": { "task_infos": tasks } });
    json!({ "type": "ACCEPT", "accept": { "offer_ids": offers, "operations": [launch],
        "filters": { "refuse_seconds": 0 } } })
}

#[test]
fn each_call_without_sense_gets_its_status() {
    let cluster = Cluster::start(1, 1);
    let mut framework = Framework::subscribe(cluster.api());
    // What it would hold, the last command here needs.
    let offer = framework.next("OFFERS")["offers"][0]["id"].clone();
    let decline = json!({ "offer_ids": [offer], "filters": { "refuse_seconds": 3600.0 } });
    framework.call("DECLINE", &json!({ "decline": decline }));
    framework.call("SUPPRESS", &json!({}));
    let address = cluster.api().to_string();
    let caller = Caller { framework, address };
    caller.expect(lines(&caller));
    caller.expect(heads(&caller));
    caller.expect(garbled(&caller));
    caller.expect(values(&caller));
    caller.expect(calls(&caller));
    caller.expect(parts(&caller));
    for (info, text) in bad_frameworks() {
        let body = json!({ "type": "SUBSCRIBE", "subscribe": { "framework_info": info } });
        let answer = sent(JSON, body.to_string()).to(&caller.address);
        let told = answer.text();
        let (length, record) = told.split_once('\n').expect("a record has a length");
        assert_eq!(
            (answer.status, length.parse()),
            (200, Ok(record.len())),
            "{told}"
        );
        let event: Value = serde_json::from_str(record).expect("one event is all");
        assert_eq!(event["type"], "ERROR", "{info}");
        let message = event["error"]["message"].as_str().expect("it says why");
        assert!(message.contains(text), "{info}: {message}");
    }
    assert_eq!(
        cluster.run(&["run", "--", "echo", "unharmed"]),
        "unharmed\n"
    );
    cluster.end();
}

#[test]
fn each_launch_without_sense_gets_its_event() {
    let cluster = Cluster::start(1, 1);
    let framework = Framework::subscribe(cluster.api());
    let address = cluster.api().to_string();
    let mut caller = Caller { framework, address };
    let offers = caller.framework.next("OFFERS");
    let offer = offers["offers"][0].clone();
    let agent = &offer["agent_id"];
    let bad = bad_tasks();
    let mut tasks: Vec<Value> = bad
        .iter()
        .enumerate()
        .map(|(number, (changes, _))| task(&format!("t{number}"), agent, changes))
        .collect();
    tasks.push(task(
        "good",
        agent,
        &json!({ "command": { "value": "sleep 1000" } }),
    ));
    tasks.push(task("good", agent, &json!({})));
    caller.taken(&accept(&[offer["id"].clone()], &tasks));
    let duplicate = (json!({}), "Task has duplicate ID: good");
    let named = |task: &Value| {
        task["task_id"]["value"]
            .as_str()
            .expect("a text")
            .to_string()
    };
    let mut refused: Vec<(String, &str)> = tasks
        .iter()
        .map(named)
        .zip(bad.iter().map(|bad| bad.1))
        .collect();
    refused.push(("good".to_string(), duplicate.1));
    for (id, text) in refused {
        let status = caller.framework.update(&id, "TASK_ERROR");
        let message = status["message"].as_str().expect("it says why");
        assert!(message.starts_with(text), "{id}: {message}");
        assert_eq!(status["reason"], "REASON_TASK_INVALID", "{status}");
        assert_eq!(status["source"], "SOURCE_MASTER", "{status}");
        assert!(status.get("uuid").is_none(), "{status}");
    }
    for state in ["TASK_STARTING", "TASK_RUNNING"] {
        caller.framework.update("good", state);
    }

    // Of offers that make no sense together, nothing is launched.
    let offers = caller.framework.next("OFFERS");
    let live = offers["offers"][0]["id"].clone();
    let used = offer["id"].clone();
    let foreign = json!({ "value": "nobody's" });
    for (number, ids) in [vec![], vec![used], vec![foreign], vec![live.clone(), live]]
        .into_iter()
        .enumerate()
    {
        let id = format!("dropped{number}");
        caller.taken(&accept(&ids, &[task(&id, agent, &json!({}))]));
        let status = caller.framework.update(&id, "TASK_DROPPED");
        assert_eq!(status["reason"], "REASON_INVALID_OFFERS", "{status}");
        assert!(status.get("uuid").is_none(), "{status}");
    }
    // The offer that stood twice is given back at once.
    caller.framework.next("OFFERS");
    cluster.end();
}

impl Caller {
    /// Makes a call that is answered with 202.
    fn taken(&self, call: &Value) {
        let answer = sent(self.headers(), self.body(call)).to(&self.address);
        assert_eq!((answer.status, answer.text().as_str()), (202, ""), "{call}");
    }
}
