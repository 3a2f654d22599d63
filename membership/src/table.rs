//! The table of members above SWIM: it adds leaving and left to what SWIM knows, remembers the gone
//! for a while, holds what each node tells about itself, and hashes all of it for synchronising.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use foca::State;
use shoal_api::member::{Member, MemberEvent, MemberStatus, Tags};
use shoal_api::{Dice, Instant, Name, NodeId};

use crate::coordinate::Coordinate;
use crate::identity::Identity;
use crate::limits;
use crate::message::{Entry, Life, Meta};

/// A wish for what a node tells about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The version that was seen, or 1 when only the life is known.
    pub version: u64,
    /// When to ask, again or at all.
    pub due: Instant,
    /// How often it was asked for.
    pub tries: u32,
    /// Who holds it, if it was heard from someone.
    pub source: Option<SocketAddr>,
}

/// One member.
///
/// Invariants: `member` has the id, generation and address of `identity`; `version` 0 means that
/// nothing is held for this life, and then the tags are empty; a wish is newer than what is held.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub member: Member,
    pub identity: Identity,
    pub incarnation: u16,
    /// What SWIM holds it for.
    pub state: State,
    /// It said that it leaves in this life.
    pub leaving: bool,
    /// Since when it has its status, as far as this node saw it.
    since: Instant,
    /// How long it had it before, as others saw it.
    aged: Duration,
    /// The version held.
    pub version: u64,
    pub wish: Option<Wish>,
    /// When it was last told that it is held for dead.
    pub told: Option<Instant>,
    /// It was declared dead by a node that was itself out of touch: nothing to spread.
    pub doubted: bool,
    /// An operator took this very identity, which is gone, off the list.
    pub removed: bool,
    /// Where it was when it last answered a probe.
    pub coordinate: Option<Box<Coordinate>>,
}

impl Row {
    /// Whether SWIM holds it for living, suspects too.
    pub fn is_up(&self) -> bool {
        is_up(self.member.status)
    }

    /// Whether SWIM suspects it, a leaving one too.
    pub fn is_suspect(&self) -> bool {
        self.state == State::Suspect
    }

    pub fn life(&self) -> Life {
        Life {
            node: self.identity.node,
            generation: self.identity.generation,
            version: self.version,
        }
    }

    /// What it tells about itself, if this node holds it.
    pub fn meta(&self) -> Option<Meta> {
        let name = self.member.name.clone().filter(|_| self.version > 0)?;
        Some(Meta {
            life: self.life(),
            name,
            tags: self.member.tags.clone(),
        })
    }

    /// How long it has its status. Never from the clock alone, which starts with the process.
    pub fn age(&self, now: Instant) -> Duration {
        now.since(self.since).saturating_add(self.aged)
    }

    pub fn entry(&self, now: Instant) -> Entry {
        let gone = !self.is_up();
        Entry {
            identity: self.identity,
            incarnation: self.incarnation,
            gone,
            leaving: self.leaving,
            removed: self.removed,
            age: if gone { self.age(now) } else { Duration::ZERO },
            meta: self.meta(),
        }
    }

    fn hash(&self) -> u32 {
        let mut bytes = Vec::with_capacity(limits::IDENTITY_BYTES + 10);
        self.identity.encode(&mut bytes);
        bytes.push(u8::from(self.is_up()));
        bytes.push(u8::from(self.leaving) | u8::from(self.removed) << 1);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        crc32fast::hash(&bytes)
    }

    fn status_of(&self, state: State) -> MemberStatus {
        match (state, self.leaving) {
            (State::Alive, false) => MemberStatus::Alive,
            (State::Suspect, false) => MemberStatus::Suspect,
            (State::Alive | State::Suspect, true) => MemberStatus::Leaving,
            (State::Down, false) if !self.removed => MemberStatus::Failed,
            (State::Down, true | false) => MemberStatus::Left,
        }
    }

    fn set_status(&mut self, now: Instant, status: MemberStatus) {
        if self.member.status != status {
            self.member.status = status;
            self.since = now;
            self.aged = Duration::ZERO;
        }
    }
}

fn is_up(status: MemberStatus) -> bool {
    match status {
        MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving => true,
        MemberStatus::Left | MemberStatus::Failed => false,
    }
}

