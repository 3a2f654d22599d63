//! Masters, agents and keepers die at every point between knowing and telling, one round after the
//! other in one cluster: each task runs once, its end is told, the replicas agree, and nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shoal_failpoint::{HIT, Point, VARIABLE};
use tempfile::TempDir;

use crate::cluster::{Cluster, said};
use crate::http;
use crate::wait::{check, seconds, until};

/// Tasks of each run.
const TASKS: usize = 4;
const MASTERS: u8 = 3;
const AGENTS: u8 = 2;
/// How long anything may take on a busy machine.
const PATIENCE: std::time::Duration = seconds(60);

/// Points at which processes die while one run goes on: one of a master, and one of an agent or a
/// keeper. What a keeper did not see of its tasks' ends nobody knows, so those rounds are told apart.
fn rounds() -> Vec<Vec<Point>> {
    let of = |kind: &str| -> Vec<Point> {
        let all = Point::ALL.iter().copied();
        all.filter(|point| point.name().starts_with(kind)).collect()
    };
    let (masters, agents, keepers) = (of("master-"), of("agent-"), of("keeper-"));
    let others: Vec<Point> = [agents, keepers].concat();
    assert_eq!(masters.len() + others.len(), Point::ALL.len());
    let count = masters.len().max(others.len());
    let both = |at: usize| masters.get(at).into_iter().chain(others.get(at));
    (0..count).map(|at| both(at).copied().collect()).collect()
}

/// One run and what came of it.
struct Run {
    number: u64,
    tasks: Vec<String>,
}

/// Creates a run whose tasks each leave a mark. Who is not told that it was created asks for another.
fn create(cluster: &Cluster, name: &str, marks: &Path) -> Run {
    let script = format!("echo $MESOS_EXECUTOR_ID >> {}; sleep 0.3", marks.display());
    let count = format!("--count={TASKS}");
    let mut words = vec!["-o", "json", "run", "--detach", "--name", name, &count];
    words.extend(["--cpus=0.1", "--mem=16", "--", "sh", "-c", &script]);
    until("a run is created", PATIENCE, || {
        let output = cluster.shoal(&words).output();
        let output = output.map_err(|why| why.to_string())?;
        check(output.status.success(), || said(&output))?;
        let told: Value = serde_json::from_slice(&output.stdout).map_err(|why| why.to_string())?;
        let tasks = told["tasks"].as_array().cloned().unwrap_or_default();
        let text = |task: &Value| task.as_str().map(str::to_string);
        Ok(Run {
            number: told["run"].as_u64().ok_or("a run has a number")?,
            tasks: tasks.iter().filter_map(text).collect(),
        })
    })
}

/// The states of a run's tasks once all have ended, as any master tells.
fn ends(cluster: &Cluster, run: &Run) -> BTreeMap<String, Value> {
    until("all tasks have ended", PATIENCE, || {
        let mut why = "there are no masters".to_string();
        for master in cluster.having("master") {
            let path = format!("/shoal/v1/runs/{}", run.number);
            match http::json(&master.http, &path) {
                Ok(document) => {
                    let rows = document["tasks"].as_array().cloned().unwrap_or_default();
                    let ended = rows.iter().filter(|row| row["terminal"] == true).count();
                    check(ended == TASKS, || format!("{document}"))?;
                    let id = |row: &Value| row["id"].as_str().unwrap_or("?").to_string();
                    return Ok(rows.iter().map(|row| (id(row), row.clone())).collect());
                }
                Err(other) => why = other,
            }
        }
        Err(why)
    })
}

/// Waits until every node serves, a master leads and all agents have sessions.
fn until_whole(cluster: &Cluster) {
    until("the cluster is whole again", PATIENCE, || {
        for node in cluster.nodes() {
            let health = http::get(&node.http, "/health", "*/*")?;
            check(health.status == 200, || {
                format!("{} answers {}", node.name, health.status)
            })?;
        }
        let master = &cluster.having("master")[0];
        let agents = http::json(&master.http, "/shoal/v1/agents")?;
        let rows = agents["agents"].as_array().cloned().unwrap_or_default();
        let there = rows.iter().filter(|row| row["status"] == "connected");
        check(there.count() == usize::from(AGENTS), || format!("{agents}"))
    });
}

/// Every task left one mark at most, and those that must have run left one.
fn check_marks(marks: &Path, run: &Run, ends: &BTreeMap<String, Value>, round: &[Point]) {
    let text = fs::read_to_string(marks).unwrap_or_default();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        *seen.entry(line).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{round:?}: these ran twice: {twice:?}");
    let keeper_died = round
        .iter()
        .any(|point| point.name().starts_with("keeper-"));
    for task in &run.tasks {
        let end = &ends[task];
        let ran = seen.contains_key(task.as_str());
        match end["state"].as_str() {
            Some("TASK_FINISHED") => assert!(ran, "{round:?}: {task} never ran, and is {end}"),
            // Its end, or whether it was started at all, was seen by nobody who lives.
            Some("TASK_FAILED") if keeper_died => {
                let message = end["message"].as_str().unwrap_or_default();
                assert!(message.contains("keeper"), "{round:?}: {task} is {end}");
            }
            _ => panic!("{round:?}: {task} is {end}"),
        }
    }
}

/// All masters have applied the same, and none of them halted: each compares its state with the
/// others', and halts where most of them differ.
fn check_replicas(cluster: &Cluster) {
    until("all masters have applied the same", PATIENCE, || {
        let mut applied = BTreeSet::new();
        for master in cluster.having("master") {
            let metrics = http::get(&master.http, "/metrics", "*/*")?.text();
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix("shoal_ledger_applied_index "));
            applied.insert(line.ok_or("there is no such metric")?.to_string());
        }
        check(applied.len() == 1, || format!("they are at {applied:?}"))
    });
    for node in cluster.nodes() {
        let log = PathBuf::from(format!("{}.log", node.data.display()));
        let log = fs::read_to_string(&log).expect("a node has a log");
        assert!(!log.contains("this master halts"), "{}: {log}", node.name);
    }
}

#[test]
fn a_process_may_die_anywhere() {
    let armed = TempDir::new().expect("a temporary folder can be made");
    let folder = armed.path().display().to_string();
    let cluster = Cluster::start_with(MASTERS, AGENTS, &[(VARIABLE, &folder)]);
    for (number, round) in rounds().iter().enumerate() {
        for point in round {
            fs::write(armed.path().join(point.name()), "").expect("a point can be armed");
        }
        let (name, marks) = (
            format!("r{number}"),
            cluster.scratch(&format!("marks-{number}")),
        );
        let run = create(&cluster, &name, &marks);
        for point in round {
            let hit = armed.path().join(point.name()).with_extension(HIT);
            until(&format!("a process dies at {point:?}"), PATIENCE, || {
                check(hit.exists(), || "all live".to_string())
            });
        }
        check_marks(&marks, &run, &ends(&cluster, &run), round);
        until_whole(&cluster);
    }
    check_replicas(&cluster);
    cluster.end();
}
