//! The worlds that can be run, by name.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::plant::Plant;
use crate::replicas::Replicas;
use crate::report::Report;

/// Which world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The quorum with a ledger of one trivial module.
    Replicas,
    /// Masters, agents, gossip, processes and frameworks.
    Cluster,
}

impl World {
    /// All of them.
    pub const ALL: [World; 2] = [World::Replicas, World::Cluster];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            World::Replicas => "replicas",
            World::Cluster => "cluster",
        }
    }

    /// The world of that name.
    pub fn named(name: &str) -> Option<World> {
        World::ALL.into_iter().find(|world| world.name() == name)
    }

    /// One run: so long with faults, then calm.
    pub fn run(self, seed: u64, faulty: Duration, plant: Option<Plant>) -> Report {
        match self {
            World::Replicas => Replicas::new(seed, faulty, plant).run(faulty),
            World::Cluster => Cluster::new(seed, faulty, plant).run(faulty),
        }
    }
}
