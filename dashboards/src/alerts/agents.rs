//! Alerts about agents and the tasks on them.

use shoal_catalogue as catalogue;

use super::of_agents;
use crate::alert::Alert;
use crate::query::select;

/// All of them.
pub fn alerts() -> Vec<Alert> {
    vec![
        unreachable(),
        removal_paused(),
        disconnected(),
        keeper_lost(),
        tasks_wait(),
        tasks_unreachable(),
        launches_refused(),
        updates_again(),
    ]
}

fn unreachable() -> Alert {
    let agents = select(&catalogue::LEDGER_AGENTS, &[("status", "unreachable")]);
    Alert::warning(
        "ShoalAgentsUnreachable",
        "1m",
        format!("max by (job) ({agents}) > 0"),
    )
    .says(
        "agents are unreachable",
        "Their tasks are UNREACHABLE (LOST to frameworks that do not know that), and nothing new \
         starts there. Tasks that still run on them come back with them.",
    )
    .steps(
        &[
            "`shoal agents`: which ones?",
            "`shoal members`: does the gossip see their nodes?",
        ],
        &["Repair or start these machines."],
    )
    .fires(
        &[(
            r#"shoal_ledger_agents{job="shoal",instance="a",status="unreachable"}"#,
            "2x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_ledger_agents{job="shoal",instance="a",status="unreachable"}"#,
        "2x80 0x80",
    )])
}

fn removal_paused() -> Alert {
    let paused = select(&catalogue::REMOVAL_PAUSED, &[]);
    Alert::critical(
        "ShoalAgentRemovalPaused",
        "0m",
        format!("max by (job) ({paused}) == 1"),
    )
    .says(
        "many agents vanished together, and their removal is paused",
        "More likely a network is down than all of these machines. Their tasks are not given up for \
         10 minutes.",
    )
    .steps(
        &["`shoal members --status failed`: what have these nodes in common?"],
        &["Repair the network within 10 minutes; otherwise their tasks become UNREACHABLE."],
    )
    .fires(
        &[(
            r#"shoal_agent_removal_paused{job="shoal",instance="a"}"#,
            "1x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_agent_removal_paused{job="shoal",instance="a"}"#,
        "0x160",
    )])
}

fn disconnected() -> Alert {
    let connected = select(&catalogue::AGENT_CONNECTED, &[]);
    Alert::warning(
        "ShoalAgentDisconnected",
        "1m",
        of_agents(&format!("{connected} == 0")),
    )
    .says(
        "no master commands the agent {{ $labels.instance }}",
        "Its tasks run on. It takes no new ones, and updates wait until it is back.",
    )
    .steps(
        &[
            "The agent's log: which masters does it dial, and what do they answer?",
            "Can this machine reach the peer addresses of the masters?",
        ],
        &["Repair its way to the masters: it dials, so that nothing must reach it."],
    )
    .fires(
        &[
            (
                r#"shoal_agent_connected{job="shoal",instance="a"}"#,
                "0x160",
            ),
            (
                r#"shoal_node_info{job="shoal",instance="a",name="a",roles="agent"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (
            r#"shoal_agent_connected{job="shoal",instance="a"}"#,
            "0x160",
        ),
        (
            r#"shoal_node_info{job="shoal",instance="a",name="a",roles="master"}"#,
            "1x160",
        ),
    ])
}

fn keeper_lost() -> Alert {
    let keeper = select(&catalogue::AGENT_KEEPER, &[]);
    Alert::critical(
        "ShoalKeeperLost",
        "1m",
        of_agents(&format!("{keeper} == 0")),
    )
    .says(
        "the agent {{ $labels.instance }} does not reach its keeper",
        "The keeper is the parent of the tasks. Without it nothing can be started or ended there, and \
         the exit codes of running tasks are lost.",
    )
    .steps(
        &[
            "`ps` on that machine: does `shoal keeper` run?",
            "The agent's log: why can it not be reached or started?",
        ],
        &["Start the node again: it starts a keeper, and finds tasks that still run."],
    )
    .fires(
        &[
            (
                r#"shoal_agent_keeper_reached{job="shoal",instance="a"}"#,
                "0x160",
            ),
            (
                r#"shoal_node_info{job="shoal",instance="a",name="a",roles="agent"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (
            r#"shoal_agent_keeper_reached{job="shoal",instance="a"}"#,
            "0x100 1x60",
        ),
        (
            r#"shoal_node_info{job="shoal",instance="a",name="a",roles="agent"}"#,
            "1x160",
        ),
    ])
}

