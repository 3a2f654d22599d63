//! Exports what the machine and the driver count.

use metrics::{Counter, Gauge, Histogram};
use shoal_api::member::{Member, MemberStatus};
use shoal_membership::{DropReason, Membership, Stats, TRIP_MICROS, Traffic, Volume};

use crate::metrics::catalogue::{self, GOSSIP_BYTES, GOSSIP_DATAGRAMS, GOSSIP_DROPPED, MEMBERS};
use crate::metrics::{counter, gauge, histogram};

const STATUSES: [MemberStatus; 5] = [
    MemberStatus::Alive,
    MemberStatus::Suspect,
    MemberStatus::Leaving,
    MemberStatus::Left,
    MemberStatus::Failed,
];

/// Packets and bytes, in and out, of one kind.
struct Flow {
    traffic: Traffic,
    received: [Counter; 2],
    sent: [Counter; 2],
}

impl Flow {
    fn new(traffic: Traffic) -> Flow {
        let both = |direction| {
            let labels = [direction, traffic.as_str()];
            [
                counter(&GOSSIP_DATAGRAMS, &labels),
                counter(&GOSSIP_BYTES, &labels),
            ]
        };
        Flow {
            traffic,
            received: both("in"),
            sent: both("out"),
        }
    }

    fn count(&self, now: &Stats, last: &Stats) {
        let add = |counters: &[Counter; 2], now: Volume, last: Volume| {
            counters[0].increment(now.packets - last.packets);
            counters[1].increment(now.bytes - last.bytes);
        };
        let kind = self.traffic;
        add(&self.received, now.received(kind), last.received(kind));
        add(&self.sent, now.sent(kind), last.sent(kind));
    }
}

/// One counter, and where the machine counts for it.
type Plain = (Counter, fn(&Stats) -> u64);

/// The handles, and what was exported last.
pub(super) struct Counts {
    flows: [Flow; Traffic::ALL.len()],
    dropped: [Counter; DropReason::ALL.len()],
    unsent: Counter,
    missed: Counter,
    reply_missed: Counter,
    members: [Gauge; STATUSES.len()],
    plain: Vec<Plain>,
    trips: Histogram,
    health: Gauge,
    queued: [Gauge; 3],
    last: Stats,
}

fn plain() -> Vec<Plain> {
    let probes = |stage| counter(&catalogue::GOSSIP_PROBES, &[stage]);
    let streams = |outcome| counter(&catalogue::GOSSIP_STREAMS, &[outcome]);
    let syncs = |outcome| counter(&catalogue::GOSSIP_SYNCS, &[outcome]);
    let one = |metric| counter(metric, &[]);
    vec![
        (probes("begun"), |stats| stats.probes),
        (probes("indirect"), |stats| stats.probes_indirect),
        (probes("stream"), |stats| stats.probes_by_stream),
        (probes("vouched"), |stats| stats.vouched),
        (probes("failed"), |stats| stats.probes_failed),
        (one(&catalogue::GOSSIP_SUSPICIONS), |stats| stats.suspicions),
        (one(&catalogue::GOSSIP_REFUTED), |stats| {
            stats.suspicions_refuted
        }),
        (one(&catalogue::GOSSIP_CONFIRMATIONS), |stats| {
            stats.confirmations
        }),
        (one(&catalogue::GOSSIP_DECLARED), |stats| stats.declared),
        (one(&catalogue::GOSSIP_ALARMS), |stats| stats.refutations),
        (one(&catalogue::GOSSIP_REVIVED), |stats| stats.revived),
        (one(&catalogue::GOSSIP_RECONNECTS), |stats| stats.reconnects),
        (one(&catalogue::GOSSIP_RENEWALS), |stats| stats.renewals),
        (one(&catalogue::GOSSIP_STALLS), |stats| stats.stalls),
        (one(&catalogue::GOSSIP_CONFLICTS), |stats| {
            stats.name_conflicts
        }),
        (streams("opened"), |stats| stats.streams),
        (streams("broken"), |stats| stats.streams_failed),
        (streams("refused"), |stats| stats.streams_refused),
        (syncs("started"), |stats| stats.syncs),
        (syncs("fruitful"), |stats| stats.syncs_fruitful),
    ]
}

