//! The page at `/`, as a real browser shows it: the cluster, its troubles, and names that would like
//! to be markup.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::cluster::{Cluster, said};
use crate::wait::{check, seconds, until};
use crate::{http, machine};

/// A name that would change the title of the page, were it taken for markup.
const MARKUP: &str = "<img src=x onerror=\"document.title='owned'\">";

#[test]
fn a_browser_shows_the_cluster_and_its_troubles() {
    if !machine::has("chromium") {
        let why = "chromium is not installed (Debian: apt-get install chromium)";
        return machine::skip("a_browser_shows_the_cluster_and_its_troubles", why);
    }
    let cluster = Cluster::start(3, 2);
    shows_nodes(&cluster);
    shows_names_as_text(&cluster);
    shows_troubles(&cluster);
    cluster.end();
}

fn shows_nodes(cluster: &Cluster) {
    let page = shown(cluster, cluster.api());
    let leader = cluster.leader().name;
    assert!(
        page.contains(&format!("<dt>Leader</dt><dd>{leader}</dd>")),
        "{page}"
    );
    assert!(
        page.contains("<dt>Voters alive</dt><dd>3 of 3</dd>"),
        "{page}"
    );
    assert!(
        page.contains("<dt>Agents</dt><dd>2 connected</dd>"),
        "{page}"
    );
    assert!(page.contains("No tasks."), "{page}");
    for node in cluster.nodes() {
        assert!(
            page.contains(&format!("<span>{}</span>", node.name)),
            "{page}"
        );
    }
}

fn shows_names_as_text(cluster: &Cluster) {
    cluster.run(&["run", "--name", MARKUP, "--detach", "--", "sleep", "300"]);
    cluster.run(&[
        "run", "--name", "never", "--cpus", "100", "--detach", "--", "true",
    ]);
    until("the task runs", seconds(30), || {
        let tasks = http::json(cluster.api(), "/shoal/v1/tasks")?.to_string();
        check(tasks.contains("TASK_RUNNING"), || tasks)
    });
    // From here on, this one holds all offers.
    let stream = subscribe(cluster.api(), MARKUP);
    let page = shown(cluster, cluster.api());
    assert!(
        page.contains("<dt>Tasks</dt><dd>1 running, 1 waiting</dd>"),
        "{page}"
    );
    assert!(
        page.contains("<dt>Frameworks</dt><dd>2 connected</dd>"),
        "{page}"
    );
    assert!(page.contains("<span>never."), "{page}");
    let escaped = "&lt;img src=x onerror=\"document.title='owned'\"&gt;";
    assert!(
        page.contains(&format!("<span>{escaped}</span>")),
        "the framework: {page}"
    );
    assert!(
        page.contains(&format!("<span>{escaped}.")),
        "the task: {page}"
    );
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("<title>Shoal</title>"), "{page}");
    drop(stream);
}

/// A node that is no master says so, and a master without a leader shows what it knew.
fn shows_troubles(cluster: &Cluster) {
    let agent = &cluster.having("agent")[0];
    let page = shown(cluster, &agent.http);
    assert!(page.contains("This node is no master."), "{page}");
    let masters = cluster.having("master");
    for master in &masters[1..] {
        master.pid.signal(Signal::STOP);
    }
    until("the first master knows no leader", seconds(30), || {
        let told = http::get(cluster.api(), "/shoal/v1/leader", "*/*")?;
        check(told.status == 503, || told.text())
    });
    let page = shown(cluster, cluster.api());
    assert!(page.contains("No master leads"), "{page}");
    assert!(page.contains("<span>never."), "{page}");
    for master in &masters[1..] {
        master.pid.signal(Signal::CONT);
    }
    cluster.leader();
}

#[test]
fn pages_allow_nothing_but_what_the_node_serves() {
    let cluster = Cluster::start(1, 1);
    for path in ["/", "/page.js", "/page.css", "/runbooks"] {
        let answer = http::get(cluster.api(), path, "*/*").expect("a page is served");
        assert_eq!(answer.status, 200, "{path}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
        let text = answer.text();
        for outside in ["http://", "https://", "innerHTML", "style=\"", "onclick"] {
            // The page of runbooks has PromQL and prose only; the script links to nodes by address.
            let link = path == "/page.js" && outside == "http://";
            assert!(link || !text.contains(outside), "{path} has {outside}");
        }
        let refused = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let refused = http::request(cluster.api(), refused.as_bytes()).expect("it answers");
        assert_eq!(refused.status, 405, "{path}");
    }
    cluster.end();
}

/// The document as it is once its scripts have asked and shown.
fn shown(cluster: &Cluster, address: &str) -> String {
    let folder = cluster.scratch("chromium");
    let output = Command::new("timeout")
        .args([
            "--kill-after=5",
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
        ])
        .args([
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--disable-sync", "--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.display()))
        .arg(format!("http://{address}/"))
        .env("HOME", &folder)
        .stdin(Stdio::null())
        .output()
        .expect("chromium can be run");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Subscribes a framework with that name, and holds its stream.
fn subscribe(address: &str, name: &str) -> TcpStream {
    let call = serde_json::json!({
        "type": "SUBSCRIBE",
        "subscribe": { "framework_info": { "user": "root", "name": name } },
    });
    let call = call.to_string();
    let mut stream = TcpStream::connect(address).expect("the API is there");
    write!(
        stream,
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n{call}",
        call.len()
    )
    .expect("a call can be sent");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("it is answered");
    assert_eq!(&head, b"HTTP/1.1 200");
    stream
}