/// All members, this node among them. At most [`limits::MEMBERS`].
#[derive(Debug)]
pub(crate) struct Table {
    me: NodeId,
    rows: BTreeMap<NodeId, Row>,
    /// Rows that are up, this node apart, in order.
    living: Vec<NodeId>,
    /// Identities that an operator had forgotten, the newest last: what others still know of them
    /// is no news. At most [`limits::PRUNED`].
    pruned: VecDeque<Identity>,
}

impl Table {
    pub fn new(now: Instant, identity: Identity, name: Name, tags: Tags) -> Table {
        let row = Row {
            member: Member {
                id: identity.node,
                generation: identity.generation,
                name: Some(name),
                gossip: identity.address,
                status: MemberStatus::Alive,
                tags,
            },
            identity,
            incarnation: 0,
            state: State::Alive,
            leaving: false,
            since: now,
            aged: Duration::ZERO,
            version: 1,
            wish: None,
            told: None,
            doubted: false,
            removed: false,
            coordinate: None,
        };
        Table {
            me: identity.node,
            rows: BTreeMap::from([(identity.node, row)]),
            living: Vec::new(),
            pruned: VecDeque::new(),
        }
    }

    pub fn get(&self, node: NodeId) -> Option<&Row> {
        self.rows.get(&node)
    }

    pub fn get_mut(&mut self, node: NodeId) -> Option<&mut Row> {
        self.rows.get_mut(&node)
    }

    pub fn me(&self) -> &Row {
        self.rows.get(&self.me).expect("the node knows itself")
    }

