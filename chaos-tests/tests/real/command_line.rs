//! The command line against a real cluster: outputs, exit codes, and that it is documented.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, said};
use crate::machine;
use crate::process::ProcessId;
use crate::wait::{check, seconds, until};

/// Runs the command line without a cluster.
fn alone(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(machine::shoal())
        .args(arguments)
        .env("SHOAL_ADDR", "127.0.0.1:1")
        .stdin(Stdio::null())
        .output()
        .expect("shoal can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn without_a_master_it_says_so() {
    for arguments in [
        &["ps"][..],
        &["agents"],
        &["leader"],
        &["members"],
        &["frameworks"],
    ] {
        let (code, out, err) = alone(arguments);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{arguments:?}: {err}");
        assert!(
            err.contains("127.0.0.1:1"),
            "{arguments:?} says whom it asked: {err}"
        );
    }
    let (code, out, err) = alone(&["run", "--", "true"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(125), ""),
        "Shoal failed, not the command: {err}"
    );
    for arguments in [
        &["nonsense"][..],
        &["run"],
        &["dev", "--masters", "2"],
        &["kill"],
    ] {
        let (code, _, err) = alone(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
        assert!(!err.is_empty(), "{arguments:?} says what is wrong");
    }
}

#[test]
fn every_command_is_documented() {
    let (code, help, err) = alone(&["--help"]);
    assert_eq!(code, Some(0), "{err}");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")
                .and_then(|line| line.split(' ').next())
        });
    let names: Vec<&str> = names
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(names.len() >= 10, "the help lists the commands: {help}");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).expect("the README can be read");
    let silent: Vec<&&str> = names
        .iter()
        .filter(|name| !readme.contains(&format!("shoal {name}")))
        .collect();
    assert!(silent.is_empty(), "the README does not mention: {silent:?}");
}

#[test]
fn a_run_is_like_a_local_command() {
    let cluster = Cluster::start(1, 1);
    let run = |arguments: &[&str]| {
        let all = [&["run", "--"], arguments].concat();
        let output = cluster.shoal(&all).output().expect("shoal can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let all = |code: i32, out: &str, err: &str| (Some(code), out.to_string(), err.to_string());
    assert_eq!(
        run(&["sh", "-c", "echo out; echo err >&2; exit 7"]),
        all(7, "out\n", "err\n")
    );
    assert_eq!(run(&["true"]), all(0, "", ""));
    assert_eq!(
        run(&["sh", "-c", "kill -9 $$"]).0,
        Some(137),
        "128 and the signal"
    );
    let long = run(&["sh", "-c", "seq 1 100000"]);
    let wanted: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    assert!(
        long.1 == wanted,
        "long output comes whole: {} bytes",
        long.1.len()
    );
    let missing = run(&["no-such-program"]);
    assert!(missing.0 != Some(0) && !missing.2.is_empty(), "{missing:?}");

    let many = cluster.run(&["run", "--count", "5", "--", "echo", "x"]);
    assert_eq!(many, "x\n".repeat(5));
    let env = cluster.run(&[
        "run",
        "--env",
        "GREETING=a b",
        "--",
        "sh",
        "-c",
        "echo $GREETING",
    ]);
    assert_eq!(env, "a b\n");
    cluster.end();
}

#[test]
fn interrupting_a_run_ends_its_task() {
    let cluster = Cluster::start(1, 1);
    let started = cluster.scratch("started");
    let script = format!("touch {}; exec sleep 1000", started.display());
    let mut child = cluster
        .shoal(&["run", "--", "sh", "-c", &script])
        .spawn()
        .expect("shoal runs");
    until("the task runs", seconds(20), || {
        check(started.exists(), || "it does not".to_string())
    });
    ProcessId(i32::try_from(child.id()).expect("a pid fits")).signal(Signal::INT);
    let status = until("the command ends", seconds(20), || {
        let status = child.try_wait().map_err(|why| why.to_string())?;
        status.ok_or_else(|| "it runs".to_string())
    });
    assert_eq!(status.code(), Some(143), "the task was ended with TERM");
    cluster.end();
}

#[test]
fn tasks_are_listed_read_and_killed() {
    let cluster = Cluster::start(1, 1);
    let script = "echo hello; echo trouble >&2; exec sleep 1000";
    let printed = cluster.run(&[
        "run", "--detach", "--name", "long", "--", "sh", "-c", script,
    ]);
    let task = printed.trim();
    assert!(
        !task.is_empty() && !task.contains('\n'),
        "one task is printed: {printed}"
    );

    let json = |arguments: &[&str]| -> Value {
        let text = cluster.run(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{arguments:?}: {why}: {text}"))
    };
    until("the task is listed as running", seconds(20), || {
        let text = cluster.run(&["ps"]);
        let line = text.lines().find(|line| line.contains(task));
        check(
            line.is_some_and(|line| line.contains("TASK_RUNNING")),
            || text.clone(),
        )
    });
    assert_eq!(
        json(&["agents"])["agents"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(json(&["members"])["members"][0]["status"], "alive");
    assert!(json(&["leader"])["pid"].is_u64());
    assert!(json(&["frameworks"])["frameworks"].is_array());
    assert_eq!(
        json(&["members", "--status", "failed"])["members"],
        Value::Array(Vec::new())
    );

    until("the output is there", seconds(20), || {
        let hello = cluster.run(&["logs", task]);
        check(hello == "hello\n", || hello.clone())?;
        let logs = cluster.shoal(&["logs", "--stderr", task]).output();
        let logs = logs.expect("shoal can be run");
        let both = [logs.stdout.as_slice(), &logs.stderr].concat();
        check(both == b"trouble\n", || said(&logs))
    });
    cluster.run(&["kill", task]);
    until("the task is gone from the list", seconds(20), || {
        let text = cluster.run(&["ps"]);
        check(!text.contains(task), || text.clone())
    });
    assert!(cluster.run(&["ps", "--all"]).contains("TASK_KILLED"));

    for arguments in [["logs", "no-such-task"], ["kill", "no-such-task"]] {
        let output = cluster
            .shoal(&arguments)
            .output()
            .expect("shoal can be run");
        assert_eq!(
            output.status.code(),
            Some(4),
            "{arguments:?}: {}",
            said(&output)
        );
    }
    cluster.end();
}
