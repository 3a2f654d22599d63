//! A framework that speaks protobuf, written against the wire table alone, drives a cluster through
//! everything that the scheduler API serves. It refuses whatever the table does not say.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::http;
use crate::wait::seconds;
use crate::wire::Table;

const PROTOBUF: &str = "application/x-protobuf";
/// Heartbeats that may pass until an event that is waited for; one comes every 15 s.
const BEATS: usize = 3;

/// A subscription and whatever is needed to speak on it.
pub struct Framework {
    table: Table,
    address: String,
    chunks: BufReader<TcpStream>,
    /// What has come and is no whole record.
    bytes: VecDeque<u8>,
    /// Came while something else was asked for.
    offers: VecDeque<Value>,
    /// The id of the stream.
    pub stream: String,
    /// As the master gave it.
    pub id: Value,
}

impl Framework {
    /// Subscribes, and takes the first two events.
    pub fn subscribe(address: &str) -> Framework {
        let table = Table::scheduler();
        let call = json!({
            "type": "SUBSCRIBE",
            "subscribe": { "framework_info": {
                "user": "nobody", "name": "strict", "roles": ["strict"],
                "failover_timeout": 60.0,
                "capabilities": [{ "type": "MULTI_ROLE" }, { "type": "PARTITION_AWARE" }],
            }},
        });
        let mut stream = TcpStream::connect(address).expect("the port is open");
        stream
            .set_read_timeout(Some(seconds(40)))
            .expect("a time can be set");
        let body = table.encode("scheduler.Call", &call);
        let request = post(&format!("Accept: {PROTOBUF}\r\n"), &body);
        stream.write_all(&request).expect("bytes can be sent");
        let mut chunks = BufReader::new(stream);
        let head = head(&mut chunks);
        assert_eq!(head[0], "http/1.1 200 ok");
        for line in [
            "transfer-encoding: chunked",
            "content-type: application/x-protobuf",
        ] {
            assert!(head.iter().any(|found| found == line), "{line} in {head:?}");
        }
        assert!(!head.iter().any(|line| line.starts_with("content-length")));
        let named = head
            .iter()
            .find_map(|line| line.strip_prefix("mesos-stream-id: "));
        let mut framework = Framework {
            table,
            address: address.to_string(),
            chunks,
            bytes: VecDeque::new(),
            offers: VecDeque::new(),
            stream: named.expect("the stream has an id").to_string(),
            id: Value::Null,
        };
        let first = framework.event().expect("the stream begins");
        assert_eq!(first["type"], "SUBSCRIBED");
        let subscribed = &first["subscribed"];
        assert_eq!(subscribed["heartbeat_interval_seconds"], 15.0);
        assert_eq!(
            subscribed["master_info"]["address"]["port"],
            subscribed["master_info"]["port"]
        );
        framework.id = subscribed["framework_id"].clone();
        let second = framework.event().expect("the stream goes on");
        assert_eq!(second, json!({ "type": "HEARTBEAT" }));
        framework
    }

    /// The next event; `None` at the end of the stream.
    fn event(&mut self) -> Option<Value> {
        let mut length = 0;
        loop {
            match self.byte()? {
                b'\n' => break,
                digit => {
                    assert!(digit.is_ascii_digit(), "{digit} in the length of a record");
                    length = length * 10 + usize::from(digit - b'0');
                }
            }
        }
        let record: Vec<u8> = (0..length)
            .map(|_| self.byte().expect("no record is cut off"))
            .collect();
        let event = self.table.decode("scheduler.Event", &record);
        Some(event.expect("an event is as the table says"))
    }

    fn byte(&mut self) -> Option<u8> {
        while self.bytes.is_empty() {
            let length = line(&mut self.chunks);
            let length = usize::from_str_radix(&length, 16).expect("a chunk has a length");
            let mut chunk = vec![0; length + 2];
            self.chunks
                .read_exact(&mut chunk)
                .expect("a chunk is whole");
            assert_eq!(chunk[length..], *b"\r\n");
            if length == 0 {
                return None;
            }
            self.bytes.extend(&chunk[..length]);
        }
        self.bytes.pop_front()
    }

