//! Real clusters of real processes: the built `shoal` binary, sockets, disks, signals, and a
//! third-party framework. Few tests, each about a promise that no simulation can show.
//!
//! What lives here is how such a cluster is started, watched, hurt and ended. What deliberately does
//! not: anything that the simulator can check, since these tests cost seconds where it costs none.
//!
//! Nothing here sleeps for luck: every wait is for a condition and has a deadline. Ports are asked
//! for, and whoever has a cluster has the machine to itself.

mod blocks;
mod cluster;
mod framework;
mod http;
mod machine;
mod nodes;
mod process;
mod wait;
mod wire;

mod agents_killed;
mod bad_input;
mod command_line;
mod crowds;
mod data_directory;
mod dev_ends;
mod documents;
mod failpoints;
mod five_masters;
mod follower_killed;
mod inspected;
mod leader_killed;
mod master_wiped;
mod metrics;
mod operators;
mod page;
mod prometheus;
mod protobuf_client;
mod quorum_recovered;
mod refused_calls;
mod restored;
