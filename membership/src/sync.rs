//! Synchronising: two nodes compare hashes of their tables and exchange what differs, in a bounded
//! number of datagrams; what did not fit, or was lost, comes with the next one.
//!
//! ```text
//! A: digest (a hash per bucket) ─► B
//! A ◄─ B: entries of the buckets that differ, and a want of A's entries of them
//! A: entries ─► B
//! ```
//!
//! What another says of a living member is hearsay. "Alive" is taken as SWIM takes it. "Dead" about
//! a member that lives here becomes a suspicion and a word to that member, which refutes it or
//! takes a new identity; so a healed partition does not kill anybody a second time.

use std::net::SocketAddr;

use foca::{Member, State};
use shoal_api::member::MemberStatus;

use crate::identity::Identity;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{Entry, Life, kind, wire};
use crate::schedule::Timer;
use crate::table::{Row, Table};
use crate::timing;

impl Membership {
    /// Starts a synchronisation with a random member, and sets the time of the next.
    pub(crate) fn sync(&mut self) {
        if let Some(other) = self.choose_up(1).first() {
            self.send_digest(other.address);
        }
        let time = if self.quick_syncs > 0 {
            self.quick_syncs -= 1;
            self.timing.sync_quick
        } else {
            self.timing.sync_in(self.size())
        };
        self.set_timer(Timer::Sync, time);
    }

    pub(crate) fn send_digest(&mut self, to: SocketAddr) {
        self.stats.syncs += 1;
        let buckets = self.table.digest();
        let mut writer = self.writer();
        writer.message(kind::DIGEST, &wire::Digest { buckets });
        writer.message(kind::EVENT_DIGEST, &self.event_digest(false));
        self.send(to, writer);
    }

    pub(crate) fn answer_digest(&mut self, to: SocketAddr, theirs: &[u32]) {
        let mut differ = 0_u64;
        for (i, (ours, theirs)) in self.table.digest().iter().zip(theirs).enumerate() {
            differ |= u64::from(ours != theirs) << i;
        }
        if differ != 0 {
            self.send_entries(to, differ);
            self.send_message(to, kind::WANT, &wire::Want { buckets: differ });
        }
    }

    /// Sends the entries of some buckets, from a random one on, so that a bound on one answer does
    /// not always cut off the same.
    pub(crate) fn send_entries(&mut self, to: SocketAddr, buckets: u64) {
        let first = self.dice.below(limits::SYNC_BUCKETS as u64) as usize;
        let turn = |row: &Row| {
            let bucket = Table::bucket(row.identity.node);
            (bucket + limits::SYNC_BUCKETS - first) % limits::SYNC_BUCKETS
        };
        let mut rows: Vec<_> = (self.table.rows())
            .filter(|row| buckets >> Table::bucket(row.identity.node) & 1 == 1)
            .collect();
        rows.sort_by_key(|row| turn(row));
        let entries: Vec<_> = (rows.iter())
            .map(|row| wire::Entry::from(&row.entry(self.now)))
            .collect();
        self.send_packed(to, kind::ENTRIES, limits::SYNC_REPLY_DATAGRAMS, entries);
    }

    pub(crate) fn take_entries(&mut self, entries: Vec<Entry>) {
        let before = self.outputs.len();
        for entry in entries {
            if self.phase == Phase::Ended {
                return;
            }
            self.merge(&entry);
        }
        let fruitful = (self.outputs.iter().skip(before))
            .any(|output| matches!(output, crate::io::Output::Event(_)));
        if fruitful {
            self.stats.syncs_fruitful += 1;
            self.quick_syncs = timing::QUICK_SYNCS;
            let soon = timing::jittered(&mut self.dice, self.timing.sync_quick);
            self.schedule.hasten(self.now + soon, Timer::Sync);
        }
    }