impl Counts {
    pub fn new() -> Counts {
        let queue = |queue| gauge(&catalogue::GOSSIP_QUEUED, &[queue]);
        Counts {
            flows: Traffic::ALL.map(Flow::new),
            dropped: DropReason::ALL.map(|reason| counter(&GOSSIP_DROPPED, &[reason.as_str()])),
            unsent: counter(&GOSSIP_DROPPED, &["unsent"]),
            reply_missed: counter(&GOSSIP_DROPPED, &["reply_missed"]),
            missed: counter(&GOSSIP_DROPPED, &["change_missed"]),
            members: STATUSES.map(|status| gauge(&MEMBERS, &[status.as_str()])),
            plain: plain().into_iter().chain(talk()).collect(),
            trips: histogram(&catalogue::GOSSIP_TRIPS, &[]),
            health: gauge(&catalogue::GOSSIP_HEALTH, &[]),
            queued: ["updates", "news", "broadcasts"].map(queue),
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

    pub fn machine(&mut self, machine: &Membership) {
        self.stats(machine.stats());
        self.health.set(f64::from(machine.health()));
        let (news, broadcasts) = machine.queued();
        let waiting = [machine.updates_queued(), news, broadcasts];
        for (gauge, waiting) in self.queued.iter().zip(waiting) {
            gauge.set(waiting as f64);
        }
    }

    fn stats(&mut self, stats: &Stats) {
        let last = &self.last;
        for flow in &self.flows {
            flow.count(stats, last);
        }
        for (reason, counter) in DropReason::ALL.iter().zip(&self.dropped) {
            counter.increment(stats.dropped(*reason) - last.dropped(*reason));
        }
        for (counter, of) in &self.plain {
            counter.increment(of(stats) - of(last));
        }
        self.last_trips(stats);
        self.last = stats.clone();
    }

    /// The machine keeps how many trips fell into which range: each counts as the range's end.
    fn last_trips(&self, stats: &Stats) {
        for (bucket, (now, before)) in stats.trips.iter().zip(&self.last.trips).enumerate() {
            let end = TRIP_MICROS.get(bucket).copied().unwrap_or(1_000_000);
            let trips = usize::try_from(now - before).unwrap_or_default();
            self.trips.record_many(end as f64 / 1e6, trips);
        }
    }
}

/// The counters of events, queries and broadcasts.
fn talk() -> Vec<Plain> {
    let of = |metric, outcome: &'static str, count: fn(&Stats) -> u64| {
        (counter(metric, &[outcome]), count)
    };
    let (events, queries) = (&catalogue::GOSSIP_EVENTS, &catalogue::GOSSIP_QUERIES);
    let (replies, broadcasts) = (&catalogue::GOSSIP_REPLIES, &catalogue::GOSSIP_BROADCASTS);
    vec![
        of(events, "told", |stats| stats.events_told),
        of(events, "heard", |stats| stats.events_heard),
        of(events, "caught_up", |stats| stats.events_caught_up),
        of(events, "before", |stats| stats.events_before),
        of(queries, "asked", |stats| stats.queries_asked),
        of(queries, "heard", |stats| stats.queries_heard),
        of(queries, "unanswered", |stats| stats.queries_unanswered),
        of(replies, "sent", |stats| stats.answers_sent),
        of(replies, "repeated", |stats| stats.replies_repeated),
        of(replies, "relayed", |stats| stats.answers_relayed),
        of(replies, "late", |stats| stats.answers_late),
        of(replies, "received", |stats| stats.replies),
        of(replies, "received_again", |stats| stats.replies_known),
        of(replies, "received_late", |stats| stats.replies_late),
        of(broadcasts, "known", |stats| stats.broadcasts_known),
        of(broadcasts, "refused", |stats| stats.broadcasts_refused),
        of(broadcasts, "dropped", |stats| stats.broadcasts_dropped),
    ]
}
