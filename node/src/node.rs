//! One node from start to end: opens everything, wires it, and takes it down in order.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use shoal_api::agent::HostPort;
use shoal_api::member::Member;
use shoal_api::session::SessionRefusal;
use shoal_api::{AgentInfo, ClusterId, Dice, RaftId};
use shoal_disk::{DataDirectory, Minted};
use shoal_membership::{Config as GossipConfig, NodeTags, Profile};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::api::board::Board;
use crate::api::facts::Facts;
use crate::api::route::Door;
use crate::api::{Api, server};
use crate::authorize::Policy;
use crate::cli::{Exit, Failure};
use crate::config::NodeConfig;
use crate::descriptors;
use crate::drive::{self, MasterParts, Search};
use crate::executor::{self, Executor, ExecutorConfig, ExecutorError, KeeperProgram};
use crate::gossip::memory::{self, Memory};
use crate::gossip::{self, End, Gossip, Standing};
use crate::handlers::{self, Handlers};
use crate::keyring::{self, Keys};
use crate::metrics::{catalogue, counter, gauge};
use crate::peer::{self, Identity};
use crate::stop::{self, Stop, Stopper};
use crate::{entropy, limits, masters, tags};

/// The runtime of a node: its threads do IO only, the machines have threads of their own.
///
/// # Errors
/// [`Exit::Failed`] if the kernel has no thread left.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("shoal-io")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start threads: {error}"), ""))
}

/// Runs a node until `stop` is set. A keeper that it starts gets `lifeline` as standard input.
/// `reload` gets the gossip and the event handlers, and changes what it may until the node ends.
///
/// # Errors
/// What keeps it from running.
pub async fn run(
    config: NodeConfig,
    lifeline: Option<OwnedFd>,
    stop: Stop,
    reload: impl FnOnce(Gossip, Handlers, Arc<Keys>),
) -> Result<(), Failure> {
    descriptors::raise();
    let mut node = Node::open(config).await?;
    let specs = node.config.event_handlers.clone();
    let handlers = handlers::start(node.gossip.clone(), specs);
    reload(node.gossip.clone(), handlers, Arc::clone(&node.keys));
    let outcome = node.live(lifeline, stop).await;
    node.close().await;
    outcome
}

/// The gossip of a node that opens.
struct Started {
    gossip: Gossip,
    changes: mpsc::Receiver<gossip::Change>,
    keys: Arc<Keys>,
}

/// Starts the gossip, and what answers for its keys.
fn start_gossip(
    socket: gossip::Socket,
    told: GossipConfig,
    config: &NodeConfig,
) -> Result<Started, Failure> {
    let secrecy = told.secrecy.clone();
    let running = gossip::start(socket, told).map_err(|error| refused(&error))?;
    let keys = Arc::new(Keys::new(&config.data, secrecy, running.gossip.clone()));
    tokio::spawn(keyring::cluster::serve(
        running.inner,
        Arc::clone(&keys),
        running.gossip.clone(),
    ));
    Ok(Started {
        gossip: running.gossip,
        changes: running.changes,
        keys,
    })
}

/// A node whose listeners are open.
struct Node {
    config: NodeConfig,
    data: DataDirectory,
    me: Identity,
    dice: Dice,
    api: Arc<Api>,
    gossip: Gossip,
    keys: Arc<Keys>,
    changes: Option<mpsc::Receiver<gossip::Change>>,
    peer: Option<TcpListener>,
    /// Somebody wants the node to leave.
    leaving: Stop,
    /// Ends the listeners, after everything else.
    listeners: Stopper,
    /// Ends the agent.
    agent: Option<(Executor, Stopper)>,
}

