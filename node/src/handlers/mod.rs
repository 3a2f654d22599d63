//! Event handlers: scripts that run on what happens among the members, as Serf runs them.
//!
//! What lives here: which script runs when, with which environment and input, and the bounds on
//! all of it. What deliberately does not: the gossip, and anything that decides by a script but
//! the answer of a query.
//!
//! Source: Serf's documentation of event handlers; its scripts run unchanged.

mod coalesce;
mod job;
mod run;
mod spec;

use std::sync::Arc;

use shoal_api::member::Member;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::gossip::{Gossip, Happening};
use crate::limits;
use crate::metrics::{catalogue, counter};
use coalesce::Coalescer;
use job::Job;

pub use job::Occasion;
pub use spec::HandlerSpec;

/// Each is shown from the start, so that the first one is a change.
const OUTCOMES: [&str; 5] = ["succeeded", "failed", "timed_out", "dropped", "missed"];

/// Gives running handlers other specifications.
#[derive(Clone, Debug)]
pub struct Handlers(watch::Sender<Arc<[HandlerSpec]>>);

impl Handlers {
    /// Other scripts from here on; what runs or waits is not cut off.
    pub fn set(&self, specs: Vec<HandlerSpec>) {
        self.0.send_replace(specs.into());
    }
}

/// Starts the handlers of a node. They end with its gossip.
pub fn start(gossip: Gossip, specs: Vec<HandlerSpec>) -> Handlers {
    for outcome in OUTCOMES {
        counter(&catalogue::HANDLER_RUNS, &[outcome]).increment(0);
    }
    let (sender, watched) = watch::channel(Arc::from(specs));
    tokio::spawn(serve(gossip, watched));
    Handlers(sender)
}

/// One script with what waits for it: what happened first runs first.
struct Worker {
    spec: HandlerSpec,
    jobs: mpsc::Sender<Job>,
}

async fn serve(gossip: Gossip, mut watched: watch::Receiver<Arc<[HandlerSpec]>>) {
    let mut happenings = gossip.happenings();
    let mut coalescer = Coalescer::new(&gossip.members());
    if let Ok(picture) = gossip.picture().await {
        coalescer.starts(picture.me, Instant::now());
    }
    let mut workers = hire(&gossip, &watched.borrow_and_update());
    // Whether others may still come.
    let mut told = true;
    loop {
        let due = coalescer.due();
        let wake = due.unwrap_or_else(|| Instant::now() + limits::HANDLER_COALESCE_MOST);
        tokio::select! {
            happening = happenings.recv() => match happening {
                Ok(happening) => {
                    if let Some(occasion) = coalescer.take(happening, Instant::now()) {
                        dispatch(&gossip, &workers, vec![occasion]).await;
                    }
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "event handlers are too slow and miss what happens");
                    counter(&catalogue::HANDLER_RUNS, &["missed"]).increment(missed);
                }
                Err(RecvError::Closed) => return,
            },
            changed = watched.changed(), if told => match changed {
                Ok(()) => workers = hire(&gossip, &watched.borrow_and_update()),
                Err(_) => told = false,
            },
            () = sleep_until(wake) => {
                let occasions = coalescer.flush(Instant::now());
                dispatch(&gossip, &workers, occasions).await;
            }
        }
    }
}

fn hire(gossip: &Gossip, specs: &[HandlerSpec]) -> Vec<Worker> {
    let hire = |spec: &HandlerSpec| {
        let (jobs, waiting) = mpsc::channel(limits::HANDLER_JOBS);
        tokio::spawn(work(gossip.clone(), spec.script.clone(), waiting));
        Worker {
            spec: spec.clone(),
            jobs,
        }
    };
    specs.iter().map(hire).collect()
}

async fn work(gossip: Gossip, script: Arc<str>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let answered = run::run(&script, &job).await;
        if let (Some(key), Some(body)) = (job.answers, answered) {
            // The gossip's end is seen by who drives this.
            let _ended = gossip.answer(key, body).await;
        }
    }
}

async fn dispatch(gossip: &Gossip, workers: &[Worker], occasions: Vec<Occasion>) {
    if occasions.is_empty() || workers.is_empty() {
        return;
    }
    let Ok(picture) = gossip.picture().await else {
        return;
    };
    for occasion in occasions {
        for worker in workers.iter().filter(|w| w.spec.wants(&occasion)) {
            let job = Job::of(&picture.me, &occasion);
            if worker.jobs.try_send(job).is_err() {
                tracing::warn!(
                    script = &*worker.spec.script,
                    "too much waits for an event handler"
                );
                counter(&catalogue::HANDLER_RUNS, &["dropped"]).increment(1);
            }
        }
    }
}

/// The role that Serf's scripts are told: the tag `role`, or what the node is.
fn role(member: &Member) -> &str {
    let tag = member.tags.get("role").or_else(|| member.tags.get("roles"));
    tag.map_or("", |role| role)
}

/// Whether a happening may be of use to a handler.
fn is_internal(happening: &Happening) -> bool {
    match happening {
        Happening::Event(event) => event.name.is_internal(),
        Happening::Query(query) => query.name.is_internal(),
        Happening::Member(_) => false,
    }
}
