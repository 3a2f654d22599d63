//! Recent events of the ledger, as the master on this node told them: bounded in number and bytes.
//!
//! The machine's thread puts in, handlers take out; an entry's events are shared, never copied.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use shoal_api::{Index, Resource, Resources, Value};
use shoal_master::{EntryEvents, Event, Position, What};
use tokio::sync::watch;

use crate::limits;

/// The ring.
///
/// # Invariants
/// - indexes ascend, and all are above `forgotten`;
/// - more than [`limits::EVENTS_KEPT`] events or [`limits::EVENTS_KEPT_BYTES`] are there only if they
///   are of one entry.
#[derive(Debug)]
pub struct Ring {
    kept: Mutex<Kept>,
    /// The newest entry; told only while somebody listens.
    newest: watch::Sender<Index>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<(Arc<EntryEvents>, usize)>,
    events: usize,
    bytes: usize,
    /// What this entry and those before it did is not known here, or not any more.
    forgotten: Index,
}

/// The position asked for is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events before {oldest} are not kept")]
pub struct Gone {
    /// Where to begin.
    pub oldest: Position,
}

impl Default for Ring {
    fn default() -> Ring {
        Ring {
            kept: Mutex::default(),
            newest: watch::Sender::new(Index(0)),
        }
    }
}

impl Ring {
    /// Takes in what an entry did; the oldest make room.
    pub fn put(&self, entry: EntryEvents) {
        let index = entry.index;
        let size = entry.events.iter().map(weight).sum();
        let mut kept = self.lock();
        kept.events += entry.events.len();
        kept.bytes += size;
        kept.entries.push_back((Arc::new(entry), size));
        while kept.entries.len() > 1
            && (kept.events > limits::EVENTS_KEPT || kept.bytes > limits::EVENTS_KEPT_BYTES)
        {
            kept.drop_oldest();
        }
        drop(kept);
        if self.newest.receiver_count() > 0 {
            self.newest.send_replace(index);
        }
    }

    /// Forgets everything: what the entries up to this one did will not be told.
    pub fn skip(&self, through: Index) {
        let mut kept = self.lock();
        *kept = Kept {
            forgotten: through,
            ..Kept::default()
        };
        drop(kept);
        self.newest.send_replace(through);
    }

    /// Is told of every entry from here on.
    pub fn listen(&self) -> watch::Receiver<Index> {
        self.newest.subscribe()
    }

    /// The entries that have events at or after a position, oldest first, at most `most`.
    ///
    /// # Errors
    /// [`Gone`] if some of what is asked for is not kept.
    pub fn read(&self, from: Position, most: usize) -> Result<Vec<Arc<EntryEvents>>, Gone> {
        let kept = self.lock();
        if from.index <= kept.forgotten {
            let oldest = kept.oldest();
            return Err(Gone { oldest });
        }
        let at = kept
            .entries
            .partition_point(|(entry, _)| entry.index < from.index);
        let found = kept.entries.range(at..).take(most);
        Ok(found.map(|(entry, _)| Arc::clone(entry)).collect())
    }

    /// The first position that can be read.
    pub fn oldest(&self) -> Position {
        self.lock().oldest()
    }

    /// The position after everything that is kept.
    pub fn end(&self) -> Position {
        let kept = self.lock();
        let newest = kept.entries.back().map(|(entry, _)| entry.index);
        start_of(Index(newest.unwrap_or(kept.forgotten).0 + 1))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().expect("nobody panics with the ring")
    }
}

impl Kept {
    fn oldest(&self) -> Position {
        start_of(Index(self.forgotten.0 + 1))
    }

    fn drop_oldest(&mut self) {
        let (entry, size) = self.entries.pop_front().expect("the ring is not empty");
        self.events -= entry.events.len();
        self.bytes -= size;
        self.forgotten = entry.index;
    }
}

/// The first event of an entry.
pub fn start_of(index: Index) -> Position {
    Position { index, number: 0 }
}

