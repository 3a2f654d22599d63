//! The nodes that run tasks: their masters, keepers, tasks, and what their machines have left.

use shoal_catalogue as catalogue;

use crate::panel::{Board, Row, Unit, areas, lines, row};
use crate::query::{rate, shown};

/// The dashboard.
pub fn board() -> Board {
    Board {
        name: "agents",
        title: "Shoal: agents",
        about: "Agents, their tasks, and the machines under them.",
        rows: vec![sessions(), tasks(), machine()],
    }
}

/// Of agents only: other nodes have these metrics too, and never set them.
fn of_agents(expression: &str) -> String {
    let agents = shown(&catalogue::NODE_INFO, &[("roles", "~.*agent.*")]);
    format!("{expression} and on (job, instance) {agents}")
}

fn sessions() -> Row {
    row(
        "Sessions",
        vec![
            lines(
                "A master commands it",
                Unit::YesNo,
                "{{instance}}",
                of_agents(&shown(&catalogue::AGENT_CONNECTED, &[])),
            ),
            lines(
                "It reaches its keeper",
                Unit::YesNo,
                "{{instance}}",
                of_agents(&shown(&catalogue::AGENT_KEEPER, &[])),
            ),
            lines(
                "Dials to masters",
                Unit::PerSecond,
                "{{instance}}",
                of_agents(&rate(&catalogue::AGENT_DIALS, &[])),
            ),
            lines(
                "Commands of older sessions refused",
                Unit::PerSecond,
                "{{instance}}",
                of_agents(&rate(&catalogue::AGENT_STALE, &[])),
            ),
        ],
    )
}

fn tasks() -> Row {
    let running = shown(&catalogue::AGENT_TASKS, &[("state", "running")]);
    let all = shown(&catalogue::AGENT_TASKS, &[("state", "all")]);
    let updates = rate(&catalogue::AGENT_UPDATES, &[]);
    row(
        "Tasks",
        vec![
            areas(
                "Tasks running",
                Unit::Count,
                "{{instance}}",
                of_agents(&running),
            ),
            lines(
                "Tasks not forgotten",
                Unit::Count,
                "{{instance}}",
                of_agents(&all),
            ),
            lines(
                "Launches",
                Unit::PerSecond,
                "taken in by {{instance}}",
                of_agents(&rate(&catalogue::AGENT_LAUNCHED, &[])),
            )
            .with(
                "refused by {{instance}}",
                of_agents(&rate(&catalogue::AGENT_REFUSED, &[])),
            ),
            lines(
                "Status updates",
                Unit::PerSecond,
                "{{kind}}",
                format!("sum by (kind) ({updates})"),
            ),
            lines(
                "Stray processes",
                Unit::PerSecond,
                "{{instance}}",
                of_agents(&rate(&catalogue::AGENT_STRAYS, &[])),
            ),
        ],
    )
}

fn machine() -> Row {
    let available = shown(&catalogue::DATA_AVAILABLE, &[]);
    let size = shown(&catalogue::DATA_SIZE, &[]);
    let open = shown(&catalogue::PROCESS_FILES, &[]);
    let most = shown(&catalogue::PROCESS_MAX_FILES, &[]);
    row(
        "The node and its machine",
        vec![
            lines(
                "Free on the disk of the data",
                Unit::Share,
                "{{instance}}",
                of_agents(&format!("{available} / {size}")),
            ),
            lines(
                "Written by the node itself",
                Unit::BytesPerSecond,
                "{{instance}}",
                of_agents(&rate(&catalogue::PROCESS_WRITTEN, &[])),
            ),
            lines(
                "Memory of the node itself",
                Unit::Bytes,
                "{{instance}}",
                of_agents(&shown(&catalogue::PROCESS_MEMORY, &[])),
            ),
            lines(
                "File descriptors, share of the most",
                Unit::Share,
                "{{instance}}",
                of_agents(&format!("{open} / {most}")),
            ),
        ],
    )
}
