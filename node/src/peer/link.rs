//! A standing connection to one other master: dialled again whenever it breaks, fed by a bounded
//! queue whose overflow is dropped and counted.
//!
//! What deliberately does not live here: any promise of delivery. Raft and forwarding both send
//! again what matters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;
use shoal_api::RaftId;
use shoal_api::agent::HostPort;
use tokio::sync::{Notify, mpsc};

use super::connection::Connection;
use super::handshake::dial;
use super::identity::{Identity, Purpose};
use crate::limits;
use crate::metrics::{catalogue, counter, gauge};

/// What a link tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The connection to that master broke.
    Broken(RaftId),
}

/// The sending end of a link. The link ends when all of them are gone.
#[derive(Clone, Debug)]
pub struct Link {
    queue: mpsc::Sender<Bytes>,
    to: HostPort,
    retry: Arc<Notify>,
    full: Drops,
}

#[derive(Clone)]
struct Drops(Counter);

impl std::fmt::Debug for Drops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drops")
    }
}

impl Link {
    /// Starts a link on the runtime of the caller.
    pub fn start(
        me: Identity,
        peer: RaftId,
        to: HostPort,
        purpose: Purpose,
        events: mpsc::Sender<LinkEvent>,
    ) -> Link {
        let (queue, waiting) = mpsc::channel(limits::PEER_QUEUE);
        let retry = Arc::new(Notify::new());
        let task = LinkTask {
            me,
            peer,
            to: to.clone(),
            purpose,
            waiting,
            events,
            retry: Arc::clone(&retry),
            unsent: counter(&catalogue::PEER_DROPPED, &["disconnected"]),
        };
        tokio::spawn(task.run());
        Link {
            queue,
            to,
            retry,
            full: Drops(counter(&catalogue::PEER_DROPPED, &["queue_full"])),
        }
    }

    /// Where it leads.
    pub fn to(&self) -> &HostPort {
        &self.to
    }

    /// Puts a payload into the queue, or drops it if the queue is full.
    pub fn send(&self, payload: Bytes) {
        if self.queue.try_send(payload).is_err() {
            self.full.0.increment(1);
        }
    }

    /// Dials at once if it waits to dial again: the other side is known to be back.
    pub fn hurry(&self) {
        self.retry.notify_one();
    }
}

struct LinkTask {
    me: Identity,
    peer: RaftId,
    to: HostPort,
    purpose: Purpose,
    waiting: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<LinkEvent>,
    retry: Arc<Notify>,
    unsent: Counter,
}

impl LinkTask {
    async fn run(mut self) {
        let open = gauge(&catalogue::PEER_CONNECTIONS, &[self.purpose.label()]);
        let mut pause = limits::PEER_RETRY_MIN;
        let mut said = false;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    (pause, said) = (limits::PEER_RETRY_MIN, false);
                    open.increment(1.0);
                    let ended = self.pump(connection).await;
                    open.decrement(1.0);
                    // A full receiver means that the machine is ending or far behind; it will
                    // notice the silence by itself.
                    let _unheard = self.events.try_send(LinkEvent::Broken(self.peer));
                    if ended {
                        return;
                    }
                }
                Err(error) if !said => {
                    said = true;
                    tracing::info!(peer = %self.peer, purpose = %self.purpose, %error,
                        "a master cannot be reached");
                }
                Err(_) => {}
            }
            if self.rest(pause).await {
                return;
            }
            pause = (pause * 2).min(limits::PEER_RETRY_MAX);
        }
    }

    /// Dials once; what is to be sent waits meanwhile.
    async fn connect(&self) -> Result<Connection, String> {
        let dialled = dial(&self.me, &self.to, self.purpose).await;
        let connection = dialled.map_err(|error| error.to_string())?;
        match connection.peer.raft {
            Some(raft) if raft == self.peer => Ok(connection),
            Some(_) | None => Err(format!("{} is another master", self.to)),
        }
    }

    /// Sends until the connection breaks; true if the link is to end.
    async fn pump(&mut self, connection: Connection) -> bool {
        let Connection {
            mut reader,
            mut writer,
            ..
        } = connection;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = self.waiting.recv_many(&mut batch, limits::PEER_BATCH) => {
                    if count == 0 {
                        return true;
                    }
                    let writing = tokio::time::timeout(limits::TCP_UNREAD, writer.write(&mut batch));
                    if !matches!(writing.await, Ok(Ok(()))) {
                        return false;
                    }
                }
                // The other side says nothing here, so whatever is read is the end.
                _ = reader.next() => return false,
            }
        }
    }

    /// Waits before the next attempt; what is to be sent is old by then and dropped. True if the
    /// link is to end.
    async fn rest(&mut self, pause: Duration) -> bool {
        let sleep = tokio::time::sleep(pause);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return false,
                () = self.retry.notified() => return false,
                payload = self.waiting.recv() => match payload {
                    Some(_) => self.unsent.increment(1),
                    None => return true,
                },
            }
        }
    }
}
