//! A development cluster ends with everything that it started, whichever way it ends.

use crate::cluster::Cluster;
use crate::process;
use crate::wait::{check, seconds, until};

/// A cluster with tasks that would run on for long.
fn busy(masters: u8, agents: u8) -> Cluster {
    let cluster = Cluster::start(masters, agents);
    cluster.run(&["run", "--detach", "--count", "4", "--", "sleep", "1000"]);
    until("the tasks run", seconds(30), || {
        let all = process::in_folder(&cluster.data());
        let tasks = all
            .iter()
            .filter(|(_, line)| line.starts_with("sleep 1000"))
            .count();
        check(tasks == 4, || format!("{tasks} of 4 run: {all:?}"))
    });
    cluster
}

#[test]
fn term_ends_a_cluster_with_its_tasks() {
    busy(3, 2).end();
}

#[test]
fn kill_ends_a_cluster_with_its_tasks() {
    busy(3, 2).end_by_kill();
}

#[test]
fn term_ends_a_single_node_with_its_tasks() {
    busy(1, 1).end();
}

#[test]
fn kill_ends_a_single_node_with_its_tasks() {
    busy(1, 1).end_by_kill();
}
