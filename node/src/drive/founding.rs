//! How a master gets its cluster: it has one, joins one that it sees, or helps to found one.
//!
//! What lives here drives the bootstrap's machine: gossip, the promise on disk, and short-lived
//! connections between founders. What deliberately does not: when to promise, and what that means.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shoal_api::member::{Member, MemberStatus};
use shoal_api::{ClusterId, HostPort, Instant, RaftId};
use shoal_disk::{DataDirectory, atomic_write};
use shoal_quorum::Recovered;
use shoal_quorum::bootstrap::{
    Bootstrap, BootstrapInput, BootstrapMessage, BootstrapOutput, Candidate, Promise,
};
use tokio::sync::mpsc;

use crate::cli::{Exit, Failure};
use crate::config::NodeConfig;
use crate::gossip::Gossip;
use crate::peer::{Connection, Identity, Link, Purpose};
use crate::{clock, limits, tags};

/// A cluster to be a master of.
#[derive(Debug)]
pub struct Found {
    /// Which.
    pub cluster: ClusterId,
    /// What a founder's empty log begins with.
    pub founding: Option<Recovered>,
}

/// What a search for a cluster needs of its node.
#[derive(Debug)]
pub struct Search<'a> {
    /// Its flags.
    pub config: &'a NodeConfig,
    /// Its node.
    pub me: &'a Identity,
    /// Its folder.
    pub data: &'a DataDirectory,
    /// Who is there.
    pub gossip: &'a Gossip,
    /// Connections to the peer port.
    pub connections: &'a mut mpsc::Receiver<Connection>,
}

/// Waits until this node has a cluster to join or to found.
///
/// # Errors
/// The promise on disk is damaged, or the disk refuses.
pub async fn found(search: Search<'_>) -> Result<Found, Failure> {
    if let Some(cluster) = search.data.identity().cluster {
        return Ok(Found {
            cluster,
            founding: None,
        });
    }
    match search.config.bootstrap_expect {
        Some(expects) => Founder::new(search, expects)?.run().await,
        None => {
            tracing::info!("waiting to see a cluster to join as a master");
            join(search).await
        }
    }
}

/// Makes the data directory the cluster's. A founder's log comes first: a folder that belongs to a
/// cluster and has no log would wait for ever to be taken in.
///
/// # Errors
/// The directory belongs to another cluster, or the disk refuses.
pub fn belong(data: &mut DataDirectory, cluster: ClusterId) -> Result<(), Failure> {
    data.belong_to(cluster).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error.to_string(), "")
}

fn gossip_ended() -> Failure {
    Failure::new(Exit::Failed, "the gossip ended", "")
}

/// A cluster that another member belongs to.
fn seen(members: &[Member], me: &Identity) -> Option<ClusterId> {
    let others = members.iter().filter(|member| member.id != me.node);
    others.filter_map(tags::cluster).next()
}

async fn join(search: Search<'_>) -> Result<Found, Failure> {
    let mut members = search.gossip.watch_members();
    loop {
        let cluster = seen(&members.borrow_and_update(), search.me);
        if let Some(cluster) = cluster {
            tracing::info!(%cluster, "joining a cluster as a master");
            return Ok(Found {
                cluster,
                founding: None,
            });
        }
        tokio::select! {
            changed = members.changed() => changed.map_err(|_| gossip_ended())?,
            // Whoever connects is a master of a cluster that gossip will show.
            Some(_) = search.connections.recv() => {}
        }
    }
}

/// The driver of a founder's machine.
struct Founder<'a> {
    search: Search<'a>,
    machine: Bootstrap,
    promise: PathBuf,
    links: BTreeMap<RaftId, Link>,
    addresses: BTreeMap<RaftId, HostPort>,
}

