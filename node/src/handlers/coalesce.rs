//! Gathering what happens to members for a moment, so that a script runs once for many.
//!
//! Source: Serf, whose agent waits for a second of quiet, and for three at most.

use std::collections::BTreeMap;

use shoal_api::NodeId;
use shoal_api::member::{Member, MemberEvent, MemberStatus};
use shoal_membership::UserEvent;
use tokio::time::Instant;

use super::is_internal;
use super::job::Occasion;
use crate::gossip::Happening;
use crate::limits;

/// What waits to be told to scripts. Bounded by the members, and by the names of events that allow it.
#[derive(Debug, Default)]
pub struct Coalescer {
    /// The newest that is known of each member.
    known: BTreeMap<NodeId, Member>,
    /// What happened to members, the last of each.
    members: BTreeMap<NodeId, &'static str>,
    events: BTreeMap<String, Vec<UserEvent>>,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Coalescer {
    /// With the members that are known at the start.
    pub fn new(members: &[Member]) -> Coalescer {
        let known = members.iter().map(|member| (member.id, member.clone()));
        Coalescer {
            known: known.collect(),
            ..Coalescer::default()
        }
    }

    /// The node itself is the first that joins.
    pub fn starts(&mut self, me: Member, now: Instant) {
        self.note(me, "member-join", now);
    }

    /// Takes what happens; what need not wait is given back.
    pub fn take(&mut self, happening: Happening, now: Instant) -> Option<Occasion> {
        if is_internal(&happening) {
            return None;
        }
        match happening {
            Happening::Query(query) => return Some(Occasion::Query(query)),
            Happening::Event(event) if !event.coalesce => return Some(Occasion::Event(event)),
            Happening::Event(event) => self.note_event(event, now),
            Happening::Member(event) => self.note_member(event, now),
        }
        None
    }

    fn note_member(&mut self, event: MemberEvent, now: Instant) {
        match event {
            MemberEvent::Joined(member) => self.note(member, "member-join", now),
            MemberEvent::Updated(member) => self.note(member, "member-update", now),
            MemberEvent::StatusChanged(member) => match member.status {
                MemberStatus::Left => self.note(member, "member-leave", now),
                MemberStatus::Failed => self.note(member, "member-failed", now),
                MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving => {
                    self.known.insert(member.id, member);
                }
            },
            MemberEvent::Reaped(id) => {
                if let Some(member) = self.known.get(&id).cloned() {
                    self.note(member, "member-reap", now);
                }
            }
        }
    }

    fn note(&mut self, member: Member, word: &'static str, now: Instant) {
        let id = member.id;
        self.known.insert(id, member);
        // Who joins tells its name and tags a moment later: that is part of joining.
        let joins = self.members.get(&id) == Some(&"member-join");
        if !(joins && word == "member-update") {
            self.members.insert(id, word);
        }
        self.beat(now);
    }

    fn note_event(&mut self, event: UserEvent, now: Instant) {
        let held = self
            .events
            .entry(event.name.as_str().to_owned())
            .or_default();
        match held.first().map(|first| first.ltime) {
            Some(ltime) if ltime > event.ltime => {}
            Some(ltime) if ltime == event.ltime => held.push(event),
            Some(_) | None => *held = vec![event],
        }
        self.beat(now);
    }

    fn beat(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.last = Some(now);
    }

    /// When what waits is to be flushed.
    pub fn due(&self) -> Option<Instant> {
        let quiet = self.last? + limits::HANDLER_COALESCE;
        Some(quiet.min(self.since? + limits::HANDLER_COALESCE_MOST))
    }

    /// All that waits, by kind; members whose name is not known yet wait on.
    pub fn flush(&mut self, now: Instant) -> Vec<Occasion> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        (self.since, self.last) = (None, None);
        let mut kinds: BTreeMap<&'static str, Vec<Member>> = BTreeMap::new();
        for (id, word) in std::mem::take(&mut self.members) {
            let Some(member) = self.known.get(&id) else {
                continue;
            };
            if member.name.is_none() && word != "member-reap" {
                self.members.insert(id, word);
                continue;
            }
            kinds.entry(word).or_default().push(member.clone());
            if word == "member-reap" {
                self.known.remove(&id);
            }
        }
        let events = std::mem::take(&mut self.events).into_values().flatten();
        let members = kinds.into_iter();
        members
            .map(|(word, members)| Occasion::Members(word, members))
            .chain(events.map(Occasion::Event))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shoal_api::{Generation, Name};
    use shoal_membership::{EventName, LamportTime};

    use super::*;

    fn member(number: u8, name: Option<&str>, status: MemberStatus) -> Member {
        Member {
            id: NodeId(number.into()),
            generation: Generation(1),
            name: name.map(|name| Name::new(name).expect("a name")),
            gossip: "10.0.0.7:7946".parse().expect("an address"),
            status,
            tags: [].into(),
        }
    }

    fn event(ltime: u64) -> Happening {
        Happening::Event(UserEvent {
            ltime: LamportTime(ltime),
            name: EventName::new("reload").expect("a name"),
            payload: bytes::Bytes::new(),
            coalesce: true,
        })
    }

    #[tokio::test]
    async fn a_burst_is_one_run_for_each_kind() {
        let start = Instant::now();
        let mut all = Coalescer::new(&[]);
        let alive = MemberStatus::Alive;
        for happening in [
            MemberEvent::Joined(member(1, None, alive)),
            MemberEvent::Updated(member(1, Some("a"), alive)),
            MemberEvent::Joined(member(2, Some("b"), alive)),
            MemberEvent::Joined(member(3, None, alive)),
            MemberEvent::StatusChanged(member(2, Some("b"), MemberStatus::Failed)),
        ] {
            assert_eq!(all.take(Happening::Member(happening), start), None);
        }
        for ltime in [5, 9, 7] {
            assert_eq!(all.take(event(ltime), start), None);
        }
        let later = start + limits::HANDLER_COALESCE;
        assert_eq!(all.due(), Some(later));
        assert_eq!(all.flush(later - Duration::from_millis(1)), []);
        let flushed = all.flush(later);
        let said: Vec<_> = (flushed.iter())
            .map(|occasion| match occasion {
                Occasion::Members(word, members) => format!("{word} {}", members[0].id.0),
                Occasion::Event(event) => format!("{} {}", event.name, event.ltime),
                Occasion::Query(_) => "query".to_owned(),
            })
            .collect();
        assert_eq!(said, ["member-failed 2", "member-join 1", "reload 9"]);
        all.take(
            Happening::Member(MemberEvent::Updated(member(3, Some("c"), alive))),
            later,
        );
        let most = later + limits::HANDLER_COALESCE_MOST;
        let joined = Occasion::Members("member-join", vec![member(3, Some("c"), alive)]);
        assert_eq!(all.flush(most), [joined]);
    }
}
