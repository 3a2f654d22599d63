//! Elections while every core is busy and nobody is dead: each of them is one too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Measured;
use super::cluster::{Cluster, Plan};
use super::figure::Figure;
use super::flags::ElectionsFlags;
use crate::cli::Failure;

/// How often the term is asked for.
const LOOK: Duration = Duration::from_millis(500);

/// Threads that keep cores busy until this is dropped.
struct Busy {
    end: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Busy {
    fn start(count: usize) -> Busy {
        let end = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|_| {
            let end = Arc::clone(&end);
            std::thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        });
        Busy {
            threads: threads.collect(),
            end,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that only spins cannot fail.
            drop(thread.join());
        }
    }
}

/// Runs the measurement.
///
/// # Errors
/// What kept it from being made.
pub(super) async fn run(flags: &ElectionsFlags) -> Result<Measured, Failure> {
    let plan = Plan {
        masters: flags.masters,
        agents: 0,
        resources: None,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = flags.busy.unwrap_or(2 * cores).max(1);
    let cluster = Cluster::start(plan, &flags.cluster).await?;
    let measured = measure(flags, &cluster, threads).await;
    cluster.end().await?;
    let (elections, unanswered) = measured?;
    Ok(Measured {
        figures: vec![
            Figure::new("elections.false", elections as f64, "elections"),
            Figure::new("elections.unanswered", unanswered as f64, "questions"),
        ],
        setup: vec![format!(
            "{} masters on loopback, {threads} threads that keep the cores busy for {} s, all at \
             one priority; unanswered are questions for the leader, two a second",
            flags.masters,
            flags.duration.as_secs()
        )],
    })
}

async fn measure(
    flags: &ElectionsFlags,
    cluster: &Cluster,
    threads: usize,
) -> Result<(u64, u64), Failure> {
    cluster.whole().await?;
    let before = cluster.leader().await?.term;
    let busy = Busy::start(threads);
    let until = Instant::now() + flags.duration;
    let mut unanswered = 0;
    while Instant::now() < until {
        tokio::time::sleep(LOOK).await;
        unanswered += u64::from(!cluster.is_led().await);
    }
    drop(busy);
    let after = cluster.leader().await?.term;
    Ok((after - before, unanswered))
}
