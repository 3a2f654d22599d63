//! A development cluster as a child process, for the time of a measurement.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use shoal_api::ClusterId;
use shoal_api::agent::HostPort;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::cli::{Exit, Failure};

/// How long a cluster may take to be usable.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end.
const END: Duration = Duration::from_secs(20);

/// A running cluster; it ends with this process, however that ends.
#[derive(Debug)]
pub struct Cluster {
    process: Child,
    masters: Vec<At>,
    temporary: Option<PathBuf>,
}

/// Where a master listens.
#[derive(Clone, Debug)]
struct At {
    http: HostPort,
    peer: HostPort,
}

/// The leader, as it describes itself.
#[derive(Clone, Debug)]
pub struct Leader {
    /// Its peer port.
    pub peer: HostPort,
    /// Its process.
    pub pid: i32,
}

fn failed(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, what, "")
}

impl Cluster {
    /// Starts masters alone.
    ///
    /// # Errors
    /// It is not usable within a minute.
    pub async fn start(
        masters: u8,
        http: SocketAddr,
        data: Option<&Path>,
    ) -> Result<Cluster, Failure> {
        let temporary = match data {
            Some(_) => None,
            None => {
                let name = format!("shoal-bench-{}", std::process::id());
                Some(std::env::temp_dir().join(name))
            }
        };
        let folder = data.or(temporary.as_deref()).expect("one of them is there");
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let mut process = Command::new(program)
            .args(["dev", "--clean", "--agents", "0", "--masters"])
            .arg(masters.to_string())
            .arg("--http")
            .arg(http.to_string())
            .arg("--data")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("cannot start the masters: {error}")))?;
        let out = process.stdout.take().expect("the output is piped");
        let found = tokio::time::timeout(START, addresses(out, usize::from(masters))).await;
        let masters = found.map_err(|_| failed("the masters are not usable within a minute"))??;
        Ok(Cluster {
            process,
            masters,
            temporary,
        })
    }

    /// The peer port of each master.
    pub fn peers(&self) -> Vec<HostPort> {
        self.masters.iter().map(|at| at.peer.clone()).collect()
    }

    /// Asks until a leader is known.
    ///
    /// # Errors
    /// There is none within a minute.
    pub async fn leader(&self) -> Result<Leader, Failure> {
        let ask = async {
            loop {
                for master in &self.masters {
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

    /// Waits until every master's API answers that there is a leader.
    ///
    /// # Errors
    /// One of them does not within a minute.
    pub async fn whole(&self) -> Result<(), Failure> {
        let wait = async {
            for master in &self.masters {
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
            .map_err(|_| failed("the masters do not end"))?
            .map_err(|error| failed(error.to_string()))?;
        if let Some(folder) = self.temporary.take() {
            std::fs::remove_dir_all(&folder)
                .map_err(|error| failed(format!("{} stays: {error}", folder.display())))?;
        }
        Ok(())
    }
}

/// Reads what `shoal dev` prints until it says that the cluster is usable.
async fn addresses(out: tokio::process::ChildStdout, masters: usize) -> Result<Vec<At>, Failure> {
    let mut lines = BufReader::new(out).lines();
    let mut found = Vec::new();
    while let Some(line) = lines
        .next_line()
        .await
        .map_err(|error| failed(error.to_string()))?
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"node") {
            let named = |name: &str| {
                let at = words.iter().position(|word| *word == name)?;
                let (host, port) = words.get(at + 1)?.rsplit_once(':')?;
                Some(HostPort::new(host, port.parse().ok()?))
            };
            if let (Some(http), Some(peer)) = (named("http"), named("peer")) {
                found.push(At { http, peer });
            }
        } else if found.len() == masters {
            // Whatever it says later is not read; its pipe is kept open by this task.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(found);
        }
    }
    Err(failed("the masters ended while they started"))
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
