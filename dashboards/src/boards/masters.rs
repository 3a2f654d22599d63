//! The quorum and the ledger: who leads, how far each replica is, how fast disks and machines are.

use shoal_catalogue as catalogue;

use crate::panel::{Board, Row, Unit, lines, row};
use crate::query::{mean, quantile, rate, shown, total};

/// The dashboard.
pub fn board() -> Board {
    Board {
        name: "masters",
        title: "Shoal: masters",
        about: "The quorum, the ledger, the disks under it, and what masters exchange.",
        rows: vec![quorum(), replicas(), ledger(), disk(), clients(), peers()],
    }
}

fn quorum() -> Row {
    row(
        "Quorum",
        vec![
            lines(
                "Leading",
                Unit::YesNo,
                "{{instance}}",
                shown(&catalogue::RAFT_LEADING, &[]),
            ),
            lines(
                "Term",
                Unit::Count,
                "{{instance}}",
                shown(&catalogue::RAFT_TERM, &[]),
            ),
            lines(
                "Voters",
                Unit::Count,
                "{{status}}",
                format!("max by (status) ({})", shown(&catalogue::RAFT_VOTERS, &[])),
            ),
            lines(
                "Elections stood in",
                Unit::PerSecond,
                "{{instance}}",
                rate(&catalogue::RAFT_CAMPAIGNS, &[]),
            ),
        ],
    )
}

fn replicas() -> Row {
    let applied = shown(&catalogue::LEDGER_APPLIED, &[]);
    let snapshots = rate(&catalogue::SNAPSHOTS, &[]);
    row(
        "Replicas",
        vec![
            lines(
                "Entries behind the first",
                Unit::Count,
                "{{instance}}",
                format!("scalar(max({applied})) - ({applied} > 0)"),
            ),
            lines(
                "Time since a leader was heard",
                Unit::Seconds,
                "{{instance}}",
                shown(&catalogue::LEDGER_AGE, &[]),
            ),
            lines(
                "A leader is known",
                Unit::YesNo,
                "{{instance}}",
                shown(&catalogue::RAFT_LEADER_KNOWN, &[]),
            ),
            lines(
                "Snapshots",
                Unit::PerSecond,
                "{{kind}} {{instance}}",
                snapshots,
            ),
        ],
    )
}

fn ledger() -> Row {
    let lost = format!("sum({})", rate(&catalogue::LEDGER_DROPPED, &[]));
    row(
        "Ledger",
        vec![
            lines(
                "Entries applied",
                Unit::PerSecond,
                "{{instance}}",
                rate(&catalogue::LEDGER_ENTRIES, &[]),
            )
            .with(
                "proposed by {{instance}}",
                rate(&catalogue::LEDGER_PROPOSED, &[]),
            ),
            lines(
                "Commands applied",
                Unit::PerSecond,
                "{{instance}}",
                rate(&catalogue::LEDGER_COMMANDS, &[]),
            )
            .with("dropped", lost),
            lines(
                "Machine: share of the time at work",
                Unit::Share,
                "{{instance}}",
                total(&catalogue::MACHINE_BUSY),
            ),
            lines(
                "Machine: inputs at once",
                Unit::Count,
                "{{instance}}",
                mean(&catalogue::MACHINE_BATCH, &["instance"]),
            )
            .with(
                "per second {{instance}}",
                rate(&catalogue::MACHINE_INPUTS, &[]),
            ),
        ],
    )
}

fn disk() -> Row {
    let written = rate(&catalogue::PROCESS_WRITTEN, &[]);
    row(
        "Disk",
        vec![
            lines(
                "Time until a batch of the log is durable, 99 %",
                Unit::Seconds,
                "{{instance}}",
                quantile(0.99, &catalogue::DISK_SECONDS, &["instance"]),
            ),
            lines(
                "Time until a batch of the log is durable, mean",
                Unit::Seconds,
                "{{instance}}",
                mean(&catalogue::DISK_SECONDS, &["instance"]),
            ),
            lines("Written", Unit::BytesPerSecond, "{{instance}}", written),
            lines(
                "Waits for room",
                Unit::YesNo,
                "{{instance}}",
                shown(&catalogue::DISK_FULL, &[]),
            ),
        ],
    )
}

fn clients() -> Row {
    let answers = rate(&catalogue::HTTP_REQUESTS, &[]);
    row(
        "Frameworks and agents",
        vec![
            lines(
                "Streams and sessions held",
                Unit::Count,
                "streams {{instance}}",
                shown(&catalogue::STREAMS, &[]),
            )
            .with("sessions {{instance}}", shown(&catalogue::SESSIONS, &[])),
            lines(
                "Events sent, offers made",
                Unit::PerSecond,
                "events {{instance}}",
                rate(&catalogue::NOTICES, &[]),
            )
            .with("offers {{instance}}", rate(&catalogue::OFFERS_MADE, &[])),
            lines(
                "Given up",
                Unit::PerSecond,
                "slow streams {{instance}}",
                rate(&catalogue::STREAMS_SLOW, &[]),
            )
            .with("agents {{instance}}", rate(&catalogue::LEASES_ENDED, &[])),
            lines(
                "Removal of agents is paused",
                Unit::YesNo,
                "{{instance}}",
                shown(&catalogue::REMOVAL_PAUSED, &[]),
            ),
            lines(
                "HTTP answers by endpoint",
                Unit::PerSecond,
                "{{endpoint}}",
                format!("sum by (endpoint) ({answers})"),
            ),
            lines(
                "HTTP connections",
                Unit::Count,
                "{{instance}}",
                shown(&catalogue::HTTP_CONNECTIONS, &[]),
            ),
        ],
    )
}

fn peers() -> Row {
    let frames = rate(&catalogue::PEER_FRAMES, &[]);
    let bytes = rate(&catalogue::PEER_BYTES, &[]);
    let open = shown(&catalogue::PEER_CONNECTIONS, &[]);
    let dropped = rate(&catalogue::PEER_DROPPED, &[]);
    let refused = rate(&catalogue::PEER_REFUSED, &[]);
    let raft = rate(&catalogue::RAFT_MESSAGES_DROPPED, &[]);
    row(
        "Peers",
        vec![
            lines(
                "Connections by purpose",
                Unit::Count,
                "{{purpose}}",
                format!("sum by (purpose) ({open})"),
            ),
            lines(
                "Frames by purpose",
                Unit::PerSecond,
                "{{purpose}} {{direction}}",
                format!("sum by (purpose, direction) ({frames})"),
            ),
            lines(
                "Bytes by purpose",
                Unit::BytesPerSecond,
                "{{purpose}} {{direction}}",
                format!("sum by (purpose, direction) ({bytes})"),
            ),
            lines(
                "Dropped and refused",
                Unit::PerSecond,
                "frames {{cause}}",
                format!("sum by (cause) ({dropped})"),
            )
            .with(
                "handshakes {{cause}}",
                format!("sum by (cause) ({refused})"),
            )
            .with(
                "Raft messages {{cause}}",
                format!("sum by (cause) ({raft})"),
            ),
        ],
    )
}
