//! Single nodes as real processes: their configuration, their log, and what is said of their health.
//!
//! What deliberately does not live here: clusters, which `dev.rs` and `chaos-tests` start.

mod config;
mod doctor;
mod full_disk;
mod keys;
mod members;
mod process;
