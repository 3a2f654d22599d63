//! All masters are lost and a backup is restored: tasks go on, newer ones are orphans, nothing runs
//! twice; and what is no good backup makes nothing.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::said;
use crate::nodes::{Nodes, SOON};
use crate::wait::{check, until};

/// Starts a task that writes down that it started, and runs until it is killed.
fn start_task(nodes: &Nodes, name: &str) {
    let line = format!(
        "echo started >> {}; exec sleep 1000",
        nodes.path(name).display()
    );
    nodes.run(
        "m1",
        &["run", "--detach", "--name", name, "--", "sh", "-c", &line],
    );
    until_runs(nodes, "m1", name, false);
}

/// Waits until a task of that name runs, as an orphan or not, and gives its id.
fn until_runs(nodes: &Nodes, master: &str, name: &str, orphan: bool) -> String {
    until(&format!("{name} runs"), SOON, || {
        let document = nodes.json(master, &["ps"])?;
        let tasks = document["tasks"].as_array().cloned().unwrap_or_default();
        let mut named = tasks.iter().filter(|task| task["name"] == name);
        let found = named.find(|task| task["state"] == "TASK_RUNNING" && task["orphan"] == orphan);
        let id = found.and_then(|task| task["id"].as_str());
        id.map(str::to_string).ok_or_else(|| document.to_string())
    })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Restores into a folder, which must be refused for that reason and make no node.
fn refused(nodes: &Nodes, file: &Path, data: &Path, reason: &str) {
    let output = nodes.output("m1", &["restore", &text(file), "--data", &text(data)]);
    let why = said(&output);
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains(reason), "it says '{reason}': {why}");
    assert!(!data.join("master").exists(), "nothing was made: {why}");
}

/// Every kind of file that is no good backup.
fn bad_files(nodes: &Nodes, good: &Path) {
    let bytes = fs::read(good).expect("the backup can be read");
    let (file, data) = (nodes.path("bad"), nodes.path("restored-badly"));
    let with = |bytes: &[u8], reason: &str| {
        fs::write(&file, bytes).expect("a file can be written");
        refused(nodes, &file, &data, reason);
    };
    with(b"not a backup at all", "is no backup of Shoal");
    with(&bytes[..bytes.len() - 5], "is cut off");
    with(&bytes[..bytes.len() / 2], "is damaged at byte");
    with(&bytes[..10], "is cut off");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    with(&flipped, "is damaged at byte");
    let mut newer = bytes.clone();
    newer[8] = 9;
    with(&newer, "a newer version (format 9");
    with(&[&bytes[..], b"more"].concat(), "more follows");
    refused(nodes, &nodes.path("nothing"), &data, "cannot read");
    refused(nodes, &nodes.path("."), &data, "is no backup of Shoal");
}

#[test]
fn a_backup_begins_a_new_life() {
    let mut nodes = Nodes::cluster(3, 2, &[]);
    start_task(&nodes, "older");
    let backup = nodes.path("backup");
    let file = text(&backup);
    let told = nodes.json("m1", &["backup", &file]).expect("a document");
    let size = fs::metadata(&backup).expect("the backup is there").len();
    assert_eq!(told["bytes"].as_u64(), Some(size), "{told}");
    let again = nodes.output("m1", &["backup", &file]);
    assert!(
        said(&again).contains("is there already"),
        "{}",
        said(&again)
    );
    start_task(&nodes, "newer");

    refused(&nodes, &backup, &nodes.path("elsewhere"), "lives");
    nodes.lose("m1");
    nodes.lose("m2");
    nodes.stop("m3", Signal::KILL);
    bad_files(&nodes, &backup);
    let output = nodes.output(
        "m1",
        &["restore", &file, "--data", &text(&nodes.data("m3"))],
    );
    assert!(said(&output).contains("is not empty"), "{}", said(&output));

    nodes.run(
        "m1",
        &["restore", &file, "--data", &text(&nodes.data("m1"))],
    );
    nodes.start("m1", &["--roles=master"]);
    nodes.until_usable("m1", 2);
    until_runs(&nodes, "m1", "older", false);
    let orphan = until_runs(&nodes, "m1", "newer", true);
    let table = nodes.run("m1", &["ps"]);
    assert!(table.contains("TASK_RUNNING (orphan)"), "{table}");

    // A run of the new life is never mistaken for one that the backup does not know.
    let done = nodes.run("m1", &["run", "--name", "newer", "--", "echo", "done"]);
    assert_eq!(done, "done\n");
    nodes.run("m1", &["kill", &orphan]);
    until("the orphan is gone", SOON, || {
        let document = nodes.json("m1", &["ps"])?;
        let left = document["tasks"].as_array().map_or(0, Vec::len);
        check(left == 1, || document.to_string())
    });
    for name in ["older", "newer"] {
        let started = fs::read_to_string(nodes.path(name)).expect("the task wrote");
        assert_eq!(started, "started\n", "{name} ran once");
    }
    let why = said(&nodes.refused("m3"));
    assert!(why.contains("recovered or restored without it"), "{why}");
    let quorum: Value = nodes.json("m1", &["quorum", "list"]).expect("a document");
    assert!(
        quorum["incarnation"].as_u64() > told["incarnation"].as_u64(),
        "{quorum}"
    );
    nodes.end();
}