impl Node {
    async fn open(config: NodeConfig) -> Result<Node, Failure> {
        crate::metrics::registry();
        let found = keyring::find(&config.data, &config.keys)?;
        let data = DataDirectory::open(&config.data, mint).map_err(|error| refused(&error))?;
        let secrecy = found.keep(&config.data)?;
        crate::metrics::introduce(crate::metrics::About {
            name: config.name.to_string(),
            roles: config.roles.to_string(),
            data: config.data.clone(),
        });
        let seed = entropy::draw().map_err(|error| refused(&error))?;
        let dice = Dice::new((seed >> 64) as u64 ^ seed as u64);
        let me = introduce(&config, &data);
        let socket = gossip::bind(config.gossip);
        let socket = socket.map_err(|error| cannot_listen("--gossip", config.gossip, &error))?;
        let peer = match config.roles.master {
            true => Some(bind("--peer", config.peer.bind)?),
            false => None,
        };
        let http = bind("--http", config.http.bind)?;
        let agent_http = match config.roles.agent {
            true => Some(bind("--agent-http", config.agent_http.bind)?),
            false => None,
        };
        let memory = Memory::load(&config.data);
        let mut told = gossip_config(&config, &data, &me, &dice)?;
        told.clocks = memory.clocks();
        told.secrecy = secrecy;
        let Started {
            gossip,
            changes,
            keys,
        } = start_gossip(socket, told, &config)?;
        let board = Arc::new(Board::new(config.http.advertise.clone()));
        let api = Arc::new(Api::new(board, policy(&config), Facts::of(&config)));
        let (leave, leaving) = stop::pair();
        let first = api.gossip.set(gossip.clone()).is_ok() && api.leave.set(leave).is_ok();
        let first = first && api.keys.set(Arc::clone(&keys)).is_ok();
        assert!(first, "a new API has none of these");
        let listeners = serve(http, agent_http, &api);
        tokio::spawn(show_members(gossip.watch_members(), Arc::clone(&api)));
        let joined = gossip.join(whom_to_join(&config, &memory)).await;
        joined.map_err(|error| refused(&error))?;
        tokio::spawn(memory::keep(gossip.clone(), config.data.clone(), memory));
        tracing::info!(name = %config.name, id = %me.node, generation = me.generation.0,
            roles = %config.roles, "node started");
        Ok(Node {
            config,
            data,
            me,
            dice,
            api,
            gossip,
            keys,
            changes: Some(changes),
            peer,
            leaving,
            listeners,
            agent: None,
        })
    }

    /// Runs agent and master until the end is wanted, or one of them cannot go on.
    async fn live(&mut self, lifeline: Option<OwnedFd>, mut stop: Stop) -> Result<(), Failure> {
        let mut leaving = self.leaving.clone();
        tokio::select! {
            result = self.refuse_strangers() => result?,
            () = stop.wanted() => return Ok(()),
            () = leaving.wanted() => return Ok(()),
        }
        if self.config.roles.agent {
            self.start_agent(lifeline)?;
        }
        let over = gossip_over(self.gossip.watch_standing());
        let mut agent = self.agent.take();
        let changes = self.changes.take().expect("a node lives once");
        let (master_stopper, master_stop) = stop::pair();
        let peer = self.peer.take();
        let is_master = peer.is_some();
        let mut master_ended = !is_master;
        let master = async {
            match peer {
                Some(peer) => self.live_as_master(peer, changes, master_stop).await,
                None => {
                    drain(changes).await;
                    std::future::pending().await
                }
            }
        };
        tokio::pin!(master);
        let outcome = tokio::select! {
            failure = over => Err(failure),
            result = ended(&mut agent) => {
                agent = None;
                result.map_err(|error| agent_ended(&error))
            }
            result = &mut master => {
                master_ended = true;
                result
            }
            () = stop.wanted() => Ok(()),
            () = leaving.wanted() => Ok(()),
        };
        // The agent first, so that the master here still hears that it will be back.
        if let Some((agent, stopper)) = &mut agent {
            stopper.stop();
            let ended = tokio::time::timeout(limits::NODE_END, agent.ended()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::warn!(?ended, "the agent did not end in good order");
            }
        }
        master_stopper.stop();
        match master_ended {
            true => outcome,
            false => outcome.and(master.await),
        }
    }

