//! What the rest of the node puts before the master's thread, and how.
//!
//! Two queues. The common one is bounded: whoever waits in it waits, which is the back-pressure of
//! sockets and handlers. Replies of the disk have a queue of their own, so that the thread may wait
//! for the disk without the disk waiting for the thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use shoal_api::member::MemberEvent;
use shoal_api::notice::Notice;
use shoal_api::session::{AgentMessage, MasterMessage};
use shoal_api::{FrameworkId, FrameworkInfo, Index, NodeId, RaftId, StreamId};
use shoal_master::{Answer, Conn, PeerMessage, Refused, Request};
use shoal_quorum::Ticket;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::limits;

/// Something for the machine.
#[derive(Debug)]
pub enum Mail {
    /// Another master says something.
    Peer {
        /// Who.
        from: RaftId,
        /// Its node.
        node: NodeId,
        /// What.
        message: PeerMessage,
    },
    /// The connection from or to another master broke.
    PeerBroken(RaftId),
    /// Somebody who is no master of the cluster forwards commands, and is answered here.
    Guest {
        /// Its made-up voter id.
        from: RaftId,
        /// Where it is answered.
        out: mpsc::Sender<Bytes>,
    },
    /// An agent's connection is there.
    SessionOpened {
        /// Its number.
        conn: Conn,
        /// Where it is told things.
        out: Outbound<MasterMessage>,
    },
    /// An agent says something.
    Session {
        /// On which connection.
        conn: Conn,
        /// What.
        message: AgentMessage,
    },
    /// An agent's connection is gone.
    SessionClosed(Conn),
    /// A framework wants a stream.
    Subscribe {
        /// The number of its connection.
        conn: Conn,
        /// Who.
        info: Box<FrameworkInfo>,
        /// Told once.
        opened: oneshot::Sender<Result<Opened, Refused>>,
        /// The stream's notices.
        out: Outbound<Notice>,
    },
    /// A framework's connection is gone.
    StreamClosed(Conn),
    /// Somebody wants something.
    Request {
        /// What.
        request: Box<Request>,
        /// Told once.
        reply: oneshot::Sender<Answer>,
    },
    /// The gossip saw a change.
    Member(MemberEvent),
    /// End in good order.
    Shutdown,
}

/// A reply of the disk, or of whoever serialises for it.
#[derive(Debug)]
pub enum Reply {
    /// A batch is durable.
    Persisted(Ticket),
    /// A snapshot is durable.
    SnapshotSaved(Index),
    /// An image is serialised.
    SnapshotReady {
        /// Of the image.
        index: Index,
        /// The snapshot.
        chunks: Arc<[Bytes]>,
    },
    /// No room.
    DiskFull,
    /// Room again.
    DiskHasRoom,
    /// The disk cannot be relied on: this master must stop.
    DiskFailed(String),
}

/// What a subscription became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whose stream it is.
    pub framework: FrameworkId,
    /// For the header.
    pub stream: StreamId,
}

/// The machine's end of a connection: a bounded queue. Dropped, the connection ends after what is
/// queued.
#[derive(Debug)]
pub struct Outbound<T> {
    queue: mpsc::Sender<T>,
    give_up: Arc<Notify>,
}

/// The connection's end.
#[derive(Debug)]
pub struct Inbound<T> {
    /// What to send, in order; its end means "close after that".
    pub queue: mpsc::Receiver<T>,
    give_up: Arc<Notify>,
}

/// Both ends of a connection.
pub fn connection<T>(bound: usize) -> (Outbound<T>, Inbound<T>) {
    let (queue, queued) = mpsc::channel(bound);
    let give_up = Arc::new(Notify::new());
    let out = Outbound {
        queue,
        give_up: Arc::clone(&give_up),
    };
    let inbound = Inbound {
        queue: queued,
        give_up,
    };
    (out, inbound)
}

impl<T> Outbound<T> {
    /// Queues one more. False if the other side does not keep up, or is gone: the connection then
    /// ends at once.
    pub fn send(&self, item: T) -> bool {
        let queued = self.queue.try_send(item).is_ok();
        if !queued {
            self.give_up.notify_one();
        }
        queued
    }
}

impl<T> Inbound<T> {
    /// Told when the connection is to end at once.
    pub fn give_up(&self) -> Arc<Notify> {
        Arc::clone(&self.give_up)
    }
}

/// Puts things before the machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mailbox {
    mail: mpsc::Sender<Mail>,
    conns: Arc<AtomicU64>,
}

/// The machine's side.
#[derive(Debug)]
pub struct Waiting {
    /// The common queue.
    pub mail: mpsc::Receiver<Mail>,
    /// Of the disk. Not bounded by itself: each reply answers one order, and orders are bounded by
    /// [`limits::DISK_ORDERS`].
    pub replies: mpsc::UnboundedReceiver<Reply>,
}

/// A mailbox, the disk's way in, and what waits in both.
pub fn mailbox() -> (Mailbox, mpsc::UnboundedSender<Reply>, Waiting) {
    let (mail, waiting) = mpsc::channel(limits::MACHINE_QUEUE);
    let (reply, replies) = mpsc::unbounded_channel();
    let mailbox = Mailbox {
        mail,
        conns: Arc::new(AtomicU64::new(1)),
    };
    let waiting = Waiting {
        mail: waiting,
        replies,
    };
    (mailbox, reply, waiting)
}

impl Mailbox {
    /// A number for a connection, never used again.
    pub fn conn(&self) -> Conn {
        Conn(self.conns.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts something before the machine; waits while its queue is full. False if it has ended.
    pub async fn send(&self, mail: Mail) -> bool {
        self.mail.send(mail).await.is_ok()
    }

    /// Asks the machine; one that has ended, or does not answer in time, is unavailable.
    pub async fn ask(&self, request: Request) -> Answer {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            let request = Box::new(request);
            if !self.send(Mail::Request { request, reply }).await {
                return None;
            }
            answer.await.ok()
        };
        match tokio::time::timeout(limits::HTTP_REQUEST, asking).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Answer::Refused(Refused::Unavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_does_not_keep_up_is_given_up() {
        let (out, mut inbound) = connection(2);
        let give_up = inbound.give_up();
        assert!(out.send(1) && out.send(2));
        assert!(!out.send(3));
        give_up.notified().await;
        drop(out);
        assert_eq!(inbound.queue.recv().await, Some(1));
        assert_eq!(inbound.queue.recv().await, Some(2));
        assert_eq!(inbound.queue.recv().await, None);
    }

    #[tokio::test]
    async fn a_machine_that_has_ended_is_unavailable() {
        let (mailbox, _replies, waiting) = mailbox();
        assert_ne!(mailbox.conn(), mailbox.conn());
        drop(waiting);
        assert!(!mailbox.send(Mail::Shutdown).await);
        let answer = mailbox.ask(Request::Read).await;
        assert!(matches!(answer, Answer::Refused(Refused::Unavailable)));
    }

    #[tokio::test]
    async fn an_answer_that_is_never_given_is_unavailable() {
        let (mailbox, _replies, mut waiting) = mailbox();
        let asked = tokio::spawn(async move { mailbox.ask(Request::Read).await });
        let Some(Mail::Request { reply, .. }) = waiting.mail.recv().await else {
            panic!("not a request");
        };
        drop(reply);
        let answer = asked.await.unwrap();
        assert!(matches!(answer, Answer::Refused(Refused::Unavailable)));
    }
}
