//! The executor: the shell around the agent machine of this node.
//!
//! What lives here: connections to masters, the checkpoint log, sandboxes on disk, users, and the
//! keeper as a child process. What deliberately does not: any decision about a task or a session;
//! those are `shoal_agent`'s, which this only obeys.

mod command;
mod drive;
#[cfg(test)]
mod faults;
pub mod files;
mod keeper;
pub mod limits;
mod log;
mod sandbox;
mod store;
mod usage;
pub mod user;
mod volumes;
mod window;
mod wire;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use shoal_agent::{Agent, Config, Counters, Recovered, StartError};
use shoal_api::session::SessionRefusal;
use shoal_api::{AgentId, AgentInfo, Generation, HostPort};
use shoal_keeper::BootId;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use keeper::KeeperProgram;
pub use log::LogError;
pub use usage::measure;
pub use window::{Seen, Window};

use crate::clock;
use crate::peer::Identity;
use crate::stop::Stop;

/// What an executor is given.
#[derive(Debug)]
pub struct ExecutorConfig {
    /// The agent's own folder, absolute: checkpoint, keeper and sandboxes are in it. Made if missing.
    pub data: PathBuf,
    /// What the agent is and has.
    pub info: AgentInfo,
    /// The node's life.
    pub generation: Generation,
    /// For everything left to chance; other than in the node's earlier lives.
    pub seed: u64,
    /// How this node introduces itself to masters.
    pub identity: Identity,
    /// How a keeper is started where none runs.
    pub keeper: KeeperProgram,
}

/// How the agent is, for whoever shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its id, once it has one.
    pub agent: Option<AgentId>,
    /// Whether a master commands it.
    pub connected: bool,
    /// Whether its keeper is reached.
    pub keeper: bool,
    /// Tasks that are not forgotten.
    pub tasks: usize,
    /// Those of them that have not ended.
    pub running: usize,
    /// What the machine counted.
    pub counters: Counters,
}

/// Why an agent does not run, or runs no more. Its tasks do.
#[derive(Debug, Error)]
pub enum ExecutorError {
    /// Its folder cannot be used.
    #[error("the agent's folder {path} cannot be used: {error}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What it wrote down cannot be relied on.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It must not run as configured.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The disk failed while it ran.
    #[error("the agent's checkpoint cannot be written any more: {0}")]
    Disk(io::Error),
    /// The cluster does not take it as it is.
    #[error("the cluster does not take this agent: {0}")]
    Refused(SessionRefusal),
    /// The loop ended by a bug.
    #[error("the agent's loop ended unexpectedly")]
    Broken,
}

/// A running agent.
#[derive(Debug)]
pub struct Executor {
    /// How it is.
    pub status: watch::Receiver<Status>,
    /// For whoever looks at it.
    pub window: Window,
    drive: JoinHandle<Result<(), ExecutorError>>,
}

impl Executor {
    /// Starts the agent: reads what it wrote down, finds its keeper and its tasks, and then dials one
    /// of `masters`, the first being its home. It stops when `stop` is set; its tasks go on.
    ///
    /// # Errors
    /// [`ExecutorError`] if it must not or cannot start.
    pub fn start(
        config: ExecutorConfig,
        masters: watch::Receiver<Vec<HostPort>>,
        stop: Stop,
    ) -> Result<Executor, ExecutorError> {
        let folder = |path: &PathBuf, error| ExecutorError::Folder {
            path: path.clone(),
            error,
        };
        let data = make_folder(&config.data).map_err(|error| folder(&config.data, error))?;
        if data.to_str().is_none() {
            let error = io::Error::other("its path is not text, and tasks are told of it");
            return Err(folder(&data, error));
        }
        let keeper_dir = data.join("keeper");
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&keeper_dir)
            .map_err(|error| folder(&keeper_dir, error))?;
        let boot = BootId::current().map_err(|error| folder(&PathBuf::from("/proc"), error))?;

        let (store_events, store_ears) = mpsc::channel(limits::EVENTS);
        let (checkpoint, io) = (data.join("checkpoint"), Arc::new(shoal_disk::System));
        let (store, records) = store::Store::start(&checkpoint, io, store_events)?;
        let http = config.info.http.clone();
        let (show, status) = watch::channel(Status::default());
        let (window, asks) = Window::new(config.info.clone(), &data, status.clone());
        let machine = Config {
            info: config.info,
            generation: config.generation,
            boot: shoal_agent::BootId(boot.0),
            plants: shoal_api::Plants::NONE,
            seed: config.seed,
        };
        let agent = Agent::new(clock::now(), machine, &Recovered { records })?;

        let (events, event_ears) = mpsc::channel(limits::EVENTS);
        let (orders, order_ears) = mpsc::channel(limits::ORDERS);
        let (news, keeper_ears) = mpsc::channel(limits::EVENTS);
        tokio::spawn(keeper::run(keeper_dir, config.keeper, order_ears, news));
        let driver = drive::Driver {
            agent,
            wires: wire::Wires::new(config.identity, events.clone()),
            store,
            orders,
            sandboxes: sandbox::Sandboxes::new(&data),
            http,
            events,
            status: show,
            life: None,
            root: rustix::process::getuid().is_root(),
            unwritten: drive::Unwritten::default(),
            pids: BTreeMap::new(),
        };
        let ears = drive::Ears {
            events: event_ears,
            keeper: keeper_ears,
            store: store_ears,
            masters,
            asks,
            stop,
        };
        Ok(Executor {
            status,
            window,
            drive: tokio::spawn(driver.run(ears)),
        })
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// [`ExecutorError`] if nobody asked it to.
    pub async fn ended(&mut self) -> Result<(), ExecutorError> {
        (&mut self.drive)
            .await
            .unwrap_or(Err(ExecutorError::Broken))
    }
}

/// The folder, made if missing, by the name that its tasks see.
fn make_folder(path: &PathBuf) -> io::Result<PathBuf> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o755).create(path)?;
    fs::canonicalize(path)
}
