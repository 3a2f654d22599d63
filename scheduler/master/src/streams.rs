//! The framework streams that this master holds, their heartbeats and their unacknowledged updates.

use std::collections::BTreeMap;
use std::time::Duration;

use shoal_api::{FrameworkId, Instant, StreamId, TaskId};

use crate::input::Conn;

/// How long an update may stay unacknowledged before it is sent again; it doubles. Source: Mesos.
const RESEND: Duration = Duration::from_secs(10);
/// The most that it doubles to. Source: Mesos.
const RESEND_MOST: Duration = Duration::from_secs(600);

/// One subscription.
#[derive(Debug)]
pub struct Stream {
    /// Whose.
    pub framework: FrameworkId,
    /// Which subscription of it.
    pub stream: StreamId,
    heartbeat: Instant,
    resends: BTreeMap<TaskId, (Instant, Duration)>,
}

/// All streams of this master.
///
/// # Invariants
/// - a subscription is on one connection; an older one of a framework is here until it was told of its
///   end.
#[derive(Debug, Default)]
pub struct Streams {
    by_conn: BTreeMap<Conn, Stream>,
    by_subscription: BTreeMap<(FrameworkId, StreamId), Conn>,
}

impl Streams {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_conn.len()
    }

    /// The ledger named this subscription.
    pub fn open(
        &mut self,
        conn: Conn,
        framework: FrameworkId,
        stream: StreamId,
        heartbeat: Instant,
    ) {
        self.by_subscription
            .insert((framework.clone(), stream), conn);
        let resends = BTreeMap::new();
        self.by_conn.insert(
            conn,
            Stream {
                framework,
                stream,
                heartbeat,
                resends,
            },
        );
    }

    /// The connection of a subscription, if it is held here.
    pub fn conn_of(&self, framework: &FrameworkId, stream: StreamId) -> Option<Conn> {
        self.by_subscription
            .get(&(framework.clone(), stream))
            .copied()
    }

    /// One stream.
    pub fn get(&self, conn: Conn) -> Option<&Stream> {
        self.by_conn.get(&conn)
    }

    /// Takes a stream out; returns what it was.
    pub fn remove(&mut self, conn: Conn) -> Option<Stream> {
        let stream = self.by_conn.remove(&conn)?;
        self.by_subscription
            .remove(&(stream.framework.clone(), stream.stream));
        Some(stream)
    }

    /// All connections.
    pub fn conns(&self) -> Vec<Conn> {
        self.by_conn.keys().copied().collect()
    }

    /// An update that wants an acknowledgement was sent.
    pub fn update_sent(&mut self, conn: Conn, task: TaskId, now: Instant) {
        if let Some(stream) = self.by_conn.get_mut(&conn) {
            stream.resends.insert(task, (now + RESEND, RESEND));
        }
    }

    /// Connections whose heartbeat is due; the next is `every` later.
    pub fn heartbeats(&mut self, now: Instant, every: Duration) -> Vec<Conn> {
        let mut due = Vec::new();
        for (conn, stream) in &mut self.by_conn {
            if stream.heartbeat <= now {
                stream.heartbeat = now + every;
                due.push(*conn);
            }
        }
        due
    }

    /// Tasks whose update is to be sent again if it still waits; the next time is twice as long after.
    pub fn resends(&mut self, now: Instant) -> Vec<(Conn, FrameworkId, TaskId)> {
        let mut due = Vec::new();
        for (conn, stream) in &mut self.by_conn {
            for (task, (at, interval)) in &mut stream.resends {
                if *at <= now {
                    *interval = (*interval * 2).min(RESEND_MOST);
                    *at = now + *interval;
                    due.push((*conn, stream.framework.clone(), task.clone()));
                }
            }
        }
        due
    }

    /// A task's update no longer waits.
    pub fn settled(&mut self, conn: Conn, task: &TaskId) {
        if let Some(stream) = self.by_conn.get_mut(&conn) {
            stream.resends.remove(task);
        }
    }
}
