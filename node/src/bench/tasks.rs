//! Tasks that end at once, as many as one agent takes, beside what the kernel alone can spawn.

use std::time::Instant;

use serde_json::Value;
use tokio::task::JoinSet;

use super::cluster::{Cluster, Plan};
use super::figure::Figure;
use super::flags::TasksFlags;
use super::framework::{Framework, accept, offers, room_in};
use super::guest::failed;
use super::{Measured, floor};
use crate::cli::Failure;

/// Connections that carry acknowledgements.
const CALLS: usize = 32;

/// Runs the measurement.
///
/// # Errors
/// What kept it from being made.
pub(super) async fn run(flags: &TasksFlags) -> Result<Measured, Failure> {
    let bare = |duration| {
        let rate = tokio::task::spawn_blocking(move || floor::spawn_and_wait_rate(duration));
        async { rate.await.map_err(failed)? }
    };
    let before = bare(flags.floor).await?;
    let plan = Plan {
        masters: flags.masters,
        agents: 1,
        resources: Some("cpus:64;mem:65536"),
    };
    let cluster = Cluster::start(plan, &flags.cluster).await?;
    let rate = measure(flags, &cluster).await;
    cluster.end().await?;
    let rate = rate?;
    let after = bare(flags.floor).await?;
    Ok(Measured {
        figures: vec![Figure::new("tasks.rate", rate, "tasks/s").beside(
            "spawn and wait of /bin/true by two threads, mean of before and after",
            f64::midpoint(before, after),
        )],
        setup: vec![format!(
            "{} masters and 1 agent on loopback, fsync on; {} tasks of /bin/true, at most {} at \
             once, each launched, ended, durable and acknowledged; JSON over HTTP",
            flags.masters, flags.tasks, flags.at_once
        )],
    })
}

async fn measure(flags: &TasksFlags, cluster: &Cluster) -> Result<f64, Failure> {
    let first = cluster.nodes().first().expect("a cluster has a node");
    let mut framework = Framework::subscribe(&first.http, CALLS).await?;
    let caller = framework.caller();
    let (mut launched, mut ended) = (0, 0);
    let mut started = None;
    let mut calls: JoinSet<Result<(), Failure>> = JoinSet::new();
    let (mut turn, mut held) = (0, Vec::new());
    while ended < flags.tasks || !calls.is_empty() {
        let event = tokio::select! {
            event = framework.next(), if ended < flags.tasks => event?,
            Some(done) = calls.join_next() => {
                done.map_err(failed)??;
                continue;
            }
        };
        turn += 1;
        held.extend(offers(&event));
        if event["type"] == "UPDATE" {
            ended += u32::from(is_end(&event)?);
            let caller = caller.clone();
            calls.spawn(async move { caller.acknowledge(turn, &event).await });
        }
        let left = flags.tasks - launched;
        let room = flags.at_once.saturating_sub(launched - ended).min(left);
        let count = room.min(room_in(&held));
        // Not one accept for each task that ends, but for an eighth of those that may run.
        if count > 0 && (room == left || room >= flags.at_once / 8) {
            started.get_or_insert_with(Instant::now);
            let call = accept(&held, launched..launched + count);
            held.clear();
            launched += count;
            let caller = caller.clone();
            calls.spawn(async move { caller.call(0, call).await });
        }
    }
    let started = started.ok_or_else(|| failed("there was no offer"))?;
    Ok(f64::from(ended) / started.elapsed().as_secs_f64())
}

fn is_end(update: &Value) -> Result<bool, Failure> {
    match update["update"]["status"]["state"].as_str().unwrap_or("") {
        "TASK_STARTING" | "TASK_RUNNING" => Ok(false),
        "TASK_FINISHED" => Ok(true),
        other => Err(failed(format!("a task is {other}: {update}"))),
    }
}
