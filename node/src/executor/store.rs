//! The thread that writes the checkpoint log: many records, one sync.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use shoal_agent::frames::split_first;
use shoal_agent::{Record, Ticket};
use shoal_disk::{Io, is_full};
use shoal_failpoint::{Point, pass};
use tokio::sync::mpsc;

use super::limits;
use super::log::{Log, LogError};

/// What the thread tells.
#[derive(Debug)]
pub enum StoreEvent {
    /// All records up to this one are on disk.
    Written(Ticket),
    /// The disk failed in a way that leaves open what is on it.
    Failed(io::Error),
}

#[derive(Debug)]
enum Order {
    Append { frames: Vec<u8>, last: Ticket },
    Rewrite { frames: Vec<u8>, last: Ticket },
}

/// The sending end. The thread ends when it is dropped, once all is written.
#[derive(Debug)]
pub struct Store {
    orders: SyncSender<Order>,
    busy: bool,
    length: u64,
    /// What the log would have if it were written anew, when that was last known.
    shortest: u64,
}

impl Store {
    /// Opens the log and starts the thread.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn start(
        path: &Path,
        io: Arc<dyn Io>,
        events: mpsc::Sender<StoreEvent>,
    ) -> Result<(Store, Vec<Record>), LogError> {
        let (log, records) = Log::open(path, io)?;
        let length = log.length();
        let (orders, receiver) = sync_channel(1);
        std::thread::Builder::new()
            .name("shoal-checkpoint".to_owned())
            .spawn(move || write(log, &receiver, &events))
            .map_err(|error| LogError::Disk {
                path: path.to_owned(),
                error,
            })?;
        let store = Store {
            orders,
            busy: false,
            length,
            shortest: 0,
        };
        Ok((store, records))
    }

    /// Whether an order is being carried out: no other may be given before it is done.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// The order was carried out.
    pub fn done(&mut self) {
        self.busy = false;
    }

    /// Has frames appended.
    pub fn append(&mut self, frames: Vec<u8>, last: Ticket) {
        self.length += frames.len() as u64;
        self.order(Order::Append { frames, last });
    }

    /// Has the log replaced by frames that stand for all records up to this one.
    pub fn rewrite(&mut self, frames: Vec<u8>, last: Ticket) {
        self.length = frames.len() as u64;
        self.shortest = self.length;
        self.order(Order::Rewrite { frames, last });
    }

    /// Whether the log is so long that it should be written anew.
    pub fn is_long(&self) -> bool {
        self.length > limits::LOG_BYTES.max(4 * self.shortest)
    }

    fn order(&mut self, order: Order) {
        assert!(!self.busy, "the store takes one order at a time");
        self.busy = true;
        // The thread ends early only after it has told of a failure, which ends the agent.
        let _ended = self.orders.send(order);
    }
}

fn write(mut log: Log, orders: &Receiver<Order>, events: &mpsc::Sender<StoreEvent>) {
    while let Ok(order) = orders.recv() {
        match carry_out(&mut log, &order) {
            Ok(last) => tell(events, StoreEvent::Written(last)),
            Err(error) => return tell(events, StoreEvent::Failed(error)),
        }
    }
}

fn tell(events: &mpsc::Sender<StoreEvent>, event: StoreEvent) {
    // Nobody listens once the agent has stopped.
    let _stopped = events.blocking_send(event);
}

/// Carries an order out: all of it is on disk then. Each frame is before the next one is written, so
/// that a restart can tell a torn one from damage.
fn carry_out(log: &mut Log, order: &Order) -> io::Result<Ticket> {
    match order {
        Order::Append { frames, last } => {
            let mut rest = &frames[..];
            while let Some((frame, more)) = split_first(rest) {
                pass(Point::CheckpointAppend);
                once_there_is_room(|| log.append(frame))?;
                pass(Point::CheckpointSync);
                log.sync()?;
                pass(Point::CheckpointSynced);
                rest = more;
            }
            Ok(*last)
        }
        Order::Rewrite { frames, last } => {
            once_there_is_room(|| log.rewrite(frames))?;
            Ok(*last)
        }
    }
}

/// Tries again while the disk is full; any other error is final.
fn once_there_is_room(mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match attempt() {
            Err(error) if is_full(&error) => {
                tracing::error!(
                    %error,
                    "the disk is full: the agent starts no task and reports nothing until it has room"
                );
                std::thread::sleep(limits::WRITE_AGAIN);
            }
            result => return result,
        }
    }
}
