//! Several replicas in memory: a lossy network, slow disks, crashes that lose what was not durable.
//!
//! Each module below holds one promise and the runs that test it.

mod elections;
mod faults;
mod hostile;
mod membership;
mod net;
mod reads;
mod replica;
mod snapshots;
