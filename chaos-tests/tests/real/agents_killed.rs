//! All agent processes are killed while tasks run: the tasks go on, are found again, and neither an
//! exit code nor a line of output is lost.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::framework::{Framework, Job};
use crate::machine;
use crate::wait::seconds;

const TASKS: usize = 24;
const LINES: usize = 100;

#[test]
fn tasks_survive_their_agents() {
    let python = match machine::pymesos() {
        Ok(python) => python,
        Err(why) => return machine::skip("tasks_survive_their_agents", &why),
    };
    let cluster = Cluster::start(3, 3);
    let print = format!("for i in $(seq 1 {LINES}); do echo {{id}} $i; sleep 0.05; done");
    let framework = Framework::start(
        &python,
        &cluster,
        &Job {
            tasks: TASKS,
            command: format!("{print}; exit $(({{number}} % 4))"),
            failover_timeout: 60,
            wanted: "TASK_FINISHED,TASK_FAILED",
            first: cluster.leader().name,
        },
    );
    framework.until_count("TASK_RUNNING", TASKS, seconds(60));
    let agents = cluster.having("agent");
    for agent in &agents {
        agent.pid.signal(Signal::KILL);
    }
    let ended = framework.count("TASK_FINISHED") + framework.count("TASK_FAILED");
    assert!(ended < TASKS, "the agents died while tasks ran");
    for agent in &agents {
        cluster.until_back(agent);
    }

    let summary = framework.succeed(seconds(120));
    assert_eq!(
        summary.list("relaunched"),
        Vec::<String>::new(),
        "no task was lost"
    );
    assert_eq!(summary.list("stray"), Vec::<String>::new());
    assert_eq!(
        summary.number("agents_lost"),
        0,
        "the agents came back in time"
    );
    let results = summary.results();
    let outputs = outputs(&cluster.data());
    for number in 0..TASKS {
        let id = format!("task-{number}.1");
        let (state, message) = &results[&id];
        match number % 4 {
            0 => assert_eq!(state, "TASK_FINISHED", "{id}: {message}"),
            code => {
                assert_eq!(state, "TASK_FAILED", "{id}: {message}");
                assert!(
                    message.ends_with(&format!("status {code}")),
                    "{id}: {message}"
                );
            }
        }
        let whole: String = (1..=LINES).map(|line| format!("{id} {line}\n")).collect();
        let found = outputs.iter().filter(|output| **output == whole).count();
        assert_eq!(found, 1, "the whole output of {id} is in one file");
    }
    cluster.end();
}

/// The text of every file named `stdout` below a folder.
fn outputs(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                folders.push(entry.path());
            } else if entry.file_name() == "stdout" {
                found.push(fs::read_to_string(entry.path()).expect("output can be read"));
            }
        }
    }
    found
}
