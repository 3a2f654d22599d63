//! Connections that others opened: each is read by a task that puts what arrives before the
//! machine, and written by what the machine queues for it.

use bytes::Bytes;
use metrics::Counter;
use shoal_api::limits as words;
use shoal_api::session::{AgentMessage, MasterMessage};
use shoal_failpoint::{Point, pass};
use shoal_master::{Conn, LedgerMessage, PeerMessage};
use tokio::sync::mpsc;

use super::mailbox::{Inbound, Mail, Mailbox, connection};
use crate::limits;
use crate::metrics::{catalogue, counter, gauge};
use crate::peer::{Connection, FrameReader, FrameWriter, LinkEvent, Purpose};

/// Takes connections until nobody hands any over.
pub async fn serve(mut accepted: mpsc::Receiver<Connection>, mailbox: Mailbox) {
    while let Some(connection) = accepted.recv().await {
        let mailbox = mailbox.clone();
        tokio::spawn(async move {
            let open = gauge(&catalogue::PEER_CONNECTIONS, &[connection.purpose.label()]);
            open.increment(1.0);
            match connection.purpose {
                Purpose::Raft => raft(connection, mailbox).await,
                Purpose::Forward => forward(connection, mailbox).await,
                Purpose::Session => session(connection, mailbox).await,
                // A founded quorum has no promises to make.
                Purpose::Bootstrap => {}
            }
            open.decrement(1.0);
        });
    }
}

/// Passes on that links broke.
pub async fn links(mut events: mpsc::Receiver<LinkEvent>, mailbox: Mailbox) {
    while let Some(LinkEvent::Broken(peer)) = events.recv().await {
        if !mailbox.send(Mail::PeerBroken(peer)).await {
            return;
        }
    }
}

fn malformed() -> Counter {
    counter(&catalogue::PEER_DROPPED, &["malformed"])
}

async fn raft(connection: Connection, mailbox: Mailbox) {
    let Connection {
        peer,
        mut reader,
        writer: _writer,
        ..
    } = connection;
    let Some(from) = peer.raft else {
        return;
    };
    while let Ok(Some(payload)) = reader.next().await {
        let Ok(message) = shoal_quorum::Message::from_bytes(payload) else {
            malformed().increment(1);
            break;
        };
        let mail = Mail::Peer {
            from,
            node: peer.node,
            message: PeerMessage::Raft(message),
        };
        if !mailbox.send(mail).await {
            return;
        }
    }
    mailbox.send(Mail::PeerBroken(from)).await;
}

async fn forward(connection: Connection, mailbox: Mailbox) {
    let Connection {
        peer,
        mut reader,
        writer,
        ..
    } = connection;
    let Some(from) = peer.raft else {
        return;
    };
    let (out, answers) = mpsc::channel(limits::PEER_QUEUE);
    if !mailbox.send(Mail::Guest { from, out }).await {
        return;
    }
    let writing = tokio::spawn(write_all(writer, answers));
    while let Ok(Some(payload)) = reader.next().await {
        let Ok(message) = postcard::from_bytes::<LedgerMessage>(&payload) else {
            malformed().increment(1);
            break;
        };
        let mail = Mail::Peer {
            from,
            node: peer.node,
            message: PeerMessage::Ledger(message),
        };
        if !mailbox.send(mail).await {
            break;
        }
    }
    writing.abort();
}

async fn write_all(mut writer: FrameWriter, mut waiting: mpsc::Receiver<Bytes>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, limits::PEER_BATCH).await > 0 {
        if writer.write(&mut batch).await.is_err() {
            return;
        }
    }
}

async fn session(open: Connection, mailbox: Mailbox) {
    let Connection { reader, writer, .. } = open;
    let conn = mailbox.conn();
    let (out, inbound) = connection(limits::PEER_QUEUE);
    if !mailbox.send(Mail::SessionOpened { conn, out }).await {
        return;
    }
    tokio::select! {
        () = read_session(reader, conn, &mailbox) => {}
        () = write_session(writer, inbound) => {}
    }
    mailbox.send(Mail::SessionClosed(conn)).await;
}

async fn read_session(mut reader: FrameReader, conn: Conn, mailbox: &Mailbox) {
    while let Ok(Some(payload)) = reader.next().await {
        let Ok(message) = postcard::from_bytes::<AgentMessage>(&payload) else {
            malformed().increment(1);
            return;
        };
        if !mailbox.send(Mail::Session { conn, message }).await {
            return;
        }
    }
}

async fn write_session(mut writer: FrameWriter, mut inbound: Inbound<MasterMessage>) {
    let mut batch = Vec::new();
    let mut payloads = Vec::new();
    let give_up = inbound.give_up();
    loop {
        let count = tokio::select! {
            count = inbound.queue.recv_many(&mut batch, limits::PEER_BATCH) => count,
            () = give_up.notified() => return,
        };
        if count == 0 {
            return;
        }
        let commands = batch.iter().any(|message| *message != MasterMessage::Ping);
        for message in batch.drain(..) {
            let bytes = postcard::to_allocvec(&message).expect("a message can be encoded");
            if bytes.len() > words::SESSION_MESSAGE_BYTES {
                tracing::error!(bytes = bytes.len(), "a message to an agent is too long");
                return;
            }
            payloads.push(Bytes::from(bytes));
        }
        if commands {
            pass(Point::CommandSend);
        }
        if writer.write(&mut payloads).await.is_err() {
            return;
        }
        if commands {
            pass(Point::CommandSent);
        }
    }
}
