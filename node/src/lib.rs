//! The node: the shell around the machines, and the `shoal` command line.
//!
//! What lives here does IO and decides nothing: sockets, files, processes, threads, clocks, the
//! translation of HTTP into the words, and the wiring of machines to all of that. What deliberately
//! does not: any rule of the ledger, the quorum, the gossip or the agent; those are pure crates.

pub mod cli;
pub mod limits;
pub mod roles;
