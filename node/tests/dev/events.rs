//! The events of the ledger, as clients of real masters get them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::{Dev, PATIENCE, SHOAL, shoal, text};

fn lines(output: &[u8]) -> Vec<Value> {
    let text = text(output);
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

/// An answer of the API to a GET with some more headers.
fn get(address: &str, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn events_are_the_same_at_every_master_and_go_on_from_any() {
    let dev = Dev::start(&["--masters", "3", "--agents", "1"]);
    let all = dev.addresses(3);
    let masters: Vec<&str> = all.split(',').collect();
    let ran = shoal(&all, &["run", "--name", "job", "--", "false"]);
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran.stderr));

    let told: Vec<Vec<Value>> = masters
        .iter()
        .map(|master| {
            let out = shoal(master, &["events", "--task", "job.1.0", "-o", "json"]);
            assert!(out.status.success(), "{}", text(&out.stderr));
            lines(&out.stdout)
        })
        .collect();
    assert_eq!(told[1], told[0]);
    assert_eq!(told[2], told[0]);
    let story: Vec<&str> = told[0]
        .iter()
        .map(|event| match event["type"].as_str().unwrap() {
            "task_status" => event["state"].as_str().unwrap(),
            other => other,
        })
        .collect();
    assert_eq!(story.first(), Some(&"task_launched"), "{story:?}");
    assert_eq!(
        story[story.len() - 2..],
        ["TASK_FAILED", "task_acknowledged"]
    );
    let failed = &told[0][story.len() - 2];
    assert_eq!(failed["exit"]["code"], 1);
    assert_eq!(failed["source"], "SOURCE_EXECUTOR");

    resumes_at(masters[1], &told[0]);

    let of_agent = shoal(
        masters[2],
        &[
            "events",
            "--agent",
            "agent1",
            "--type",
            "agent_connected",
            "-o",
            "json",
        ],
    );
    assert_eq!(
        lines(&of_agent.stdout).len(),
        1,
        "{}",
        text(&of_agent.stderr)
    );
    let people = shoal(masters[2], &["events", "--type", "task_launched"]);
    assert!(text(&people.stdout).contains("task=job.1.0"));
}

/// Seen at one master, gone on at another: nothing twice, nothing missed.
fn resumes_at(master: &str, told: &[Value]) {
    let seen = told[0]["id"].as_str().unwrap();
    let path = "/shoal/v1/events?from=oldest&follow=false&task=job.1.0";
    let answer = get(master, path, &format!("Last-Event-ID: {seen}\r\n"));
    assert!(
        answer.contains("content-type: text/event-stream"),
        "{answer}"
    );
    let ids: Vec<&str> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .skip(1)
        .collect();
    let wanted: Vec<&str> = told[1..]
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, wanted);
}

#[test]
fn what_cannot_be_given_is_said() {
    let dev = Dev::start(&["--agents", "0"]);
    let api = dev.api.to_string();
    for (query, status, word) in [
        ("from=0", "410", "\"oldest\":\"1.0\""),
        ("from=4000000000", "400", "beyond the ledger"),
        ("from=x", "400", "no position"),
        ("from=1.2.3", "400", "no position"),
        ("from=99999999999999999999", "400", "no position"),
        ("type=nonsense", "400", "task_status"),
        ("follow=maybe", "400", "follow"),
        ("agent=nobody", "404", "shoal agents"),
        ("framework=nobody", "404", "shoal frameworks"),
        ("task=nobody/x", "404", "shoal frameworks"),
    ] {
        let answer = get(&api, &format!("/shoal/v1/events?{query}"), "");
        let head = answer.lines().next().unwrap_or_default();
        assert!(head.contains(status), "{query}: {answer}");
        assert!(answer.contains(word), "{query}: {answer}");
    }
    let answer = get(&api, "/shoal/v1/events", "Last-Event-ID: what\r\n");
    assert!(answer.contains("400 Bad Request"), "{answer}");
    let code = |arguments: &[&str]| dev.shoal(arguments).status.code();
    assert_eq!(code(&["events"]), Some(0));
    assert_eq!(code(&["events", "--from", "0"]), Some(1));
    assert_eq!(code(&["events", "--from", "x"]), Some(2));
    assert_eq!(code(&["events", "--agent", "nobody"]), Some(4));
    let nobody = shoal("127.0.0.1:1", &["events", "-f"]);
    assert_eq!(nobody.status.code(), Some(3));
}

#[test]
fn a_follower_goes_on_when_its_master_dies() {
    let dev = Dev::start(&["--masters", "3", "--agents", "0"]);
    let leader = dev.json(&["leader"]);
    let leading = leader["http"].as_str().unwrap().to_owned();
    let all = dev.addresses(3);
    let others: Vec<&str> = all.split(',').filter(|a| *a != leading).collect();
    let others = others.join(",");
    let mut follower = Command::new(SHOAL)
        .env("SHOAL_ADDR", format!("{leading},{others}"))
        .args(["events", "-f", "--from", "oldest", "--type", "run_created"])
        .args(["-o", "json"])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).expect("a line is JSON");
        event["run"].as_u64().unwrap()
    };
    let run = |addresses: &str| {
        let out = shoal(addresses, &["run", "--detach", "--", "true"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
    };
    run(&all);
    assert_eq!(next(), 1);
    let name = leader["name"].as_str().unwrap();
    kill_process(dev.pid_of(name), Signal::KILL).unwrap();
    run(&others);
    run(&others);
    assert_eq!(next(), 2);
    assert_eq!(next(), 3);
    follower.kill().unwrap();
    follower.wait().unwrap();
}
