//! A master whose disk is full refuses new work, says so, forgets nothing, and goes on once there is
//! room. The disk is a small `tmpfs` in a mount namespace of its own, which takes root.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::process::{Node, Place, metric, run};

/// Mounts a disk of that size with that much taken, then runs a node on it, once for each life.
const SCRIPT: &str = "mount -t tmpfs -o size=\"$2\" tmpfs \"$1\" && \
     { [ \"$3\" = 0 ] || head -c \"$3\" /dev/zero > \"$1/filler\"; } && \
     for life in $5; do \"$4\" node; done";

/// Whether this process may mount a disk; says so if it may not.
fn may_mount(test: &str) -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"])
        .stderr(Stdio::null())
        .status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        // Past the capture of the test's output: a skipped test must be seen.
        let line = format!("test {test} was skipped: it takes root, unshare and mount\n");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    may
}

/// The node's disk is this folder.
fn start(place: &Place, size: &str, taken: &str, lives: &str) -> Node {
    let disk = place.data();
    fs::create_dir_all(&disk).expect("a folder can be made");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", SCRIPT, "sh"])
        .arg(&disk)
        .args([size, taken, crate::process::SHOAL, lives])
        .env("SHOAL_CONFIG", place.file())
        .env("SHOAL_GOSSIP_KEY", crate::process::KEY)
        .env("SHOAL_DATA", disk.join("data"))
        .stdin(Stdio::null());
    Node::start(&mut command)
}

/// The node's disk, seen from outside of its namespace.
fn seen(node: &Node, place: &Place) -> PathBuf {
    let folder = place.data();
    let below = folder.strip_prefix("/").expect("an absolute path");
    Path::new("/proc")
        .join(node.id().to_string())
        .join("root")
        .join(below)
}

/// The process that the script runs now.
fn inner(node: &Node) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", node.id()));
    let children = children.expect("the script runs");
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

fn order(place: &Place, size: usize) -> Result<String, String> {
    let env = format!("A={}", "x".repeat(size));
    let arguments = ["run", "--detach", "--env", &env, "--", "true"];
    let mut command = place.shoal(&arguments);
    let (code, out, err) = run(command.env("SHOAL_ADDR", place.http()));
    match code {
        Some(0) => Ok(out.trim().to_owned()),
        _ => Err(err),
    }
}

/// The tasks that the ledger has.
fn tasks(place: &Place) -> Vec<String> {
    let mut command = place.shoal(&["ps", "--all", "-o", "json"]);
    let (code, out, err) = run(command.env("SHOAL_ADDR", place.http()));
    assert_eq!(code, Some(0), "{err}");
    let document: Value = serde_json::from_str(&out).expect("it is JSON");
    let rows = document["tasks"].as_array().expect("a list").iter();
    rows.map(|row| row["id"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn a_disk_that_is_too_small_is_told_at_the_start() {
    if !may_mount("a_disk_that_is_too_small_is_told_at_the_start") {
        return;
    }
    let place = Place::new("n", "roles = [\"master\"]\nbootstrap_expect = 1\n");
    let mut node = start(&place, "8m", "0", "1");
    node.until(&["there is no room in"]);
    node.until(&["make room and start again"]);
    assert_eq!(node.ended().code(), Some(1));
}

#[test]
fn a_full_disk_refuses_new_work_and_forgets_nothing() {
    if !may_mount("a_full_disk_refuses_new_work_and_forgets_nothing") {
        return;
    }
    let place = Place::new("n", "roles = [\"master\"]\nbootstrap_expect = 1\n");
    // The first segment of the log fits, and no second one.
    let mut node = start(&place, "44m", "24M", "1 2");
    node.until(&["leading=true"]);
    let mut acknowledged = Vec::new();
    let refusal = loop {
        assert!(acknowledged.len() < 1000, "the disk never fills");
        match order(&place, 120_000) {
            Ok(task) => acknowledged.push(task),
            Err(refusal) => break refusal,
        }
    };
    assert!(
        acknowledged.len() > 50,
        "{} before: {refusal}",
        acknowledged.len()
    );
    assert!(
        refusal.contains("shoal doctor"),
        "it says where to look: {refusal}"
    );
    node.until(&["the disk is full"]);
    assert_eq!(metric(&place.http(), "shoal_disk_full "), "1");
    let data = seen(&node, &place).join("data");
    let (code, out, _) = run(&mut place.shoal(&["doctor", "--data", &data.display().to_string()]));
    assert_eq!(code, Some(1));
    let room = out
        .lines()
        .find(|line| line.contains("disk space"))
        .unwrap_or_default();
    assert!(room.starts_with("wrong"), "{out}");

    fs::remove_file(seen(&node, &place).join("filler")).expect("it is there");
    node.until(&["the disk has room again"]);
    acknowledged.push(order(&place, 1).expect("there is room"));
    let have = tasks(&place);
    assert!(
        acknowledged.iter().all(|task| have.contains(task)),
        "{have:?}"
    );

    // Nor does it forget when it is killed.
    let life = inner(&node).expect("the node runs");
    kill_process(life, Signal::KILL).expect("the node runs");
    node.until(&["node started", "generation=2"]);
    node.until(&["leading=true"]);
    let have = tasks(&place);
    assert!(
        acknowledged.iter().all(|task| have.contains(task)),
        "{have:?}"
    );
    let life = inner(&node).expect("the node runs");
    kill_process(life, Signal::TERM).expect("the node runs");
    node.ended();
}