    fn merge(&mut self, entry: &Entry) {
        let identity = entry.identity;
        if identity.node == self.config.id {
            self.merge_own(entry);
            return;
        }
        if !self.table.fits(identity.node) {
            self.stats.updates_skipped += 1;
            return;
        }
        let row = self.table.get(identity.node);
        let known = row.map(|row| (row.identity, row.is_up()));
        match known {
            None if entry.gone && self.table.was_pruned(&identity) => self.repeat_prune(identity),
            None if entry.gone => self.remember(entry),
            None => self.hear_alive(entry),
            Some((held, _)) if identity < held => return,
            Some((held, up)) => match (entry.gone, up) {
                (true, true) => self.hear_gone(entry),
                (true, false) if identity > held => {
                    let wanted = self.swim.apply(Member::down(identity), false);
                    self.absorb(wanted);
                }
                (false, false) if identity == held => self.tell_dead(identity),
                (true, false) => {}
                (false, true | false) => self.hear_alive(entry),
            },
        }
        if entry.leaving {
            self.hear_leaving(Life {
                node: identity.node,
                generation: identity.generation,
                version: 0,
            });
        }
        if entry.removed
            && let Some(event) = self.table.set_removed(identity)
        {
            self.say(event);
        }
        if let Some(meta) = &entry.meta {
            self.learn(meta);
        }
    }

    /// What others know of this node itself.
    fn merge_own(&mut self, entry: &Entry) {
        if self.supersedes(&entry.identity) {
            self.end_superseded(entry.identity.generation);
        } else if entry.gone
            && entry.identity == self.swim.identity()
            && self.phase == Phase::Running
        {
            let wanted = self.swim.apply(Member::down(entry.identity), true);
            self.absorb(wanted);
        }
    }

    /// A gone member that is not known here: remembered as long as the others still do.
    fn remember(&mut self, entry: &Entry) {
        let keep = if entry.leaving || entry.removed {
            self.config.keep_left
        } else {
            self.config.keep_failed
        };
        if entry.age >= keep {
            return;
        }
        let event = self.table.remember(self.now, entry);
        self.say(event);
        let wanted = self.swim.apply(Member::down(entry.identity), false);
        self.absorb(wanted);
    }

    fn hear_alive(&mut self, entry: &Entry) {
        let alive = Member::new(entry.identity, entry.incarnation, State::Alive);
        let wanted = self.swim.apply(alive, false);
        self.absorb(wanted);
    }

    /// Another holds a member for dead that lives here.
    fn hear_gone(&mut self, entry: &Entry) {
        let identity = entry.identity;
        if entry.leaving {
            self.hear_leaving(Life {
                node: identity.node,
                generation: identity.generation,
                version: 0,
            });
            let wanted = self.swim.apply(Member::down(identity), true);
            self.absorb(wanted);
            return;
        }
        self.tell_dead(identity);
        let row = self.table.get(identity.node).expect("it lives here");
        let same = row.identity == identity;
        let suspected = same && row.member.status == MemberStatus::Suspect;
        let incarnation = if same {
            row.incarnation
        } else {
            entry.incarnation
        };
        if suspected {
            return;
        }
        let suspect = Member::new(identity, incarnation, State::Suspect);
        let wanted = self.swim.apply(suspect, true);
        self.absorb(wanted);
        let doom = self.swim.doom(identity, incarnation);
        let time = self.timing.suspicion(self.size());
        self.schedule.set(self.now + time, Timer::Swim(doom));
    }

    /// Tells a member that others hold it for dead, at most once per probe period.
    fn tell_dead(&mut self, identity: Identity) {
        let (now, pause) = (self.now, self.timing.probe_period);
        let Some(row) = self.table.get_mut(identity.node) else {
            return;
        };
        if row.told.is_some_and(|told| now.since(told) < pause) {
            return;
        }
        row.told = Some(now);
        let rumour = wire::Rumour {
            identity: identity.to_bytes(),
            incarnation: 0,
            gone: true,
        };
        self.send_message(identity.address, kind::RUMOUR, &rumour);
    }
}
