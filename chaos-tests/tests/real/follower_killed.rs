//! Masters that a framework is not attached to die: a framework that must not lose its connection,
//! because its failover timeout is zero, notices nothing.

use std::fs;

use rustix::process::Signal;

use crate::cluster::{Cluster, Node};
use crate::framework::{Framework, Job, assert_each_once};
use crate::machine;
use crate::wait::seconds;

const TASKS: usize = 20;

/// Runs tasks for a framework at a follower that end only after what `hurt` does to the others.
fn undisturbed(test: &str, hurt: impl FnOnce(&Cluster, &Node)) {
    let python = match machine::pymesos() {
        Ok(python) => python,
        Err(why) => return machine::skip(test, &why),
    };
    let cluster = Cluster::start(3, 3);
    let home = cluster.followers().remove(0);
    let (marks, gate) = (cluster.scratch("marks"), cluster.scratch("gate"));
    let wait = format!("while [ ! -e {} ]; do sleep 0.1; done", gate.display());
    let framework = Framework::start(
        &python,
        &cluster,
        &Job {
            tasks: TASKS,
            command: format!("{wait}; echo {{number}} >> {}", marks.display()),
            failover_timeout: 0,
            wanted: "TASK_FINISHED",
            first: home.name.clone(),
        },
    );
    framework.until_count("TASK_RUNNING", TASKS, seconds(60));
    hurt(&cluster, &home);
    fs::write(&gate, "").expect("the gate can be opened");

    let summary = framework.succeed(seconds(90));
    assert_each_once(&marks, TASKS);
    assert_eq!(summary.number("subscriptions"), 1, "the stream never broke");
    assert_eq!(
        summary.number("disconnections"),
        0,
        "the stream never broke"
    );
    assert_eq!(summary.number("agents_lost"), 0, "no agent was given up");
    assert_eq!(summary.list("relaunched"), Vec::<String>::new());
    assert_eq!(summary.list("stray"), Vec::<String>::new());
    cluster.end();
}

#[test]
fn another_follower_dies() {
    undisturbed("another_follower_dies", |cluster, home| {
        let mut others = cluster.followers();
        others.retain(|other| other.name != home.name);
        let victim = others.remove(0);
        victim.pid.signal(Signal::KILL);
        cluster.until_back(&victim);
    });
}

#[test]
fn the_leader_dies_elsewhere() {
    undisturbed("the_leader_dies_elsewhere", |cluster, home| {
        let leader = cluster.leader();
        assert_ne!(
            leader.name, home.name,
            "the framework is not attached to the leader"
        );
        let dead = cluster.node(&leader.name);
        leader.pid.signal(Signal::KILL);
        cluster.leader_after(&leader);
        cluster.until_back(&dead);
    });
}
