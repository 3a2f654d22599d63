//! A development cluster as a child process, for the time of a measurement.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use shoal_api::ClusterId;
use shoal_api::agent::HostPort;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::flags::ClusterFlags;
use crate::cli::{Exit, Failure};

/// How long a cluster may take to be usable.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END: Duration = Duration::from_secs(20);

/// A running cluster; it ends with this process, however that ends.
#[derive(Debug)]
pub struct Cluster {
    process: Child,
    nodes: Vec<Node>,
    folder: PathBuf,
    temporary: bool,
}

/// What a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// 1, 3 or 5.
    pub masters: u8,
    /// One master and one agent are one process.
    pub agents: u8,
    /// Of each agent; what the machine has by default.
    pub resources: Option<&'static str>,
}

/// One node of it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its label.
    pub name: String,
    /// Whether it is a master.
    pub master: bool,
    /// Whether it is an agent.
    pub agent: bool,
    /// Its first process.
    pub pid: i32,
    /// Its API.
    pub http: HostPort,
    /// Its peer port.
    pub peer: HostPort,
}

/// The leader, as it describes itself.
#[derive(Clone, Debug)]
pub struct Leader {
    /// Its peer port.
    pub peer: HostPort,
    /// Its process.
    pub pid: i32,
    /// The term that it leads in.
    pub term: u64,
}

fn failed(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, what, "")
}

impl Cluster {
    /// Starts one.
    ///
    /// # Errors
    /// It is not usable within a minute.
    pub async fn start(plan: Plan, flags: &ClusterFlags) -> Result<Cluster, Failure> {
        let temporary = flags.data.is_none();
        let folder = flags.data.clone().unwrap_or_else(|| {
            let name = format!("shoal-bench-{}", std::process::id());
            std::env::temp_dir().join(name)
        });
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let resources = plan.resources.map(|text| ["--resources", text]);
        let mut process = Command::new(program)
            .args(["dev", "--clean", "--masters"])
            .arg(plan.masters.to_string())
            .arg("--agents")
            .arg(plan.agents.to_string())
            .args(resources.into_iter().flatten())
            .arg("--http")
            .arg(flags.http.to_string())
            .arg("--data")
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("cannot start a cluster: {error}")))?;
        let out = process.stdout.take().expect("the output is piped");
        let found = tokio::time::timeout(START, started(out)).await;
        let nodes = found.map_err(|_| failed("the cluster is not usable within a minute"))??;
        Ok(Cluster {
            process,
            nodes,
            folder,
            temporary,
        })
    }

    /// Its nodes, as they were started first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where its data is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn masters(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.master)
    }

    /// The peer port of each master.
    pub fn peers(&self) -> Vec<HostPort> {
        self.masters().map(|node| node.peer.clone()).collect()
    }

    /// Asks until a leader is known.
    ///
    /// # Errors
    /// There is none within a minute.
    pub async fn leader(&self) -> Result<Leader, Failure> {
        let ask = async {
            loop {
                for master in self.masters() {
                    if let Some(leader) = ask_leader(&master.http).await {
                        return leader;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(START, ask)
            .await
            .map_err(|_| failed("no leader within a minute"))
    }

    /// Whether the first master, asked once, knows a leader.
    pub async fn is_led(&self) -> bool {
        match self.masters().next() {
            Some(master) => ask_leader(&master.http).await.is_some(),
            None => false,
        }
    }

    /// Waits until every master's API answers that there is a leader.
    ///
    /// # Errors
    /// One of them does not within a minute.
    pub async fn whole(&self) -> Result<(), Failure> {
        let wait = async {
            for master in self.masters() {
                while ask_leader(&master.http).await.is_none() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        tokio::time::timeout(START, wait)
            .await
            .map_err(|_| failed("a master stays away"))
    }

    /// Ends it and removes what it left on disk.
    ///
    /// # Errors
    /// It does not end, or its folder stays.
    pub async fn end(mut self) -> Result<(), Failure> {
        if let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // It was not waited for, so the pid is its own.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        tokio::time::timeout(END, self.process.wait())
            .await
            .map_err(|_| failed("the cluster does not end"))?
            .map_err(|error| failed(error.to_string()))?;
        if self.temporary {
            let folder = &self.folder;
            std::fs::remove_dir_all(folder)
                .map_err(|error| failed(format!("{} stays: {error}", folder.display())))?;
        }
        Ok(())
    }
}

/// Reads what `shoal dev` prints until it says that the cluster is usable.
async fn started(out: tokio::process::ChildStdout) -> Result<Vec<Node>, Failure> {
    let mut lines = BufReader::new(out).lines();
    let mut found = Vec::new();
    while let Some(line) = lines
        .next_line()
        .await
        .map_err(|error| failed(error.to_string()))?
    {
        if line.starts_with("node ") {
            let node = node_of(&line);
            found.push(node.ok_or_else(|| failed(format!("a node is told as '{line}'")))?);
        } else if line.starts_with("api ") {
            // Whatever it says later is not read; its pipe is kept open by this task.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(found);
        }
    }
    Err(failed("the cluster ended while it started"))
}

/// Reads the line by which `shoal dev` tells of a node.
fn node_of(line: &str) -> Option<Node> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let named = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let address = |name: &str| {
        let (host, port) = named(name)?.rsplit_once(':')?;
        Some(HostPort::new(host, port.parse().ok()?))
    };
    let roles = named("roles")?;
    Some(Node {
        name: named("node")?.to_owned(),
        master: roles.contains("master"),
        agent: roles.contains("agent"),
        pid: named("pid")?.parse().ok()?,
        http: address("http")?,
        peer: address("peer")?,
    })
}

async fn ask_leader(master: &HostPort) -> Option<Leader> {
    let ask = async {
        let mut stream = TcpStream::connect((&*master.host, master.port))
            .await
            .ok()?;
        let request =
            format!("GET /shoal/v1/leader HTTP/1.1\r\nHost: {master}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8(answer).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        if !head.starts_with("HTTP/1.1 200") {
            return None;
        }
        let document: serde_json::Value = serde_json::from_str(body.trim()).ok()?;
        let (host, port) = document["peer"].as_str()?.rsplit_once(':')?;
        Some(Leader {
            peer: HostPort::new(host, port.parse().ok()?),
            pid: i32::try_from(document["pid"].as_i64()?).ok()?,
            term: document["term"].as_u64()?,
        })
    };
    tokio::time::timeout(Duration::from_secs(2), ask)
        .await
        .ok()
        .flatten()
}

/// A cluster that nobody is told of yet.
pub fn no_cluster() -> std::sync::Arc<std::sync::OnceLock<ClusterId>> {
    std::sync::Arc::new(std::sync::OnceLock::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_from_its_line() {
        let line = "node agent1 pid 7 roles agent http 127.0.0.4:5050 agent-http 127.0.0.4:5051 \
                    gossip 127.0.0.4:7946 peer 127.0.0.4:7947 data /x";
        let node = node_of(line).unwrap();
        assert_eq!((node.pid, node.master, node.agent), (7, false, true));
        assert_eq!(node.peer, HostPort::new("127.0.0.4", 7947));
        assert!(node_of("node x pid y").is_none());
    }
}
