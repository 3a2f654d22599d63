//! Pulling what nodes tell about themselves, point to point, from who is known to hold it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use shoal_api::{Instant, NodeId};

use crate::limits;
use crate::machine::Membership;
use crate::message::{Life, kind, wire};
use crate::schedule::Timer;
use crate::streams::Via;
use crate::table::Wish;

/// Tries in quick order, before the time between them doubles.
const QUICK_TRIES: u32 = 4;
/// Doublings of the time between two tries.
const DOUBLINGS: u32 = 6;

impl Membership {
    /// Notes that a version should be pulled; it is asked for before the step ends.
    pub(crate) fn wish(&mut self, node: NodeId, version: u64, source: Option<SocketAddr>) {
        let now = self.now;
        let Some(row) = self.table.get_mut(node) else {
            return;
        };
        if row.version >= version || row.wish.is_some_and(|wish| wish.version >= version) {
            return;
        }
        row.wish = Some(Wish {
            version,
            due: now,
            tries: 0,
            source,
        });
        self.wishing.insert(node);
        self.pull_due = now;
    }

    /// Asks for what is due: first whoever said to hold it, then the node itself, then by turns
    /// the node and a random member.
    pub(crate) fn pull(&mut self) {
        if self.wishing.is_empty() || self.now < self.pull_due {
            return;
        }
        let random = self.choose_up(1).first().map(|id| id.address);
        let mut asks: BTreeMap<SocketAddr, Vec<wire::Life>> = BTreeMap::new();
        let mut next = Instant::NEVER;
        let now = self.now;
        let nodes: Vec<_> = self.wishing.iter().copied().collect();
        for node in nodes {
            let Some(row) = self.table.get_mut(node) else {
                self.wishing.remove(&node);
                continue;
            };
            let (up, address, life) = (row.is_up(), row.identity.address, row.life());
            let Some(wish) = row.wish.as_mut().filter(|_| up) else {
                row.wish = None;
                self.wishing.remove(&node);
                continue;
            };
            if wish.due <= now {
                let to = match (wish.tries, wish.source) {
                    (0, Some(source)) => source,
                    (tries, _) if tries % 2 == 0 => address,
                    (_, _) => random.unwrap_or(address),
                };
                let asked = asks.entry(to).or_default();
                let doublings = wish.tries.saturating_sub(QUICK_TRIES).min(DOUBLINGS);
                if asked.len() < limits::PULLS_PER_DATAGRAM {
                    asked.push(Life { version: 0, ..life }.into());
                    wish.due = now + self.timing.pull * (1 << doublings);
                    wish.tries += 1;
                } else {
                    wish.due = now + self.timing.pull;
                }
            }
            next = next.min(wish.due);
        }
        for (to, nodes) in asks {
            self.stats.pulls += 1;
            self.send_message(to, kind::PULL, &wire::Pull { nodes });
        }
        self.pull_due = next;
        if !self.wishing.is_empty() {
            self.schedule.hasten(next, Timer::Pull);
        }
    }

    /// Sends what this node holds of what was asked for.
    pub(crate) fn answer_pull(&mut self, to: Via, nodes: &[NodeId]) {
        let metas: Vec<_> = (nodes.iter())
            .filter_map(|node| self.table.get(*node)?.meta())
            .map(|meta| wire::Meta::from(&meta))
            .collect();
        self.send_packed(to, kind::META, limits::PULL_REPLY_DATAGRAMS, metas);
    }
}
