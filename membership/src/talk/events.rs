//! The events that were heard lately: none is delivered twice, and who was away can be told them.

use std::collections::BTreeSet;

use super::lamport::LamportTime;
use super::user_event::UserEvent;
use crate::limits;

/// What became of an event that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It is news, and to be delivered.
    New,
    /// It is news, but of before this node joined.
    Before,
    /// It was heard before.
    Known,
    /// It is so old that whether it was heard is forgotten.
    Old,
}

/// At most [`limits::EVENTS_KEPT`], the newest.
#[derive(Debug)]
pub(crate) struct EventRing {
    kept: BTreeSet<UserEvent>,
    /// What is older is refused.
    floor: LamportTime,
    /// What is older is not delivered.
    first: LamportTime,
    /// Whether `first` stands.
    begun: bool,
    /// It asked whom it joins through how far that one is.
    awaits: bool,
}

impl EventRing {
    /// A ring of a node that has heard all up to a time, if it is not zero, and that wants to hear
    /// what was told before it joined, or not.
    pub fn new(heard: LamportTime, replay: bool) -> EventRing {
        let restarted = heard > LamportTime(0);
        EventRing {
            kept: BTreeSet::new(),
            floor: LamportTime(0),
            first: LamportTime(heard.0 + u64::from(restarted)),
            begun: restarted || replay,
            awaits: false,
        }
    }

    /// The node joins through somebody, and will be told how far that one is.
    pub fn await_begin(&mut self) {
        self.awaits = !self.begun;
    }

    pub fn awaits_begin(&self) -> bool {
        self.awaits
    }

    /// Others join through this node: it is where it is, and hears all that comes.
    pub fn settle(&mut self) {
        self.begun = true;
        self.awaits = false;
    }

    /// Whom this node joins through is that far: what was told until then is not for it, unless it
    /// wants to hear all, or goes on where it was.
    pub fn begin(&mut self, clock: LamportTime) {
        if self.awaits {
            self.settle();
            self.first = LamportTime(clock.0.saturating_add(1));
        }
    }

    pub fn hear(&mut self, clock: LamportTime, event: &UserEvent) -> Hearing {
        if event.ltime < self.floor || clock.forgot(event.ltime) {
            return Hearing::Old;
        }
        if !self.kept.insert(event.clone()) {
            return Hearing::Known;
        }
        while self.kept.len() > limits::EVENTS_KEPT {
            // All of the oldest time go, so that one number says what is forgotten.
            let oldest = self.kept.first().expect("it is full").ltime;
            self.floor = LamportTime(oldest.0 + 1);
            self.kept.retain(|event| event.ltime > oldest);
        }
        if event.ltime < self.first {
            Hearing::Before
        } else {
            Hearing::New
        }
    }

    /// The newest, at most so many.
    pub fn newest(&self, most: usize) -> impl Iterator<Item = &UserEvent> {
        self.kept.iter().rev().take(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::talk::EventName;

    fn event(ltime: u64, payload: &'static str) -> UserEvent {
        UserEvent {
            ltime: LamportTime(ltime),
            name: EventName::new("deploy").expect("a name"),
            payload: payload.into(),
            coalesce: false,
        }
    }

    #[test]
    fn each_event_counts_once() {
        let mut ring = EventRing::new(LamportTime(0), true);
        let clock = LamportTime(3);
        assert_eq!(ring.hear(clock, &event(3, "a")), Hearing::New);
        assert_eq!(ring.hear(clock, &event(3, "b")), Hearing::New);
        assert_eq!(ring.hear(clock, &event(3, "a")), Hearing::Known);
        let later = LamportTime(3 + limits::LAMPORT_WINDOW);
        assert_eq!(ring.hear(later, &event(3, "a")), Hearing::Old);
    }

    #[test]
    fn what_was_told_before_is_for_who_wants_it() {
        for (heard, replay, expected) in [
            (0, false, [Hearing::Before, Hearing::Before, Hearing::New]),
            (0, true, [Hearing::New, Hearing::New, Hearing::New]),
            (5, false, [Hearing::Before, Hearing::New, Hearing::New]),
        ] {
            let mut ring = EventRing::new(LamportTime(heard), replay);
            ring.begin(LamportTime(7));
            ring.await_begin();
            ring.begin(LamportTime(8));
            ring.begin(LamportTime(2));
            let clock = LamportTime(9);
            let all = [5, 8, 9].map(|ltime| ring.hear(clock, &event(ltime, "")));
            assert_eq!(all, expected, "{heard} {replay}");
        }
    }

    #[test]
    fn what_is_forgotten_is_not_taken_for_news() {
        let mut ring = EventRing::new(LamportTime(0), true);
        let most = limits::EVENTS_KEPT as u64 + 3;
        let clock = LamportTime(most);
        for ltime in 1..=most {
            assert_eq!(ring.hear(clock, &event(ltime, "")), Hearing::New);
        }
        assert_eq!(ring.newest(usize::MAX).count(), limits::EVENTS_KEPT);
        assert_eq!(ring.hear(clock, &event(3, "")), Hearing::Old);
        assert_eq!(ring.hear(clock, &event(4, "")), Hearing::Known);
    }
}
