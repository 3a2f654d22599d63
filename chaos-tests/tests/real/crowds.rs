//! Crowds of clients that want nothing: idle connections, heads and bodies that never come to an end.
//! They cost a bounded amount, and whoever wants something is served.

use std::io::Write;
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::bad_input::sum;
use crate::cluster::Cluster;
use crate::http;
use crate::protobuf_client::Framework;

/// How many come, where the system allows so many open files.
const CROWD: usize = 10_000;
/// Connections that a listener lets in, and a few that are about to end.
const LET_IN: f64 = 4096.0 + 64.0;
/// Bytes that the crowd may cost the node: twice what its places cost in buffers.
const COST: f64 = 160.0 * 1024.0 * 1024.0;

/// What each of them says before it falls silent.
const WORDS: [&str; 5] = [
    "",
    "GET /health HT",
    "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
    "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
     Content-Length: 1000\r\n\r\n{\"type\":",
];

/// As many files as the system allows to this process, less some for what else it does.
fn allowed() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all).expect("a limit can be raised to its maximum");
    let maximum = maximum.and_then(|maximum| usize::try_from(maximum).ok());
    maximum.unwrap_or(usize::MAX).saturating_sub(200)
}

#[test]
fn a_crowd_shuts_nobody_out() {
    let cluster = Cluster::start(1, 1);
    let node = cluster.nodes().remove(0);
    let mut framework = Framework::subscribe(cluster.api());
    let offers = framework.next("OFFERS");
    let decline = json!({
        "offer_ids": [offers["offers"][0]["id"]], "filters": { "refuse_seconds": 3600.0 },
    });
    framework.call("DECLINE", &json!({ "decline": decline }));
    let told = |metric: &str| sum(&node, metric).expect("/metrics answers");
    let before = told("process_resident_memory_bytes");

    let count = CROWD.min(allowed());
    let mut crowd = Vec::with_capacity(count);
    for (number, words) in WORDS.iter().cycle().take(count).enumerate() {
        let mut stream = TcpStream::connect(cluster.api()).expect("the port is open");
        // Its place may be gone already, which is the point.
        let _said = stream.write_all(words.as_bytes());
        crowd.push(stream);
        if number % 2000 == 0 {
            let health = http::get(cluster.api(), "/health", "*/*").expect("it is answered");
            assert_eq!(health.status, 200, "among {number}");
        }
    }
    let output = cluster.run(&["run", "--", "echo", "unharmed"]);
    assert_eq!(output, "unharmed\n");
    assert!(told("shoal_http_connections") <= 2.0 * LET_IN);
    assert!(told("shoal_http_crowded_total") >= count as f64 - LET_IN);
    let cost = told("process_resident_memory_bytes") - before;
    assert!(cost < COST, "the crowd costs {cost} bytes");

    // A stream that was there before goes on.
    let unknown = json!([{ "task_id": { "value": "nobody" } }]);
    framework.call("RECONCILE", &json!({ "reconcile": { "tasks": unknown } }));
    framework.update("nobody", "TASK_UNKNOWN");
    drop(crowd);
    cluster.end();
}
