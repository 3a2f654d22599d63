//! Nodes that a test starts, kills and starts again by itself, each as a `shoal node` of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{END, said};
use crate::http;
use crate::machine::{self, Turn};
use crate::process::{self, ProcessId};
use crate::wait::{check, seconds, until};

/// The file with the key of a test's nodes, and the key.
const KEY_FILE: &str = "gossip-key";
const KEY: &str = "c2hvYWwga2V5IG9mIGEgdGVzdCwgMzIgYnl0ZXMgISE=\n";
/// How many addresses a test's nodes may use.
const ADDRESSES: u8 = 9;
/// How long a quorum may take for what it does by itself, on a busy machine.
pub const SOON: std::time::Duration = seconds(60);

/// Where a node is, and what it is started with.
#[derive(Debug)]
struct Place {
    name: String,
    address: String,
    arguments: Vec<String>,
    process: Option<Child>,
}

/// Nodes on loopback addresses, all with the same ports. Dropped without [`Nodes::end`], they are
/// killed and their folder is kept.
#[derive(Debug)]
pub struct Nodes {
    folder: TempDir,
    port: u16,
    places: Vec<Place>,
    turn: Option<Turn>,
    ended: bool,
}

impl Nodes {
    /// None yet.
    pub fn new() -> Nodes {
        let turn = Turn::take();
        let folder = TempDir::with_prefix("shoal-test-").expect("a temporary folder can be made");
        fs::write(folder.path().join(KEY_FILE), KEY).expect("a key can be written");
        Nodes {
            folder,
            port: machine::free_api_port(ADDRESSES),
            places: Vec::new(),
            turn: Some(turn),
            ended: false,
        }
    }

    /// So many masters that found a cluster, named `m1` and so on, with these arguments, and as many
    /// agents, `a1` and so on.
    pub fn cluster(masters: u8, agents: u8, arguments: &[&str]) -> Nodes {
        let mut nodes = Nodes::new();
        let expect = format!("--bootstrap-expect={masters}");
        for number in 1..=masters {
            let mut all = vec!["--roles=master", &expect];
            all.extend(arguments);
            nodes.start(&format!("m{number}"), &all);
        }
        for number in 1..=agents {
            nodes.start(&format!("a{number}"), AGENT);
        }
        nodes.until_usable("m1", agents);
        nodes
    }

    /// Waits until that master knows a leader and so many agents with sessions.
    pub fn until_usable(&self, master: &str, agents: u8) {
        until(
            &format!("{master} knows a leader and {agents} agents"),
            SOON,
            || {
                let state = http::json(&self.http(master), "/shoal/v1/agents")?;
                let listed = state["agents"].as_array().cloned().unwrap_or_default();
                let there = listed
                    .iter()
                    .filter(|agent| agent["status"] == "connected")
                    .count();
                check(there >= usize::from(agents), || {
                    format!("there are {listed:?}")
                })
            },
        );
    }

    /// Starts a node of that name: a new one on the next address, or one that was there before.
    pub fn start(&mut self, name: &str, arguments: &[&str]) {
        if !self.places.iter().any(|place| place.name == name) {
            let last = self.places.len() + 1;
            assert!(
                last <= usize::from(ADDRESSES),
                "there are no more addresses"
            );
            self.places.push(Place {
                name: name.to_string(),
                address: format!("127.0.0.{last}"),
                arguments: Vec::new(),
                process: None,
            });
        }
        let arguments = arguments.iter().map(ToString::to_string).collect();
        self.place_mut(name).arguments = arguments;
        self.again(name);
    }

    /// Starts a node again with the arguments it had.
    pub fn again(&mut self, name: &str) {
        let child = self.command(name).spawn().expect("shoal can be run");
        let place = self.place_mut(name);
        assert!(place.process.is_none(), "{name} runs");
        place.process = Some(child);
    }

    /// Runs a node until it ends by itself, which it must.
    pub fn refused(&self, name: &str) -> Output {
        let mut child = self
            .command(name)
            .stderr(Stdio::piped())
            .spawn()
            .expect("shoal can be run");
        // A master without a leader believes after a minute that its life of the cluster is over.
        until(&format!("{name} refuses to run"), seconds(150), || {
            let ended = child.try_wait().map_err(|why| why.to_string())?;
            check(ended.is_some(), || "it runs".to_string())
        });
        let output = child.wait_with_output().expect("a child can be waited for");
        assert!(
            !output.status.success(),
            "{name} refuses: {}",
            said(&output)
        );
        output
    }

