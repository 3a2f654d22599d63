//! What Mesos' tools see: the operator's stream and listings on any master, and an agent's files.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Node};
use crate::http::{self, Answer};
use crate::wait::{seconds, until};

/// Posts a call and gives back what came.
fn post(address: &str, call: &Value) -> Answer {
    let body = call.to_string();
    let head = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    http::request(address, head.as_bytes()).expect("a master answers")
}

/// The answer to a call that takes no arguments.
fn call(address: &str, kind: &str) -> Value {
    let answer = post(address, &json!({ "type": kind }));
    assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    let value: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    assert_eq!(value["type"], kind);
    value
}

/// The events of an operator's stream, collected as they come.
struct Stream {
    events: Arc<Mutex<Vec<Value>>>,
}

impl Stream {
    fn open(address: &str) -> Stream {
        let stream = subscribe(address, "/api/v1", &json!({"type": "SUBSCRIBE"}));
        let events = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&events);
        thread::spawn(move || collect(stream, &collected));
        Stream { events }
    }

    fn all(&self) -> Vec<Value> {
        self.events
            .lock()
            .expect("the reader does not panic")
            .clone()
    }

    /// Waits for an event; gives back its place among all.
    fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> usize {
        until(what, seconds(60), || {
            let all = self.all();
            let found = all.iter().position(&is);
            found.ok_or_else(|| format!("{} events came", all.len()))
        })
    }
}

/// Sends a call whose answer does not end.
fn subscribe(address: &str, path: &str, call: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a master listens");
    let body = call.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it can be asked");
    stream
}

/// Reads chunks, and records in them, until the stream ends.
fn collect(stream: TcpStream, events: &Mutex<Vec<Value>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while line.trim_end() != "" || line.is_empty() {
        line.clear();
        stream.read_line(&mut line).ok()?;
    }
    let mut bytes = Vec::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(size.trim_end(), 16).ok()? + 2];
        stream.read_exact(&mut chunk).ok()?;
        bytes.extend_from_slice(&chunk[..chunk.len() - 2]);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let length: usize = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
            let Some(record) = bytes.get(end + 1..end + 1 + length) else {
                break;
            };
            let event = serde_json::from_slice(record).expect("a record is JSON");
            events.lock().expect("nobody panics with it").push(event);
            bytes.drain(..end + 1 + length);
        }
    }
}

fn task_of(event: &Value) -> Option<&str> {
    let updated = event["task_updated"]["status"]["task_id"]["value"].as_str();
    updated.or_else(|| event["task_added"]["task"]["task_id"]["value"].as_str())
}

/// The agent with that id, by what `shoal dev` told.
fn agent_http(cluster: &Cluster, id: &str) -> String {
    let slaves = http::json(cluster.api(), "/slaves").expect("a master lists agents");
    let slaves = slaves["slaves"].as_array().expect("a list").clone();
    let found = slaves.iter().find(|slave| slave["id"] == id);
    let pid = found.expect("the agent is listed")["pid"].as_str();
    let address = pid.and_then(|pid| pid.strip_prefix("slave(1)@"));
    address.expect("a pid has an address").to_owned()
}

