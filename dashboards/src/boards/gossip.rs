//! Who sees whom: members, suspicions, and what is dropped.

use shoal_catalogue as catalogue;

use crate::panel::{Board, Row, Unit, areas, lines, row};
use crate::query::{rate, shown};

/// The dashboard.
pub fn board() -> Board {
    Board {
        name: "gossip",
        title: "Shoal: gossip",
        about: "Who sees whom, how often somebody is suspected, and what is dropped.",
        rows: vec![members(), suspicion(), datagrams()],
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

fn suspicion() -> Row {
    let each = |title, metric| lines(title, Unit::PerSecond, "{{instance}}", rate(metric, &[]));
    row(
        "Suspicion",
        vec![
            each("Suspicions", &catalogue::GOSSIP_SUSPICIONS),
            each("Suspicions refuted", &catalogue::GOSSIP_REFUTED),
            each("Failures declared", &catalogue::GOSSIP_DECLARED),
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

fn datagrams() -> Row {
    let count = rate(&catalogue::GOSSIP_DATAGRAMS, &[]);
    let bytes = rate(&catalogue::GOSSIP_BYTES, &[]);
    let dropped = rate(&catalogue::GOSSIP_DROPPED, &[]);
    row(
        "Datagrams",
        vec![
            lines(
                "Datagrams by direction",
                Unit::PerSecond,
                "{{direction}}",
                format!("sum by (direction) ({count})"),
            ),
            lines(
                "Bytes of each node",
                Unit::BytesPerSecond,
                "{{direction}} {{instance}}",
                bytes,
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
