//! What an operator looks at and does, by the commands that he would type.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::{Dev, PATIENCE, shoal, text};

/// A framework that takes offers and does nothing with them, while the stream is open.
struct Idle(TcpStream);

impl Idle {
    fn subscribe(api: &str, name: &str) -> Idle {
        let body = format!(
            r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{{"user":"root","name":"{name}","failover_timeout":60}}}}}}"#
        );
        let mut stream = TcpStream::connect(api).unwrap();
        let head = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        Idle(stream)
    }

    /// Reads until the master has closed the stream.
    fn closed(mut self) {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("the stream ends");
    }
}

fn rows(document: &Value, list: &str) -> Vec<Value> {
    document[list].as_array().unwrap().clone()
}

#[test]
fn offers_and_tasks_are_found_and_a_framework_is_removed() {
    let dev = Dev::start(&["--agents", "2", "--resources", "cpus:2;mem:512"]);
    let api = dev.api.to_string();
    let idle = Idle::subscribe(&api, "idler");
    while rows(&dev.json(&["offers"]), "offers").len() < 2 {}
    let offers = dev.json(&["offers", "--agent", "agent1", "--framework", "idler"]);
    let offers = rows(&offers, "offers");
    assert_eq!(offers.len(), 1, "{offers:?}");
    assert_eq!(offers[0]["framework_name"], "idler");
    assert!(text(&dev.shoal(&["offers"]).stdout).contains("cpus:2"));

    let code = |arguments: &[&str]| dev.shoal(arguments).status.code();
    assert_eq!(code(&["offers", "--agent", "nobody"]), Some(4));
    assert_eq!(code(&["teardown", "nobody", "--yes"]), Some(4));
    assert_eq!(code(&["teardown", "shoal-runs", "--yes"]), Some(1));
    let unasked = dev.shoal(&["teardown", "idler"]);
    assert_eq!(unasked.status.code(), Some(2));
    assert!(text(&unasked.stderr).contains("--yes"));

    let removed = dev.json(&["teardown", "idler", "--yes"]);
    assert_eq!(removed["tasks"], 0, "{removed}");
    idle.closed();
    let id = removed["framework"].as_str().unwrap();
    let told = dev.shoal(&["events", "--framework", id, "--type", "framework_removed"]);
    assert!(text(&told.stdout).contains("cause=operator"), "{told:?}");
    assert_eq!(rows(&dev.json(&["offers"]), "offers").len(), 0);
    assert_eq!(code(&["teardown", id, "--yes"]), Some(1));

    let run = ["run", "--detach", "--name", "long", "--count", "2"];
    let run = [&run[..], &["--", "sleep", "1000"]].concat();
    assert_eq!(code(&run), Some(0));
    while rows(&dev.json(&["tasks", "--state", "running"]), "tasks").len() < 2 {}
    assert_eq!(code(&["run", "--name", "short", "--", "true"]), Some(0));
    let count = |arguments: &[&str]| rows(&dev.json(arguments), "tasks").len();
    assert_eq!(count(&["ps"]), 2);
    assert_eq!(count(&["tasks", "--all"]), 3);
    assert_eq!(count(&["tasks", "--state", "TASK_FINISHED"]), 1);
    assert_eq!(count(&["tasks", "--state", "waiting"]), 0);
    assert_eq!(count(&["tasks", "--framework", "shoal runs"]), 2);
    let on = |agent: &str| count(&["tasks", "--agent", agent]);
    assert_eq!(on("agent1") + on("agent2"), 2);
    assert_eq!(code(&["tasks", "--state", "tired"]), Some(2));
    assert_eq!(code(&["tasks", "--framework", "nobody"]), Some(4));
}

#[test]
fn a_task_is_explained() {
    let dev = Dev::start(&["--resources", "cpus:2;mem:512"]);
    let script = "echo words; echo trouble >&2; exec sleep 1000";
    let run = ["run", "--detach", "--name", "job", "--", "sh", "-c", script];
    assert!(dev.shoal(&run).status.success());
    while dev.json(&["tasks"])["tasks"][0]["state"] != "TASK_RUNNING" {}
    assert!(dev.shoal(&["kill", "job.1.0"]).status.success());
    assert!(dev.shoal(&["logs", "-f", "job.1.0"]).status.success());
    while !rows(&dev.json(&["tasks"]), "tasks").is_empty() {}

    let err = dev.shoal(&["logs", "--stderr", "job.1.0"]);
    assert_eq!(
        (text(&err.stdout), text(&err.stderr)),
        ("trouble\n".into(), String::new())
    );

    let explained = dev.json(&["explain", "job.1.0"]);
    let kinds: Vec<String> = rows(&explained, "timeline")
        .iter()
        .map(|entry| {
            assert_eq!(entry["known_by"], "event", "{entry}");
            let kind = entry["type"].as_str().unwrap();
            entry["state"].as_str().unwrap_or(kind).to_owned()
        })
        .collect();
    let order = [
        "run_created",
        "offer_made",
        "offers_accepted",
        "task_launched",
        "TASK_RUNNING",
        "task_kill_ordered",
        "TASK_KILLED",
        "task_acknowledged",
    ];
    let mut rest = kinds.iter();
    for wanted in order {
        assert!(rest.any(|kind| kind == wanted), "{wanted} in {kinds:?}");
    }
    assert_eq!(explained["unknown"], serde_json::json!([]));
    let told = text(&dev.shoal(&["explain", "shoal-runs/job.1.0"]).stdout);
    assert!(told.contains("ordered by: operator"), "{told}");
    assert!(told.contains("acknowledged TASK_KILLED"), "{told}");

    let large = [
        "run", "--detach", "--name", "large", "--cpus", "99", "--", "true",
    ];
    assert!(dev.shoal(&large).status.success());
    let told = text(&dev.shoal(&["explain", "large.2.0"]).stdout);
    assert!(told.contains("none of 1 agents is large enough"), "{told}");
    assert_eq!(dev.shoal(&["explain", "nothing"]).status.code(), Some(4));
    assert_eq!(
        shoal("127.0.0.1:1", &["explain", "x"]).status.code(),
        Some(3)
    );
}

#[test]
fn shells_and_manuals_know_every_command() {
    for (shell, word) in [
        ("bash", "complete"),
        ("zsh", "#compdef"),
        ("fish", "complete -c"),
    ] {
        let out = shoal("", &["completions", shell]);
        let script = text(&out.stdout);
        assert!(out.status.success() && script.contains(word), "{script}");
        assert!(script.contains("explain"), "{shell} completes commands");
    }
    assert_eq!(shoal("", &["completions", "sh"]).status.code(), Some(2));
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("new/man1");
    let out = shoal("", &["man", "--dir", pages.to_str().unwrap()]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    for page in ["shoal.1", "shoal-run.1", "shoal-quorum-list.1"] {
        let page = std::fs::read_to_string(pages.join(page)).expect("a page");
        assert!(page.contains(".SH NAME"), "{page}");
    }
    let page = std::fs::read_to_string(pages.join("shoal-events.1")).unwrap();
    assert!(page.contains("Examples"), "{page}");
    let refused = shoal("", &["man", "--dir", "/proc/none"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("/proc/none"));
}
