//! Who is next: roles by weighted dominant share, in each role frameworks by dominant share.
//!
//! Order only. Whether the next one may have a given agent is the caller's knowledge, handed in as a
//! set of eligible clients.

use std::collections::BTreeMap;

use shoal_api::{FrameworkId, Role};

use super::bitset::Bitset;
use super::limits::ORDERED_ATTEMPTS;
use super::share::{Scalars, Totals};
use super::tournament::{Key, Tournament};

/// A framework in one of its roles.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) framework: FrameworkId,
    pub(super) role: Role,
    /// What the ledger says it holds.
    pub(super) used: Scalars,
    /// What plans promise it that the ledger does not show yet.
    pub(super) promised: Scalars,
    /// Offers made to it since this master leads.
    pub(super) allocations: u64,
    /// Where it stands in the order: its role's position, and its own within the role.
    role_position: u32,
    position: u32,
}

impl Client {
    fn total(&self) -> Scalars {
        let mut total = self.used;
        total.add(&self.promised);
        total
    }
}

#[derive(Clone, Debug, Default)]
struct RoleRank {
    /// Slots in order of framework id.
    clients: Vec<u32>,
    tree: Tournament,
    used: Scalars,
    allocations: u64,
    weight: u32,
}

/// All clients in order.
///
/// # Invariants
/// - a client's key in its role's tree is its share while it is active, else [`Key::OUT`];
/// - a role's key is its weighted share while it has an active client, else [`Key::OUT`];
/// - both hold whenever `stale` is false.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    slots: Vec<Option<Client>>,
    free: Vec<u32>,
    by_name: BTreeMap<(Role, FrameworkId), u32>,
    active: Bitset,
    weights: BTreeMap<Role, u32>,
    roles: Vec<RoleRank>,
    tree: Tournament,
    stale: bool,
    scratch: Scratch,
}

/// What a search took out of the trees and must put back; kept for its memory.
#[derive(Clone, Debug, Default)]
struct Scratch {
    clients: Vec<(u32, u32, Key)>,
    roles: Vec<(u32, Key)>,
}

