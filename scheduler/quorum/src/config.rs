//! The knobs of one quorum machine. What deliberately does not live here: bounds (`limits.rs`).

use std::time::Duration;

use shoal_api::{Generation, RaftId};
use thiserror::Error;

use crate::limits;

/// What a machine is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who it is: minted with its data directory, never used again.
    pub id: RaftId,
    /// The life of its node; makes the contexts of reads unique across restarts.
    pub generation: Generation,
    /// What all its chance is drawn from.
    pub seed: u64,
    /// The step of Raft's clock. Default 50 ms. Source: ours.
    pub tick: Duration,
    /// Ticks between heartbeats. Default 2.
    pub heartbeat_ticks: u32,
    /// Ticks without a leader before an election, at least; at most twice as many. Default 16, which
    /// is 800 to 1 600 ms: a dead process shows itself sooner, by its broken stream.
    pub election_ticks: u32,
    /// Entries in memory after which a snapshot is wanted; their bytes are bounded apart. Default
    /// [`limits::TAIL_ENTRIES_WANT`]. Fewer make a restart quicker, and snapshots more frequent.
    pub snapshot_after: usize,
    /// Entries before a snapshot that stay in memory for a peer that is a little behind. Default
    /// [`limits::TAIL_ENTRIES_KEPT`]. Fewer send whole snapshots sooner.
    pub entries_kept: usize,
}

/// Why a configuration is refused. Nothing was made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Raft ids are never zero.
    #[error("raft id is zero")]
    NoId,
    /// The clock would not advance.
    #[error("tick is zero")]
    NoTick,
    /// Heartbeats must come several times in an election timeout.
    #[error("election timeout of {election} ticks is not above the heartbeat of {heartbeat} ticks")]
    ElectionTooShort {
        /// Configured election ticks.
        election: u32,
        /// Configured heartbeat ticks.
        heartbeat: u32,
    },
}

impl Config {
    /// The default configuration of this master.
    pub fn new(id: RaftId, generation: Generation, seed: u64) -> Config {
        Config {
            id,
            generation,
            seed,
            tick: Duration::from_millis(50),
            heartbeat_ticks: 2,
            election_ticks: 16,
            snapshot_after: limits::TAIL_ENTRIES_WANT,
            entries_kept: limits::TAIL_ENTRIES_KEPT,
        }
    }

    /// How long a leader may be silent before an election, at least.
    pub fn election_timeout(&self) -> Duration {
        self.tick * self.election_ticks
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.id == RaftId(0) {
            return Err(ConfigError::NoId);
        }
        if self.tick.is_zero() {
            return Err(ConfigError::NoTick);
        }
        if self.heartbeat_ticks == 0 || self.election_ticks <= self.heartbeat_ticks {
            return Err(ConfigError::ElectionTooShort {
                election: self.election_ticks,
                heartbeat: self.heartbeat_ticks,
            });
        }
        Ok(())
    }
}
