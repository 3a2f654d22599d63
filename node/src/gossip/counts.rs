//! Exports what the machine and the driver count.

use metrics::{Counter, Gauge};
use shoal_api::member::{Member, MemberStatus};
use shoal_membership::{DropReason, Stats};

use crate::metrics::catalogue::{GOSSIP_DATAGRAMS, GOSSIP_DROPPED, MEMBERS};
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
    members: [Gauge; STATUSES.len()],
    last: Stats,
}

impl Counts {
    pub fn new() -> Counts {
        Counts {
            received: counter(&GOSSIP_DATAGRAMS, &["in"]),
            sent: counter(&GOSSIP_DATAGRAMS, &["out"]),
            dropped: DropReason::ALL.map(|reason| counter(&GOSSIP_DROPPED, &[reason.as_str()])),
            unsent: counter(&GOSSIP_DROPPED, &["unsent"]),
            missed: counter(&GOSSIP_DROPPED, &["change_missed"]),
            members: STATUSES.map(|status| gauge(&MEMBERS, &[status.as_str()])),
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
        self.last = stats.clone();
    }
}
