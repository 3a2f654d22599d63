//! The gossip's driver: one UDP socket, its streams, and one task that steps the [`shoal_membership`] machine.
//!
//! What lives here does IO and decides nothing: it hands datagrams and deadlines to the machine,
//! sends what the machine wants sent, resolves the names of seeds, and shows the list of members.
//! What deliberately does not: any rule of the gossip.

mod counts;
mod drive;
pub mod limits;
pub mod memory;
mod net;
mod seeds;
mod streams;
mod tags;
mod talk;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::member::{Member, MemberEvent};
use shoal_api::{Generation, HostPort, Name, NodeId};
use shoal_membership::{
    AnswerBody, Clocks, Config, ConfigError, EventBody, Membership, NodeTags, Query, QueryKey,
    QueryRequest, Secrecy, Stats,
};
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

#[cfg(test)]
mod tests;

pub use net::Socket;
pub use tags::{TagChange, TagRefusal};
pub use talk::{Happening, Returned};

/// Why the gossip did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The machine refused its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The gossip of this node is over, so nobody takes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the gossip of this node has ended")]
pub struct Ended;

/// A change of the list of members. The list itself is at least as new, see [`Gossip::members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What the machine said.
    Member(MemberEvent),
    /// The receiver was too slow, and some changes are missing: read the list.
    Missed,
}

/// Where this node stands in the gossip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// As it should be.
    #[default]
    Running,
    /// Another living node has its name. While this node is outside it asks again, and gets in
    /// once the holder is gone; that may be its own former self, wiped moments ago, so only a
    /// refusal that lasts longer than a failure takes to be seen is a reason to end.
    NameRefused {
        /// The name.
        name: Name,
        /// Who has it.
        holder: NodeId,
    },
    /// Over.
    Ended(End),
}

/// How the gossip of this node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Left,
    /// Another process runs with this node's identity and this life: this one must end.
    Superseded {
        /// The other's life.
        by: Generation,
    },
    /// Nobody held a handle any more; to the others it looks like a crash.
    Abandoned,
}

/// How the gossip of this node is at the moment.
#[derive(Clone, Debug)]
pub struct Picture {
    /// This node.
    pub me: Member,
    /// Whether another living member is known.
    pub joined: bool,
    /// The living node that has this node's name.
    pub name_holder: Option<NodeId>,
    /// How far it has heard.
    pub clocks: Clocks,
    /// News and broadcasts that wait to be spread.
    pub queued: (usize, usize),
    /// Queries of its own that wait for answers, and those that it may answer.
    pub queries: (usize, usize),
}

#[derive(Debug)]
enum Request {
    Join(Vec<HostPort>),
    Leave,
    SetTags(NodeTags),
    ChangeTags(TagChange, oneshot::Sender<Result<(), TagRefusal>>),
    Picture(oneshot::Sender<Picture>),
    Tell(EventBody),
    Ask(QueryRequest, mpsc::Sender<Returned>),
    Answer(QueryKey, AnswerBody),
    Remove(NodeId, Removal),
    Rtt(NodeId, NodeId, oneshot::Sender<Option<Duration>>),
    Stats(oneshot::Sender<Stats>),
}

/// How a member that failed is taken off the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It counts as left.
    Leave,
    /// It is forgotten at once.
    Prune,
}

/// The handle of the running gossip. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gossip {
    requests: mpsc::Sender<Request>,
    members: watch::Receiver<Arc<[Member]>>,
    standing: watch::Receiver<Standing>,
    happenings: broadcast::Sender<Happening>,
    secrecy: watch::Sender<Secrecy>,
}

/// A started gossip.
#[derive(Debug)]
pub struct Running {
    /// To ask it for something.
    pub gossip: Gossip,
    /// Changes of the list of members, at most [`limits::CHANGES`] waiting.
    pub changes: mpsc::Receiver<Change>,
    /// What nodes ask each other without their users, at most [`limits::INNER_QUERIES`] waiting.
    pub inner: mpsc::Receiver<Query>,
    /// Ends with the gossip.
    pub task: JoinHandle<End>,
}

