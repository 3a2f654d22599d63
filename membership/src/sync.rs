//! Synchronising: two nodes compare hashes of their tables and exchange what differs, on a stream of
//! their own, or where none can be opened in a bounded number of datagrams; what did not fit, or was
//! lost, comes with the next one.
//!
//! ```text
//! A: digest (a hash per bucket) ─► B
//! A ◄─ B: entries of the buckets that differ, and a want of A's entries of them
//! A: entries ─► B
//! ```
//!
//! What another says of a living member is hearsay. "Alive" is taken as SWIM takes it. "Dead" about
//! a member that lives here becomes a suspicion and a word to that member, which refutes it; so a
//! healed partition does not kill anybody a second time.

use std::collections::BTreeSet;

use foca::{Member, State};

use crate::identity::Identity;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{Entry, Life, kind, wire};
use crate::schedule::Timer;
use crate::stats::Traffic;
use crate::streams::Via;
use crate::table::{Row, Table};
use crate::timing;

impl Membership {
    /// Starts a synchronisation with a random member, and sets the time of the next.
    pub(crate) fn sync(&mut self) {
        if let Some(other) = self.choose_up(1).first() {
            self.open_sync(other.address);
        }
        let time = if self.quick_syncs > 0 {
            self.quick_syncs -= 1;
            self.timing.sync_quick
        } else {
            self.timing.sync_in(self.size())
        };
        self.set_timer(Timer::Sync, time);
    }

    pub(crate) fn send_digest(&mut self, to: Via) {
        self.stats.syncs += 1;
        let buckets = self.table.digest();
        let mut writer = self.writer(to.carrier());
        // The events first: whoever asked on a stream ends it once the entries have been exchanged.
        writer.message(kind::EVENT_DIGEST, &self.event_digest(false));
        writer.message(kind::DIGEST, &wire::Digest { buckets });
        self.send(to, Traffic::Sync, writer);
    }

    pub(crate) fn answer_digest(&mut self, to: Via, theirs: &[u32]) {
        let mut differ = 0_u64;
        for (i, (ours, theirs)) in self.table.digest().iter().zip(theirs).enumerate() {
            differ |= u64::from(ours != theirs) << i;
        }
        if differ != 0 {
            self.send_entries(to, differ);
        }
        // On a stream the want also says that this was all.
        if differ != 0 || matches!(to, Via::Stream(..)) {
            self.send_message(to, kind::WANT, &wire::Want { buckets: differ });
        }
    }

    pub(crate) fn answer_want(&mut self, to: Via, buckets: u64) {
        if buckets != 0 {
            self.send_entries(to, buckets);
        }
        self.end_exchange(to);
    }

    /// Sends the entries of some buckets, from a random one on, so that a bound on one answer does
    /// not always cut off the same.
    fn send_entries(&mut self, to: Via, buckets: u64) {
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
                    self.hear(Member::new(identity, entry.incarnation, State::Down), false);
                }
                (false, false) if identity == held && !self.outlives(entry) => {
                    self.tell_dead(identity);
                }
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
        } else if entry.gone {
            self.refute(entry.identity, entry.incarnation);
        }
    }

    /// Whether it lives at an incarnation beyond the one that is dead here.
    fn outlives(&self, entry: &Entry) -> bool {
        let row = self.table.get(entry.identity.node);
        row.is_some_and(|row| entry.incarnation > row.incarnation)
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
        let down = Member::new(entry.identity, entry.incarnation, State::Down);
        let wanted = self.swim.apply(down, false);
        self.absorb(wanted);
    }

    fn hear_alive(&mut self, entry: &Entry) {
        let alive = Member::new(entry.identity, entry.incarnation, State::Alive);
        // Others of this side hold it for dead, too, so they must hear that it is back.
        let back = (self.table.get(entry.identity.node)).is_some_and(|row| !row.is_up());
        self.hear(alive, back);
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
            self.hear(Member::new(identity, u16::MAX, State::Down), true);
            return;
        }
        let row = self.table.get(identity.node).expect("it lives here");
        let same = row.identity == identity;
        if same && (row.is_suspect() || row.incarnation > entry.incarnation) {
            return;
        }
        let incarnation = match same {
            true => row.incarnation,
            false => entry.incarnation,
        };
        self.tell_dead(identity);
        let suspect = Member::new(identity, incarnation, State::Suspect);
        let wanted = self.swim.apply(suspect, true);
        self.absorb(wanted);
        let doom = self.swim.doom(identity, incarnation);
        self.suspect(doom, identity, incarnation, BTreeSet::new());
    }

    /// Tells a member that others hold it for dead, at most once per probe period.
    pub(crate) fn tell_dead(&mut self, identity: Identity) {
        let (now, pause) = (self.now, self.timing.probe_period);
        let Some(row) = self.table.get_mut(identity.node) else {
            return;
        };
        if row.told.is_some_and(|told| now.since(told) < pause) {
            return;
        }
        row.told = Some(now);
        let incarnation = match row.identity == identity {
            true => row.incarnation,
            false => 0,
        };
        let rumour = wire::Rumour {
            identity: identity.to_bytes(),
            incarnation: u32::from(incarnation),
            gone: true,
        };
        self.send_message(identity.address, kind::RUMOUR, &rumour);
    }
}
