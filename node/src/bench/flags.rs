//! The flags of `shoal bench`, with their defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::flags::{quorum_size, seconds};

/// `shoal bench`.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = true)]
pub struct BenchFlags {
    /// List what can be measured.
    #[arg(long)]
    pub list: bool,
    /// What to measure.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
}

/// The measurements.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Committed accepts per second, and one at a time, through the peer port.
    Ledger(LedgerFlags),
    /// Time from a framework's ACCEPT to its TASK_RUNNING.
    Launch(LaunchFlags),
    /// `/bin/true` tasks a second on one agent, beside the bare rate of spawn and wait.
    Tasks(TasksFlags),
    /// Time from the leader's SIGKILL, and from its SIGSTOP, to the next committed accept.
    Failover(FailoverFlags),
    /// Elections while nobody is dead and every core is busy.
    Elections(ElectionsFlags),
    /// Memory, CPU and writes of a cluster in which nothing happens.
    Idle(IdleFlags),
    /// One whole cycle of the allocator.
    Allocator(AllocatorFlags),
}

/// Where a measurement's own cluster lives.
#[derive(Args, Clone, Debug)]
pub struct ClusterFlags {
    /// Where the nodes keep their data; a temporary folder by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The port of the masters' API; the others follow it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:15050")]
    pub http: SocketAddr,
}

/// `shoal bench ledger`.
#[derive(Args, Clone, Debug)]
pub struct LedgerFlags {
    /// How many masters.
    #[arg(long, default_value = "3", value_parser = quorum_size)]
    pub masters: u8,
    /// How many agents to play.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub agents: u32,
    /// How many accepts are in flight.
    #[arg(long, default_value = "256", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub in_flight: u32,
    /// For how long, after two seconds to warm up; one at a time half as long again.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub duration: Duration,
    /// Its cluster.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// `shoal bench launch`.
#[derive(Args, Clone, Debug)]
pub struct LaunchFlags {
    /// How many masters.
    #[arg(long, default_value = "3", value_parser = quorum_size)]
    pub masters: u8,
    /// How many tasks, one after the other.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tasks: u32,
    /// Its cluster.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// `shoal bench tasks`.
#[derive(Args, Clone, Debug)]
pub struct TasksFlags {
    /// How many masters.
    #[arg(long, default_value = "1", value_parser = quorum_size)]
    pub masters: u8,
    /// How many tasks.
    #[arg(long, default_value = "3000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub tasks: u32,
    /// How many of them may run at once.
    #[arg(long, default_value = "256", value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub at_once: u32,
    /// For how long the bare rate is measured, before and after.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub floor: Duration,
    /// Its cluster.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// `shoal bench failover`.
#[derive(Args, Clone, Debug)]
pub struct FailoverFlags {
    /// How many masters.
    #[arg(long, default_value = "3", value_parser = quorum_size)]
    pub masters: u8,
    /// How often the leader is killed.
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub rounds: u16,
    /// How often the leader is stopped.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub stops: u16,
    /// Its cluster.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// `shoal bench elections`.
#[derive(Args, Clone, Debug)]
pub struct ElectionsFlags {
    /// How many masters.
    #[arg(long, default_value = "3", value_parser = quorum_size)]
    pub masters: u8,
    /// For how long every core is kept busy.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub duration: Duration,
    /// Threads that keep cores busy; two for each core by default.
    #[arg(long)]
    pub busy: Option<usize>,
    /// Its cluster.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// `shoal bench idle`.
#[derive(Args, Clone, Debug)]
pub struct IdleFlags {
    /// How long it is watched, after ten seconds to come to rest.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub duration: Duration,
    /// Its clusters, one after the other.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// `shoal bench allocator`.
#[derive(Args, Clone, Debug)]
pub struct AllocatorFlags {
    /// How many agents.
    #[arg(long, default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub agents: u32,
    /// How many frameworks.
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub frameworks: u32,
    /// How many cycles.
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,
}