    pub fn me_mut(&mut self) -> &mut Row {
        self.rows.get_mut(&self.me).expect("the node knows itself")
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Everyone but this node.
    pub fn others(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .values()
            .filter(|row| row.identity.node != self.me)
    }

    /// Members that are up, this node apart.
    pub fn others_up(&self) -> usize {
        self.living.len()
    }

    /// Whether a member of that id is in the table or would fit.
    pub fn fits(&self, node: NodeId) -> bool {
        self.rows.contains_key(&node) || self.rows.len() < limits::MEMBERS
    }

    /// The living other member with that name, if there is one.
    pub fn holder_of(&self, name: &Name, except: NodeId) -> Option<NodeId> {
        self.rows
            .values()
            .find(|row| {
                row.is_up() && row.identity.node != except && row.member.name.as_ref() == Some(name)
            })
            .map(|row| row.identity.node)
    }

    /// Takes over what SWIM says of another member.
    pub fn observe(
        &mut self,
        now: Instant,
        identity: Identity,
        incarnation: u16,
        state: State,
    ) -> Option<MemberEvent> {
        assert_ne!(identity.node, self.me, "SWIM reports others only");
        let Some(row) = self.rows.get_mut(&identity.node) else {
            return Some(self.insert(now, identity, incarnation, state));
        };
        let before = row.member.clone();
        let reborn = identity.generation > row.identity.generation;
        if reborn {
            // Tags belong to a life; the name is a label that stays until it is heard again.
            row.leaving = false;
            row.version = 0;
            row.wish = None;
            row.member.tags = Tags::new();
        }
        row.doubted &= row.identity == identity && state == State::Down;
        row.removed &= row.identity == identity && state == State::Down;
        row.identity = identity;
        row.incarnation = incarnation;
        row.state = state;
        row.member.generation = identity.generation;
        row.member.gossip = identity.address;
        let status = row.status_of(state);
        row.set_status(now, status);
        let member = row.member.clone();
        self.count_living(identity.node, is_up(member.status));
        let back = is_up(member.status) && (reborn || !is_up(before.status));
        if back {
            Some(MemberEvent::Joined(member))
        } else if before.status != member.status {
            Some(MemberEvent::StatusChanged(member))
        } else if before != member {
            Some(MemberEvent::Updated(member))
        } else {
            None
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        identity: Identity,
        incarnation: u16,
        state: State,
    ) -> MemberEvent {
        let mut row = Row {
            member: Member {
                id: identity.node,
                generation: identity.generation,
                name: None,
                gossip: identity.address,
                status: MemberStatus::Alive,
                tags: Tags::new(),
            },
            identity,
            incarnation,
            state,
            leaving: false,
            since: now,
            aged: Duration::ZERO,
            version: 0,
            wish: None,
            told: None,
            doubted: false,
            removed: false,
            coordinate: None,
        };
        row.member.status = row.status_of(state);
        let member = row.member.clone();
        let up = row.is_up();
        self.rows.insert(identity.node, row);
        if up {
            self.count_living(identity.node, true);
            MemberEvent::Joined(member)
        } else {
            MemberEvent::StatusChanged(member)
        }
    }

    /// Takes note that a life is leaving. Nothing if that is known or it is not the life that is
    /// known.
    pub fn set_leaving(&mut self, now: Instant, life: Life) -> Option<MemberEvent> {
        let row = self.rows.get_mut(&life.node)?;
        if row.identity.generation != life.generation || row.leaving {
            return None;
        }
        row.leaving = true;
        // What was declared dead has left, at the same time.
        match row.member.status {
            MemberStatus::Alive | MemberStatus::Suspect => {
                row.set_status(now, MemberStatus::Leaving);
            }
            MemberStatus::Failed => row.member.status = MemberStatus::Left,
            MemberStatus::Leaving | MemberStatus::Left => {}
        }
        Some(MemberEvent::StatusChanged(row.member.clone()))
    }

    /// Takes note that an operator takes an identity that is gone off the list. Nothing if that is
    /// known.
    pub fn set_removed(&mut self, identity: Identity) -> Option<MemberEvent> {
        let row = self.rows.get_mut(&identity.node)?;
        if row.is_up() || row.identity != identity || row.removed {
            return None;
        }
        row.removed = true;
        let was = std::mem::replace(&mut row.member.status, MemberStatus::Left);
        (was != MemberStatus::Left).then(|| MemberEvent::StatusChanged(row.member.clone()))
    }

    /// Takes note that an identity is to be forgotten. False if that is known.
    pub fn note_pruned(&mut self, identity: Identity) -> bool {
        if self.pruned.contains(&identity) {
            return false;
        }
        self.pruned.push_back(identity);
        if self.pruned.len() > limits::PRUNED {
            self.pruned.pop_front();
        }
        true
    }

    /// Whether that very identity was forgotten on an operator's word.
    pub fn was_pruned(&self, identity: &Identity) -> bool {
        self.pruned.contains(identity)
    }

    /// Takes what a node tells about itself, if it is of the life that is known and newer than
    /// what is held.
    pub fn set_meta(&mut self, meta: &Meta) -> Option<MemberEvent> {
        let row = self.rows.get_mut(&meta.life.node)?;
        let news = meta.life.generation == row.identity.generation
            && meta.life.version > row.version
            && meta.life.node != self.me;
        if !news {
            return None;
        }
        row.version = meta.life.version;
        if row.wish.is_some_and(|wish| wish.version <= row.version) {
            row.wish = None;
        }
        row.member.name = Some(meta.name.clone());
        row.member.tags = meta.tags.clone();
        Some(MemberEvent::Updated(row.member.clone()))
    }

    /// Takes over a member that another node knows as gone.
    pub fn remember(&mut self, now: Instant, entry: &Entry) -> MemberEvent {
        assert!(entry.gone);
        let _unheard = self.insert(now, entry.identity, entry.incarnation, State::Down);
        let row = self.rows.get_mut(&entry.identity.node).expect("inserted");
        row.leaving = entry.leaving;
        row.removed = entry.removed;
        row.aged = entry.age;
        row.member.status = row.status_of(State::Down);
        MemberEvent::StatusChanged(row.member.clone())
    }

    /// Whether that very suspicion stands.
    pub fn stands(&self, identity: &Identity, incarnation: u16) -> bool {
        let row = self.rows.get(&identity.node);
        row.is_some_and(|row| {
            row.identity == *identity && row.incarnation == incarnation && row.is_suspect()
        })
    }

    /// That many random living others, or all.
    pub fn choose_up(&self, count: usize, dice: &mut Dice) -> Vec<Identity> {
        let count = count.min(self.living.len());
        let mut chosen: Vec<usize> = Vec::with_capacity(count);
        // Each further one is drawn from the ranks that are left (Floyd's way).
        for last in self.living.len() - count..self.living.len() {
            let rank = dice.below(last as u64 + 1) as usize;
            chosen.push(if chosen.contains(&rank) { last } else { rank });
        }
        dice.shuffle(&mut chosen);
        let row = |rank: usize| &self.rows[&self.living[rank]];
        chosen.into_iter().map(|rank| row(rank).identity).collect()
    }

    fn count_living(&mut self, node: NodeId, up: bool) {
        match (self.living.binary_search(&node), up) {
            (Err(at), true) => self.living.insert(at, node),
            (Ok(at), false) => drop(self.living.remove(at)),
            (Ok(_), true) | (Err(_), false) => {}
        }
    }

    /// Doubts all deaths: this node was out of touch, so it may have been the others' loss of it.
    pub fn doubt_deaths(&mut self) {
        for row in self.rows.values_mut() {
            row.doubted = row.member.status == MemberStatus::Failed;
        }
    }

    /// Whether that very death is doubted.
    pub fn doubts(&self, identity: &Identity) -> bool {
        self.rows
            .get(&identity.node)
            .is_some_and(|row| row.doubted && row.identity == *identity)
    }

    /// Forgets one member that is gone.
    pub fn remove(&mut self, node: NodeId) -> Option<Identity> {
        assert!(self.rows.get(&node).is_none_or(|row| !row.is_up()));
        self.rows.remove(&node).map(|row| row.identity)
    }

    /// The bucket of a node: six bits of a hash of its id.
    pub fn bucket(node: NodeId) -> usize {
        (crc32fast::hash(&node.0.to_be_bytes()) >> 26) as usize
    }

    /// A hash per bucket over everything that nodes should agree on.
    pub fn digest(&self) -> Vec<u32> {
        let mut buckets = vec![0_u32; limits::SYNC_BUCKETS];
        for row in self.rows.values() {
            let bucket = &mut buckets[Table::bucket(row.identity.node)];
            *bucket = bucket.wrapping_add(row.hash());
        }
        buckets
    }

    /// The statement of [`Row`] and the count, checked.
    pub fn assert_sound(&self) {
        let mut up = 0;
        for (node, row) in &self.rows {
            assert_eq!(*node, row.identity.node);
            assert_eq!(row.member.id, *node);
            assert_eq!(row.member.generation, row.identity.generation);
            assert_eq!(row.member.gossip, row.identity.address);
            assert!(row.version > 0 || row.member.tags.is_empty());
            assert!(row.wish.is_none_or(|wish| wish.version > row.version));
            up += usize::from(row.is_up() && *node != self.me);
        }
        assert_eq!(up, self.living.len());
        assert!(self.rows.len() <= limits::MEMBERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::identity;

    const NOW: Instant = Instant::from_nanos(5);

    fn table() -> Table {
        let me = identity(1, 1, 0, "10.0.0.1:1");
        Table::new(NOW, me, Name::new("me").expect("a name"), Tags::new())
    }

    fn status(table: &Table) -> MemberStatus {
        table.get(NodeId(2)).expect("known").member.status
    }

    #[test]
    fn leaving_tells_left_from_failed() {
        let two = identity(2, 1, 0, "10.0.0.2:1");
        let life = Life {
            node: two.node,
            generation: two.generation,
            version: 0,
        };
        let mut table = table();
        assert_eq!(table.set_leaving(NOW, life), None);
        table.observe(NOW, two, 0, State::Alive);
        table.observe(NOW, two, 0, State::Down);
        assert_eq!(status(&table), MemberStatus::Failed);
        table.set_leaving(NOW, life);
        assert_eq!(status(&table), MemberStatus::Left);
        let reborn = identity(2, 2, 0, "10.0.0.2:1");
        let event = table.observe(NOW, reborn, 0, State::Alive);
        assert!(matches!(event, Some(MemberEvent::Joined(_))));
        assert_eq!(table.set_leaving(NOW, life), None);
        assert_eq!(status(&table), MemberStatus::Alive);
        table.assert_sound();
    }

    #[test]
    fn a_newer_life_forgets_tags_and_keeps_the_name() {
        let two = identity(2, 1, 0, "10.0.0.2:1");
        let mut table = table();
        table.observe(NOW, two, 0, State::Alive);
        let meta = Meta {
            life: Life {
                node: two.node,
                generation: two.generation,
                version: 3,
            },
            name: Name::new("two").expect("a name"),
            tags: [("a".into(), "b".into())].into(),
        };
        assert!(table.set_meta(&meta).is_some());
        assert_eq!(table.set_meta(&meta), None, "the same again is no news");
        table.observe(NOW, identity(2, 2, 0, "10.0.0.2:1"), 0, State::Alive);
        let row = table.get(NodeId(2)).expect("known");
        assert_eq!(row.member.name.as_ref().map(Name::as_str), Some("two"));
        assert!(row.member.tags.is_empty() && row.version == 0);
        assert_eq!(table.set_meta(&meta), None, "an older life is refused");
        table.assert_sound();
    }
}
