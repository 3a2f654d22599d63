//! What one looks at first: is the cluster usable, what runs, what is left.

use shoal_catalogue as catalogue;

use crate::panel::{Board, Row, Unit, areas, lines, number, row};
use crate::query::{ledger, quantile, rate, shown};

/// The dashboard.
pub fn board() -> Board {
    Board {
        name: "overview",
        title: "Shoal: overview",
        about: "Whether the cluster is usable, what runs on it, and how much is free.",
        rows: vec![now(), work(), resources(), requests(), processes()],
    }
}

fn now() -> Row {
    let alive = ledger(&catalogue::RAFT_VOTERS, &[("status", "alive")]);
    let agents = |status| ledger(&catalogue::LEDGER_AGENTS, &[("status", status)]);
    let nodes = format!("count({})", shown(&catalogue::BUILD_INFO, &[]));
    let leaders = format!("sum({})", shown(&catalogue::RAFT_LEADING, &[]));
    let frameworks = ledger(&catalogue::LEDGER_FRAMEWORKS, &[("status", "connected")]);
    row(
        "Now",
        vec![
            number("Nodes seen", Unit::Count, nodes),
            number("Leaders", Unit::Count, leaders),
            number("Voters alive", Unit::Count, alive),
            number("Agents connected", Unit::Count, agents("connected")),
            number("Agents unreachable", Unit::Count, agents("unreachable")),
            number("Frameworks connected", Unit::Count, frameworks),
        ],
    )
}

fn work() -> Row {
    let tasks = shown(&catalogue::LEDGER_TASKS, &[]);
    let launched = rate(&catalogue::AGENT_LAUNCHED, &[]);
    let offers = ledger(&catalogue::LEDGER_OFFERS, &[]);
    let agents = shown(&catalogue::LEDGER_AGENTS, &[]);
    row(
        "Work",
        vec![
            areas(
                "Tasks by state",
                Unit::Count,
                "{{state}}",
                format!("max by (state) ({tasks})"),
            ),
            lines(
                "Tasks launched",
                Unit::PerSecond,
                "launched",
                format!("sum({launched})"),
            ),
            areas(
                "Agents by status",
                Unit::Count,
                "{{status}}",
                format!("max by (status) ({agents})"),
            ),
            lines("Offers out", Unit::Count, "offers", offers),
        ],
    )
}

fn resources() -> Row {
    let share = |title, unit, metric| {
        let by = format!("max by (share) ({})", shown(metric, &[]));
        lines(title, unit, "{{share}}", by)
    };
    let free = |metric| {
        let of = |share| ledger(metric, &[("share", share)]);
        format!("{} / ({} > 0)", of("free"), of("total"))
    };
    let shares = lines(
        "Free share",
        Unit::Share,
        "processors",
        free(&catalogue::LEDGER_CPUS),
    );
    row(
        "Resources of all agents",
        vec![
            share("Processors", Unit::Count, &catalogue::LEDGER_CPUS),
            share("Memory", Unit::Bytes, &catalogue::LEDGER_MEMORY),
            share("Disk", Unit::Bytes, &catalogue::LEDGER_DISK),
            shares
                .with("memory", free(&catalogue::LEDGER_MEMORY))
                .with("disk", free(&catalogue::LEDGER_DISK)),
        ],
    )
}

fn requests() -> Row {
    let answers = rate(&catalogue::HTTP_REQUESTS, &[]);
    let applied = rate(&catalogue::LEDGER_COMMANDS, &[]);
    row(
        "Requests",
        vec![
            lines(
                "HTTP answers by class",
                Unit::PerSecond,
                "{{code}}",
                format!("sum by (code) ({answers})"),
            ),
            lines(
                "HTTP time to answer",
                Unit::Seconds,
                "median",
                quantile(0.5, &catalogue::HTTP_SECONDS, &[]),
            )
            .with("99 %", quantile(0.99, &catalogue::HTTP_SECONDS, &[])),
            lines(
                "Ledger commands committed",
                Unit::PerSecond,
                "commands",
                format!("max({applied})"),
            ),
            lines(
                "Requests that found no leader",
                Unit::PerSecond,
                "{{instance}}",
                rate(&catalogue::MASTER_UNAVAILABLE, &[]),
            ),
        ],
    )
}

fn processes() -> Row {
    let versions = shown(&catalogue::BUILD_INFO, &[]);
    row(
        "Processes",
        vec![
            lines(
                "Memory",
                Unit::Bytes,
                "{{instance}}",
                shown(&catalogue::PROCESS_MEMORY, &[]),
            ),
            lines(
                "Processor",
                Unit::Share,
                "{{instance}}",
                rate(&catalogue::PROCESS_CPU, &[]),
            ),
            lines(
                "Age of the process",
                Unit::Seconds,
                "{{instance}}",
                format!("time() - {}", shown(&catalogue::PROCESS_START, &[])),
            ),
            areas(
                "Nodes by version",
                Unit::Count,
                "{{version}}",
                format!("count by (version) ({versions})"),
            ),
        ],
    )
}