/// About what an event costs, in bytes. Ids are shared with the ledger's rows, messages may not be.
fn weight(event: &Event) -> usize {
    let more = match &event.what {
        What::TaskRefused { message, task, .. } => message.len() + task.len(),
        What::TaskStatus { report, .. } => report
            .as_ref()
            .map_or(0, |report| report.message.len() + 96),
        What::OfferMade(offer) => 256 + pieces(&offer.resources) * 16,
        What::TaskAcknowledged { task, .. } => task.len(),
        What::OffersAccepted { offers, .. }
        | What::OffersDeclined { offers, .. }
        | What::TaskLaunched { offers, .. } => offers.len() * 16,
        What::FrameworkSuppressed { roles, .. } | What::FrameworkRevived { roles, .. } => {
            roles.len() * 32
        }
        What::LeaderElected { .. }
        | What::QuorumChanged { .. }
        | What::ClusterFounded
        | What::MastersChanged
        | What::MasterRestarted { .. }
        | What::AgentConnected { .. }
        | What::AgentDisconnected { .. }
        | What::AgentUnreachable { .. }
        | What::FrameworkSubscribed { .. }
        | What::FrameworkDisconnected { .. }
        | What::FrameworkRemoved { .. }
        | What::OfferRescinded { .. }
        | What::TaskKillOrdered { .. }
        | What::RunCreated { .. }
        | What::RunKillOrdered { .. } => 0,
    };
    size_of::<Event>() + more
}

/// Of how many ranges and words resources consist.
fn pieces(resources: &Resources) -> usize {
    let of_one = |resource: &Resource| match &resource.value {
        Value::Scalar(_) => 1,
        Value::Ranges(ranges) => ranges.len(),
        Value::Set(words) => words.len(),
    };
    resources.iter().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use shoal_api::RunId;

    use super::*;

    fn entry(index: u64, events: u64) -> EntryEvents {
        let event = |run| Event {
            wall: None,
            what: What::RunKillOrdered { run: RunId(run) },
        };
        EntryEvents {
            index: Index(index),
            events: (0..events).map(event).collect(),
        }
    }

    fn indexes(ring: &Ring, from: u64) -> Result<Vec<u64>, Gone> {
        let read = ring.read(start_of(Index(from)), 3)?;
        Ok(read.iter().map(|entry| entry.index.0).collect())
    }

    #[test]
    fn what_is_kept_is_read_from_anywhere() {
        let ring = Ring::default();
        for index in [2, 5, 6, 9] {
            ring.put(entry(index, 1));
        }
        assert_eq!(indexes(&ring, 1), Ok(vec![2, 5, 6]));
        assert_eq!(indexes(&ring, 3), Ok(vec![5, 6, 9]));
        assert_eq!(indexes(&ring, 9), Ok(vec![9]));
        assert_eq!(indexes(&ring, 10), Ok(vec![]));
        assert_eq!(ring.end(), start_of(Index(10)));
        assert_eq!(ring.oldest(), start_of(Index(1)));
    }

    #[test]
    fn the_oldest_make_room_and_are_said_to_be_gone() {
        let ring = Ring::default();
        let half = limits::EVENTS_KEPT as u64 / 2;
        ring.put(entry(3, half));
        ring.put(entry(4, half));
        assert_eq!(indexes(&ring, 3), Ok(vec![3, 4]));
        ring.put(entry(7, 1));
        let oldest = start_of(Index(4));
        assert_eq!(indexes(&ring, 3), Err(Gone { oldest }));
        assert_eq!(indexes(&ring, 4), Ok(vec![4, 7]));
        ring.put(entry(8, 4 * half));
        assert_eq!(indexes(&ring, 8), Ok(vec![8]));
        ring.skip(Index(20));
        let oldest = start_of(Index(21));
        assert_eq!(indexes(&ring, 20), Err(Gone { oldest }));
        assert_eq!(indexes(&ring, 21), Ok(vec![]));
    }

    #[test]
    fn long_messages_count() {
        let ring = Ring::default();
        let long: Arc<str> = Arc::from("x".repeat(4096));
        let refused = |index| EntryEvents {
            index: Index(index),
            events: vec![Event {
                wall: None,
                what: What::TaskRefused {
                    framework: shoal_api::FrameworkId::new("f").unwrap(),
                    task: Arc::from("t"),
                    state: shoal_api::TaskState::Error,
                    reason: None,
                    message: Arc::clone(&long),
                },
            }],
        };
        let many = limits::EVENTS_KEPT_BYTES as u64 / 4096;
        for index in 1..=many {
            ring.put(refused(index));
        }
        assert!(ring.oldest().index > Index(1));
        assert_eq!(ring.end(), start_of(Index(many + 1)));
    }

    #[tokio::test]
    async fn listeners_are_told() {
        let ring = Ring::default();
        let mut news = ring.listen();
        ring.put(entry(1, 1));
        news.changed().await.unwrap();
        assert_eq!(*news.borrow_and_update(), Index(1));
    }
}