/// Starts the gossip on a bound socket, on the current runtime. It ends when it left, when it was
/// superseded, or when all handles are dropped.
///
/// # Errors
/// [`StartError`]; nothing runs then.
pub fn start(socket: Socket, config: Config) -> Result<Running, StartError> {
    let clock = drive::Clock::new();
    let (secrecy, keys) = watch::channel(config.secrecy.clone());
    let machine = Membership::new(config, clock.now())?;
    let (requests, requested) = mpsc::channel(limits::REQUESTS);
    let (changes, changed) = mpsc::channel(limits::CHANGES);
    let tags = tags::TagBook::new(&machine.me().tags);
    let first: Arc<[Member]> = machine.members().cloned().collect();
    let (show_members, members) = watch::channel(first);
    let (show_standing, standing) = watch::channel(Standing::Running);
    let happenings = talk::happenings();
    let (inner, asked) = mpsc::channel(limits::INNER_QUERIES);
    let drive = drive::Drive::new(
        machine,
        clock,
        socket,
        requested,
        keys,
        drive::Shown {
            changes,
            members: show_members,
            standing: show_standing,
            happenings: happenings.clone(),
            inner,
        },
        tags,
    );
    Ok(Running {
        gossip: Gossip {
            requests,
            members,
            standing,
            happenings,
            secrecy,
        },
        changes: changed,
        inner: asked,
        task: tokio::spawn(drive.run()),
    })
}

/// Binds the gossip's address, UDP and TCP.
///
/// # Errors
/// What the kernel says.
pub fn bind(address: std::net::SocketAddr) -> io::Result<Socket> {
    Socket::bind(address)
}

impl Gossip {
    /// All members, this node and the gone ones too, by node id.
    pub fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.members.borrow())
    }

    /// The list of members, to wait for a change of it.
    pub fn watch_members(&self) -> watch::Receiver<Arc<[Member]>> {
        self.members.clone()
    }

    /// Where this node stands, to wait for a change of it.
    pub fn watch_standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Joins through any of these, and keeps trying. Names are resolved until they can be.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn join(&self, seeds: Vec<HostPort>) -> Result<(), Ended> {
        self.request(Request::Join(seeds)).await
    }

    /// Leaves in good order and waits until that is done, about two seconds at most.
    pub async fn leave(&self) {
        let mut standing = self.watch_standing();
        if self.request(Request::Leave).await.is_ok() {
            // An error means that the gossip is over, which is what is waited for.
            drop(
                standing
                    .wait_for(|standing| matches!(standing, Standing::Ended(_)))
                    .await,
            );
        }
    }

    /// Tells other tags about this node; those that an operator gave it stay.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn set_tags(&self, tags: NodeTags) -> Result<(), Ended> {
        self.request(Request::SetTags(tags)).await
    }

    /// The round trip time between two members by their coordinates, if both are known.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn rtt(&self, a: NodeId, b: NodeId) -> Result<Option<Duration>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::Rtt(a, b, answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// Changes the tags that an operator gave this node; its own stay.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over; within, [`TagRefusal`], and nothing changed.
    pub async fn change_tags(&self, change: TagChange) -> Result<Result<(), TagRefusal>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::ChangeTags(change, answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// How the gossip of this node is.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn picture(&self) -> Result<Picture, Ended> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::Picture(answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// Tells all members an event.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn tell(&self, event: EventBody) -> Result<(), Ended> {
        self.request(Request::Tell(event)).await
    }

    /// Asks members. What comes back waits in the channel, at most [`limits::REPLIES`]; dropping
    /// it is how to stop listening.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn ask(&self, query: QueryRequest) -> Result<mpsc::Receiver<Returned>, Ended> {
        let (asker, replies) = mpsc::channel(limits::REPLIES);
        self.request(Request::Ask(query, asker)).await?;
        Ok(replies)
    }

    /// Answers a query that was heard as [`Happening::Query`]; only the first answer counts.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn answer(&self, query: QueryKey, body: AnswerBody) -> Result<(), Ended> {
        self.request(Request::Answer(query, body)).await
    }

    /// Takes a member that failed off the list, everywhere. Nothing happens to one that lives.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn remove(&self, node: NodeId, how: Removal) -> Result<(), Ended> {
        self.request(Request::Remove(node, how)).await
    }

    /// What happens from here on, at most [`limits::HAPPENINGS`] waiting.
    pub fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.happenings.subscribe()
    }

    /// Seals and opens with these keys from soon on; the newest ones win.
    pub fn set_secrecy(&self, secrecy: Secrecy) {
        self.secrecy.send_replace(secrecy);
    }

    /// The machine's counters.
    ///
    /// # Errors
    /// [`Ended`] if the gossip is over.
    pub async fn stats(&self) -> Result<Stats, Ended> {
        let (answer, answered) = oneshot::channel();
        self.request(Request::Stats(answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    async fn request(&self, request: Request) -> Result<(), Ended> {
        self.requests.send(request).await.map_err(|_| Ended)
    }
}
