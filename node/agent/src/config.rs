//! What the agent machine is given at its start, and why it may refuse to.

use shoal_api::{AgentInfo, Generation, Plants, Resources};
use thiserror::Error;

use crate::port::BootId;
use crate::record::Record;

/// Fixed for one life of the agent.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is and has.
    pub info: AgentInfo,
    /// Its life.
    pub generation: Generation,
    /// The life of the kernel under it.
    pub boot: BootId,
    /// For everything that is left to chance: update ids, containers, waits. Must differ between two
    /// lives of one agent.
    pub seed: u64,
    /// Deliberate defects, for the simulator's teeth; none in a real node.
    pub plants: Plants,
}

/// What the agent's disk held at its start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// All records, in order.
    pub records: Vec<Record>,
}

/// Why an agent does not start. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// The configured total is below what running tasks hold.
    #[error(
        "the agent has {total}, but its running tasks hold {allocated}: start it with at least as \
         much, or end some of its tasks first"
    )]
    ResourcesShrunk {
        /// As configured.
        total: Resources,
        /// By tasks that have not ended.
        allocated: Resources,
    },
}
