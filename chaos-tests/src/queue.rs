//! The one queue of events: virtual time moves only by taking the earliest.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use shoal_api::Instant;

struct Slot<E> {
    at: Instant,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Slot<E> {
    fn eq(&self, other: &Slot<E>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Slot<E> {}

impl<E> PartialOrd for Slot<E> {
    fn partial_cmp(&self, other: &Slot<E>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Slot<E> {
    fn cmp(&self, other: &Slot<E>) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

/// Events by time; those of one time come out in the order in which they went in.
///
/// It is unbounded: what fills it is bounded by the machines' own limits and by the run's length.
///
/// # Invariants
/// - time never goes back;
/// - an event is never earlier than the moment it was put in.
pub struct Queue<E> {
    heap: BinaryHeap<Slot<E>>,
    now: Instant,
    sequence: u64,
}

impl<E> std::fmt::Debug for Queue<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("now", &self.now)
            .field("waiting", &self.heap.len())
            .finish_non_exhaustive()
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Queue<E> {
        Queue {
            heap: BinaryHeap::new(),
            now: Instant::ZERO,
            sequence: 0,
        }
    }
}

impl<E> Queue<E> {
    /// The time of the event taken last.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Puts an event in; one in the past happens at once, after what is due already.
    pub fn push(&mut self, at: Instant, event: E) {
        self.sequence += 1;
        self.heap.push(Slot {
            at: at.max(self.now),
            sequence: self.sequence,
            event,
        });
    }

    /// Takes the earliest event that is not after `end`; time moves to it, or to `end`.
    pub fn pop(&mut self, end: Instant) -> Option<E> {
        if self.heap.peek().is_none_or(|slot| slot.at > end) {
            self.now = self.now.max(end);
            return None;
        }
        let slot = self.heap.pop()?;
        self.now = slot.at;
        Some(slot.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_orders_then_arrival() {
        let mut queue = Queue::default();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (9, 'e')] {
            queue.push(Instant::from_nanos(at), event);
        }
        let end = Instant::from_nanos(6);
        let order: Vec<char> = std::iter::from_fn(|| queue.pop(end)).collect();
        assert_eq!(order, ['a', 'b', 'c', 'd']);
        assert_eq!(queue.now(), end);
        queue.push(Instant::ZERO, 'f');
        assert_eq!(queue.pop(end), Some('f'));
    }
}
