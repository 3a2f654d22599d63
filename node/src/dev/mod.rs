//! `shoal dev`: a whole cluster on loopback, which lives as long as this process.
//!
//! One master and at most one agent share this process; more nodes are children. What deliberately
//! does not live here: anything that only development clusters can do. The nodes are ordinary ones.

mod child;
mod folder;
mod layout;
mod orphans;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::flags::DevFlags;
use crate::cli::{Client, Exit, Failure, print_text};
use crate::config::settings::Settings;
use crate::config::{self, NodeConfig};
use crate::roles::NodeRoles;
use crate::stop::{self, Stop};
use crate::{limits, node};
use child::{Lifeline, Node};
use folder::Clean;

/// Runs until Ctrl-C or TERM.
///
/// # Errors
/// What keeps the cluster from starting, or from ending cleanly.
pub fn run(flags: &DevFlags) -> Result<ExitCode, Failure> {
    let data = layout::data_folder(flags)?;
    let nodes = layout::nodes(flags, &data, config::detect(&data)?)?;
    for node in &nodes {
        refuse_taken_ports(node)?;
    }
    folder::prepare(&data, if flags.clean { Clean::Yes } else { Clean::No })?;
    folder::key(&data.join(folder::KEY))?;
    orphans::adopt().map_err(|error| system("adopt orphans", &error))?;
    let runtime = node::runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let outcome = match <[Settings; 1]>::try_from(nodes) {
            Ok([single]) => run_here(single, &mut signals).await,
            Err(nodes) => run_children(nodes, usize::from(flags.agents), &mut signals).await,
        };
        let left = orphans::end().await;
        outcome.and(left.map_err(|error| system("end what is left over", &error)))
    });
    // A question that still waits for its answer must not hold up the end.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The signals that end the cluster.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        let listen = |kind| signal(kind).map_err(|error| system("listen for signals", &error));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn wanted(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

fn system(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot {what}: {error}"), "")
}

/// A port that somebody listens on would only show as a node that dies again and again.
fn refuse_taken_ports(node: &Settings) -> Result<(), Failure> {
    for address in [node.http, node.agent_http, node.peer, node.gossip] {
        std::net::TcpListener::bind(address).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("cannot listen on {address}: {error}"),
                "another cluster may run already: choose other ports by --http 127.0.0.1:PORT, \
                 all others follow it",
            )
        })?;
    }
    Ok(())
}

/// The line that says where a node is.
fn announce(node: &Settings, pid: u32) -> Result<(), Failure> {
    let roles = NodeRoles::of(&node.roles);
    let name = node.name.as_ref().expect("a dev node has a name");
    let agent_http = match roles.agent {
        true => node.agent_http.to_string(),
        false => "-".to_owned(),
    };
    print_text(&format!(
        "node {name} pid {pid} roles {roles} http {} agent-http {agent_http} gossip {} peer {} \
         data {}\n",
        node.http,
        node.gossip,
        node.peer,
        node.data.display()
    ))
}

/// One node in this process.
async fn run_here(settings: Settings, signals: &mut Signals) -> Result<(), Failure> {
    announce(&settings, std::process::id())?;
    let agents = usize::from(NodeRoles::of(&settings.roles).agent);
    let api = settings.http.to_string();
    let lifeline = Lifeline::new().map_err(|error| system("make a socket pair", &error))?;
    let keeper = lifeline
        .far_end()
        .map_err(|error| system("copy a socket", &error))?;
    let config = NodeConfig::of(settings)?;
    let (stop_node, stopped) = stop::pair();
    let life = node::run(config, Some(keeper), stopped, |_, _, _| ());
    tokio::pin!(life);
    let usable = announce_usable(api, agents);
    tokio::pin!(usable);
    let mut announced = false;
    loop {
        tokio::select! {
            result = &mut life => {
                result?;
                break;
            }
            result = &mut usable, if !announced => {
                result?;
                announced = true;
            }
            () = signals.wanted() => {
                stop_node.stop();
            }
        }
    }
    lifeline
        .cut(limits::DEV_END)
        .await
        .map_err(|error| system("end the tasks", &error))
}

