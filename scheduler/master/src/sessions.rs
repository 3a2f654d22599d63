//! The agent sessions that this master holds: who is connected, and what was told to whom.
//!
//! What deliberately does not live here: what an agent should run. That is the ledger's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shoal_api::{AgentId, Epoch, Instant, TaskKey};

use crate::input::Conn;

/// How long a silent agent is let be before it is pinged. Ours.
const PING_AFTER: Duration = Duration::from_secs(5);
/// How long an agent may be silent before its session is closed. Ours.
const CLOSE_AFTER: Duration = Duration::from_secs(15);

/// One connection of an agent.
#[derive(Debug)]
pub struct Session {
    /// Where the opening stands.
    pub phase: Phase,
    /// Tasks that the agent knows: it reported them or was told to launch them.
    pub known: BTreeSet<TaskKey>,
    heard: Instant,
    pinged: bool,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its opening is on the way into the ledger.
    Opening,
    /// The ledger names this master and this epoch.
    Open {
        /// Whose.
        agent: AgentId,
        /// Its number.
        epoch: Epoch,
    },
}

/// What the clock asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Send a ping.
    Ping(Conn),
    /// Too long silent.
    Silent(Conn),
}

/// All sessions of this master.
///
/// # Invariants
/// - `open` holds exactly the sessions whose phase is open, the newest of each agent.
#[derive(Debug, Default)]
pub struct Sessions {
    by_conn: BTreeMap<Conn, Session>,
    open: BTreeMap<AgentId, Conn>,
}

impl Sessions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_conn.len()
    }

    /// A hello arrived; false if the connection said one before.
    pub fn begin(&mut self, conn: Conn, known: BTreeSet<TaskKey>, now: Instant) -> bool {
        if self.by_conn.contains_key(&conn) {
            return false;
        }
        let session = Session {
            phase: Phase::Opening,
            known,
            heard: now,
            pinged: false,
        };
        self.by_conn.insert(conn, session);
        true
    }

    /// The ledger named this master; returns an older connection of the agent, to be closed.
    pub fn opened(&mut self, conn: Conn, agent: AgentId, epoch: Epoch) -> Option<Conn> {
        let session = self.by_conn.get_mut(&conn)?;
        session.phase = Phase::Open { agent, epoch };
        self.open.insert(agent, conn).filter(|old| *old != conn)
    }

    /// The session of an agent, if it is open here in that epoch.
    pub fn of(&mut self, agent: AgentId, epoch: Epoch) -> Option<(Conn, &mut Session)> {
        let conn = *self.open.get(&agent)?;
        let session = self.by_conn.get_mut(&conn)?;
        (session.phase == Phase::Open { agent, epoch }).then_some((conn, session))
    }

    /// The connection of an agent's open session.
    pub fn conn_of(&self, agent: AgentId) -> Option<Conn> {
        self.open.get(&agent).copied()
    }

    /// One session, which has just been heard from.
    pub fn heard(&mut self, conn: Conn, now: Instant) -> Option<&mut Session> {
        let session = self.by_conn.get_mut(&conn)?;
        session.heard = now;
        session.pinged = false;
        Some(session)
    }

    /// One session.
    pub fn get(&self, conn: Conn) -> Option<&Session> {
        self.by_conn.get(&conn)
    }

    /// The connection is gone; returns what it was.
    pub fn remove(&mut self, conn: Conn) -> Option<Session> {
        let session = self.by_conn.remove(&conn)?;
        if let Phase::Open { agent, .. } = session.phase
            && self.open.get(&agent) == Some(&conn)
        {
            self.open.remove(&agent);
        }
        Some(session)
    }

    /// Open sessions, by agent.
    pub fn open(&self) -> impl Iterator<Item = (AgentId, Conn)> + '_ {
        self.open.iter().map(|(agent, conn)| (*agent, *conn))
    }

    /// Who is to be pinged or given up.
    pub fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        for (conn, session) in &mut self.by_conn {
            let silent = now.since(session.heard);
            if silent >= CLOSE_AFTER {
                due.push(Due::Silent(*conn));
            } else if silent >= PING_AFTER && !session.pinged {
                session.pinged = true;
                due.push(Due::Ping(*conn));
            }
        }
        due
    }
}
