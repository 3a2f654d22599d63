//! The master's log: its thread's events become replies to the machine.

use std::path::Path;
use std::sync::{Arc, Mutex};

use metrics::Histogram;
use shoal_api::{Index, Instant};
use shoal_disk::{Event, LogWriter, System};
use shoal_quorum::{Batch, Recovered, Snapshot, Ticket};
use tokio::sync::mpsc::UnboundedSender;

use super::mailbox::Reply;
use crate::cli::{Exit, Failure};
use crate::clock;
use crate::metrics::{catalogue, gauge, histogram};

/// The log, open for writing.
#[derive(Debug)]
pub struct Disk {
    writer: LogWriter,
    timing: Arc<Timing>,
}

/// When the oldest batch that is not durable was ordered.
#[derive(Debug, Default)]
struct Timing {
    /// Tickets in order, with the time of their order.
    open: Mutex<std::collections::VecDeque<(Ticket, Instant)>>,
}

impl Timing {
    fn ordered(&self, ticket: Ticket) {
        let mut open = self.open.lock().expect("no holder of this lock panics");
        open.push_back((ticket, clock::now()));
    }

    fn durable(&self, upto: Ticket, seconds: &Histogram) {
        let now = clock::now();
        let mut open = self.open.lock().expect("no holder of this lock panics");
        while let Some((ticket, since)) = open.front().copied()
            && ticket <= upto
        {
            seconds.record(now.since(since).as_secs_f64());
            open.pop_front();
        }
    }
}

impl Disk {
    /// Opens the log in a folder and gives what it held. A new one begins with `founding`, which is
    /// durable when this returns.
    ///
    /// # Errors
    /// The log is damaged, or the kernel refuses.
    pub fn open(
        folder: &Path,
        founding: Option<Recovered>,
        replies: UnboundedSender<Reply>,
    ) -> Result<(Disk, Recovered), Failure> {
        let timing = Arc::new(Timing::default());
        let seconds = histogram(&catalogue::DISK_SECONDS, &[]);
        let full = gauge(&catalogue::DISK_FULL, &[]);
        let (clocks, place) = (Arc::clone(&timing), folder.to_owned());
        let tell = move |event| {
            let reply = match event {
                Event::Persisted(ticket) => {
                    clocks.durable(ticket, &seconds);
                    Reply::Persisted(ticket)
                }
                Event::SnapshotSaved(index) => Reply::SnapshotSaved(index),
                Event::Full => {
                    let folder = place.display();
                    tracing::error!(%folder, "the disk is full: no new work until there is room");
                    full.set(1.0);
                    Reply::DiskFull
                }
                Event::HasRoom => {
                    tracing::info!("the disk has room again");
                    full.set(0.0);
                    Reply::DiskHasRoom
                }
                Event::Failed(why) => Reply::DiskFailed(why),
            };
            // An error means that the machine has ended.
            drop(replies.send(reply));
        };
        if let Some(founding) = founding {
            begin(folder, founding)?;
        }
        let opened = LogWriter::open(folder, Arc::new(System), tell);
        let (writer, recovered) = opened.map_err(|error| damaged(&error))?;
        Ok((Disk { writer, timing }, recovered.unwrap_or_default()))
    }

    /// Writes and syncs; waits while too much waits.
    pub fn persist(&self, ticket: Ticket, batch: Batch) {
        self.timing.ordered(ticket);
        self.writer.persist(ticket, batch);
    }

    /// Writes a snapshot beside the log.
    pub fn save_snapshot(&self, snapshot: Snapshot) {
        self.writer.save_snapshot(snapshot);
    }

    /// Drops what is not needed any more.
    pub fn compact(&self, through: Index) {
        self.writer.compact(through);
    }
}

/// Writes the beginning of a new log, unless it has one from a start that was cut short.
fn begin(folder: &Path, founding: Recovered) -> Result<(), Failure> {
    let (tell, told) = std::sync::mpsc::channel();
    let opened = LogWriter::open(folder, Arc::new(System), move |event| {
        // An error means that the beginning is durable and nobody listens any more.
        drop(tell.send(event));
    });
    let (writer, recovered) = opened.map_err(|error| damaged(&error))?;
    if recovered.is_some() {
        return Ok(());
    }
    let batch = Batch {
        hard_state: Some(founding.hard_state),
        entries: founding.entries,
        snapshot: founding.snapshot,
    };
    writer.persist(Ticket(0), batch);
    loop {
        match told.recv() {
            Ok(Event::Persisted(_)) => return Ok(()),
            Ok(Event::SnapshotSaved(_) | Event::HasRoom) => {}
            Ok(Event::Full) => {
                let error = format!("there is no room in {}", folder.display());
                return Err(Failure::new(
                    Exit::Failed,
                    error,
                    "make room and start again",
                ));
            }
            Ok(Event::Failed(why)) => return Err(Failure::new(Exit::Failed, why, "")),
            Err(_) => return Err(Failure::new(Exit::Failed, "the log's thread ended", "")),
        }
    }
}

fn damaged(error: &shoal_disk::DamageError) -> Failure {
    Failure::new(
        Exit::Failed,
        error.to_string(),
        "move the data folder away, and this master comes back as a new one",
    )
}
