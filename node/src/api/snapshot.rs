//! `/metrics/snapshot`: the metrics that Mesos' tools read, by Mesos' names, as one flat object.
//!
//! Numbers come from one moment of the ledger. What has no counterpart here is left out, which its
//! readers take as zero; what cannot exist here is zero.

use std::collections::BTreeMap;
use std::fs;

use shoal_api::{Resources, TaskState};
use shoal_master::{State, View};
use shoal_offers::Presence;

use super::reply::Reply;
use super::{Api, listing};
use crate::clock;
use crate::drive::mailbox::Mailbox;

/// Names and values, in order of name.
pub type Snapshot = Vec<(String, f64)>;

/// What is counted by amount.
const AMOUNTS: [&str; 4] = ["cpus", "disk", "gpus", "mem"];

/// Answers on a master.
pub async fn answer(api: &Api, master: &Mailbox, asked: Option<&str>) -> Reply {
    match listing::view(master).await {
        Ok(view) => document(&of_master(api, &view), asked),
        Err(refusal) => *refusal,
    }
}

/// A snapshot as JSON.
pub fn document(snapshot: &Snapshot, asked: Option<&str>) -> Reply {
    let flat: BTreeMap<&str, f64> = snapshot
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let text = serde_json::to_string(&flat).expect("names and numbers are JSON");
    listing::document(asked, text)
}

/// Of a master at one moment.
pub fn of_master(api: &Api, view: &View) -> Snapshot {
    let mut found = BTreeMap::new();
    amounts(&view.state, &mut found);
    agents(&view.state, &mut found);
    frameworks(&view.state, &mut found);
    tasks(&view.state, &mut found);
    let leading = api.board.leadership().is_some_and(|l| l.leading);
    let mut put = |name: &str, value: f64| found.insert(format!("master/{name}"), value);
    put("elected", f64::from(u8::from(leading)));
    put("uptime_secs", uptime(api));
    put(
        "outstanding_offers",
        view.state.offers.offers().count() as f64,
    );
    let streams = api.operator_streams.len() as f64;
    put("operator_event_stream_subscribers", streams);
    let voters = view.membership.voters.len() as f64;
    found.insert("registrar/log/ensemble_size".to_owned(), voters);
    found.insert("registrar/log/recovered".to_owned(), 1.0);
    system(&mut found);
    found.into_iter().collect()
}

/// How long the node runs, in seconds.
pub fn uptime(api: &Api) -> f64 {
    (clock::calendar().as_seconds() - api.board.started().as_seconds()).max(0.0)
}

/// Total, used and their share, per kind of resource; nothing is revocable.
pub fn push_amounts(
    prefix: &str,
    total: impl Fn(&str) -> f64,
    used: impl Fn(&str) -> f64,
    found: &mut BTreeMap<String, f64>,
) {
    for name in AMOUNTS {
        // The sum of nothing is a negative zero.
        let (total, used) = (total(name) + 0.0, used(name) + 0.0);
        let share = if total > 0.0 { used / total } else { 0.0 };
        let kinds = [("total", total), ("used", used), ("percent", share)];
        for (kind, value) in kinds {
            found.insert(format!("{prefix}/{name}_{kind}"), value);
            found.insert(format!("{prefix}/{name}_revocable_{kind}"), 0.0);
        }
    }
}

/// How much of a scalar there is.
pub fn scalar(resources: &Resources, name: &str) -> f64 {
    resources.scalar(name).as_f64()
}

fn amounts(state: &State, found: &mut BTreeMap<String, f64>) {
    let offers = &state.offers;
    let listed = || offers.agents().filter(|(_, row)| !row.is_unreachable());
    let total = |name: &str| {
        listed()
            .map(|(_, row)| scalar(&row.info.resources, name))
            .sum()
    };
    let mut held: BTreeMap<&str, f64> = BTreeMap::new();
    for task in offers.tasks().filter(|task| task.row.holds()) {
        for name in AMOUNTS {
            let amount = scalar(&task.row.assignment.spec.resources, name);
            *held.entry(name).or_default() += amount;
        }
    }
    let used = |name: &str| held.get(name).copied().unwrap_or(0.0);
    push_amounts("master", total, used, found);
}

fn agents(state: &State, found: &mut BTreeMap<String, f64>) {
    let (mut connected, mut disconnected, mut unreachable) = (0_u32, 0_u32, 0_u32);
    for (_, row) in state.offers.agents() {
        match row.presence {
            Presence::Connected { .. } => connected += 1,
            Presence::Disconnected { .. } => disconnected += 1,
            Presence::Unreachable { .. } => unreachable += 1,
        }
    }
    for (name, count) in [
        ("active", connected),
        ("connected", connected),
        ("inactive", disconnected),
        ("disconnected", disconnected),
        ("unreachable", unreachable),
    ] {
        found.insert(format!("master/slaves_{name}"), f64::from(count));
    }
}

fn frameworks(state: &State, found: &mut BTreeMap<String, f64>) {
    let all = state.offers.frameworks().count();
    let frameworks = state.offers.frameworks();
    let connected = frameworks.filter(|(_, row)| row.stream().is_some()).count();
    for (name, count) in [
        ("active", connected),
        ("connected", connected),
        ("inactive", all - connected),
        ("disconnected", all - connected),
    ] {
        found.insert(format!("master/frameworks_{name}"), count as f64);
    }
}

/// Tasks that have not ended, by state; and those that have, as far as they are remembered.
fn tasks(state: &State, found: &mut BTreeMap<String, f64>) {
    let mut counts: BTreeMap<TaskState, u64> = BTreeMap::new();
    for task in state.offers.tasks() {
        *counts.entry(task.row.state_seen()).or_default() += 1;
    }
    for task in state.offers.completed_tasks() {
        *counts.entry(task.state).or_default() += 1;
    }
    for (state, name) in STATES {
        let count = counts.get(&state).copied().unwrap_or(0);
        found.insert(format!("master/tasks_{name}"), count as f64);
    }
}

const STATES: [(TaskState, &str); 13] = [
    (TaskState::Staging, "staging"),
    (TaskState::Starting, "starting"),
    (TaskState::Running, "running"),
    (TaskState::Killing, "killing"),
    (TaskState::Unreachable, "unreachable"),
    (TaskState::Finished, "finished"),
    (TaskState::Failed, "failed"),
    (TaskState::Killed, "killed"),
    (TaskState::Lost, "lost"),
    (TaskState::Error, "error"),
    (TaskState::Dropped, "dropped"),
    (TaskState::Gone, "gone"),
    (TaskState::GoneByOperator, "gone_by_operator"),
];

/// What the machine is doing; what the kernel does not tell is left out.
pub fn system(found: &mut BTreeMap<String, f64>) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    found.insert("system/cpus_total".to_owned(), cpus as f64);
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let names = ["load_1min", "load_5min", "load_15min"];
    for (name, load) in names.iter().zip(loads.split(' ')) {
        if let Ok(load) = load.parse() {
            found.insert(format!("system/{name}"), load);
        }
    }
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    for (name, key) in [
        ("mem_total_bytes", "MemTotal:"),
        ("mem_free_bytes", "MemFree:"),
    ] {
        let line = memory.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        if let Some(kilobytes) = number {
            found.insert(format!("system/{name}"), kilobytes * 1024.0);
        }
    }
}
