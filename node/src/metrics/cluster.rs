//! What the ledger of a master says in numbers, worked out when somebody asks for the metrics.
//!
//! The machine gives a picture that it shares anyway; counting happens on the asker's thread, so that
//! nobody pays who is not scraped.

use metrics::Gauge;
use shoal_api::member::{Member, MemberStatus};
use shoal_api::{Resources, TaskState};
use shoal_master::{MasterInfo, View};
use shoal_offers::Presence;

use super::catalogue::{self, Metric};
use super::gauge;

const AGENTS: [&str; 3] = ["connected", "disconnected", "unreachable"];
const FRAMEWORKS: [&str; 2] = ["connected", "disconnected"];
const TASKS: [&str; 6] = [
    "waiting",
    "staging",
    "starting",
    "running",
    "killing",
    "unreachable",
];
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// The handles.
pub struct Cluster {
    leader_known: Gauge,
    age: Gauge,
    voters: [Gauge; 2],
    agents: [Gauge; AGENTS.len()],
    frameworks: [Gauge; FRAMEWORKS.len()],
    tasks: [Gauge; TASKS.len()],
    offers: Gauge,
    cpus: Shares,
    memory: Shares,
    disk: Shares,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

/// One resource: all of it, what nobody has, and what is offered.
struct Shares {
    total: Gauge,
    free: Gauge,
    offered: Gauge,
}

/// What the shares are counted from.
#[derive(Default)]
struct Holdings<'a> {
    total: Vec<&'a Resources>,
    free: Vec<&'a Resources>,
    offered: Vec<&'a Resources>,
}

impl Shares {
    fn new(metric: &Metric) -> Shares {
        Shares {
            total: gauge(metric, &["total"]),
            free: gauge(metric, &["free"]),
            offered: gauge(metric, &["offered"]),
        }
    }

    fn set(&self, name: &str, unit: f64, holdings: &Holdings<'_>) {
        let sum = |all: &[&Resources]| -> f64 {
            let amounts = all.iter().map(|resources| resources.scalar(name).as_f64());
            amounts.sum::<f64>() * unit
        };
        self.total.set(sum(&holdings.total));
        self.free.set(sum(&holdings.free));
        self.offered.set(sum(&holdings.offered));
    }
}

impl Cluster {
    /// Looks every handle up once; only a master does, so that other nodes do not show an empty ledger.
    pub fn handles() -> Cluster {
        Cluster {
            leader_known: gauge(&catalogue::RAFT_LEADER_KNOWN, &[]),
            age: gauge(&catalogue::LEDGER_AGE, &[]),
            voters: ["alive", "absent"].map(|status| gauge(&catalogue::RAFT_VOTERS, &[status])),
            agents: AGENTS.map(|status| gauge(&catalogue::LEDGER_AGENTS, &[status])),
            frameworks: FRAMEWORKS.map(|status| gauge(&catalogue::LEDGER_FRAMEWORKS, &[status])),
            tasks: TASKS.map(|state| gauge(&catalogue::LEDGER_TASKS, &[state])),
            offers: gauge(&catalogue::LEDGER_OFFERS, &[]),
            cpus: Shares::new(&catalogue::LEDGER_CPUS),
            memory: Shares::new(&catalogue::LEDGER_MEMORY),
            disk: Shares::new(&catalogue::LEDGER_DISK),
        }
    }

    /// Shows one moment of the ledger, and which of its masters the gossip sees.
    pub fn show(&self, view: &View, masters: &[MasterInfo], members: &[Member]) {
        self.leader_known
            .set(f64::from(u8::from(view.leader.is_some())));
        self.age.set(view.age.as_secs_f64());
        let alive = |raft| {
            let info = masters.iter().find(|info| info.raft == raft);
            info.is_some_and(|info| {
                let member = members.iter().find(|member| member.id == info.node);
                member.is_some_and(|member| member.status == MemberStatus::Alive)
            })
        };
        let voters = &view.membership.voters;
        let here = voters.iter().filter(|raft| alive(**raft)).count();
        self.voters[0].set(here as f64);
        self.voters[1].set((voters.len() - here) as f64);
        self.show_offers(view);
    }

    fn show_offers(&self, view: &View) {
        let offers = &view.state.offers;
        let mut agents = [0_u32; AGENTS.len()];
        let mut holdings = Holdings::default();
        for (_, row) in offers.agents() {
            let at = match row.presence {
                Presence::Connected { .. } => 0,
                Presence::Disconnected { .. } => 1,
                Presence::Unreachable { .. } => 2,
            };
            agents[at] += 1;
            holdings.total.push(&row.info.resources);
            holdings.free.push(&row.free);
        }
        let out = offers.offers().map(|row| &row.offer.resources);
        holdings.offered.extend(out);
        let mut frameworks = [0_u32; FRAMEWORKS.len()];
        for (_, row) in offers.frameworks() {
            frameworks[usize::from(row.stream().is_none())] += 1;
        }
        let mut tasks = [0_u32; TASKS.len()];
        tasks[0] = u32::try_from(view.state.runs.waiting().count()).unwrap_or(u32::MAX);
        for task in offers.tasks() {
            if let Some(at) = place(task.row.state_seen()) {
                tasks[at] += 1;
            }
        }
        set_all(&self.agents, &agents);
        set_all(&self.frameworks, &frameworks);
        set_all(&self.tasks, &tasks);
        self.offers.set(offers.offers().count() as f64);
        self.cpus.set("cpus", 1.0, &holdings);
        self.memory.set("mem", MEBIBYTE, &holdings);
        self.disk.set("disk", MEBIBYTE, &holdings);
    }
}

fn set_all(gauges: &[Gauge], counts: &[u32]) {
    for (gauge, count) in gauges.iter().zip(counts) {
        gauge.set(f64::from(*count));
    }
}

/// Where a state stands in [`TASKS`]; nowhere once the task is over.
fn place(state: TaskState) -> Option<usize> {
    match state {
        TaskState::Staging => Some(1),
        TaskState::Starting => Some(2),
        TaskState::Running => Some(3),
        TaskState::Killing => Some(4),
        TaskState::Unreachable => Some(5),
        TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Lost
        | TaskState::Dropped
        | TaskState::Gone
        | TaskState::GoneByOperator
        | TaskState::Unknown => None,
    }
}