fn tasks_wait() -> Alert {
    let waiting = select(&catalogue::LEDGER_TASKS, &[("state", "waiting")]);
    Alert::warning(
        "ShoalTasksWaiting",
        "10m",
        format!("max by (job) ({waiting}) > 0"),
    )
    .says(
        "tasks have been waiting for resources for 10 minutes",
        "No agent has enough free for at least one task of `shoal run`.",
    )
    .steps(
        &[
            "`shoal ps`: which tasks wait, and for how much?",
            "`shoal agents`: what is free? It must fit on one agent.",
        ],
        &[
            "Add agents, end what is not needed, or ask for less.",
            "A framework that holds offers without using them keeps them from others.",
        ],
    )
    .fires(
        &[(
            r#"shoal_ledger_tasks{job="shoal",instance="a",state="waiting"}"#,
            "3x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[
        (
            r#"shoal_ledger_tasks{job="shoal",instance="a",state="waiting"}"#,
            "0x150 3x10",
        ),
        (
            r#"shoal_ledger_tasks{job="shoal",instance="a",state="running"}"#,
            "3x160",
        ),
    ])
}

fn tasks_unreachable() -> Alert {
    let tasks = select(&catalogue::LEDGER_TASKS, &[("state", "unreachable")]);
    Alert::warning(
        "ShoalTasksUnreachable",
        "5m",
        format!("max by (job) ({tasks}) > 0"),
    )
    .says(
        "nobody knows whether some tasks run",
        "Their agents are unreachable. Frameworks decide whether to start others in their place.",
    )
    .steps(
        &["`shoal ps`: which ones, and on which agents?"],
        &["Bring their agents back. An agent that is gone for good keeps its tasks in this state."],
    )
    .fires(
        &[(
            r#"shoal_ledger_tasks{job="shoal",instance="a",state="unreachable"}"#,
            "1x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_ledger_tasks{job="shoal",instance="a",state="unreachable"}"#,
        "1x100 0x60",
    )])
}

fn launches_refused() -> Alert {
    let refused = select(&catalogue::AGENT_REFUSED, &[]);
    Alert::warning(
        "ShoalLaunchesRefused",
        "5m",
        format!("rate({refused}[5m]) > 0.1"),
    )
    .says(
        "{{ $labels.instance }} refuses to run tasks",
        "These tasks ask for something that the agent does not have or cannot do. Their status \
         updates say what.",
    )
    .steps(
        &["`shoal ps --all`: the message of tasks that failed on this agent."],
        &["Correct what the framework asks for, or the machine."],
    )
    .fires(
        &[(
            r#"shoal_agent_refused_tasks_total{job="shoal",instance="a"}"#,
            "0+3x160",
        )],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[(
        r#"shoal_agent_refused_tasks_total{job="shoal",instance="a"}"#,
        "0x100 1x60",
    )])
}

fn updates_again() -> Alert {
    let again = select(&catalogue::AGENT_UPDATES, &[("kind", "again")]);
    Alert::warning(
        "ShoalUpdatesRepeated",
        "10m",
        format!("rate({again}[5m]) > 0.5"),
    )
    .says(
        "{{ $labels.instance }} sends status updates again and again",
        "An update is repeated until it is committed. Commits are slow, or this agent's session is.",
    )
    .steps(
        &[
            "Alerts *ShoalNoLeader* and *ShoalDiskSlow*: does one fire?",
            "Panel *A master commands it* of the dashboard *agents*.",
        ],
        &["Begin with what those say; otherwise look at the network of this agent."],
    )
    .fires(
        &[(
            r#"shoal_agent_updates_sent_total{job="shoal",instance="a",kind="again"}"#,
            "0+15x160",
        )],
        &[("job", "shoal"), ("instance", "a"), ("kind", "again")],
    )
    .quiet(&[(
        r#"shoal_agent_updates_sent_total{job="shoal",instance="a",kind="first"}"#,
        "0+15x160",
    )])
}
