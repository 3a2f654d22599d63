//! Connections to masters: dialled, written in batches, read message by message.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use shoal_agent::{ConnectionId, Input};
use shoal_api::session::{AgentMessage, MasterMessage};
use shoal_api::{ClusterId, HostPort, limits as words};
use shoal_failpoint::{Point, pass};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::limits;
use crate::peer::{self, Connection, FrameReader, FrameWriter, Identity, Purpose};

/// All connections of an agent.
#[derive(Debug)]
pub struct Wires {
    me: Identity,
    events: mpsc::Sender<Input>,
    writers: BTreeMap<ConnectionId, mpsc::Sender<Bytes>>,
    tasks: JoinSet<()>,
}

impl Wires {
    /// None yet; what happens on them is told as inputs of the agent machine.
    pub fn new(me: Identity, events: mpsc::Sender<Input>) -> Wires {
        Wires {
            me,
            events,
            writers: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// This node is part of that cluster, and says so from here on.
    pub fn belongs_to(&self, cluster: ClusterId) {
        // Set once; the agent machine stays with the first cluster that took it.
        let _known = self.me.cluster.set(cluster);
    }

    /// Opens a connection.
    pub fn dial(&mut self, connection: ConnectionId, to: HostPort) {
        while self.tasks.try_join_next().is_some() {}
        let (writer, messages) = mpsc::channel(limits::MESSAGES);
        self.writers.insert(connection, writer);
        let (me, events) = (self.me.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let why = live(&me, connection, &to, messages, &events).await;
            if let Some(why) = why {
                tell(&events, Input::Disconnected { connection, why }).await;
            }
        });
    }

    /// Sends a message; if that is not possible, the connection is broken, which comes back.
    #[must_use]
    pub fn send(&mut self, connection: ConnectionId, message: &AgentMessage) -> Option<Input> {
        let writer = self.writers.get(&connection)?;
        let bytes = postcard::to_allocvec(message).expect("a message is always encodable");
        let why = if bytes.len() > words::SESSION_MESSAGE_BYTES {
            format!(
                "a message of {} bytes is longer than the {} allowed",
                bytes.len(),
                words::SESSION_MESSAGE_BYTES
            )
        } else {
            match writer.try_send(Bytes::from(bytes)) {
                Ok(()) => return None,
                Err(_) => "the master does not read what it is told".to_owned(),
            }
        };
        self.close(connection);
        tracing::error!(why, "a session is given up");
        Some(Input::Disconnected {
            connection,
            why: Arc::from(why),
        })
    }

    /// Closes a connection once what was sent has left.
    pub fn close(&mut self, connection: ConnectionId) {
        self.writers.remove(&connection);
    }

    /// Forgets one that broke.
    pub fn broken(&mut self, connection: ConnectionId) {
        self.writers.remove(&connection);
    }

    /// Closes all, and waits until what was sent has left.
    pub async fn finish(mut self) {
        self.writers.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Who does not read until then has lost the last word.
        let _late = tokio::time::timeout(limits::FAREWELL, all).await;
    }
}

async fn tell(events: &mpsc::Sender<Input>, event: Input) {
    // Nobody listens once the agent has stopped.
    let _stopped = events.send(event).await;
}

/// The whole life of a connection; says why it ended unless this side closed it.
async fn live(
    me: &Identity,
    connection: ConnectionId,
    to: &HostPort,
    mut messages: mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<Input>,
) -> Option<Arc<str>> {
    let opened = tokio::select! {
        opened = peer::dial(me, to, Purpose::Session) => opened,
        () = closed(&mut messages) => return None,
    };
    let Connection { reader, writer, .. } = match opened {
        Ok(opened) => opened,
        Err(error) => return Some(Arc::from(error.to_string())),
    };
    tell(events, Input::Connected { connection }).await;
    tokio::select! {
        why = read(connection, reader, events) => Some(why),
        why = write(writer, messages) => why,
    }
}

/// Returns once this side has closed; nothing is said before there is a connection.
async fn closed(messages: &mut mpsc::Receiver<Bytes>) {
    while messages.recv().await.is_some() {}
}

async fn read(
    connection: ConnectionId,
    mut reader: FrameReader,
    events: &mpsc::Sender<Input>,
) -> Arc<str> {
    loop {
        let bytes = match reader.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Arc::from("the master closed the session"),
            Err(error) => return Arc::from(error.to_string()),
        };
        match postcard::from_bytes::<MasterMessage>(&bytes) {
            Ok(message) => {
                let input = Input::Message {
                    connection,
                    message,
                };
                tell(events, input).await;
            }
            Err(error) => return Arc::from(format!("the master says what is no message: {error}")),
        }
    }
}

/// Writes until this side closes (`None`) or the connection breaks.
async fn write(mut writer: FrameWriter, mut messages: mpsc::Receiver<Bytes>) -> Option<Arc<str>> {
    let mut batch = Vec::new();
    while messages
        .recv_many(&mut batch, limits::MESSAGES_AT_ONCE)
        .await
        > 0
    {
        pass(Point::ReportSend);
        if let Err(error) = writer.write(&mut batch).await {
            return Some(Arc::from(error.to_string()));
        }
        pass(Point::ReportSent);
    }
    None
}
