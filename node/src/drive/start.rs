//! Starts and ends a master: reads its log, makes the machine, wires sockets, disk and gossip to it.

use std::path::Path;
use std::sync::Arc;

use shoal_api::Plants;
use shoal_disk::DataDirectory;
use shoal_master::{Config, Master, Tuning};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::addresses::Addresses;
use super::disk::Disk;
use super::founding::{Found, belong};
use super::machine::{self, End, Parts};
use super::mailbox::{Mail, Mailbox, mailbox};
use super::{feed, inbound};
use crate::api::board::Board;
use crate::cli::{Exit, Failure};
use crate::config::NodeConfig;
use crate::gossip::{Change, Gossip};
use crate::peer::{Connection, Identity};
use crate::stop::Stop;
use crate::{clock, limits};

/// What a master is made of.
#[derive(Debug)]
pub struct MasterParts<'a> {
    /// Its flags.
    pub config: &'a NodeConfig,
    /// Its node.
    pub me: &'a Identity,
    /// Of all chance in the machine.
    pub seed: u64,
    /// Its cluster.
    pub found: Found,
    /// Its folder.
    pub data: &'a mut DataDirectory,
    /// Where it shows itself.
    pub board: Arc<Board>,
    /// Connections to the peer port.
    pub connections: mpsc::Receiver<Connection>,
    /// What changes among the members.
    pub changes: mpsc::Receiver<Change>,
    /// The members.
    pub gossip: Gossip,
}

/// A running master.
#[derive(Debug)]
pub struct Running {
    /// To put things before it.
    pub mailbox: Mailbox,
    ended: oneshot::Receiver<End>,
}

/// Starts a master on the current runtime.
///
/// # Errors
/// Its log cannot be relied on, or the kernel has no thread left.
pub fn start(parts: MasterParts<'_>) -> Result<Running, Failure> {
    let MasterParts { config, me, .. } = parts;
    let (mailbox, replies, waiting) = mailbox();
    let log = parts.data.master();
    let (disk, recovered) = Disk::open(&log, parts.found.founding, replies.clone())?;
    belong(parts.data, parts.found.cluster)?;
    let config = Config {
        node: me.node,
        generation: me.generation,
        raft: me.raft.expect("a master has a voter id"),
        name: me.name.clone(),
        cluster: parts.found.cluster,
        http: config.http.advertise.clone(),
        peer: config.peer.advertise.clone(),
        pid: std::process::id(),
        seed: parts.seed,
        tuning: Tuning {
            replace_dead: config.replace_dead,
            offer_timeout: config.offer_timeout,
            ..Tuning::default()
        },
        plants: Plants::NONE,
    };
    let master = Master::new(config, clock::now(), recovered).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("the log in {} cannot be continued: {error}", log.display()),
            "move the data folder away, and this master comes back as a new one",
        )
    })?;
    let (broken, events) = mpsc::channel(limits::PEER_EVENTS);
    let parts_of_machine = Parts {
        master,
        waiting,
        disk,
        replies,
        addresses: Addresses::new(me.clone(), Handle::current(), broken),
        board: Arc::clone(&parts.board),
    };
    let ended = machine::start(parts_of_machine);
    let ended = ended.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot start the master's thread: {error}"),
            "",
        )
    })?;
    tokio::spawn(inbound::serve(parts.connections, mailbox.clone()));
    tokio::spawn(inbound::links(events, mailbox.clone()));
    tokio::spawn(feed::run(parts.gossip, parts.changes, mailbox.clone()));
    Ok(Running { mailbox, ended })
}

impl Running {
    /// Waits until the end is wanted, hands over what can be handed over, and stops.
    ///
    /// # Errors
    /// The machine halted: that is written down in `folder`, and the next start refuses.
    pub async fn until_stopped(mut self, folder: &Path, mut stop: Stop) -> Result<(), Failure> {
        let end = tokio::select! {
            end = &mut self.ended => end,
            () = stop.wanted() => {
                self.mailbox.send(Mail::Shutdown).await;
                match tokio::time::timeout(limits::NODE_END, &mut self.ended).await {
                    Ok(end) => end,
                    Err(_) => {
                        tracing::warn!("the master did not end in good order");
                        Ok(End::Stopped)
                    }
                }
            }
        };
        match end {
            Ok(End::Stopped) => Ok(()),
            Ok(End::Halted(why)) => {
                if let Err(error) = DataDirectory::halt(folder, &why) {
                    tracing::error!(%error, "cannot write down that this master halted");
                }
                Err(Failure::new(
                    Exit::Failed,
                    format!("this master halted: {why}"),
                    format!(
                        "its state must not be used: `shoal quorum reset {}` puts it aside, and the \
                         node comes back as a new master with the agent it had",
                        folder.display()
                    ),
                ))
            }
            Err(_) => Err(Failure::new(
                Exit::Failed,
                "the master's thread ended by a bug",
                "",
            )),
        }
    }
}
