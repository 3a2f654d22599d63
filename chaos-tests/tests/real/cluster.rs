//! A cluster of real processes, as `shoal dev` starts it, and what a test does to it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::machine::{self, Turn};
use crate::process::{self, ProcessId};
use crate::wait::{check, seconds, until};

/// What each agent of a test offers: enough for many small tasks at once on any machine.
const RESOURCES: &str = "cpus:4;mem:4096;disk:8192;ports:[31000-32000]";
/// How long a cluster may take until it can run tasks, on a busy machine.
const START: Duration = seconds(60);
/// How long a node may take to be back after its death.
pub const BACK: Duration = seconds(30);
/// How long masters may take to elect a leader, on a busy machine; they take well below a second.
pub const ELECTION: Duration = seconds(20);
/// How long a cluster may take to end with all its tasks.
pub const END: Duration = seconds(30);

/// One life of a node, as the line of `shoal dev` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: ProcessId,
    /// `master`, `agent` or both by comma.
    pub roles: String,
    /// Where its API is.
    pub http: String,
    /// Where it gossips.
    pub gossip: String,
    /// Where masters and agents talk to it.
    pub peer: String,
    /// Its folder.
    pub data: PathBuf,
}

impl Node {
    /// Reads `node NAME pid PID roles R http A agent-http A gossip A peer A data D`.
    fn parse(line: &str) -> Option<Node> {
        let (front, data) = line.strip_prefix("node ")?.split_once(" data ")?;
        let (name, rest) = front.split_once(' ')?;
        let words: Vec<&str> = rest.split(' ').collect();
        let field = |name: &str| {
            let mut pairs = words.chunks_exact(2);
            pairs
                .find(|pair| pair[0] == name)
                .map(|pair| pair[1].to_string())
        };
        Some(Node {
            name: name.to_string(),
            pid: ProcessId(field("pid")?.parse().ok()?),
            roles: field("roles")?,
            http: field("http")?,
            gossip: field("gossip")?,
            peer: field("peer")?,
            data: PathBuf::from(data),
        })
    }
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its name.
    pub name: String,
    /// Where its API is.
    pub http: String,
    /// Its process.
    pub pid: ProcessId,
    /// Its term.
    pub term: u64,
}

/// What `shoal dev` printed so far.
#[derive(Debug, Default)]
struct Told {
    /// Every life of every node, oldest first.
    lives: Vec<Node>,
    /// Whether it said that the cluster is usable.
    usable: bool,
}

/// A running cluster. Dropped without [`Cluster::end`], it is killed and its folder kept.
#[derive(Debug)]
pub struct Cluster {
    dev: Child,
    folder: TempDir,
    api: String,
    told: Arc<Mutex<Told>>,
    ended: bool,
    turn: Option<Turn>,
}

impl Cluster {
    /// Starts so many nodes and waits until the cluster can run tasks.
    pub fn start(masters: u8, agents: u8) -> Cluster {
        Cluster::start_with(masters, agents, &[])
    }

    /// The same, with variables in the environment of all its processes.
    pub fn start_with(masters: u8, agents: u8, environment: &[(&str, &str)]) -> Cluster {
        let turn = Turn::take();
        let folder = TempDir::with_prefix("shoal-test-").expect("a temporary folder can be made");
        let port = machine::free_api_port(masters + agents);
        let api = format!("127.0.0.1:{port}");
        let log = File::create(folder.path().join("dev.log")).expect("a log can be made");
        let mut dev = Command::new(machine::shoal())
            .args([
                "dev",
                "--masters",
                &masters.to_string(),
                "--agents",
                &agents.to_string(),
            ])
            .args(["--http", &api, "--resources", RESOURCES, "--data"])
            .arg(folder.path().join("data"))
            .env_remove("SHOAL_ADDR")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("shoal can be run");
        let told = Arc::new(Mutex::new(Told::default()));
        let stdout = dev.stdout.take().expect("stdout is piped");
        let collected = Arc::clone(&told);
        thread::spawn(move || collect(stdout, &collected));
        let mut cluster = Cluster {
            dev,
            folder,
            api,
            told,
            ended: false,
            turn: Some(turn),
        };
        let count = if (masters, agents) == (1, 1) {
            1
        } else {
            usize::from(masters + agents)
        };
        until("the cluster can run tasks", START, || {
            cluster.usable(count, agents)
        });
        cluster
    }