    /// The next event of that type; heartbeats may come between, and offers, which are kept for
    /// whoever asks for them.
    pub fn next(&mut self, kind: &str) -> Value {
        if kind == "OFFERS"
            && let Some(offers) = self.offers.pop_front()
        {
            return offers;
        }
        let mut beats = 0;
        loop {
            let event = self.event().expect("the stream goes on");
            if event["type"] == kind {
                return event[kind.to_lowercase()].clone();
            }
            match event["type"].as_str() {
                Some("OFFERS") => self.offers.push_back(event["offers"].clone()),
                Some("HEARTBEAT") if beats < BEATS => beats += 1,
                _ => panic!("{event} for {kind}"),
            }
        }
    }

    /// The next status update, which is of that task and state; acknowledged if it has to be.
    pub fn update(&mut self, task: &str, state: &str) -> Value {
        let status = self.next("UPDATE")["status"].clone();
        assert_eq!(status["task_id"]["value"], task, "{status}");
        assert_eq!(status["state"], state, "{status}");
        if status.get("uuid").is_some() {
            let acknowledge = json!({
                "agent_id": status["agent_id"], "task_id": status["task_id"],
                "uuid": status["uuid"],
            });
            self.call("ACKNOWLEDGE", &json!({ "acknowledge": acknowledge }));
        }
        status
    }

    /// Makes a call that must be taken.
    pub fn call(&self, kind: &str, rest: &Value) {
        let mut call = rest.clone();
        call["type"] = kind.into();
        call["framework_id"] = self.id.clone();
        let body = self.table.encode("scheduler.Call", &call);
        let (status, text) = self.send(&body);
        assert_eq!((status, text.as_str()), (202, ""), "{call}");
    }

    fn send(&self, body: &[u8]) -> (u16, String) {
        let headers = format!("Mesos-Stream-Id: {}\r\n", self.stream);
        let answer = http::request(&self.address, &post(&headers, body));
        let answer = answer.expect("every call is answered");
        (answer.status, answer.text())
    }
}

/// A POST of protobuf to the scheduler API.
fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: {PROTOBUF}\r\n{headers}Content-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    request.extend(body);
    request
}

/// The lines of an answer's head, in lower case.
fn head(stream: &mut impl BufRead) -> Vec<String> {
    let lines = std::iter::repeat_with(|| line(stream).to_lowercase());
    lines.take_while(|line| !line.is_empty()).collect()
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line is text");
    line.strip_suffix("\r\n")
        .unwrap_or_else(|| panic!("'{line}' is cut off"))
        .to_string()
}

fn scalar(name: &str, value: f64) -> Value {
    json!({
        "name": name, "type": "SCALAR", "scalar": { "value": value },
        "allocation_info": { "role": "strict" },
    })
}

fn task(id: &str, command: &str, offer: &Value) -> Value {
    json!({
        "name": id, "task_id": { "value": id }, "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
        "command": { "value": command },
    })
}

/// Accepts the first of these offers with these tasks, by id and command.
fn launch(framework: &Framework, offers: &Value, tasks: &[(&str, &str)]) -> Value {
    let offer = offers["offers"][0].clone();
    assert_eq!(offer["framework_id"], framework.id);
    assert_eq!(offer["allocation_info"]["role"], "strict");
    let infos = tasks.iter().map(|(id, command)| task(id, command, &offer));
    let infos: Vec<Value> = infos.collect();
    let operation = json!({ "type": "LAUNCH", "launch": { "task_infos": infos } });
    let accept = json!({
        "offer_ids": [offer["id"]], "operations": [operation], "filters": { "refuse_seconds": 0.0 },
    });
    framework.call("ACCEPT", &json!({ "accept": accept }));
    offer
}

