//! The log's thread: everything that queued while the last sync ran is written and synced as one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use shoal_api::Index;
use shoal_failpoint::{Point, pass};
use shoal_quorum::{Batch, Recovered, Snapshot, Ticket};

use crate::file::{Io, is_full};
use crate::limits::{FULL_RETRY, GROUP_BYTES};
use crate::log::Log;
use crate::recovery::{DamageError, cut, read};
use crate::snapshot;

/// Orders that wait for the thread; whoever orders more waits. Ours: more than the quorum has open.
const ORDERS: usize = 1_024;

/// What the thread tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything up to this ticket is durable.
    Persisted(Ticket),
    /// The snapshot of that index is durable.
    SnapshotSaved(Index),
    /// There is no room. What was ordered is tried again until there is.
    Full,
    /// There is room again.
    HasRoom,
    /// The disk cannot be relied on; nothing more is written.
    Failed(String),
}

enum Order {
    Persist(Ticket, Box<Batch>),
    Compact(Index),
}

/// The log of a master, open for writing. Dropped, it writes what was ordered and ends; what a full
/// disk has no room for was never told to be durable, and is given up.
#[derive(Debug)]
pub struct LogWriter {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
    folder: PathBuf,
    io: Arc<dyn Io>,
    tell: Tell,
    snapshots: Snapshots,
}

type Telling = dyn Fn(Event) + Send + Sync;

/// To whom it is told, and whether the writer ends: then nothing waits for room any more.
#[derive(Clone)]
struct Tell(Arc<Telling>, Arc<AtomicBool>);

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

/// Whose turn it is to write a snapshot: the log's thread installs one while another may be saved.
#[derive(Clone, Debug, Default)]
struct Snapshots(Arc<Mutex<()>>);

impl Snapshots {
    /// Waits while the disk is full; nobody holds the turn meanwhile.
    fn save(&self, tell: &Tell, io: &dyn Io, folder: &Path, snapshot: &Snapshot) -> io::Result<()> {
        retried(tell, || {
            // What a panicked holder left behind is an unfinished file, as after a crash.
            let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            snapshot::save(io, folder, snapshot)
        })
    }
}

impl LogWriter {
    /// Opens the log in a folder, which is made if need be, cuts its torn tail and starts the thread.
    /// Returns what the log held; `None` if it is new. `tell` is called from the thread and must not
    /// wait.
    ///
    /// # Errors
    /// [`DamageError`] if the log must not be continued, or the kernel refuses.
    pub fn open(
        folder: &Path,
        io: Arc<dyn Io>,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<(LogWriter, Option<Recovered>), DamageError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| DamageError::io("create", folder, error))?;
        let found = read(folder)?;
        cut(folder, &found.position).map_err(|error| DamageError::io("write", folder, error))?;
        let log = Log::open(folder, found.position)
            .map_err(|error| DamageError::io("write", folder, error))?;
        let tell = Tell(Arc::new(tell), Arc::default());
        let snapshots = Snapshots::default();
        let (orders, waiting) = sync_channel(ORDERS);
        let mut worker = Worker {
            log,
            io: Arc::clone(&io),
            tell: tell.clone(),
            folder: folder.to_owned(),
            snapshots: snapshots.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("shoal-log".to_owned())
            .spawn(move || worker.run(&waiting))
            .map_err(|error| DamageError::io("start a thread for", folder, error))?;
        let writer = LogWriter {
            orders: Some(orders),
            thread: Some(thread),
            folder: folder.to_owned(),
            io,
            tell,
            snapshots,
        };
        Ok((writer, found.recovered))
    }

    /// Orders a batch; [`Event::Persisted`] follows. Waits while too many orders wait.
    pub fn persist(&self, ticket: Ticket, batch: Batch) {
        self.order(Order::Persist(ticket, Box::new(batch)));
    }

    /// Orders the removal of the log up to that index.
    pub fn compact(&self, through: Index) {
        self.order(Order::Compact(through));
    }

    fn order(&self, order: Order) {
        let orders = self
            .orders
            .as_ref()
            .expect("the thread ends with its writer");
        // A thread that failed has said so; nothing more is promised.
        drop(orders.send(order));
    }

    /// Writes a snapshot on a thread of its own, beside the log; [`Event::SnapshotSaved`] follows.
    pub fn save_snapshot(&self, snapshot: Snapshot) {
        let (io, folder, tell) = (Arc::clone(&self.io), self.folder.clone(), self.tell.clone());
        let snapshots = self.snapshots.clone();
        let spawned = std::thread::Builder::new()
            .name("shoal-snapshot".to_owned())
            .spawn(
                move || match snapshots.save(&tell, &*io, &folder, &snapshot) {
                    Ok(()) => (tell.0)(Event::SnapshotSaved(snapshot.index)),
                    Err(error) => {
                        (tell.0)(Event::Failed(format!("cannot write a snapshot: {error}")))
                    }
                },
            );
        if let Err(error) = spawned {
            (self.tell.0)(Event::Failed(format!("no thread for a snapshot: {error}")));
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.tell.1.store(true, Ordering::Relaxed);
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            (self.tell.0)(Event::Failed("the log's thread panicked".to_owned()));
        }
    }
}

/// Tries again while the disk is full, and tells so; any other error is final.
fn retried(tell: &Tell, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut full = false;
    loop {
        match attempt() {
            Err(error) if is_full(&error) && !tell.1.load(Ordering::Relaxed) => {
                if !full {
                    full = true;
                    (tell.0)(Event::Full);
                }
                std::thread::sleep(FULL_RETRY);
            }
            result => {
                if full && result.is_ok() {
                    (tell.0)(Event::HasRoom);
                }
                return result;
            }
        }
    }
}

struct Worker {
    log: Log,
    io: Arc<dyn Io>,
    tell: Tell,
    folder: PathBuf,
    snapshots: Snapshots,
}

impl Worker {
    fn run(&mut self, waiting: &Receiver<Order>) {
        while let Ok(first) = waiting.recv() {
            let mut group = Vec::new();
            let mut through = None;
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Persist(ticket, batch) => {
                        bytes += batch
                            .entries
                            .iter()
                            .map(|entry| entry.data.len())
                            .sum::<usize>();
                        group.push((ticket, batch));
                    }
                    Order::Compact(index) => through = Some(index),
                }
                next = if bytes < GROUP_BYTES {
                    waiting.try_recv().ok()
                } else {
                    None
                };
            }
            if let Err(error) = self.group(&group, through) {
                (self.tell.0)(Event::Failed(format!("cannot write the log: {error}")));
                return;
            }
        }
    }

    fn group(&mut self, group: &[(Ticket, Box<Batch>)], through: Option<Index>) -> io::Result<()> {
        let (io, log, folder) = (&*self.io, &mut self.log, &self.folder);
        for (_, batch) in group {
            // The log may point to a snapshot only once that is there.
            if let Some(snapshot) = &batch.snapshot {
                self.snapshots.save(&self.tell, io, folder, snapshot)?;
            }
        }
        if let Some((ticket, _)) = group.last() {
            let batches: Vec<&Batch> = group.iter().map(|(_, batch)| &**batch).collect();
            pass(Point::LogAppend);
            retried(&self.tell, || log.write(io, &batches))?;
            pass(Point::LogSync);
            log.sync(io)?;
            pass(Point::LogSynced);
            (self.tell.0)(Event::Persisted(*ticket));
        }
        if let Some(through) = through {
            log.compact(through)?;
        }
        Ok(())
    }
}
