//! Two of three masters are lost for good: the third goes on alone, tasks are found, and the old ones
//! cannot come back.

use std::fs;

use rustix::process::Signal;

use crate::cluster::said;
use crate::nodes::{Nodes, SOON};
use crate::wait::{check, until};

/// A task that says when it starts, and runs until it is killed.
fn task(nodes: &Nodes) -> String {
    let witness = nodes.path("witness");
    format!("echo started >> {}; exec sleep 1000", witness.display())
}

/// Waits until the one task runs, by the word of that master.
fn until_running(nodes: &Nodes, master: &str) {
    until("the task runs", SOON, || {
        let document = nodes.json(master, &["ps"])?;
        let tasks = document["tasks"].as_array().cloned().unwrap_or_default();
        let runs = tasks.len() == 1 && tasks[0]["state"] == "TASK_RUNNING";
        check(runs, || format!("{document}"))
    });
}

#[test]
fn a_survivor_goes_on_and_finds_its_tasks() {
    let mut nodes = Nodes::cluster(3, 2, &[]);
    nodes.run("m1", &["run", "--detach", "--", "sh", "-c", &task(&nodes)]);
    until_running(&nodes, "m1");
    nodes.until_told("m1", &["m1", "m2", "m3"]);
    let folder = |nodes: &Nodes, name: &str| nodes.data(name).display().to_string();
    let data = folder(&nodes, "m1");

    // Not while it runs, and not while the cluster lives.
    let output = nodes.output("m1", &["quorum", "recover", &data, "--yes-i-lose-data"]);
    assert!(
        said(&output).contains("another process"),
        "{}",
        said(&output)
    );
    nodes.stop("m1", Signal::TERM);
    let output = nodes.output("m2", &["quorum", "recover", &data, "--yes-i-lose-data"]);
    assert!(said(&output).contains("lives"), "{}", said(&output));

    nodes.lose("m2");
    nodes.stop("m3", Signal::KILL);
    let output = nodes.output("m1", &["quorum", "recover", &data]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "nobody confirmed it: {text}");
    assert!(
        text.contains("last entry") && text.contains("gives up    m3"),
        "{text}"
    );
    nodes.run("m1", &["quorum", "recover", &data, "--yes-i-lose-data"]);
    nodes.again("m1");
    nodes.until_usable("m1", 2);
    nodes.until_voters("m1", &["m1"]);
    until_running(&nodes, "m1");
    assert_eq!(nodes.run("m1", &["run", "--", "echo", "new"]), "new\n");

    // A master of the old life is told, and its data directory stays refused.
    let text = said(&nodes.refused("m3"));
    assert!(text.contains("recovered or restored without it"), "{text}");
    let text = said(&nodes.refused("m3"));
    assert!(text.contains("quorum reset"), "it says what to do: {text}");
    nodes.run("m1", &["quorum", "reset", &folder(&nodes, "m3")]);
    nodes.again("m3");
    nodes.again("m2");
    for name in ["m2", "m3"] {
        until("a new master is promoted", SOON, || {
            let output = nodes.output("m1", &["quorum", "promote", name]);
            check(output.status.success(), || said(&output))
        });
    }
    nodes.until_voters("m3", &["m1", "m2", "m3"]);
    assert_eq!(nodes.run("m2", &["run", "--", "echo", "three"]), "three\n");
    until_running(&nodes, "m3");
    let started = fs::read_to_string(nodes.path("witness")).expect("the task wrote");
    assert_eq!(started, "started\n", "the task ran once");
    nodes.end();
}
