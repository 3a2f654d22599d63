//! The simulator: the very machines of a cluster, stepped from one seeded queue of events, under a
//! network, disks and processes that fail.
//!
//! What lives here is a world (time, [`network`], [`disk`], the processes that really run), those who
//! use a cluster (frameworks), a plan of faults drawn from the seed, and the promises that must hold
//! whatever happens ([`invariants`], one per file). One seed is one run; what it found is found again.
//! What deliberately does not: any knowledge of how a machine keeps its promises, threads, sockets,
//! files and clocks. Real processes are tested in `tests/real`.
//!
//! Two worlds share these parts: [`replicas`] is the quorum with a ledger of one trivial module,
//! [`cluster`] is everything from the gossip to the tasks.

pub mod aimed;
pub mod cluster;
pub mod disk;
pub mod faults;
pub mod gossip;
pub mod hosts;
pub mod invariants;
pub mod log;
pub mod network;
pub mod plant;
pub mod queue;
pub mod replicas;
pub mod report;
pub mod trace;
pub mod worlds;