#[test]
fn an_operator_follows_a_task_at_any_master() {
    let cluster = Cluster::start(3, 2);
    let follower = cluster.followers().remove(0);
    let stream = Stream::open(&follower.http);
    stream.until("the heartbeat", |event| event["type"] == "HEARTBEAT");
    cluster.run(&["run", "--", "sh", "-c", "printf out"]);
    let finished = stream.until("the end of the task", |event| {
        event["task_updated"]["state"] == "TASK_FINISHED"
    });

    let all = stream.all();
    assert_eq!(all[0]["type"], "SUBSCRIBED");
    let state = &all[0]["subscribed"]["get_state"];
    assert_eq!(
        state["get_agents"]["agents"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(all[1]["type"], "HEARTBEAT");
    let task = task_of(&all[finished]).expect("it names its task");
    let told: Vec<&str> = all
        .iter()
        .filter(|event| task_of(event) == Some(task))
        .map(|event| match event["task_updated"]["state"].as_str() {
            Some(state) => state,
            None => event["type"].as_str().expect("an event has a type"),
        })
        .collect();
    let expected = [
        "TASK_ADDED",
        "TASK_STARTING",
        "TASK_RUNNING",
        "TASK_FINISHED",
    ];
    assert_eq!(told, expected);

    framework_comes_and_goes(&stream, cluster.api());
    for master in cluster.having("master") {
        listings(&master, task);
    }
    let agent = all[finished]["task_updated"]["status"]["agent_id"]["value"].as_str();
    files(
        &agent_http(&cluster, agent.expect("a status names its agent")),
        task,
    );
    cluster.end();
}

/// A framework that may not stay away at all subscribes and closes its connection.
fn framework_comes_and_goes(stream: &Stream, master: &str) {
    let info = json!({"user": "nobody", "name": "guest", "failover_timeout": 0.0});
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
    let framework = subscribe(master, "/api/v1/scheduler", &call);
    let named = |event: &Value, kind: &str, field: &str| {
        let framework = &event[field]["framework"];
        event["type"] == kind && framework["framework_info"]["name"] == "guest"
    };
    stream.until("the framework is there", |event| {
        named(event, "FRAMEWORK_ADDED", "framework_added")
            && event["framework_added"]["framework"]["connected"] == true
    });
    drop(framework);
    stream.until("it is gone for ever", |event| {
        event["type"] == "FRAMEWORK_REMOVED"
            && event["framework_removed"]["framework_info"]["name"] == "guest"
    });
}

/// What tools read from a master, the same on each.
fn listings(master: &Node, task: &str) {
    let at = &master.http;
    let state = call(at, "GET_STATE");
    let tasks = &state["get_state"]["get_tasks"];
    assert_eq!(tasks["completed_tasks"][0]["task_id"]["value"], task);
    let leader = call(at, "GET_MASTER");
    assert!(leader["get_master"]["master_info"]["pid"].is_string());
    for kind in [
        "GET_HEALTH",
        "GET_VERSION",
        "GET_FLAGS",
        "GET_ROLES",
        "GET_OPERATIONS",
    ] {
        call(at, kind);
    }
    let teardown = json!({"type": "TEARDOWN", "teardown": {"framework_id": {"value": "x"}}});
    assert_eq!(post(at, &teardown).status, 501);

    // What mesos-dns reads.
    let state = http::json(at, "/master/state").expect("a master lists its state");
    let pid = state["leader"].as_str().expect("somebody leads");
    assert!(pid.starts_with("master@127.0.0."), "{pid}");
    for slave in state["slaves"].as_array().expect("a list") {
        let pid = slave["pid"].as_str().expect("an agent has a pid");
        assert!(pid.starts_with("slave(1)@127.0.0."), "{pid}");
        assert!(slave["hostname"].is_string());
    }
    let ended = &state["frameworks"][0]["completed_tasks"][0];
    let address = &ended["statuses"][0]["container_status"]["network_infos"][0]["ip_addresses"][0];
    assert!(address["ip_address"].is_string(), "{ended}");

    // What mesos_exporter reads: one flat object of numbers.
    let metrics = http::json(at, "/metrics/snapshot").expect("a master has metrics");
    let metrics = metrics.as_object().expect("an object");
    assert!(metrics.values().all(Value::is_number));
    for (name, value) in [
        ("master/slaves_active", 2.0),
        ("master/cpus_total", 8.0),
        ("master/tasks_finished", 1.0),
    ] {
        assert_eq!(metrics[name], value, "{name}");
    }

    let one = http::json(at, "/tasks?limit=1&order=asc").expect("a master lists tasks");
    assert_eq!(one["tasks"][0]["id"], task);
    let summary = http::json(at, "/state-summary").expect("a master sums up");
    assert_eq!(summary["frameworks"][0]["TASK_FINISHED"], 1);
    let script = http::get(at, "/roles?jsonp=a.b", "*/*").expect("a master answers");
    assert!(
        script.text().starts_with("a.b({\"roles\":["),
        "{}",
        script.text()
    );
    assert!(script.head.contains("content-type: text/javascript"));
}

/// What an agent shows of a task's files, and that it shows no others.
fn files(agent: &str, task: &str) {
    let state = http::json(agent, "/slave(1)/state").expect("an agent lists its state");
    let groups = ["frameworks", "completed_frameworks"];
    let executors = groups.iter().flat_map(|group| {
        let frameworks = state[*group].as_array().expect("a list");
        frameworks.iter().flat_map(|framework| {
            let lists = ["executors", "completed_executors"];
            lists.map(|list| framework[list].as_array().expect("a list").clone())
        })
    });
    let executor = executors.flatten().find(|executor| executor["id"] == task);
    let executor = executor.expect("the agent remembers the task");
    let directory = executor["directory"].as_str().expect("it has a sandbox");

    let listed = http::json(agent, &format!("/files/browse?path={directory}"));
    let listed = listed.expect("a sandbox can be listed");
    let stdout = format!("{directory}/stdout");
    let paths: Vec<&Value> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| &f["path"])
        .collect();
    assert!(paths.contains(&&json!(stdout)), "{paths:?}");
    let read = |query: &str| {
        let path = format!("/files/read?path={directory}/{query}");
        http::get(agent, &path, "*/*").expect("an agent answers")
    };
    let whole: Value = serde_json::from_str(&read("stdout&offset=0").text()).expect("JSON");
    assert_eq!(whole, json!({"data": "out", "offset": 0}));
    let size: Value = serde_json::from_str(&read("stdout&offset=-1").text()).expect("JSON");
    assert_eq!(size, json!({"data": "", "offset": 3}));
    assert_eq!(read("stdout&offset=-2").status, 400);
    let path = format!("/files/download?path={stdout}");
    let download = http::get(agent, &path, "*/*").expect("an agent answers");
    assert_eq!(download.body, b"out");
    assert!(
        download.head.contains("content-length: 3"),
        "{}",
        download.head
    );

    symlink("/etc/passwd", Path::new(directory).join("leak")).expect("the sandbox is there");
    for query in [
        "leak&offset=0",
        "../../../stdout&offset=0",
        "%2e%2e/%2e%2e/%2e%2e/stdout&offset=0",
        "nothing&offset=0",
    ] {
        assert_eq!(read(query).status, 404, "{query}");
    }
    let passwd = http::get(agent, "/files/read?path=/etc/passwd&offset=0", "*/*");
    assert_eq!(passwd.expect("an agent answers").status, 404);
}