    fn usable(&mut self, nodes: usize, agents: u8) -> Result<(), String> {
        if let Some(status) = self.dev.try_wait().map_err(|why| why.to_string())? {
            panic!("shoal dev ended ({status}): {}", self.log("dev.log"));
        }
        let said = self.told.lock().expect("the reader does not panic").usable;
        check(said, || self.log("dev.log"))?;
        let lines = self.nodes().len();
        check(lines == nodes, || {
            format!("{lines} of {nodes} nodes were announced")
        })?;
        http::json(&self.api, "/shoal/v1/leader")?;
        let state = http::json(&self.api, "/state")?;
        let active = state["activated_slaves"].as_f64().unwrap_or(0.0);
        check(active >= f64::from(agents), || {
            format!("{active} of {agents} agents are there")
        })
    }

    /// Where the first master's API is.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Where all data of all nodes is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A path for a test's own file.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The process of `shoal dev`.
    pub fn dev(&self) -> ProcessId {
        ProcessId(i32::try_from(self.dev.id()).expect("a pid fits"))
    }

    /// The current life of every node, in the order of their first lives.
    pub fn nodes(&self) -> Vec<Node> {
        let told = self.told.lock().expect("the reader does not panic");
        let mut nodes: Vec<Node> = Vec::new();
        for life in &told.lives {
            match nodes.iter_mut().find(|node| node.name == life.name) {
                Some(node) => *node = life.clone(),
                None => nodes.push(life.clone()),
            }
        }
        nodes
    }

    /// The nodes with this role.
    pub fn having(&self, role: &str) -> Vec<Node> {
        let mut nodes = self.nodes();
        nodes.retain(|node| node.roles.split(',').any(|word| word == role));
        nodes
    }

    /// The current life of a node.
    pub fn node(&self, name: &str) -> Node {
        let found = self.nodes().into_iter().find(|node| node.name == name);
        found.unwrap_or_else(|| panic!("there is no node {name}"))
    }

    /// Who leads, as any living master tells.
    pub fn leader(&self) -> Leader {
        until("there is a leader", ELECTION, || {
            let mut why = "there are no masters".to_string();
            for master in self.having("master") {
                match http::json(&master.http, "/shoal/v1/leader")
                    .and_then(|told| read_leader(&told))
                {
                    Ok(leader) => return Ok(leader),
                    Err(other) => why = other,
                }
            }
            Err(why)
        })
    }

    /// Waits until another life than that one leads, and says who.
    pub fn leader_after(&self, old: &Leader) -> Leader {
        until("there is a new leader", ELECTION, || {
            let leader = self.leader();
            check(leader.term > old.term, || {
                format!("{} still leads", leader.name)
            })?;
            Ok(leader)
        })
    }

    /// The masters that do not lead.
    pub fn followers(&self) -> Vec<Node> {
        let leader = self.leader();
        let mut masters = self.having("master");
        masters.retain(|master| master.name != leader.name);
        masters
    }

    /// The API of every master, that of `first` in front.
    pub fn addresses_from(&self, first: &str) -> String {
        let mut masters = self.having("master");
        masters.sort_by_key(|master| master.name != first);
        masters
            .iter()
            .map(|master| master.http.as_str())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Waits until `shoal dev` has started this node again and it serves.
    pub fn until_back(&self, dead: &Node) -> Node {
        until(&format!("{} is back", dead.name), BACK, || {
            let node = self.node(&dead.name);
            check(node.pid != dead.pid, || {
                "it was not started again".to_string()
            })?;
            let health = http::get(&node.http, "/health", "*/*")?;
            check(health.status == 200, || {
                format!("/health answers {}", health.status)
            })?;
            Ok(node)
        })
    }

    /// A command line that talks to this cluster's masters.
    pub fn shoal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(machine::shoal());
        command.args(arguments).stdin(Stdio::null());
        command.env("SHOAL_ADDR", self.addresses_from(""));
        command
    }