impl<'a> Founder<'a> {
    fn new(search: Search<'a>, expects: u8) -> Result<Founder<'a>, Failure> {
        let promise = search.data.folder().join("promise");
        let raft = search.me.raft.expect("a founder has a voter id");
        let machine = Bootstrap::new(raft, expects, read(&promise)?, clock::now());
        Ok(Founder {
            machine: machine.map_err(|error| failed(&error))?,
            search,
            promise,
            links: BTreeMap::new(),
            addresses: BTreeMap::new(),
        })
    }

    async fn run(mut self) -> Result<Found, Failure> {
        let mut members = self.search.gossip.watch_members();
        let (told, mut messages) = mpsc::channel(limits::BOOTSTRAP_MESSAGES);
        loop {
            let list = std::sync::Arc::clone(&members.borrow_and_update());
            self.members(&list);
            loop {
                if let Some(found) = self.perform()? {
                    return Ok(found);
                }
                let deadline = self.machine.next_deadline().unwrap_or(Instant::NEVER);
                let pause = deadline.since(clock::now()).min(Duration::from_secs(60));
                tokio::select! {
                    changed = members.changed() => {
                        changed.map_err(|_| gossip_ended())?;
                        break;
                    }
                    Some(connection) = self.search.connections.recv() => {
                        if connection.purpose == Purpose::Bootstrap {
                            tokio::spawn(listen(connection, told.clone()));
                        }
                    }
                    Some((from, message)) = messages.recv() => {
                        self.step(BootstrapInput::Receive { from, message });
                    }
                    () = tokio::time::sleep(pause) => self.step(BootstrapInput::Wake),
                }
            }
        }
    }

    fn step(&mut self, input: BootstrapInput) {
        self.machine.step(clock::now(), input);
    }

    fn members(&mut self, members: &[Member]) {
        if let Some(cluster) = seen(members, self.search.me) {
            self.step(BootstrapInput::ClusterSeen(cluster));
            return;
        }
        let mut candidates = Vec::new();
        for member in members.iter().filter(|member| is_there(member)) {
            let (Some(id), Some(expects)) = (tags::raft_id(member), tags::bootstrap_expect(member))
            else {
                continue;
            };
            if let Some(peer) = tags::peer(member) {
                self.addresses.insert(id, peer);
            }
            candidates.push(Candidate { id, expects });
        }
        self.step(BootstrapInput::Members(candidates));
    }

    /// Does what the machine wants; gives the cluster once there is one.
    fn perform(&mut self) -> Result<Option<Found>, Failure> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                BootstrapOutput::Persist(promise) => {
                    write(&self.promise, &promise).map_err(|error| failed(&error))?;
                    self.step(BootstrapInput::Persisted);
                }
                BootstrapOutput::Send { to, message } => self.send(to, &message),
                BootstrapOutput::Founded { cluster, members } => {
                    tracing::info!(%cluster, masters = members.len(), "founding a cluster");
                    return Ok(Some(Found {
                        cluster,
                        founding: Some(shoal_quorum::found(&members)),
                    }));
                }
                BootstrapOutput::Join { cluster } => {
                    tracing::info!(%cluster, "joining a cluster as a master");
                    return Ok(Some(Found {
                        cluster,
                        founding: None,
                    }));
                }
                BootstrapOutput::Waiting(waiting) => tracing::warn!("{waiting}"),
            }
        }
        Ok(None)
    }

    fn send(&mut self, to: RaftId, message: &BootstrapMessage) {
        let Some(at) = self.addresses.get(&to) else {
            return;
        };
        if self.links.get(&to).is_some_and(|link| link.to() != at) {
            self.links.remove(&to);
        }
        let link = self.links.entry(to).or_insert_with(|| {
            // A founder notices silence by itself.
            let (broken, _) = mpsc::channel(1);
            let me = self.search.me.clone();
            Link::start(me, to, at.clone(), Purpose::Bootstrap, broken)
        });
        link.send(message.to_bytes());
    }
}

fn is_there(member: &Member) -> bool {
    match member.status {
        MemberStatus::Alive | MemberStatus::Suspect => true,
        MemberStatus::Leaving | MemberStatus::Left | MemberStatus::Failed => false,
    }
}

/// Reads what another founder says.
async fn listen(mut connection: Connection, told: mpsc::Sender<(RaftId, BootstrapMessage)>) {
    let Some(from) = connection.peer.raft else {
        return;
    };
    while let Ok(Some(payload)) = connection.reader.next().await {
        let Ok(message) = BootstrapMessage::from_bytes(payload) else {
            return;
        };
        if told.send((from, message)).await.is_err() {
            return;
        }
    }
}

/// A checksum, then the promise.
fn write(path: &Path, promise: &Promise) -> std::io::Result<()> {
    let body = postcard::to_allocvec(promise).expect("a promise can be encoded");
    let check = crc32fast::hash(&body).to_le_bytes();
    atomic_write(path, &[&check[..], &body].concat())
}

fn read(path: &Path) -> Result<Option<Promise>, Failure> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&format!("cannot read {}: {error}", path.display()))),
    };
    let damaged = || {
        Failure::new(
            Exit::Failed,
            format!("{} is damaged", path.display()),
            "move the data folder away, and this master comes back as a new one",
        )
    };
    let (check, body) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    if *check != crc32fast::hash(body).to_le_bytes() {
        return Err(damaged());
    }
    postcard::from_bytes(body).map(Some).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_read_as_written_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("promise");
        assert!(read(&path).unwrap().is_none());
        let promise = Promise {
            members: vec![RaftId(1), RaftId(u64::MAX)],
        };
        write(&path, &promise).unwrap();
        assert_eq!(read(&path).unwrap(), Some(promise));
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(read(&path).is_err());
    }
}
