//! Decline filters: what a client refused, on which agent, until when.
//!
//! A filter blocks an offer only if what is offered lies within what was refused. Soft state of the
//! leader: a new leader starts with none. Source: Mesos, facts 3.7 and 3.8.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shoal_api::{Instant, Resources};

use super::bitset::Bitset;
use super::limits::{FILTER_LIFE_MAX, FILTER_LIFE_MIN, FILTER_TICK, FILTERS};

/// Clients that refused the same resources of one agent.
#[derive(Clone, Debug)]
struct Group {
    number: u64,
    refused: Resources,
    clients: Bitset,
    count: usize,
}

/// One filter: who, where, which refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    client: u32,
    agent: u32,
    group: u64,
}

/// All filters.
///
/// # Invariants
/// - `until` and `expiries` hold the same filters, at most [`FILTERS`];
/// - each of them has its bit in its group, and no group is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters {
    groups: BTreeMap<u32, Vec<Group>>,
    until: BTreeMap<Key, Instant>,
    expiries: BTreeSet<(Instant, Key)>,
    last_group: u64,
    dropped: usize,
}

/// When a filter that begins at `now` ends; `None` if it is none.
fn end_of(now: Instant, refuse: Duration) -> Option<Instant> {
    if refuse.is_zero() {
        return None;
    }
    let end = (now + refuse.clamp(FILTER_LIFE_MIN, FILTER_LIFE_MAX)).as_nanos();
    let tick = FILTER_TICK.as_nanos() as u64;
    Some(Instant::from_nanos(end.div_ceil(tick).saturating_mul(tick)))
}

impl Filters {
    /// A client refused resources of an agent. Returns an agent whose filter was dropped for room.
    pub(super) fn refuse(
        &mut self,
        client: u32,
        agent: u32,
        refused: &Resources,
        refuse: Duration,
        now: Instant,
    ) -> Option<u32> {
        let end = end_of(now, refuse)?;
        let mut evicted = None;
        if self.until.len() >= FILTERS {
            let (_, first) = *self.expiries.first().expect("a full set has a first");
            self.drop_one(first);
            self.dropped += 1;
            evicted = Some(first.agent);
        }
        let group = self.join_group(client, agent, refused);
        let key = Key {
            client,
            agent,
            group,
        };
        let end = match self.until.get(&key) {
            Some(&old) => {
                self.expiries.remove(&(old, key));
                old.max(end)
            }
            None => end,
        };
        self.until.insert(key, end);
        self.expiries.insert((end, key));
        evicted
    }

    fn join_group(&mut self, client: u32, agent: u32, refused: &Resources) -> u64 {
        let groups = self.groups.entry(agent).or_default();
        let at = match groups.iter().position(|group| group.refused == *refused) {
            Some(at) => at,
            None => {
                self.last_group += 1;
                groups.push(Group {
                    number: self.last_group,
                    refused: refused.clone(),
                    clients: Bitset::default(),
                    count: 0,
                });
                groups.len() - 1
            }
        };
        let group = &mut groups[at];
        if !group.clients.contains(client) {
            group.clients.insert(client);
            group.count += 1;
        }
        group.number
    }

    /// Takes the clients out of `eligible` that refused what is `free` on an agent.
    pub(super) fn apply(&self, agent: u32, free: &Resources, eligible: &mut Bitset) {
        let Some(groups) = self.groups.get(&agent) else {
            return;
        };
        for group in groups {
            if group.refused.contains(free) {
                eligible.subtract(&group.clients);
            }
        }
    }

    /// Whether a client refused what it would be offered of an agent.
    pub(super) fn blocks(&self, agent: u32, client: u32, part: &Resources) -> bool {
        let groups = self.groups.get(&agent).map_or(&[][..], Vec::as_slice);
        let blocks = |g: &Group| g.clients.contains(client) && g.refused.contains(part);
        groups.iter().any(blocks)
    }

    /// Ends what is due; the agents concerned are worth a visit.
    pub(super) fn expire(&mut self, now: Instant, mut visit: impl FnMut(u32)) {
        while let Some(&(end, key)) = self.expiries.first() {
            if end > now {
                break;
            }
            self.drop_one(key);
            visit(key.agent);
        }
    }

