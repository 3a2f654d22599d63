//! Exports what the machine and the driver count.

use metrics::{Counter, Gauge};
use shoal_api::member::{Member, MemberStatus};
use shoal_membership::{DropReason, Stats};

use crate::metrics::catalogue::{self, GOSSIP_BYTES, GOSSIP_DATAGRAMS, GOSSIP_DROPPED, MEMBERS};
use crate::metrics::{counter, gauge};

const STATUSES: [MemberStatus; 5] = [
    MemberStatus::Alive,
    MemberStatus::Suspect,
    MemberStatus::Leaving,
    MemberStatus::Left,
    MemberStatus::Failed,
];

/// The handles, and what was exported last.
pub(super) struct Counts {
    received: Counter,
    sent: Counter,
    dropped: [Counter; DropReason::ALL.len()],
    unsent: Counter,
    missed: Counter,
    reply_missed: Counter,
    members: [Gauge; STATUSES.len()],
    bytes_received: Counter,
    bytes_sent: Counter,
    suspicions: Counter,
    refuted: Counter,
    declared: Counter,
    renewals: Counter,
    stalls: Counter,
    conflicts: Counter,
    last: Stats,
}

impl Counts {
    pub fn new() -> Counts {
        Counts {
            received: counter(&GOSSIP_DATAGRAMS, &["in"]),
            sent: counter(&GOSSIP_DATAGRAMS, &["out"]),
            dropped: DropReason::ALL.map(|reason| counter(&GOSSIP_DROPPED, &[reason.as_str()])),
            unsent: counter(&GOSSIP_DROPPED, &["unsent"]),
            reply_missed: counter(&GOSSIP_DROPPED, &["reply_missed"]),
            missed: counter(&GOSSIP_DROPPED, &["change_missed"]),
            members: STATUSES.map(|status| gauge(&MEMBERS, &[status.as_str()])),
            bytes_received: counter(&GOSSIP_BYTES, &["in"]),
            bytes_sent: counter(&GOSSIP_BYTES, &["out"]),
            suspicions: counter(&catalogue::GOSSIP_SUSPICIONS, &[]),
            refuted: counter(&catalogue::GOSSIP_REFUTED, &[]),
            declared: counter(&catalogue::GOSSIP_DECLARED, &[]),
            renewals: counter(&catalogue::GOSSIP_RENEWALS, &[]),
            stalls: counter(&catalogue::GOSSIP_STALLS, &[]),
            conflicts: counter(&catalogue::GOSSIP_CONFLICTS, &[]),
            last: Stats::default(),
        }
    }

    /// A datagram could not be sent.
    pub fn unsent(&self) {
        self.unsent.increment(1);
    }

    /// A change found its channel full.
    pub fn missed(&self) {
        self.missed.increment(1);
    }

    /// A reply found its asker too slow.
    pub fn reply_missed(&self) {
        self.reply_missed.increment(1);
    }

    pub fn members(&self, members: &[Member]) {
        for (status, gauge) in STATUSES.iter().zip(&self.members) {
            let count = members.iter().filter(|member| member.status == *status);
            gauge.set(count.count() as f64);
        }
    }

    pub fn stats(&mut self, stats: &Stats) {
        let last = &self.last;
        self.received
            .increment(stats.datagrams_received - last.datagrams_received);
        self.sent
            .increment(stats.datagrams_sent - last.datagrams_sent);
        for (reason, counter) in DropReason::ALL.iter().zip(&self.dropped) {
            counter.increment(stats.dropped(*reason) - last.dropped(*reason));
        }
        for (counter, now, before) in [
            (
                &self.bytes_received,
                stats.bytes_received,
                last.bytes_received,
            ),
            (&self.bytes_sent, stats.bytes_sent, last.bytes_sent),
            (&self.suspicions, stats.suspicions, last.suspicions),
            (
                &self.refuted,
                stats.suspicions_refuted,
                last.suspicions_refuted,
            ),
            (&self.declared, stats.declared, last.declared),
            (&self.renewals, stats.renewals, last.renewals),
            (&self.stalls, stats.stalls, last.stalls),
            (&self.conflicts, stats.name_conflicts, last.name_conflicts),
        ] {
            counter.increment(now - before);
        }
        self.last = stats.clone();
    }
}
