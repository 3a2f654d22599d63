//! The machine: Raft, and all that keeps its traps closed.

use shoal_api::{Index, Instant, RaftId};
use thiserror::Error;

use crate::config::{Config, ConfigError};
use crate::entry::{Recovered, RecoveryError};
use crate::input::Input;
use crate::output::Output;
use crate::status::{PeerProgress, Stats, Status};

/// Why a machine was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// The configuration is not possible.
    #[error("quorum configuration: {0}")]
    Config(#[from] ConfigError),
    /// The disk holds no log that can be continued.
    #[error("quorum log: {0}")]
    Recovery(#[from] RecoveryError),
}

/// One replica of the log.
#[derive(Debug)]
pub struct Quorum {
    config: Config,
}

impl Quorum {
    /// A replica that continues from what its disk holds.
    ///
    /// # Errors
    /// [`StartError`] when the configuration or the recovered state is not possible.
    pub fn new(config: Config, now: Instant, recovered: Recovered) -> Result<Quorum, StartError> {
        config.check()?;
        let _ = (now, recovered);
        Ok(Quorum { config })
    }

    /// Takes in what happened. Many may be stepped before the next poll.
    pub fn step(&mut self, now: Instant, input: Input) {
        let _ = (now, input);
    }

    /// The next thing to do; call it until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When to step [`Input::Wake`].
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// Where it stands.
    pub fn status(&self) -> &Status {
        unreachable!("quorum: the machine has no body yet")
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        false
    }

    /// Whether it leads, has committed an entry of its own term and has handed it out, so that the
    /// state machine here holds all that was ever acknowledged.
    pub fn is_settled_leader(&self) -> bool {
        false
    }

    /// Who it is.
    pub fn id(&self) -> RaftId {
        self.config.id
    }

    /// The last entry handed out for application.
    pub fn applied(&self) -> Index {
        Index(0)
    }

    /// The last entry known to be committed.
    pub fn commit(&self) -> Index {
        Index(0)
    }

    /// The last entry in the log.
    pub fn last_index(&self) -> Index {
        Index(0)
    }

    /// When a leader last confirmed this replica: a follower heard from it, a leader from a majority.
    pub fn confirmed(&self) -> Option<Instant> {
        None
    }

    /// What a leader knows of the members; empty for others. Sorted by id.
    pub fn progress(&self) -> Vec<PeerProgress> {
        Vec::new()
    }

    /// Its counters.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
