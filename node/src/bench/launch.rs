//! From a framework's ACCEPT to its TASK_RUNNING, one task after the other.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::cluster::{Cluster, Plan};
use super::conditions::milliseconds;
use super::figure::{Figure, median, part};
use super::flags::LaunchFlags;
use super::framework::{Framework, accept, offers};
use super::guest::failed;
use super::{Measured, floor};
use crate::cli::Failure;

/// Tasks that are launched before any counts.
const WARM_UP: u32 = 5;

/// Runs the measurement.
///
/// # Errors
/// What kept it from being made.
pub(super) async fn run(flags: &LaunchFlags) -> Result<Measured, Failure> {
    let plan = Plan {
        masters: flags.masters,
        agents: 1,
        resources: None,
    };
    let cluster = Cluster::start(plan, &flags.cluster).await?;
    let spawn = floor::spawn();
    let times = measure(flags, &cluster).await;
    cluster.end().await?;
    let (times, spawn) = (times?, spawn?);
    Ok(Measured {
        figures: vec![
            Figure::new("launch.median", median(&times), "ms").beside("spawning /bin/true", spawn),
            Figure::new("launch.p99", part(&times, 99), "ms"),
        ],
        setup: vec![format!(
            "{} masters and 1 agent on loopback, fsync on; {} tasks of /bin/true one after the \
             other, from the ACCEPT's first byte to TASK_RUNNING, JSON over HTTP",
            flags.masters, flags.tasks
        )],
    })
}

async fn measure(flags: &LaunchFlags, cluster: &Cluster) -> Result<Vec<f64>, Failure> {
    let first = cluster.nodes().first().expect("a cluster has a node");
    let mut framework = Framework::subscribe(&first.http, 1).await?;
    let caller = framework.caller();
    let (mut times, mut held) = (Vec::new(), VecDeque::new());
    for number in 0..flags.tasks + WARM_UP {
        while held.is_empty() {
            held.extend(offers(&framework.next().await?));
        }
        let offer = held.pop_front().expect("one is held");
        let call = accept(&[offer], std::iter::once(number));
        let started = Instant::now();
        caller.call(0, call).await?;
        let mut running = None;
        loop {
            let event = framework.next().await?;
            held.extend(offers(&event));
            if event["type"] != "UPDATE" {
                continue;
            }
            let state = event["update"]["status"]["state"].as_str().unwrap_or("");
            if state == "TASK_RUNNING" {
                running.get_or_insert_with(|| started.elapsed());
            }
            caller.acknowledge(0, &event).await?;
            match state {
                "TASK_FINISHED" => break,
                "TASK_STARTING" | "TASK_RUNNING" => {}
                other => return Err(failed(format!("a task is {other}: {event}"))),
            }
        }
        let running: Duration = running.ok_or_else(|| failed("a task ended unseen"))?;
        if number >= WARM_UP {
            times.push(milliseconds(running));
        }
    }
    Ok(times)
}