impl Ranking {
    /// The slot of a client, made if there is none.
    pub(super) fn slot(&mut self, framework: &FrameworkId, role: &Role) -> u32 {
        let name = (role.clone(), framework.clone());
        if let Some(&slot) = self.by_name.get(&name) {
            return slot;
        }
        let client = Client {
            framework: framework.clone(),
            role: role.clone(),
            used: Scalars::default(),
            promised: Scalars::default(),
            allocations: 0,
            role_position: 0,
            position: 0,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(client);
                slot
            }
            None => {
                self.slots.push(Some(client));
                self.slots.len() as u32 - 1
            }
        };
        self.by_name.insert(name, slot);
        self.stale = true;
        slot
    }

    /// The slot of a client that is known.
    pub(super) fn find(&self, framework: &FrameworkId, role: &Role) -> Option<u32> {
        self.by_name
            .get(&(role.clone(), framework.clone()))
            .copied()
    }

    pub(super) fn client(&self, slot: u32) -> &Client {
        self.slots[slot as usize]
            .as_ref()
            .expect("a slot in use has a client")
    }

    /// Forgets a client.
    pub(super) fn remove(&mut self, slot: u32) {
        let client = self.slots[slot as usize]
            .take()
            .expect("a slot in use has a client");
        self.by_name.remove(&(client.role, client.framework));
        self.active.remove(slot);
        self.free.push(slot);
        self.stale = true;
    }

    /// Those that want offers.
    pub(super) fn active(&self) -> &Bitset {
        &self.active
    }

    /// Says whether a client wants offers; true if that is new.
    pub(super) fn set_active(&mut self, slot: u32, active: bool) -> bool {
        if self.active.contains(slot) == active {
            return false;
        }
        if active {
            self.active.insert(slot);
        } else {
            self.active.remove(slot);
        }
        self.stale = true;
        active
    }

    pub(super) fn set_weight(&mut self, role: &Role, weight: u32) {
        if self.weights.get(role) != Some(&weight) {
            self.weights.insert(role.clone(), weight);
            self.stale = true;
        }
    }

    /// What the ledger says a client holds.
    pub(super) fn set_used(&mut self, slot: u32, used: Scalars, totals: &Totals) {
        let before = self.client(slot).used;
        if before != used {
            self.change(slot, &before, &used, totals, |client| client.used = used);
        }
    }

    /// A plan gives a client something.
    pub(super) fn promise(&mut self, slot: u32, more: &Scalars, totals: &Totals) {
        assert!(!self.stale, "the order is refreshed before a pass");
        let role = self.client(slot).role_position as usize;
        self.roles[role].allocations += 1;
        self.change(slot, &Scalars::default(), more, totals, |client| {
            client.promised.add(more);
            client.allocations += 1;
        });
    }

    /// The ledger has answered to what a plan gave.
    pub(super) fn settle(&mut self, slot: u32, less: &Scalars, totals: &Totals) {
        self.change(slot, less, &Scalars::default(), totals, |client| {
            client.promised.subtract(less);
        });
    }

    fn change(
        &mut self,
        slot: u32,
        less: &Scalars,
        more: &Scalars,
        totals: &Totals,
        edit: impl FnOnce(&mut Client),
    ) {
        let client = self.slots[slot as usize]
            .as_mut()
            .expect("a slot in use has a client");
        edit(client);
        if self.stale {
            return;
        }
        let (role_position, position) = (client.role_position, client.position);
        let role = &mut self.roles[role_position as usize];
        role.used.subtract(less);
        role.used.add(more);
        if self.active.contains(slot) {
            let key = Key {
                share: totals.share(&client.total(), 1_000),
                allocations: client.allocations,
            };
            role.tree.set(position, key);
        }
        if role.tree.winner().is_some() {
            let key = Key {
                share: totals.share(&role.used, role.weight),
                allocations: role.allocations,
            };
            self.tree.set(role_position, key);
        }
    }

    /// All shares change when the totals do.
    pub(super) fn totals_changed(&mut self) {
        self.stale = true;
    }

    /// Brings the order up to date after anything but a change of usage.
    pub(super) fn refresh(&mut self, totals: &Totals) {
        if !self.stale {
            return;
        }
        self.stale = false;
        self.roles.clear();
        let mut last: Option<&Role> = None;
        for ((role, _), &slot) in &self.by_name {
            if last != Some(role) {
                last = Some(role);
                self.roles.push(RoleRank {
                    weight: self.weights.get(role).copied().unwrap_or(1_000),
                    ..RoleRank::default()
                });
            }
            let role_position = self.roles.len() as u32 - 1;
            let rank = self
                .roles
                .last_mut()
                .expect("a role was pushed before its clients");
            let client = self.slots[slot as usize]
                .as_mut()
                .expect("a named slot has a client");
            client.role_position = role_position;
            client.position = rank.clients.len() as u32;
            rank.used.add(&client.total());
            rank.allocations += client.allocations;
            rank.clients.push(slot);
        }
        self.rank(totals);
    }

    /// Builds the trees of all roles and the tree of roles.
    fn rank(&mut self, totals: &Totals) {
        let mut role_keys = Vec::with_capacity(self.roles.len());
        for rank in &mut self.roles {
            let keys = rank.clients.iter().map(|&slot| {
                let client = self.slots[slot as usize]
                    .as_ref()
                    .expect("listed clients exist");
                if !self.active.contains(slot) {
                    return Key::OUT;
                }
                Key {
                    share: totals.share(&client.total(), 1_000),
                    allocations: client.allocations,
                }
            });
            rank.tree = Tournament::new(keys.collect());
            role_keys.push(match rank.tree.winner() {
                Some(_) => Key {
                    share: totals.share(&rank.used, rank.weight),
                    allocations: rank.allocations,
                },
                None => Key::OUT,
            });
        }
        self.tree = Tournament::new(role_keys);
    }

    /// The first in order of those eligible; all of them must be active.
    ///
    /// The order is tried from the top for a bounded number of steps; if many of the first are not
    /// eligible, the eligible ones are compared one by one.
    pub(super) fn first(&mut self, eligible: &Bitset) -> Option<u32> {
        assert!(!self.stale, "the order is refreshed before it is asked");
        let count = eligible.len();
        if count == 0 {
            return None;
        }
        if count <= ORDERED_ATTEMPTS {
            return self.compare(eligible);
        }
        self.search(eligible).or_else(|| self.compare(eligible))
    }

    fn search(&mut self, eligible: &Bitset) -> Option<u32> {
        let mut attempts = 0;
        let mut found = None;
        'roles: while let Some(role) = self.tree.winner() {
            let rank = &mut self.roles[role as usize];
            while let Some(player) = rank.tree.winner() {
                let slot = rank.clients[player as usize];
                if eligible.contains(slot) {
                    found = Some(slot);
                    break 'roles;
                }
                attempts += 1;
                if attempts > ORDERED_ATTEMPTS {
                    break 'roles;
                }
                self.scratch
                    .clients
                    .push((role, player, rank.tree.key(player)));
                rank.tree.set(player, Key::OUT);
            }
            self.scratch.roles.push((role, self.tree.key(role)));
            self.tree.set(role, Key::OUT);
        }
        for (role, player, key) in self.scratch.clients.drain(..) {
            self.roles[role as usize].tree.set(player, key);
        }
        for (role, key) in self.scratch.roles.drain(..) {
            self.tree.set(role, key);
        }
        found
    }

    fn compare(&self, eligible: &Bitset) -> Option<u32> {
        eligible.iter().min_by_key(|&slot| {
            let client = self.client(slot);
            let role_key = self.tree.key(client.role_position);
            let key = self.roles[client.role_position as usize]
                .tree
                .key(client.position);
            (role_key, client.role_position, key, client.position)
        })
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::{Dice, Resources};

    use super::*;

    /// A search from the top and a comparison of all find the same, and leave the order as it was.
    #[test]
    fn both_ways_to_the_first_agree() {
        let mut dice = Dice::new(3);
        let mut totals = Totals::default();
        let (all, _) = totals.scalars(&Resources::parse("cpus:1000").unwrap());
        totals.replace(&Scalars::default(), &all);
        let mut ranking = Ranking::default();
        let slots: Vec<u32> = (0..200)
            .map(|i| {
                let framework = FrameworkId::new(&format!("f{i}")).unwrap();
                let role = Role::new(&format!("r{}", dice.below(9))).unwrap();
                ranking.slot(&framework, &role)
            })
            .collect();
        for &slot in &slots {
            ranking.set_active(slot, dice.chance(800));
        }
        for _ in 0..1_000 {
            ranking.refresh(&totals);
            let mut eligible = ranking.active().clone();
            let odds = dice.below(1_000) as u16;
            for &slot in &slots {
                if dice.chance(odds) {
                    eligible.remove(slot);
                }
            }
            let compared = ranking.compare(&eligible);
            if let Some(found) = ranking.search(&eligible) {
                assert_eq!(Some(found), compared);
            }
            assert_eq!(ranking.first(&eligible), compared);
            if let Some(slot) = compared {
                let amount = dice.below(3);
                let text = format!("cpus:{amount}.5");
                let (more, _) = totals.scalars(&Resources::parse(&text).unwrap());
                ranking.promise(slot, &more, &totals);
            }
            if dice.chance(50) {
                let slot = slots[dice.below(200) as usize];
                ranking.set_active(slot, dice.chance(500));
            }
        }
    }
}
