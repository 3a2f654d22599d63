//! The pymesos framework of `real/framework.py` as a child process, and what it reports.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::machine;
use crate::wait::{check, until};

/// What the framework is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// How many commands.
    pub tasks: usize,
    /// Each; `{number}` and `{id}` stand for the task's.
    pub command: String,
    /// Of the framework, in seconds.
    pub failover_timeout: u32,
    /// The states that count as ends, by comma.
    pub wanted: &'static str,
    /// The master that it dials first, by name.
    pub first: String,
}

/// The running framework; dropped before its end, it is killed.
#[derive(Debug)]
pub struct Framework {
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Framework {
    /// Starts it.
    pub fn start(python: &Path, cluster: &Cluster, job: &Job) -> Framework {
        let log = File::create(cluster.scratch("framework.log")).expect("a log can be made");
        let mut child = Command::new(python)
            .arg(machine::beside("framework.py"))
            .args(["--masters", &cluster.addresses_from(&job.first)])
            .args(["--tasks", &job.tasks.to_string(), "--command", &job.command])
            .args(["--failover-timeout", &job.failover_timeout.to_string()])
            .args(["--wanted", job.wanted])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("python can be run");
        let events = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().expect("stdout is piped");
        let collected = Arc::clone(&events);
        thread::spawn(move || collect(stdout, &collected));
        Framework { child, events }
    }

    /// How many tasks were seen in this state so far.
    pub fn count(&self, state: &str) -> usize {
        let events = self.events.lock().expect("the reader does not panic");
        events
            .iter()
            .filter(|event| event["state"] == state)
            .count()
    }

    /// Waits until so many tasks were seen in this state.
    pub fn until_count(&self, state: &str, wanted: usize, patience: Duration) {
        until(&format!("{wanted} tasks are {state}"), patience, || {
            let count = self.count(state);
            check(self.summary().is_none() || count >= wanted, || {
                "it has ended".to_string()
            })?;
            check(count >= wanted, || format!("{count} are"))
        });
    }

    fn summary(&self) -> Option<Value> {
        let events = self.events.lock().expect("the reader does not panic");
        events
            .iter()
            .find(|event| event["event"] == "summary")
            .cloned()
    }

    /// Waits for its end; it must have got all that it wanted.
    pub fn succeed(mut self, patience: Duration) -> Summary {
        let summary = until("the framework ends", patience, || {
            self.summary()
                .ok_or_else(|| format!("{} tasks are finished", self.count("TASK_FINISHED")))
        });
        let status = self.child.wait().expect("a child can be waited for");
        assert!(
            status.success(),
            "the framework failed: {}\n{summary:#}",
            summary["why"]
        );
        Summary(summary)
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        let (_, _) = (self.child.kill(), self.child.wait());
    }
}

/// What the framework tells at its end.
#[derive(Clone, Debug)]
pub struct Summary(Value);

impl Summary {
    /// A figure.
    pub fn number(&self, name: &str) -> u64 {
        self.0[name]
            .as_u64()
            .unwrap_or_else(|| panic!("the summary has no {name}: {:#}", self.0))
    }

    /// A list of texts.
    pub fn list(&self, name: &str) -> Vec<String> {
        let list = self.0[name].as_array();
        let list = list.unwrap_or_else(|| panic!("the summary has no {name}: {:#}", self.0));
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_string)
            .collect()
    }

    /// State and message of each task's last attempt, by task id.
    pub fn results(&self) -> BTreeMap<String, (String, String)> {
        let results = self.0["results"]
            .as_object()
            .expect("the summary has results");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let pairs = results.iter();
        pairs
            .map(|(id, end)| (id.clone(), (text(&end["state"]), text(&end["message"]))))
            .collect()
    }
}

fn collect(stdout: ChildStdout, events: &Mutex<Vec<Value>>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        if let Ok(event) = serde_json::from_str(&line) {
            events.lock().expect("nobody panics with it").push(event);
        }
    }
}

/// Checks a file of marks: every number below `count` once, nothing else.
pub fn assert_each_once(marks: &Path, count: usize) {
    let text = fs::read_to_string(marks).unwrap_or_default();
    let mut seen = vec![0_usize; count];
    for line in text.lines() {
        let number: usize = line
            .parse()
            .unwrap_or_else(|_| panic!("'{line}' is no mark"));
        seen[number] += 1;
    }
    let wrong: Vec<(usize, usize)> = seen
        .into_iter()
        .enumerate()
        .filter(|(_, times)| *times != 1)
        .collect();
    assert!(
        wrong.is_empty(),
        "(task, times run) where it is not once: {wrong:?}"
    );
}
