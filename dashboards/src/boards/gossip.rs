//! Who sees whom: members, suspicions, and what is dropped.

use shoal_catalogue as catalogue;

use crate::panel::{Board, Row, Unit, areas, lines, row};
use crate::query::{quantile, rate, shown};

/// The dashboard.
pub fn board() -> Board {
    Board {
        name: "gossip",
        title: "Shoal: gossip",
        about: "Who sees whom, how often somebody is suspected, and what is dropped.",
        rows: vec![
            members(),
            probes(),
            suspicion(),
            talk(),
            datagrams(),
            streams(),
        ],
    }
}

fn members() -> Row {
    let members = shown(&catalogue::MEMBERS, &[]);
    let alive = shown(&catalogue::MEMBERS, &[("status", "alive")]);
    row(
        "Members",
        vec![
            areas(
                "Members by status, as most see them",
                Unit::Count,
                "{{status}}",
                format!("quantile by (status) (0.5, {members})"),
            ),
            lines(
                "Alive, as each node sees it",
                Unit::Count,
                "{{instance}}",
                alive,
            ),
        ],
    )
}

fn probes() -> Row {
    let stages = rate(&catalogue::GOSSIP_PROBES, &[]);
    row(
        "Probes",
        vec![
            lines(
                "Probes by the stages they came to",
                Unit::PerSecond,
                "{{stage}}",
                format!("sum by (stage) ({stages})"),
            ),
            lines(
                "Round trip of pings",
                Unit::Seconds,
                "{{instance}}",
                quantile(0.99, &catalogue::GOSSIP_TRIPS, &["instance"]),
            ),
            lines(
                "Health score: 0 is well, 7 is worst",
                Unit::Count,
                "{{instance}}",
                shown(&catalogue::GOSSIP_HEALTH, &[]),
            ),
        ],
    )
}

fn streams() -> Row {
    let streams = rate(&catalogue::GOSSIP_STREAMS, &[]);
    let syncs = rate(&catalogue::GOSSIP_SYNCS, &[]);
    let each = |title, metric| lines(title, Unit::PerSecond, "{{instance}}", rate(metric, &[]));
    row(
        "Streams and synchronising",
        vec![
            lines(
                "Streams by outcome",
                Unit::PerSecond,
                "{{outcome}}",
                format!("sum by (outcome) ({streams})"),
            ),
            lines(
                "Synchronisations by outcome",
                Unit::PerSecond,
                "{{outcome}}",
                format!("sum by (outcome) ({syncs})"),
            ),
            each("Failed members looked for", &catalogue::GOSSIP_RECONNECTS),
            lines(
                "Waiting to be spread",
                Unit::Count,
                "{{queue}} {{instance}}",
                shown(&catalogue::GOSSIP_QUEUED, &[]),
            ),
        ],
    )
}

fn suspicion() -> Row {
    let each = |title, metric| lines(title, Unit::PerSecond, "{{instance}}", rate(metric, &[]));
    row(
        "Suspicion",
        vec![
            each("Suspicions", &catalogue::GOSSIP_SUSPICIONS),
            each("Suspicions refuted", &catalogue::GOSSIP_REFUTED),
            each("Suspicions confirmed", &catalogue::GOSSIP_CONFIRMATIONS),
            each("Failures declared", &catalogue::GOSSIP_DECLARED),
            each(
                "False alarms about the node itself",
                &catalogue::GOSSIP_ALARMS,
            ),
            each("Failed members that live", &catalogue::GOSSIP_REVIVED),
            each(
                "Came back after being held for failed",
                &catalogue::GOSSIP_RENEWALS,
            ),
            each("Woken much too late", &catalogue::GOSSIP_STALLS),
            each(
                "Others seen with the same name",
                &catalogue::GOSSIP_CONFLICTS,
            ),
        ],
    )
}

fn talk() -> Row {
    let by = |metric, label: &str| format!("sum by ({label}) ({})", rate(metric, &[]));
    let panel = |title, metric| lines(title, Unit::PerSecond, "{{outcome}}", by(metric, "outcome"));
    row(
        "Events and queries",
        vec![
            panel("User events, over all nodes", &catalogue::GOSSIP_EVENTS),
            panel("Queries, over all nodes", &catalogue::GOSSIP_QUERIES),
            panel("Answers to queries", &catalogue::GOSSIP_REPLIES),
            panel("Broadcasts without effect", &catalogue::GOSSIP_BROADCASTS),
            panel("Runs of event handlers", &catalogue::HANDLER_RUNS),
        ],
    )
}

fn datagrams() -> Row {
    let count = rate(&catalogue::GOSSIP_DATAGRAMS, &[]);
    let bytes = rate(&catalogue::GOSSIP_BYTES, &[]);
    let dropped = rate(&catalogue::GOSSIP_DROPPED, &[]);
    row(
        "Datagrams",
        vec![
            lines(
                "Datagrams by direction and kind",
                Unit::PerSecond,
                "{{direction}} {{kind}}",
                format!("sum by (direction, kind) ({count})"),
            ),
            lines(
                "Bytes by direction and kind",
                Unit::BytesPerSecond,
                "{{direction}} {{kind}}",
                format!("sum by (direction, kind) ({bytes})"),
            ),
            lines(
                "Bytes of each node",
                Unit::BytesPerSecond,
                "{{direction}} {{instance}}",
                format!("sum by (direction, instance) ({bytes})"),
            ),
            lines(
                "Dropped by cause",
                Unit::PerSecond,
                "{{cause}}",
                format!("sum by (cause) ({dropped})"),
            ),
        ],
    )
}
