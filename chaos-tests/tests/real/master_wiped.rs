//! A master loses its disk: it comes back under a new Raft id, takes its old self's place, and its
//! vote counts.

use std::fs;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, said};
use crate::wait::{check, seconds, until};

#[test]
fn it_rejoins_in_place_of_its_old_self() {
    let cluster = Cluster::start(3, 1);
    let before = voters(&cluster).expect("the quorum can be listed");
    assert_eq!(before.len(), 3);
    let wiped = cluster.followers().remove(0);

    // The supervisor is paused, so that it does not start the node before its disk is empty.
    cluster.dev().signal(Signal::STOP);
    wiped.pid.signal(Signal::KILL);
    until("the master is dead", seconds(10), || {
        check(!wiped.pid.lives(), || "it lives".into())
    });
    fs::remove_dir_all(&wiped.data).expect("a folder can be removed");
    cluster.dev().signal(Signal::CONT);
    cluster.until_back(&wiped);

    let after = until("three masters vote again", seconds(90), || {
        let now = voters(&cluster)?;
        let old = before.iter().filter(|id| now.contains(id)).count();
        check(now.len() == 3 && old == 2, || {
            format!("{before:?} became {now:?}")
        })?;
        Ok(now)
    });

    // With the other follower silent, nothing commits without the vote of the wiped one.
    let mut followers = cluster.followers();
    followers.retain(|other| other.name != wiped.name);
    let silent = followers.remove(0);
    silent.pid.signal(Signal::STOP);
    let output = run(&cluster);
    silent.pid.signal(Signal::CONT);
    assert!(
        output.status.success(),
        "voters {after:?}: {}",
        said(&output)
    );
    cluster.end();
}

/// Commits a run and does not wait for it: the agent may have its session with the silent master.
fn run(cluster: &Cluster) -> Output {
    let arguments = ["run", "--detach", "--", "true"];
    let mut command: Command = cluster.shoal(&arguments);
    // The silent master would take the call and never answer.
    command.env("SHOAL_ADDR", cluster.leader().http);
    command.output().expect("shoal can be run")
}

/// The Raft ids that vote.
fn voters(cluster: &Cluster) -> Result<Vec<String>, String> {
    let output = cluster
        .shoal(&["quorum", "list", "-o", "json"])
        .output()
        .expect("shoal can be run");
    let document: Value = serde_json::from_slice(&output.stdout).map_err(|_| said(&output))?;
    let masters = document["masters"]
        .as_array()
        .ok_or_else(|| said(&output))?;
    let voting = masters.iter().filter(|master| master["voter"] == true);
    let mut ids: Vec<String> = voting.map(|master| master["raft_id"].to_string()).collect();
    ids.sort();
    Ok(ids)
}
