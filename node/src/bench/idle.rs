//! What a cluster costs in which nothing happens: memory, CPU, and bytes on disk.
//!
//! Writes are measured for a bounded time and told for a day; entries that come more seldom than
//! that are missed, and said to be.

use std::time::{Duration, Instant};

use super::Measured;
use super::cluster::{Cluster, Node, Plan};
use super::figure::Figure;
use super::flags::IdleFlags;
use super::framework::{Framework, offers};
use super::processes::{Usage, family};
use crate::cli::Failure;

/// How long a cluster may come to rest.
const REST: Duration = Duration::from_secs(10);
const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;

/// A node that was watched.
struct Watched {
    node: Node,
    pss: f64,
    rss: f64,
    cpu: f64,
    written: f64,
    threads: u64,
}

/// Runs the measurement.
///
/// # Errors
/// What kept it from being made.
pub(super) async fn run(flags: &IdleFlags) -> Result<Measured, Failure> {
    let many = watch(flags, 3, 3).await?;
    let one = watch(flags, 1, 1).await?;
    let most = |nodes: &[Watched], role: fn(&Node) -> bool, what: fn(&Watched) -> f64| {
        let of = nodes.iter().filter(|watched| role(&watched.node)).map(what);
        of.fold(0.0, f64::max)
    };
    let agent: fn(&Node) -> bool = |node| node.agent && !node.master;
    let master: fn(&Node) -> bool = |node| node.master;
    let any: fn(&Node) -> bool = |_| true;
    let figures = vec![
        Figure::new("idle.agent", most(&many, agent, |w| w.pss), "MiB"),
        Figure::new("idle.master", most(&many, master, |w| w.pss), "MiB"),
        Figure::new("idle.master_and_agent", most(&one, any, |w| w.pss), "MiB"),
        Figure::new(
            "idle.agent_cpu",
            most(&many, agent, |w| w.cpu),
            "% of a core",
        ),
        Figure::new(
            "idle.master_cpu",
            most(&many, master, |w| w.cpu),
            "% of a core",
        ),
        Figure::new("idle.written", most(&many, master, |w| w.written), "MB/day"),
    ];
    let mut setup = vec![format!(
        "3 masters and 3 agents, then one process that is both, on loopback; one framework that \
         declines everything for its default of 5 s; watched for {} s each; the most of any node, \
         its keeper included; memory is PSS",
        flags.duration.as_secs()
    )];
    setup.extend(many.iter().chain(&one).map(|watched| {
        format!(
            "{}: {:.1} MiB ({:.1} with all that is shared), {} threads, {:.2} % of a core, \
             {:.1} MB/day",
            watched.node.name,
            watched.pss,
            watched.rss,
            watched.threads,
            watched.cpu,
            watched.written
        )
    }));
    Ok(Measured { figures, setup })
}

async fn watch(flags: &IdleFlags, masters: u8, agents: u8) -> Result<Vec<Watched>, Failure> {
    let plan = Plan {
        masters,
        agents,
        resources: None,
    };
    let cluster = Cluster::start(plan, &flags.cluster).await?;
    let watched = watch_nodes(flags, &cluster).await;
    cluster.end().await?;
    watched
}

async fn watch_nodes(flags: &IdleFlags, cluster: &Cluster) -> Result<Vec<Watched>, Failure> {
    let first = cluster.nodes().first().expect("a cluster has a node");
    let mut framework = Framework::subscribe(&first.http, 1).await?;
    decline_all(&mut framework, REST).await?;
    let usage = || -> Result<Vec<Usage>, Failure> {
        let nodes = cluster.nodes().iter();
        nodes.map(|node| family(node.pid)).collect()
    };
    let before = usage()?;
    let started = Instant::now();
    decline_all(&mut framework, flags.duration).await?;
    let seconds = started.elapsed().as_secs_f64();
    let after = usage()?;
    let rows = cluster.nodes().iter().zip(before.iter().zip(&after));
    Ok(rows
        .map(|(node, (before, after))| Watched {
            node: node.clone(),
            pss: after.pss as f64 / MIB,
            rss: after.rss as f64 / MIB,
            cpu: (after.cpu - before.cpu) / seconds * 100.0,
            written: after.written.saturating_sub(before.written) as f64 / seconds * DAY / 1e6,
            threads: after.threads,
        })
        .collect())
}

/// Declines for so long whatever is offered, each for as long as a framework does that says nothing.
async fn decline_all(framework: &mut Framework, during: Duration) -> Result<(), Failure> {
    let caller = framework.caller();
    let until = Instant::now() + during;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if let Some(event) = framework
            .next_within(left.min(Duration::from_secs(20)))
            .await?
        {
            let offers = offers(&event);
            if !offers.is_empty() {
                caller.decline(&offers, 5.0).await?;
            }
        }
    }
}