    /// Finds or founds the cluster, then runs the master until the end is wanted.
    async fn live_as_master(
        &mut self,
        peer: TcpListener,
        changes: mpsc::Receiver<gossip::Change>,
        mut stop: Stop,
    ) -> Result<(), Failure> {
        let (accepted, mut connections) = mpsc::channel(limits::PEER_HANDSHAKES);
        // Ends with this master: dropping its other half says so.
        let (_listening, listen) = stop::pair();
        let policy = self.api.policy;
        tokio::spawn(peer::serve(peer, self.me.clone(), policy, accepted, listen));
        let search = Search {
            config: &self.config,
            me: &self.me,
            data: &self.data,
            gossip: &self.gossip,
            connections: &mut connections,
        };
        let found = tokio::select! {
            found = drive::found(search) => found?,
            () = stop.wanted() => return Ok(()),
        };
        let cluster = found.cluster;
        // Set once; a second value would be another cluster's, which the data refuses.
        let _known = self.me.cluster.set(cluster);
        let parts = MasterParts {
            config: &self.config,
            me: &self.me,
            seed: self.dice.child("master").next_u64(),
            found,
            data: &mut self.data,
            board: Arc::clone(&self.api.board),
            connections,
            changes,
            gossip: self.gossip.clone(),
        };
        let running = drive::start(parts)?;
        if self.api.master.set(running.mailbox.clone()).is_err() {
            unreachable!("a node has one master");
        }
        let tags = tags::of(&self.config, self.me.raft, Some(cluster));
        let tags = tags.map_err(|error| refused(&error))?;
        self.gossip
            .set_tags(tags)
            .await
            .map_err(|error| refused(&error))?;
        running.until_stopped(&self.config.data, stop).await
    }

    /// Refuses to run on data of one cluster among members of another. A node that joins others looks
    /// around first, unless it sees its own cluster at once.
    async fn refuse_strangers(&self) -> Result<(), Failure> {
        let Some(own) = self
            .data
            .identity()
            .cluster
            .filter(|_| !self.config.join.is_empty())
        else {
            return Ok(());
        };
        let mut members = self.gossip.watch_members();
        let look = tokio::time::sleep(limits::STRANGERS);
        tokio::pin!(look);
        loop {
            let list = Arc::clone(&members.borrow_and_update());
            let others = list.iter().filter(|member| member.id != self.me.node);
            let clusters: Vec<ClusterId> = others.filter_map(tags::cluster).collect();
            if clusters.contains(&own) {
                return Ok(());
            }
            tokio::select! {
                Ok(()) = members.changed() => {}
                () = &mut look => return match clusters.first() {
                    None => Ok(()),
                    Some(theirs) => Err(Failure::new(
                        Exit::Failed,
                        format!(
                            "{} belongs to cluster {own}, but its --join leads to cluster {theirs}",
                            self.config.data.display()
                        ),
                        "choose another --data, or --join members of its own cluster",
                    )),
                },
            }
        }
    }

    fn start_agent(&mut self, lifeline: Option<OwnedFd>) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(|error| refused(&error))?;
        let (stopper, stopped) = stop::pair();
        let config = ExecutorConfig {
            data: self.data.agent(),
            info: AgentInfo {
                node: self.me.node,
                name: self.config.name.clone(),
                http: self.config.agent_http.advertise.clone(),
                resources: self.config.resources.clone(),
                attributes: self.config.attributes.clone(),
                version: Arc::from(crate::api::MESOS_VERSION),
            },
            generation: self.me.generation,
            seed: self.dice.child("agent").next_u64(),
            identity: self.me.clone(),
            keeper: KeeperProgram {
                program,
                arguments: vec!["keeper".into()],
                lifeline,
            },
        };
        let masters = masters::watch(self.gossip.watch_members(), self.me.node);
        let agent = Executor::start(config, masters, stopped);
        let agent = agent.map_err(|error| refused(&error))?;
        tokio::spawn(show_agent(agent.status.clone()));
        if self.api.agent.set(agent.window.clone()).is_err() {
            unreachable!("a node has one agent");
        }
        self.agent = Some((agent, stopper));
        Ok(())
    }

    /// Leaves the gossip, then closes the listeners.
    async fn close(self) {
        if tokio::time::timeout(limits::NODE_END, self.gossip.leave())
            .await
            .is_err()
        {
            tracing::warn!("the gossip did not end in good order");
        }
        if self.leaving.is_wanted() {
            memory::leave(self.config.data.clone()).await;
            tracing::info!("left the cluster for good");
        }
        self.listeners.stop();
        tracing::info!(name = %self.config.name, "node stopped");
    }
}