    /// Runs a command line to its end; it must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.shoal(arguments).output().expect("shoal can be run");
        assert!(
            output.status.success(),
            "shoal {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).expect("the output is text")
    }

    /// Ends it with TERM; nothing may be left of it but its data, which live as long as the result.
    pub fn end(mut self) -> Remains {
        let data = self.data();
        self.dev().signal(Signal::TERM);
        let status = self.until_ended();
        assert!(
            status.success(),
            "shoal dev ended with {status}: {}",
            self.log("dev.log")
        );
        self.until_empty();
        self.ended = true;
        self.turn = None;
        Remains {
            data,
            _cluster: self,
        }
    }

    /// Kills `shoal dev` itself; nothing may be left of its cluster.
    pub fn end_by_kill(mut self) {
        self.dev().signal(Signal::KILL);
        self.until_ended();
        self.until_empty();
        self.ended = true;
        self.turn = None;
    }

    fn until_ended(&mut self) -> ExitStatus {
        until("shoal dev ends", END, || {
            let status = self.dev.try_wait().map_err(|why| why.to_string())?;
            status.ok_or_else(|| "it runs".to_string())
        })
    }

    fn until_empty(&self) {
        until("no process is left", END, || {
            let left = process::in_folder(&self.data());
            check(left.is_empty(), || format!("these live: {left:?}"))
        });
    }

    /// The end of a log in the cluster's folder.
    fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// What an ended cluster leaves.
#[derive(Debug)]
pub struct Remains {
    /// The folder with the folders of its nodes.
    pub data: PathBuf,
    _cluster: Cluster,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The test failed: what it saw goes to the test's output, the rest stays to be looked at.
        for name in ["dev.log"]
            .map(String::from)
            .into_iter()
            .chain(node_logs(&self.data()))
        {
            eprintln!("--- {name}\n{}", self.log(&name));
        }
        eprintln!(
            "the cluster's folder is kept: {}",
            self.folder.path().display()
        );
        self.folder.disable_cleanup(true);
        let (_, _) = (self.dev.kill(), self.dev.wait());
        for (process, line) in process::in_folder(&self.data()) {
            eprintln!("left over: {} {line}", process.0);
        }
    }
}

fn node_logs(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    let names = entries.map(|entry| format!("data/{}", entry.file_name().to_string_lossy()));
    let mut logs: Vec<String> = names.filter(|name| name.ends_with(".log")).collect();
    logs.sort();
    logs
}

fn collect(stdout: ChildStdout, told: &Mutex<Told>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let mut told = told.lock().expect("nobody panics with it");
        told.usable |= line.starts_with("api ");
        told.lives.extend(Node::parse(&line));
    }
}

fn read_leader(told: &Value) -> Result<Leader, String> {
    let text = |name: &str| told[name].as_str().map(str::to_string);
    let number = |name: &str| told[name].as_u64();
    let leader = (|| {
        Some(Leader {
            name: text("name")?,
            http: text("http")?,
            pid: ProcessId(i32::try_from(number("pid")?).ok()?),
            term: number("term")?,
        })
    })();
    leader.ok_or_else(|| format!("this tells of no leader: {told}"))
}

/// What a command said on both of its outputs.
pub fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let texts = [out, err].map(|bytes| String::from_utf8_lossy(bytes).trim().to_string());
    format!(
        "{}, stdout '{}', stderr '{}'",
        output.status, texts[0], texts[1]
    )
}

#[test]
fn a_line_of_dev_is_read() {
    let line = "node master1 pid 7 roles master http 127.0.0.1:1 agent-http - gossip 127.0.0.1:2 \
                peer 127.0.0.1:3 data /tmp/a b/master1";
    let node = Node::parse(line).expect("this is a line");
    assert_eq!(
        (node.name.as_str(), node.pid, node.roles.as_str()),
        ("master1", ProcessId(7), "master")
    );
    assert_eq!(
        (node.peer.as_str(), node.data),
        ("127.0.0.1:3", PathBuf::from("/tmp/a b/master1"))
    );
    assert_eq!(Node::parse("api http://127.0.0.1:1"), None);
}