/// Nodes as children, each started again when it dies.
async fn run_children(
    nodes: Vec<Settings>,
    agents: usize,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let api: Vec<String> = nodes
        .iter()
        .filter(|node| NodeRoles::of(&node.roles).master)
        .map(|node| node.http.to_string())
        .collect();
    let (end, ended) = stop::pair();
    let mut lives = JoinSet::new();
    for settings in nodes {
        let mut node = Node::new(settings).map_err(|error| system("make a socket pair", &error))?;
        start(&mut node)?;
        lives.spawn(keep_alive(node, ended.clone()));
    }
    let usable = announce_usable(api.join(","), agents);
    tokio::pin!(usable);
    let mut announced = false;
    loop {
        tokio::select! {
            () = signals.wanted() => break,
            result = &mut usable, if !announced => {
                result?;
                announced = true;
            }
            Some(result) = lives.join_next() => {
                result.expect("a supervisor does not panic")?;
            }
        }
    }
    end.stop();
    let mut outcome = Ok(());
    while let Some(result) = lives.join_next().await {
        outcome = outcome.and(result.expect("a supervisor does not panic"));
    }
    outcome
}

fn start(node: &mut Node) -> Result<(), Failure> {
    let pid = node
        .start()
        .map_err(|error| system("start a node", &error))?;
    announce(node.settings(), pid)
}

/// Starts a node again a second after each of its deaths, until the end is wanted.
async fn keep_alive(mut node: Node, mut end: Stop) -> Result<(), Failure> {
    loop {
        let status = tokio::select! {
            status = node.ended() => status.map_err(|error| system("wait for a node", &error))?,
            () = end.wanted() => break,
        };
        let name = node
            .settings()
            .name
            .as_ref()
            .map_or("", |name| name.as_str());
        eprintln!(
            "shoal: node {name} ended ({status}), see {}",
            node.log().display()
        );
        tokio::select! {
            () = tokio::time::sleep(limits::DEV_RESTART) => start(&mut node)?,
            () = end.wanted() => break,
        }
    }
    node.terminate();
    node.end(limits::DEV_END)
        .await
        .map_err(|error| system("end a node with its tasks", &error))
}

/// Waits until there is a leader and all agents can be offered, then prints where the API is.
async fn announce_usable(api: String, agents: usize) -> Result<(), Failure> {
    let first = api.split(',').next().unwrap_or_default().to_owned();
    let masters = api.split(',').count();
    let client = Client::new(&api)?;
    let started = Instant::now();
    let mut next_word = limits::DEV_WORD;
    loop {
        let ask = client.clone();
        let state = tokio::task::spawn_blocking(move || usable(&ask, masters, agents));
        match state.await.expect("asking does not panic") {
            Ok(()) => return print_text(&format!("api http://{first}\n")),
            Err(missing) if started.elapsed() >= next_word => {
                eprintln!(
                    "shoal: not usable after {} s: {missing}",
                    started.elapsed().as_secs()
                );
                next_word += limits::DEV_WORD;
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is missing for a cluster that can run tasks, if anything is.
fn usable(client: &Client, masters: usize, agents: usize) -> Result<(), String> {
    client
        .get("/shoal/v1/leader")
        .map_err(|failure| failure.error)?;
    let document = client
        .get("/shoal/v1/quorum")
        .map_err(|failure| failure.error)?;
    let named = document["masters"].as_array().map_or(0, |rows| {
        rows.iter()
            .filter(|row| row["name"].is_string() && row["voter"] == true)
            .count()
    });
    if named < masters {
        return Err(format!(
            "{named} of {masters} masters have said who they are"
        ));
    }
    let document = client
        .get("/shoal/v1/agents")
        .map_err(|failure| failure.error)?;
    let rows = document["agents"].as_array().map_or(0, |rows| {
        rows.iter()
            .filter(|row| row["status"] == "connected")
            .count()
    });
    if rows < agents {
        return Err(format!("{rows} of {agents} agents are connected"));
    }
    Ok(())
}