/// Answers on the node's address and, on an agent, on the agent's, until what it gives says stop.
fn serve(http: TcpListener, agent_http: Option<TcpListener>, api: &Arc<Api>) -> Stopper {
    let (listeners, stopped) = stop::pair();
    let node = server::serve(http, Door::Node, Arc::clone(api), stopped.clone());
    tokio::spawn(node);
    if let Some(listener) = agent_http {
        let agent = server::serve(listener, Door::Agent, Arc::clone(api), stopped);
        tokio::spawn(agent);
    }
    listeners
}

/// Waits for the end of the agent; for ever without one.
async fn ended(agent: &mut Option<(Executor, Stopper)>) -> Result<(), ExecutorError> {
    match agent {
        Some((agent, _)) => agent.ended().await,
        None => std::future::pending().await,
    }
}

/// Fresh ids for a data directory.
///
/// # Errors
/// The kernel gives no random bits.
pub fn mint() -> io::Result<Minted> {
    let node = shoal_api::NodeId(entropy::draw()?);
    // Zero is no id, and one in so many starts would draw it.
    let raft = RaftId((entropy::draw()? as u64).max(1));
    Ok(Minted { node, raft })
}

fn introduce(config: &NodeConfig, data: &DataDirectory) -> Identity {
    let identity = data.identity();
    let cluster = OnceLock::new();
    if let Some(known) = identity.cluster {
        cluster.set(known).expect("a new cell is empty");
    }
    Identity {
        node: identity.node,
        generation: identity.generation,
        raft: config.roles.master.then_some(identity.raft),
        roles: config.roles,
        name: config.name.clone(),
        cluster: Arc::new(cluster),
    }
}

/// The addresses that the operator gave, and those of members known before, unless this node left
/// them for good.
fn whom_to_join(config: &NodeConfig, memory: &Memory) -> Vec<HostPort> {
    let mut addresses = config.join.clone();
    if memory.left && !config.rejoin_after_leave {
        tracing::info!("this node left for good: it joins nobody that it knew before");
        return addresses;
    }
    addresses.extend(memory.addresses());
    addresses
}

fn gossip_config(
    config: &NodeConfig,
    data: &DataDirectory,
    me: &Identity,
    dice: &Dice,
) -> Result<GossipConfig, Failure> {
    let seed = dice.child("gossip").next_u64();
    let mut gossip = GossipConfig::new(
        me.node,
        me.generation,
        config.name.clone(),
        config.cluster.clone(),
        config.gossip_advertise,
        seed,
    );
    let tags = tags::of(config, me.raft, data.identity().cluster);
    // Not of the dice: nonces must differ even where seeds would not.
    gossip.entropy = entropy::draw().map_err(|error| refused(&error))? as u64;
    let usual = match config.gossip.ip().is_loopback() {
        true => Profile::Local,
        false => Profile::Lan,
    };
    gossip.profile = config.gossip_profile.unwrap_or(usual);
    gossip.tuning = config.gossip_tuning;
    gossip.keep_failed = config.gossip_keep_failed;
    gossip.keep_left = config.gossip_keep_left;
    let own = tags.map_err(|error| usage("the tags", &error))?;
    let mut all = config.tags.clone();
    all.extend(own.into_tags());
    gossip.tags = NodeTags::new(all).map_err(|error| usage("the tags", &error))?;
    gossip.replay_events = config.replay_events;
    Ok(gossip)
}

fn policy(config: &NodeConfig) -> Policy {
    match config.insecure {
        true => {
            tracing::warn!("listening without authentication: whoever reaches this node rules it");
            Policy::Insecure
        }
        false => Policy::Loopback,
    }
}

