//! Exports what the master's machine counts. Cores count, shells export.

use metrics::{Counter, Gauge};
use shoal_master::{Master, Stats};

use crate::metrics::{catalogue, counter, gauge};

/// The handles, and what was exported last.
pub struct Export {
    last: Stats,
    last_quorum: shoal_quorum::Stats,
    entries: Counter,
    commands: Counter,
    proposed: Counter,
    dropped: Counter,
    unavailable: Counter,
    bad_messages: Counter,
    offers: Counter,
    leases_ended: Counter,
    snapshots: Counter,
    snapshots_installed: Counter,
    notices: Counter,
    campaigns: Counter,
    refused_messages: Counter,
    held_messages: Counter,
    paused: Gauge,
    sessions: Gauge,
    streams: Gauge,
    applied: Gauge,
    learners: Gauge,
    voters_replaced: Counter,
}

impl Export {
    /// Looks every handle up once.
    pub fn new() -> Export {
        Export {
            last: Stats::default(),
            last_quorum: shoal_quorum::Stats::default(),
            entries: counter(&catalogue::LEDGER_ENTRIES, &[]),
            commands: counter(&catalogue::LEDGER_COMMANDS, &[]),
            proposed: counter(&catalogue::LEDGER_PROPOSED, &[]),
            dropped: counter(&catalogue::LEDGER_DROPPED, &[]),
            unavailable: counter(&catalogue::MASTER_UNAVAILABLE, &[]),
            bad_messages: counter(&catalogue::PEER_DROPPED, &["refused"]),
            offers: counter(&catalogue::OFFERS_MADE, &[]),
            leases_ended: counter(&catalogue::LEASES_ENDED, &[]),
            snapshots: counter(&catalogue::SNAPSHOTS, &["taken"]),
            snapshots_installed: counter(&catalogue::SNAPSHOTS, &["installed"]),
            notices: counter(&catalogue::NOTICES, &[]),
            campaigns: counter(&catalogue::RAFT_CAMPAIGNS, &[]),
            refused_messages: counter(&catalogue::RAFT_MESSAGES_DROPPED, &["refused"]),
            held_messages: counter(&catalogue::RAFT_MESSAGES_DROPPED, &["disk_slow"]),
            paused: gauge(&catalogue::REMOVAL_PAUSED, &[]),
            sessions: gauge(&catalogue::SESSIONS, &[]),
            streams: gauge(&catalogue::STREAMS, &[]),
            applied: gauge(&catalogue::LEDGER_APPLIED, &[]),
            learners: gauge(&catalogue::RAFT_LEARNERS, &[]),
            voters_replaced: counter(&catalogue::RAFT_REPLACED, &[]),
        }
    }

    /// Adds what came since the last time.
    pub fn show(&mut self, master: &Master) {
        let (stats, quorum) = (master.stats(), master.quorum_stats());
        let (last, before) = (self.last, self.last_quorum);
        self.entries.increment(stats.entries - last.entries);
        self.commands.increment(stats.commands - last.commands);
        self.proposed.increment(stats.proposed - last.proposed);
        self.learners.set(stats.learners as f64);
        self.voters_replaced
            .increment(stats.voters_replaced - last.voters_replaced);
        // A new leader's queue counts from zero.
        let dropped = stats.commands_dropped.saturating_sub(last.commands_dropped);
        self.dropped.increment(dropped);
        self.unavailable
            .increment(stats.unavailable - last.unavailable);
        self.bad_messages
            .increment(stats.bad_messages - last.bad_messages);
        self.offers.increment(stats.offers - last.offers);
        self.leases_ended
            .increment(stats.leases_ended - last.leases_ended);
        self.snapshots.increment(stats.images - last.images);
        self.notices.increment(stats.notices - last.notices);
        let installed = quorum.snapshots_installed - before.snapshots_installed;
        self.snapshots_installed.increment(installed);
        self.campaigns
            .increment(quorum.campaigns - before.campaigns);
        self.refused_messages
            .increment(quorum.refused - before.refused);
        self.held_messages
            .increment(quorum.held_dropped - before.held_dropped);
        self.paused.set(f64::from(u8::from(stats.removal_paused)));
        self.sessions.set(stats.sessions as f64);
        self.streams.set(stats.streams as f64);
        self.applied.set(master.applied().0 as f64);
        (self.last, self.last_quorum) = (stats, quorum);
    }
}