    fn command(&self, name: &str) -> Command {
        let place = self.place(name);
        let (address, port) = (&place.address, self.port);
        let gossip = port + (7946 - 5050);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.log")));
        let mut command = Command::new(machine::shoal());
        command
            .args(["node", "--name", name, "--data"])
            .arg(self.data(name))
            .args([
                format!("--http={address}:{port}"),
                format!("--gossip={address}:{gossip}"),
            ])
            .arg(format!("--agent-http={address}:{}", port + 1))
            .arg(format!("--peer={address}:{}", gossip + 1))
            .arg(format!("--cluster=nodes-{port}"))
            .arg(format!(
                "--gossip-key-file={}",
                self.path(KEY_FILE).display()
            ))
            .args(&place.arguments)
            .env_remove("SHOAL_ADDR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log can be made"));
        for other in self.places.iter().filter(|other| other.name != name) {
            command.arg(format!("--join={}:{gossip}", other.address));
        }
        command
    }

    fn place(&self, name: &str) -> &Place {
        let found = self.places.iter().find(|place| place.name == name);
        found.unwrap_or_else(|| panic!("there is no node {name}"))
    }

    fn place_mut(&mut self, name: &str) -> &mut Place {
        let found = self.places.iter_mut().find(|place| place.name == name);
        found.unwrap_or_else(|| panic!("there is no node {name}"))
    }

    /// The folder of a node.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path for a test's own file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a node's API is.
    pub fn http(&self, name: &str) -> String {
        format!("{}:{}", self.place(name).address, self.port)
    }

    /// Ends a node with a signal and waits for it.
    pub fn stop(&mut self, name: &str, signal: Signal) {
        let mut child = self.place_mut(name).process.take().expect("the node runs");
        ProcessId(i32::try_from(child.id()).expect("a pid fits")).signal(signal);
        until(&format!("{name} ends"), END, || {
            let ended = child.try_wait().map_err(|why| why.to_string())?;
            check(ended.is_some(), || "it runs".to_string())
        });
    }

    /// Forgets a node whose machine is gone for good.
    pub fn lose(&mut self, name: &str) {
        self.stop(name, Signal::KILL);
        fs::remove_dir_all(self.data(name)).expect("a folder can be removed");
    }

    /// A command line that talks to that node.
    pub fn shoal(&self, node: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(machine::shoal());
        command.args(arguments).stdin(Stdio::null());
        command.env("SHOAL_ADDR", self.http(node));
        command
    }

    /// What a command line to that node says, whether it succeeds or not.
    pub fn output(&self, node: &str, arguments: &[&str]) -> Output {
        let output = self.shoal(node, arguments).output();
        output.expect("shoal can be run")
    }

    /// Runs a command line to its end; it must succeed.
    pub fn run(&self, node: &str, arguments: &[&str]) -> String {
        let output = self.output(node, arguments);
        assert!(
            output.status.success(),
            "shoal {arguments:?}: {}",
            said(&output)
        );
        String::from_utf8(output.stdout).expect("the output is text")
    }

    /// A document of a command line with `-o json`.
    ///
    /// # Errors
    /// What the command said.
    pub fn json(&self, node: &str, arguments: &[&str]) -> Result<Value, String> {
        let output = self.output(node, &[arguments, &["-o", "json"]].concat());
        serde_json::from_slice(&output.stdout).map_err(|_| said(&output))
    }

    /// The names of the masters that vote, in order.
    ///
    /// # Errors
    /// What the command said.
    pub fn voters(&self, node: &str) -> Result<Vec<String>, String> {
        let document = self.json(node, &["quorum", "list"])?;
        let masters = document["masters"].as_array().ok_or("no masters")?;
        let voting = masters.iter().filter(|master| master["voter"] == true);
        let name = |master: &Value| master["name"].as_str().unwrap_or("?").to_string();
        let mut names: Vec<String> = voting.map(name).collect();
        names.sort();
        Ok(names)
    }

    /// Waits until these vote, and nobody else.
    pub fn until_voters(&self, node: &str, expected: &[&str]) {
        until(&format!("{expected:?} vote"), SOON, || {
            let now = self.voters(node)?;
            check(now == expected, || format!("{now:?} vote"))
        });
    }

    /// Waits until these vote, and everything that the quorum holds, their names too, is on the disk
    /// of that master.
    pub fn until_told(&self, node: &str, voters: &[&str]) {
        until(&format!("{node} has been told everything"), SOON, || {
            let now = self.voters(node)?;
            check(now == voters, || format!("{now:?} vote"))?;
            let view = |master: &str| self.json(master, &["quorum", "list"]);
            let leader = leader_of(&view(node)?).ok_or("there is no leader")?;
            // Only the leader knows what the others have.
            let document = view(&leader)?;
            let masters = document["masters"].as_array().ok_or("no masters")?;
            let own = masters.iter().find(|master| master["name"] == node);
            let matched = own.and_then(|own| own["matched"].as_u64());
            let all = matched.is_some() && matched >= document["index"].as_u64();
            check(leader == node || all, || format!("{document}"))
        });
    }

    /// Ends all nodes and everything that they started.
    pub fn end(mut self) {
        let names: Vec<String> = self.running();
        for name in names {
            self.stop(&name, Signal::TERM);
        }
        self.clear();
        self.ended = true;
        self.turn = None;
    }

    fn running(&self) -> Vec<String> {
        let running = self.places.iter().filter(|place| place.process.is_some());
        running.map(|place| place.name.clone()).collect()
    }

    /// Keepers and tasks outlive their nodes: they are ended too.
    fn clear(&self) {
        for (process, _) in process::in_folder(self.folder.path()) {
            process.signal(Signal::KILL);
        }
        until("no process is left", END, || {
            let left = process::in_folder(self.folder.path());
            check(left.is_empty(), || format!("these live: {left:?}"))
        });
    }
}

/// The name of the leader in what `quorum list` says.
fn leader_of(document: &Value) -> Option<String> {
    let masters = document["masters"].as_array()?;
    let leader = masters.iter().find(|master| master["role"] == "leader")?;
    Some(leader["name"].as_str()?.to_string())
}

/// What agents are started with.
pub const AGENT: &[&str] = &["--roles=agent", "--resources=cpus:4;mem:4096;disk:8192"];

impl Drop for Nodes {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        for place in &mut self.places {
            if let Some(child) = &mut place.process {
                let (_, _) = (child.kill(), child.wait());
            }
            let log = self.folder.path().join(format!("{}.log", place.name));
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(20)..].join("\n");
            eprintln!("--- {}\n{end}", place.name);
        }
        for (process, _) in process::in_folder(self.folder.path()) {
            process.signal(Signal::KILL);
        }
        eprintln!(
            "the nodes' folder is kept: {}",
            self.folder.path().display()
        );
        self.folder.disable_cleanup(true);
    }
}