    /// When the next filter ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.expiries.first().map(|(end, _)| *end)
    }

    /// Ends all filters of a client.
    pub(super) fn forget_client(&mut self, client: u32) {
        let low = Key {
            client,
            agent: 0,
            group: 0,
        };
        let high = Key {
            client,
            agent: u32::MAX,
            group: u64::MAX,
        };
        let keys: Vec<Key> = self.until.range(low..=high).map(|(key, _)| *key).collect();
        for key in keys {
            self.drop_one(key);
        }
    }

    /// Ends all filters on an agent.
    pub(super) fn forget_agent(&mut self, agent: u32) {
        for group in self.groups.remove(&agent).unwrap_or_default() {
            for client in group.clients.iter() {
                let key = Key {
                    client,
                    agent,
                    group: group.number,
                };
                if let Some(end) = self.until.remove(&key) {
                    self.expiries.remove(&(end, key));
                }
            }
        }
    }

    /// Filters dropped for room since the start.
    pub(super) fn dropped(&self) -> usize {
        self.dropped
    }

    /// Filters there are.
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    fn drop_one(&mut self, key: Key) {
        let end = self.until.remove(&key).expect("a listed filter has an end");
        self.expiries.remove(&(end, key));
        let groups = self
            .groups
            .get_mut(&key.agent)
            .expect("a filter has a group");
        let at = groups
            .iter()
            .position(|group| group.number == key.group)
            .expect("a filter has a group");
        groups[at].clients.remove(key.client);
        groups[at].count -= 1;
        if groups[at].count == 0 {
            groups.remove(at);
        }
        if groups.is_empty() {
            self.groups.remove(&key.agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn parse(text: &str) -> Resources {
        Resources::parse(text).expect(text)
    }

    fn blocked(filters: &Filters, agent: u32, free: &str) -> Vec<u32> {
        let mut all = Bitset::default();
        (0..4).for_each(|client| all.insert(client));
        let mut left = all.clone();
        filters.apply(agent, &parse(free), &mut left);
        all.subtract(&left);
        all.iter().collect()
    }

    #[test]
    fn a_filter_blocks_what_lies_within_the_refusal() {
        let mut filters = Filters::default();
        filters.refuse(1, 7, &parse("cpus:2;mem:64"), MINUTE, Instant::ZERO);
        assert_eq!(blocked(&filters, 7, "cpus:2;mem:64"), [1]);
        assert_eq!(blocked(&filters, 7, "cpus:1"), [1]);
        assert!(blocked(&filters, 7, "cpus:3;mem:64").is_empty());
        assert!(blocked(&filters, 8, "cpus:1").is_empty());
    }

    #[test]
    fn zero_is_no_filter_and_a_short_one_lives_an_interval() {
        let mut filters = Filters::default();
        filters.refuse(1, 7, &parse("cpus:2"), Duration::ZERO, Instant::ZERO);
        assert_eq!(filters.len(), 0);
        filters.refuse(
            1,
            7,
            &parse("cpus:2"),
            Duration::from_millis(1),
            Instant::ZERO,
        );
        assert_eq!(filters.next_end(), Some(Instant::ZERO + FILTER_LIFE_MIN));
        filters.refuse(1, 7, &parse("cpus:2"), Duration::MAX, Instant::ZERO);
        assert_eq!(filters.next_end(), Some(Instant::ZERO + FILTER_LIFE_MAX));
    }

    #[test]
    fn they_end_by_time_by_client_and_by_agent() {
        let mut filters = Filters::default();
        for (client, agent) in [(1, 7), (2, 7), (1, 8), (3, 9)] {
            filters.refuse(client, agent, &parse("cpus:2"), MINUTE, Instant::ZERO);
        }
        filters.refuse(3, 10, &parse("cpus:1"), MINUTE * 2, Instant::ZERO);
        filters.forget_client(1);
        assert_eq!(blocked(&filters, 7, "cpus:2"), [2]);
        filters.forget_agent(7);
        assert_eq!(filters.len(), 2);
        let mut visited = Vec::new();
        filters.expire(Instant::ZERO + MINUTE, |agent| visited.push(agent));
        assert_eq!(visited, [9]);
        filters.expire(Instant::ZERO + MINUTE * 2, |agent| visited.push(agent));
        assert_eq!(visited, [9, 10]);
        assert!(filters.groups.is_empty() && filters.expiries.is_empty());
    }
}
