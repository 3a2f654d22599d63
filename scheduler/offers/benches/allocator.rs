//! How long a pass of the allocator takes: 10 000 agents and 1 000 frameworks, and one event.
//!
//! Run with `cargo bench -p shoal-offers`. The ledger is a map here; only touched rows are read.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use shoal_api::{
    AgentId, AgentInfo, Capability, Dice, FrameworkId, FrameworkInfo, HostPort, Instant, Name,
    NodeId, Origin, Resources, Role,
};
use shoal_offers::allocator::{AgentView, Allocator, FrameworkView, View};

const AGENTS: u64 = 10_000;
const FRAMEWORKS: usize = 1_000;
const ROLES: usize = 100;

struct World {
    agents: BTreeMap<AgentId, Arc<AgentInfo>>,
    frameworks: BTreeMap<FrameworkId, FrameworkInfo>,
    none: BTreeSet<Role>,
}

impl View for World {
    fn agent_ids(&self) -> Vec<AgentId> {
        self.agents.keys().copied().collect()
    }

    fn framework_ids(&self) -> Vec<FrameworkId> {
        self.frameworks.keys().cloned().collect()
    }

    fn agent(&self, id: AgentId) -> Option<AgentView<'_>> {
        self.agents.get(&id).map(|info| AgentView {
            info,
            counted: true,
            connected: true,
            free: info.resources.clone(),
        })
    }

    fn framework(&self, id: &FrameworkId) -> Option<FrameworkView<'_>> {
        self.frameworks.get(id).map(|info| FrameworkView {
            info,
            suppressed: &self.none,
            connected: true,
            used: Vec::new(),
        })
    }

    fn weight(&self, _: &Role) -> u32 {
        1_000
    }
}

fn world() -> World {
    let mut world = World {
        agents: BTreeMap::new(),
        frameworks: BTreeMap::new(),
        none: BTreeSet::new(),
    };
    let resources = Resources::parse("cpus:16;mem:65536;disk:500000;ports:[31000-32000]")
        .expect("the text is well formed");
    for number in 0..AGENTS {
        let id = AgentId {
            origin: Origin(7),
            number,
        };
        let info = AgentInfo {
            node: NodeId(u128::from(number)),
            name: Name::new(&format!("node-{number}")).expect("a name"),
            http: HostPort::new("127.0.0.1", 5051),
            resources: resources.clone(),
            attributes: Vec::new(),
            version: Arc::from("0.1.0"),
        };
        world.agents.insert(id, Arc::new(info));
    }
    for number in 0..FRAMEWORKS {
        let id = FrameworkId::new(&format!("framework-{number:04}")).expect("an id");
        let role = Role::new(&format!("role-{:02}", number % ROLES)).expect("a role");
        let info = FrameworkInfo {
            id: Some(id.clone()),
            name: Arc::from("bench"),
            user: Arc::from(""),
            principal: None,
            roles: BTreeSet::from([role]),
            suppressed: BTreeSet::new(),
            capabilities: BTreeSet::from([Capability::MultiRole]),
            failover_timeout: Duration::ZERO,
            raw: Bytes::new(),
        };
        world.frameworks.insert(id, info);
    }
    world
}

/// All of the frameworks have declined all of the first `agents` agents, up to the bound of filters.
fn decline(allocator: &mut Allocator, world: &World, agents: usize) {
    for (id, info) in world.agents.iter().take(agents) {
        for (framework, of) in &world.frameworks {
            let role = of.roles.first().expect("a role");
            let life = Duration::from_secs(600);
            allocator.declined(framework, role, *id, &info.resources, life, Instant::ZERO);
        }
    }
}

fn passes(criterion: &mut Criterion) {
    let world = world();
    let fresh = Allocator::new(Dice::new(1), &world);
    let mut group = criterion.benchmark_group("allocator");
    group.sample_size(20);
    group.bench_function(
        "full pass, 10k agents x 1k frameworks, all offered",
        |bencher| {
            bencher.iter_batched_ref(
                || fresh.clone(),
                |allocator| {
                    black_box(allocator.allocate(Instant::ZERO, &world))
                        .offers
                        .len()
                },
                BatchSize::LargeInput,
            );
        },
    );
    let mut declined = fresh.clone();
    decline(&mut declined, &world, 1_000);
    group.bench_function(
        "full pass, a tenth of the agents declined by all",
        |bencher| {
            bencher.iter_batched_ref(
                || declined.clone(),
                |allocator| {
                    black_box(allocator.allocate(Instant::ZERO, &world))
                        .offers
                        .len()
                },
                BatchSize::LargeInput,
            );
        },
    );
    let mut busy = fresh.clone();
    let plan = busy.allocate(Instant::ZERO, &world);
    let one = plan.offers[0].agent;
    group.bench_function(
        "single event, one agent's resources are free again",
        |bencher| {
            bencher.iter(|| {
                busy.settled([one]);
                black_box(busy.allocate(Instant::ZERO, &world)).offers.len()
            });
        },
    );
    group.finish();
}

criterion_group!(benches, passes);
criterion_main!(benches);