#[test]
fn a_strict_protobuf_framework_does_everything() {
    let cluster = Cluster::start(3, 1);
    let mut framework = Framework::subscribe(&cluster.having("master")[1].http);

    let offers = framework.next("OFFERS");
    let offer = launch(&framework, &offers, &[("short", "exit 3")]);
    framework.update("short", "TASK_STARTING");
    framework.update("short", "TASK_RUNNING");
    let failed = framework.update("short", "TASK_FAILED");
    assert_eq!(failed["message"], "Command exited with status 3");
    assert_eq!(failed["agent_id"], offer["agent_id"]);

    // A failed id may be used again; of two tasks the bad one fails alone.
    let offers = framework.next("OFFERS");
    launch(
        &framework,
        &offers,
        &[("short", "sleep 1000"), ("a/b", "true")],
    );
    let invalid = framework.update("a/b", "TASK_ERROR");
    assert_eq!(invalid["reason"], "REASON_TASK_INVALID");
    assert!(invalid.get("uuid").is_none(), "{invalid}");
    framework.update("short", "TASK_STARTING");
    framework.update("short", "TASK_RUNNING");

    let known = json!([{ "task_id": { "value": "short" }, "agent_id": offer["agent_id"] }]);
    framework.call("RECONCILE", &json!({ "reconcile": { "tasks": known } }));
    let told = framework.update("short", "TASK_RUNNING");
    assert_eq!(told["reason"], "REASON_RECONCILIATION");
    assert!(told.get("uuid").is_none(), "{told}");
    let unknown = json!([{ "task_id": { "value": "nobody" } }]);
    framework.call("RECONCILE", &json!({ "reconcile": { "tasks": unknown } }));
    framework.update("nobody", "TASK_UNKNOWN");

    framework.call(
        "KILL",
        &json!({ "kill": { "task_id": { "value": "short" } } }),
    );
    framework.update("short", "TASK_KILLED");

    let offers = framework.next("OFFERS");
    let ids: Vec<&Value> = offers["offers"]
        .as_array()
        .expect("it is a list")
        .iter()
        .collect();
    let ids: Vec<&Value> = ids.into_iter().map(|offer| &offer["id"]).collect();
    framework.call("DECLINE", &json!({ "decline": { "offer_ids": ids } }));
    framework.call("SUPPRESS", &json!({}));
    framework.call("REVIVE", &json!({}));
    framework.next("OFFERS");

    refusals(&framework);
    framework.call("TEARDOWN", &json!({}));
    while let Some(event) = framework.event() {
        let kind = event["type"].as_str();
        assert!(
            matches!(kind, Some("HEARTBEAT" | "OFFERS" | "RESCIND")),
            "{event}"
        );
    }
    let revive = json!({ "type": "REVIVE", "framework_id": framework.id });
    let body = framework.table.encode("scheduler.Call", &revive);
    let refused = (400, "Framework cannot be found".to_string());
    assert_eq!(framework.send(&body), refused);
    cluster.end();
}

/// Calls that are no calls, on a stream that is one.
fn refusals(framework: &Framework) {
    let encoded = |call: Value| framework.table.encode("scheduler.Call", &call);
    let unreadable = "Failed to parse body into Call protobuf";
    let invalid = "Failed to validate scheduler::Call: Expecting ";
    let kill = encoded(json!({
        "type": "KILL", "framework_id": framework.id, "kill": { "task_id": { "value": "t" } },
    }));
    let unnamed = [
        &encoded(json!({ "type": "KILL", "framework_id": framework.id }))[..],
        b"\x32\x00",
    ];
    for (body, text) in [
        (b"{}".to_vec(), unreadable.to_string()),
        (kill[..kill.len() - 1].to_vec(), unreadable.to_string()),
        (unnamed.concat(), unreadable.to_string()),
        (b"\xff".repeat(20), unreadable.to_string()),
        (Vec::new(), format!("{invalid}'type' to be present")),
        (
            b"\x10\x63".to_vec(),
            format!("{invalid}'type' to be present"),
        ),
        (
            encoded(json!({ "type": "REVIVE" })),
            format!("{invalid}'framework_id' to be present"),
        ),
        (
            encoded(json!({ "type": "KILL", "framework_id": framework.id })),
            format!("{invalid}'kill' to be present"),
        ),
    ] {
        assert_eq!(framework.send(&body), (400, text), "{body:?}");
    }
}
