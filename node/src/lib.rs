//! The node: the shell around the machines, and the `shoal` command line.
//!
//! What lives here does IO and decides nothing: sockets, files, processes, threads, clocks, the
//! translation of HTTP into the words, and the wiring of machines to all of that. What deliberately
//! does not: any rule of the ledger, the quorum, the gossip or the agent; those are pure crates.

pub mod api;
pub mod authorize;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod dev;
pub mod doctor;
pub mod drive;
pub mod entropy;
pub mod executor;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod gossip;
pub mod handlers;
pub mod keyring;
pub mod limits;
pub mod log;
pub mod machine;
pub mod masters;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod roles;
pub mod stop;
pub mod tags;
