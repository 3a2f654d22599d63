//! Garbage on every port: it is answered or dropped, counted, and nothing else happens.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};

use crate::cluster::{Cluster, Node};
use crate::http;
use crate::wait::{check, seconds, until};

/// Counts datagrams that are not fully valid, by cause.
const GOSSIP_DROPPED: &str = "shoal_gossip_datagrams_dropped_total";
/// Counts connections to the peer port that were refused, by cause.
const PEER_REFUSED: &str = "shoal_peer_handshakes_refused_total";

/// The sum of a metric over its labels.
pub fn sum(node: &Node, metric: &str) -> Result<f64, String> {
    let text = http::get(&node.http, "/metrics", "text/plain")?.text();
    let samples = text.lines().filter(|line| {
        let rest = line.strip_prefix(metric);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    Ok(samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum())
}

/// Sends what `send` sends and waits until the metric has counted at least `expected` of it.
fn counted(node: &Node, metric: &str, expected: f64, send: impl FnOnce()) {
    let before = sum(node, metric).expect("/metrics answers");
    send();
    until(
        &format!("{} counts on {metric}", node.name),
        seconds(20),
        || {
            let now = sum(node, metric)?;
            check(now >= before + expected, || {
                format!("it went from {before} to {now}")
            })
        },
    );
}

/// Bytes that are no message of anybody: short, long, constant, and a shifted pattern.
fn garbage() -> Vec<Vec<u8>> {
    let pattern = |length: u32| {
        (0..length)
            .map(|i| (i.wrapping_mul(167) >> 3) as u8)
            .collect()
    };
    vec![
        vec![0; 4],
        vec![0xff; 7],
        vec![0; 64],
        pattern(500),
        pattern(1_400),
        vec![0x80; 1_200],
    ]
}

#[test]
fn garbage_on_gossip_and_peer_ports_is_counted() {
    let cluster = Cluster::start(3, 1);
    for node in cluster.nodes() {
        let datagrams = garbage();
        counted(&node, GOSSIP_DROPPED, datagrams.len() as f64, || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket can be bound");
            for datagram in &datagrams {
                socket
                    .send_to(datagram, &node.gossip)
                    .expect("a datagram can be sent");
            }
        });
        if !node.roles.contains("master") {
            continue; // An agent dials; nobody dials it.
        }
        counted(&node, PEER_REFUSED, datagrams.len() as f64, || {
            for bytes in &datagrams {
                let mut stream = TcpStream::connect(&node.peer).expect("the port is open");
                stream.write_all(bytes).expect("bytes can be sent");
                stream
                    .shutdown(Shutdown::Write)
                    .expect("a side can be closed");
                stream
                    .set_read_timeout(Some(seconds(20)))
                    .expect("a time can be set");
                // The other side may close in the middle; that is its answer.
                let _closed = stream.read_to_end(&mut Vec::new());
            }
        });
    }
    let output = cluster.run(&["run", "--", "echo", "unharmed"]);
    assert_eq!(output, "unharmed\n");
    cluster.end();
}

/// A POST to the scheduler API with these headers and this body.
fn post(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

const JSON: &str = "Content-Type: application/json\r\nAccept: application/json\r\n";

const SUBSCRIBE: &str =
    r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#;
const DECLINE: &str =
    r#"{"type":"DECLINE","framework_id":{"value":"f"},"decline":{"offer_ids":[]}}"#;
const UNKNOWN: &str = r#"{"type":"UNKNOWN","framework_id":{"value":"f"}}"#;

/// What is wrong, the status that it must get, and the bytes.
type BadRequest = (&'static str, u16, Vec<u8>);

/// Wrong before anybody looks at the body.
fn bad_heads() -> Vec<BadRequest> {
    let plain = |line: &str| format!("{line}\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "y".repeat(300_000));
    let typed = |accept: &str| format!("Content-Type: application/json\r\nAccept: {accept}\r\n");
    let lengths = format!("{JSON}Content-Length: 1\r\n");
    let streamed = format!("{JSON}Mesos-Stream-Id: s\r\n");
    let huge = "POST /api/v1/scheduler HTTP/1.1\r\nContent-Type: application/json\r\n\
                Content-Length: 2000000000";
    vec![
        ("an unknown path", 404, plain("GET /no/such/path HTTP/1.1")),
        (
            "a wrong method",
            405,
            plain("GET /api/v1/scheduler HTTP/1.1"),
        ),
        ("no content type", 400, post("", SUBSCRIBE)),
        (
            "a wrong content type",
            415,
            post("Content-Type: text/plain\r\n", SUBSCRIBE),
        ),
        (
            "a subscription on a stream",
            400,
            post(&streamed, SUBSCRIBE),
        ),
        (
            "an answer that nobody can give",
            406,
            post(&typed("text/html"), SUBSCRIBE),
        ),
        ("two lengths", 400, post(&lengths, SUBSCRIBE)),
        ("a body that is too large", 413, plain(huge)),
        ("too many headers", 431, post(&many, SUBSCRIBE)),
        ("a header that is too long", 431, post(&long, SUBSCRIBE)),
        (
            "no HTTP",
            400,
            b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec(),
        ),
    ]
}

/// Wrong in the body.
fn bad_bodies() -> Vec<BadRequest> {
    let deep = "[".repeat(100_000);
    vec![
        ("no JSON", 400, post(JSON, "{")),
        ("an empty body", 400, post(JSON, "")),
        ("JSON nested too deep", 400, post(JSON, &deep)),
        ("no type", 400, post(JSON, "{}")),
        (
            "a type that is none",
            400,
            post(JSON, r#"{"type":"NONSENSE"}"#),
        ),
        (
            "a type of no call, of an unknown framework",
            400,
            post(JSON, UNKNOWN),
        ),
        (
            "a call without its part",
            400,
            post(JSON, r#"{"type":"SUBSCRIBE"}"#),
        ),
        ("a call of an unknown framework", 400, post(JSON, DECLINE)),
    ]
}

#[test]
fn bad_requests_get_their_status() {
    let cluster = Cluster::start(1, 1);
    let mut wrong = Vec::new();
    for (what, status, bytes) in bad_heads().into_iter().chain(bad_bodies()) {
        match http::request(cluster.api(), &bytes) {
            Ok(answer) if answer.status == status => {}
            Ok(answer) => {
                wrong.push(format!(
                    "{what}: {} for {status}: {}",
                    answer.status,
                    answer.text()
                ));
            }
            Err(why) => wrong.push(format!("{what}: no answer for {status}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Requests that stop in the middle hold nothing up.
    let cut: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(cluster.api()).expect("the port is open");
            let whole = post(JSON, "{\"type\":\"SUBSCRIBE\"}");
            stream
                .write_all(&whole[..whole.len() - 5])
                .expect("bytes can be sent");
            stream
        })
        .collect();
    assert_eq!(
        cluster.run(&["run", "--", "echo", "unharmed"]),
        "unharmed\n"
    );
    drop(cut);
    cluster.end();
}