/// Waits until this node may not gossip any more.
async fn gossip_over(mut standing: watch::Receiver<Standing>) -> Failure {
    loop {
        let seen = standing.borrow_and_update().clone();
        match seen {
            Standing::Running => {}
            Standing::NameRefused { ref name, holder } => {
                let told = format!("another living node, {holder}, has the name {name}");
                let changed = tokio::time::timeout(limits::NAME_PATIENCE, standing.changed()).await;
                match changed {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) | Err(_) => {
                        return Failure::new(Exit::Failed, told, "choose another by --name");
                    }
                }
            }
            Standing::Ended(End::Superseded { by }) => {
                return Failure::new(
                    Exit::Failed,
                    format!("another process runs as this node, in its life {by}"),
                    "two processes must not share a data folder or a copy of one",
                );
            }
            Standing::Ended(End::Left | End::Abandoned) => {
                return Failure::new(Exit::Failed, "the gossip ended", "");
            }
        }
        if standing.changed().await.is_err() {
            return Failure::new(Exit::Failed, "the gossip ended", "");
        }
    }
}

/// Keeps the board's list of members equal to the gossip's.
async fn show_members(mut members: watch::Receiver<Arc<[Member]>>, api: Arc<Api>) {
    loop {
        let list = Arc::clone(&members.borrow_and_update());
        api.board.set_members(list);
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// Exports how the agent is.
async fn show_agent(mut status: watch::Receiver<executor::Status>) {
    let connected = gauge(&catalogue::AGENT_CONNECTED, &[]);
    let keeper = gauge(&catalogue::AGENT_KEEPER, &[]);
    let tasks = gauge(&catalogue::AGENT_TASKS, &["all"]);
    let running = gauge(&catalogue::AGENT_TASKS, &["running"]);
    let launched = counter(&catalogue::AGENT_LAUNCHED, &[]);
    let first = counter(&catalogue::AGENT_UPDATES, &["first"]);
    let again = counter(&catalogue::AGENT_UPDATES, &["again"]);
    let refused = counter(&catalogue::AGENT_REFUSED, &[]);
    let stale = counter(&catalogue::AGENT_STALE, &[]);
    let dials = counter(&catalogue::AGENT_DIALS, &[]);
    let strays = counter(&catalogue::AGENT_STRAYS, &[]);
    loop {
        let now = *status.borrow_and_update();
        connected.set(f64::from(u8::from(now.connected)));
        keeper.set(f64::from(u8::from(now.keeper)));
        tasks.set(now.tasks as f64);
        running.set(now.running as f64);
        launched.absolute(now.counters.launched);
        first.absolute(now.counters.updates_sent - now.counters.updates_resent);
        again.absolute(now.counters.updates_resent);
        refused.absolute(now.counters.refused);
        stale.absolute(now.counters.stale);
        dials.absolute(now.counters.dials);
        strays.absolute(now.counters.strays);
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// A node without a master has no use for single changes.
async fn drain(mut changes: mpsc::Receiver<gossip::Change>) {
    while changes.recv().await.is_some() {}
}

fn agent_ended(error: &ExecutorError) -> Failure {
    let hint = match error {
        ExecutorError::Refused(SessionRefusal::OtherCluster { .. }) => {
            "choose another --data, or --join members of its own cluster"
        }
        ExecutorError::Refused(SessionRefusal::ResourcesShrunk(_)) => {
            "offer at least as much by --resources, or end some of its tasks first"
        }
        ExecutorError::Refused(_)
        | ExecutorError::Folder { .. }
        | ExecutorError::Log(_)
        | ExecutorError::Start(_)
        | ExecutorError::Disk(_)
        | ExecutorError::Broken => "",
    };
    Failure::new(Exit::Failed, error.to_string(), hint)
}

fn refused(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error.to_string(), "")
}

fn usage(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("{what}: {error}"), "")
}

fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    server::bind(address).map_err(|error| cannot_listen(flag, address, &error))
}

/// The failure of a listener, with what to do.
fn cannot_listen(flag: &str, address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("cannot listen on {address}: {error}"),
        format!("another process may have it: choose another address by {flag}"),
    )
}
