//! The promises of the allocator, on a ledger made of maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use shoal_api::{
    AgentId, AgentInfo, Capability, Dice, FrameworkId, FrameworkInfo, HostPort, Instant, Name,
    NodeId, Origin, Reservation, ReservationKind, Resources, Role, Terms,
};

use super::{AgentView, Allocator, FrameworkView, NewOffer, Plan, View};

struct Agent {
    info: Arc<AgentInfo>,
    connected: bool,
    free: Resources,
}

struct Framework {
    info: FrameworkInfo,
    suppressed: BTreeSet<Role>,
    connected: bool,
    used: BTreeMap<Role, Resources>,
}

#[derive(Default)]
struct Fake {
    agents: BTreeMap<AgentId, Agent>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    weights: BTreeMap<Role, u32>,
}

impl View for Fake {
    fn agent_ids(&self) -> Vec<AgentId> {
        self.agents.keys().copied().collect()
    }

    fn framework_ids(&self) -> Vec<FrameworkId> {
        self.frameworks.keys().cloned().collect()
    }

    fn agent(&self, id: AgentId) -> Option<AgentView<'_>> {
        self.agents.get(&id).map(|agent| AgentView {
            info: &agent.info,
            counted: true,
            connected: agent.connected,
            free: agent.free.clone(),
        })
    }

    fn framework(&self, id: &FrameworkId) -> Option<FrameworkView<'_>> {
        self.frameworks.get(id).map(|framework| FrameworkView {
            info: &framework.info,
            suppressed: &framework.suppressed,
            connected: framework.connected,
            used: framework
                .used
                .iter()
                .map(|(r, u)| (r.clone(), u.clone()))
                .collect(),
        })
    }

    fn weight(&self, role: &Role) -> u32 {
        self.weights.get(role).copied().unwrap_or(1_000)
    }
}

fn parse(text: &str) -> Resources {
    Resources::parse(text).expect(text)
}

fn agent_id(number: u64) -> AgentId {
    AgentId {
        origin: Origin(1),
        number,
    }
}

fn framework_id(name: &str) -> FrameworkId {
    FrameworkId::new(name).expect(name)
}

fn role(name: &str) -> Role {
    Role::new(name).expect(name)
}

impl Fake {
    fn add_agent(&mut self, number: u64, resources: &str) -> AgentId {
        let info = AgentInfo {
            node: NodeId(u128::from(number)),
            name: Name::new(&format!("n{number}")).unwrap(),
            http: HostPort::new("127.0.0.1", 5051),
            resources: parse(resources),
            attributes: Vec::new(),
            version: Arc::from("0.1.0"),
        };
        let agent = Agent {
            info: Arc::new(info),
            connected: true,
            free: parse(resources),
        };
        self.agents.insert(agent_id(number), agent);
        agent_id(number)
    }

    fn add_framework(&mut self, name: &str, roles: &[&str]) -> FrameworkId {
        let id = framework_id(name);
        let info = FrameworkInfo {
            id: Some(id.clone()),
            name: Arc::from(name),
            user: Arc::from(""),
            principal: None,
            roles: roles.iter().map(|name| role(name)).collect(),
            suppressed: BTreeSet::new(),
            capabilities: BTreeSet::from([Capability::MultiRole]),
            failover_timeout: Duration::ZERO,
            raw: Bytes::new(),
        };
        let framework = Framework {
            info,
            suppressed: BTreeSet::new(),
            connected: true,
            used: BTreeMap::new(),
        };
        self.frameworks.insert(id.clone(), framework);
        id
    }

    /// What the ledger does with a plan.
    fn apply(&mut self, plan: &Plan) {
        for offer in &plan.offers {
            let agent = self
                .agents
                .get_mut(&offer.agent)
                .expect("offers name known agents");
            agent
                .free
                .subtract(&offer.resources)
                .expect("never more than is free");
            let framework = self.frameworks.get_mut(&offer.framework).expect("known");
            let used = framework.used.entry(offer.role.clone()).or_default();
            add_scalars(used, &offer.resources);
        }
    }

    /// What the ledger does when an offer is declined.
    fn give_back(&mut self, offer: &NewOffer) {
        let agent = self.agents.get_mut(&offer.agent).expect("known");
        agent
            .free
            .add(&offer.resources)
            .expect("it was taken from here");
        let framework = self.frameworks.get_mut(&offer.framework).expect("known");
        let used = framework.used.get_mut(&offer.role).expect("it was given");
        used.subtract(&offer.resources).expect("it was given");
    }
}

/// Several agents have the same ports, so the fake counts scalars only, as shares do.
fn add_scalars(used: &mut Resources, more: &Resources) {
    for name in ["cpus", "mem", "gpus"] {
        used.add(&Resources::scalar_of(name, more.scalar(name)))
            .unwrap();
    }
}

fn pass(allocator: &mut Allocator, now: Instant, fake: &mut Fake) -> Plan {
    let plan = allocator.allocate(now, fake);
    fake.apply(&plan);
    allocator.settled(plan.agents());
    plan
}

fn seconds(count: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(count)
}

fn takers(plan: &Plan) -> Vec<&str> {
    plan.offers
        .iter()
        .map(|offer| offer.framework.as_str())
        .collect()
}

#[test]
fn one_offer_takes_the_whole_remainder_and_nothing_is_planned_twice() {
    let mut fake = Fake::default();
    fake.add_agent(1, "cpus:4;mem:100");
    fake.add_framework("a", &["*"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    let plan = allocator.allocate(seconds(0), &fake);
    assert_eq!(plan.offers.len(), 1);
    assert_eq!(plan.offers[0].resources, parse("cpus:4;mem:100"));
    allocator.touch_all();
    let again = allocator.allocate(seconds(0), &fake);
    assert!(again.offers.is_empty());
    assert_eq!(again.report.unsettled, 1);
    allocator.settled(plan.agents());
    let refused = allocator.allocate(seconds(0), &fake);
    assert_eq!(
        refused.offers, plan.offers,
        "the ledger did not apply it, so it is planned again"
    );
}

#[test]
fn a_decline_holds_until_it_expires_or_there_is_more_or_it_is_revived() {
    let mut fake = Fake::default();
    let agent = fake.add_agent(1, "cpus:4;mem:100");
    let id = fake.add_framework("a", &["*"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    let decline = |allocator: &mut Allocator, fake: &mut Fake, now, seconds| {
        let plan = pass(allocator, now, fake);
        assert_eq!(plan.offers.len(), 1);
        let offer = &plan.offers[0];
        fake.give_back(offer);
        let refuse = Duration::from_secs(seconds);
        allocator.declined(&id, &offer.role, agent, &offer.resources, refuse, now);
        allocator.touch(agent);
        let next = allocator.allocate(now, fake);
        assert_eq!((next.offers.len(), next.report.filtered), (0, 1));
    };
    decline(&mut allocator, &mut fake, seconds(0), 5);
    assert_eq!(allocator.next_deadline(), Some(seconds(5)));
    assert!(allocator.allocate(seconds(4), &fake).offers.is_empty());
    decline(&mut allocator, &mut fake, seconds(5), 50);
    allocator.revived(&framework_id("a"), &BTreeSet::new());
    decline(&mut allocator, &mut fake, seconds(6), 50);
    fake.agents.get_mut(&agent).unwrap().free = parse("cpus:5;mem:100");
    allocator.touch(agent);
    assert_eq!(pass(&mut allocator, seconds(7), &mut fake).offers.len(), 1);
}

#[test]
fn gpus_suppression_and_small_rests_are_respected() {
    let mut fake = Fake::default();
    fake.add_agent(1, "cpus:4;mem:100;gpus:1");
    fake.add_agent(2, "cpus:0.009;mem:31;disk:1000");
    let id = fake.add_framework("a", &["x", "y"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    let plan = pass(&mut allocator, seconds(0), &mut fake);
    assert_eq!(
        (
            plan.report.no_taker,
            plan.report.too_small,
            plan.offers.len()
        ),
        (1, 1, 0)
    );
    let framework = fake.frameworks.get_mut(&id).unwrap();
    framework.info.capabilities.insert(Capability::GpuResources);
    framework.suppressed.insert(role("x"));
    allocator.framework_changed(&id);
    allocator.touch_all();
    let plan = pass(&mut allocator, seconds(0), &mut fake);
    assert_eq!(plan.offers.len(), 1);
    assert_eq!(plan.offers[0].role, role("y"));
}

#[test]
fn weights_divide_between_roles_and_frameworks_share_within() {
    let mut fake = Fake::default();
    for number in 0..400 {
        fake.add_agent(number, "cpus:1;mem:100");
    }
    fake.add_framework("heavy", &["big"]);
    fake.add_framework("one", &["small"]);
    fake.add_framework("two", &["small"]);
    fake.weights.insert(role("big"), 3_000);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    let plan = pass(&mut allocator, seconds(0), &mut fake);
    let count = |name| takers(&plan).iter().filter(|taker| **taker == name).count();
    assert_eq!((count("heavy"), count("one"), count("two")), (300, 50, 50));
}

#[test]
fn ties_go_to_fewer_allocations_then_to_the_name() {
    let mut fake = Fake::default();
    let agent = fake.add_agent(1, "cpus:1;mem:100");
    fake.add_framework("b", &["*"]);
    fake.add_framework("a", &["*"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    for expected in ["a", "b", "a", "b"] {
        let plan = pass(&mut allocator, seconds(0), &mut fake);
        assert_eq!(takers(&plan), [expected]);
        fake.give_back(&plan.offers[0]);
        allocator.touch(agent);
        allocator.framework_changed(&plan.offers[0].framework);
    }
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut fake = Fake::default();
    let agent = fake.add_agent(1, "cpus:1;mem:100");
    let id = fake.add_framework("a", &["*"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    let plan = allocator.allocate(seconds(0), &fake);
    assert_eq!(plan.offers.len(), 1);
    fake.frameworks.remove(&id);
    allocator.framework_changed(&id);
    assert!(allocator.allocate(seconds(0), &fake).offers.is_empty());
    fake.agents.remove(&agent);
    allocator.touch(agent);
    assert!(allocator.allocate(seconds(0), &fake).offers.is_empty());
    assert!(allocator.frameworks.is_empty());
    assert_eq!(allocator.agents.slots().count(), 0);
    fake.add_framework("a", &["*"]);
    fake.add_agent(2, "cpus:1;mem:100");
    allocator.framework_changed(&id);
    allocator.touch(agent_id(2));
    assert_eq!(pass(&mut allocator, seconds(0), &mut fake).offers.len(), 1);
}

/// What happens to the cluster between passes.
#[derive(Clone, Debug)]
enum Step {
    Decline {
        pick: usize,
        refuse: u64,
    },
    Hold {
        pick: usize,
    },
    AgentSession {
        agent: u64,
        connected: bool,
    },
    Suppress {
        framework: usize,
        role: usize,
        on: bool,
    },
    Connect {
        framework: usize,
        connected: bool,
    },
    Revive {
        framework: usize,
    },
    Wait {
        seconds: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<usize>(), 0_u64..40).prop_map(|(pick, refuse)| Step::Decline { pick, refuse }),
        4 => any::<usize>().prop_map(|pick| Step::Hold { pick }),
        2 => (0_u64..6, any::<bool>())
            .prop_map(|(agent, connected)| Step::AgentSession { agent, connected }),
        2 => (0_usize..5, 0_usize..3, any::<bool>())
            .prop_map(|(framework, role, on)| Step::Suppress { framework, role, on }),
        2 => (0_usize..5, any::<bool>())
            .prop_map(|(framework, connected)| Step::Connect { framework, connected }),
        1 => (0_usize..5).prop_map(|framework| Step::Revive { framework }),
        4 => (1_u64..9).prop_map(|seconds| Step::Wait { seconds }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Filters as the facts tell them, one by one.
#[derive(Default)]
struct Refusals(Vec<(FrameworkId, Role, AgentId, Resources, Instant)>);

impl Refusals {
    fn block(&self, offer: &NewOffer, now: Instant) -> bool {
        self.0.iter().any(|(framework, role, agent, refused, end)| {
            *framework == offer.framework
                && *role == offer.role
                && *agent == offer.agent
                && refused.contains(&offer.resources)
                && *end > now
        })
    }
}

const ROLES: [&str; 3] = ["x", "y", "z"];

fn world() -> (Fake, Vec<FrameworkId>) {
    let mut fake = Fake::default();
    for number in 0..6 {
        fake.add_agent(
            number,
            &format!("cpus:{};mem:{}", 1 + number % 3, 64 * (1 + number % 2)),
        );
    }
    let ids = (0..5)
        .map(|i| fake.add_framework(&format!("f{i}"), &ROLES[i % 3..]))
        .collect();
    (fake, ids)
}

/// Plays the steps; returns all plans.
fn play(seed: u64, steps: &[Step]) -> Vec<Plan> {
    let (mut fake, ids) = world();
    let mut allocator = Allocator::new(Dice::new(seed), &fake);
    let mut refusals = Refusals::default();
    let (mut live, mut plans, mut now) = (Vec::new(), Vec::new(), Instant::ZERO);
    for step in steps {
        let plan = allocator.allocate(now, &fake);
        check(&plan, &fake, &refusals, now);
        fake.apply(&plan);
        allocator.settled(plan.agents());
        live.extend(plan.offers.iter().cloned());
        plans.push(plan);
        act(
            step,
            &mut fake,
            &ids,
            &mut allocator,
            &mut refusals,
            &mut live,
            &mut now,
        );
    }
    plans
}

fn check(plan: &Plan, fake: &Fake, refusals: &Refusals, now: Instant) {
    let mut agents = BTreeSet::new();
    for offer in &plan.offers {
        assert!(
            agents.insert(offer.agent),
            "an agent stands twice in a plan"
        );
        let agent = &fake.agents[&offer.agent];
        assert!(agent.connected, "offered without a session");
        assert_eq!(
            offer.resources, agent.free,
            "an offer is the whole remainder"
        );
        let framework = &fake.frameworks[&offer.framework];
        assert!(framework.connected && framework.info.roles.contains(&offer.role));
        assert!(
            !framework.suppressed.contains(&offer.role),
            "offered although suppressed"
        );
        assert!(!refusals.block(offer, now), "offered although declined");
    }
}

fn act(
    step: &Step,
    fake: &mut Fake,
    ids: &[FrameworkId],
    allocator: &mut Allocator,
    refusals: &mut Refusals,
    live: &mut Vec<NewOffer>,
    now: &mut Instant,
) {
    match step {
        Step::Decline { pick, refuse } if !live.is_empty() => {
            let offer = live.swap_remove(pick % live.len());
            decline(
                offer,
                Duration::from_secs(*refuse),
                fake,
                allocator,
                refusals,
                *now,
            );
        }
        Step::Hold { pick } if !live.is_empty() => {
            live.swap_remove(pick % live.len());
        }
        Step::Decline { .. } | Step::Hold { .. } => {}
        Step::AgentSession { agent, connected } => {
            fake.agents.get_mut(&agent_id(*agent)).unwrap().connected = *connected;
            allocator.touch(agent_id(*agent));
        }
        Step::Suppress {
            framework,
            role: at,
            on,
        } => {
            let id = &ids[*framework];
            let suppressed = &mut fake.frameworks.get_mut(id).unwrap().suppressed;
            if *on {
                suppressed.insert(role(ROLES[*at]));
            } else {
                suppressed.remove(&role(ROLES[*at]));
            }
            allocator.framework_changed(id);
        }
        Step::Connect {
            framework,
            connected,
        } => {
            let id = &ids[*framework];
            fake.frameworks.get_mut(id).unwrap().connected = *connected;
            if !connected {
                refusals.0.retain(|(other, ..)| other != id);
            }
            allocator.framework_changed(id);
        }
        Step::Revive { framework } => {
            refusals.0.retain(|(other, ..)| *other != ids[*framework]);
            allocator.revived(&ids[*framework], &BTreeSet::new());
        }
        Step::Wait { seconds } => *now = *now + Duration::from_secs(*seconds),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn never_too_much_never_what_was_declined_and_always_the_same(
        seed in any::<u64>(),
        steps in steps(),
    ) {
        prop_assert_eq!(play(seed, &steps), play(seed, &steps));
    }

    #[test]
    fn eventually_all_that_is_free_is_offered(seed in any::<u64>(), steps in steps()) {
        let (mut fake, ids) = world();
        let mut allocator = Allocator::new(Dice::new(seed), &fake);
        let (mut live, mut now) = (Vec::new(), Instant::ZERO);
        for step in &steps {
            live.extend(pass(&mut allocator, now, &mut fake).offers);
            act(step, &mut fake, &ids, &mut allocator, &mut Refusals::default(), &mut live, &mut now);
        }
        let last = act_all_up(&mut fake, &ids, &mut allocator);
        while let Some(deadline) = allocator.next_deadline() {
            now = now.max(deadline);
            pass(&mut allocator, now, &mut fake);
        }
        pass(&mut allocator, now, &mut fake);
        prop_assert!(fake.agents.values().all(|agent| agent.free.is_empty()), "{}", last);
    }

    #[test]
    fn equal_frameworks_differ_by_one_agent_at_most(
        seed in any::<u64>(),
        agents in 1_u64..60,
        frameworks in 1_usize..12,
    ) {
        let mut fake = Fake::default();
        for number in 0..agents {
            fake.add_agent(number, "cpus:2;mem:64;ports:[1-9]");
        }
        for number in 0..frameworks {
            fake.add_framework(&format!("f{number}"), &["*"]);
        }
        let mut allocator = Allocator::new(Dice::new(seed), &fake);
        let plan = pass(&mut allocator, Instant::ZERO, &mut fake);
        prop_assert_eq!(plan.offers.len() as u64, agents);
        let mut counts = vec![0; frameworks];
        for taker in takers(&plan) {
            counts[taker[1..].parse::<usize>().unwrap()] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        prop_assert!(most - least <= 1);
    }
}

fn decline(
    offer: NewOffer,
    life: Duration,
    fake: &mut Fake,
    allocator: &mut Allocator,
    refusals: &mut Refusals,
    now: Instant,
) {
    let NewOffer {
        framework,
        role,
        agent,
        resources,
    } = offer.clone();
    fake.give_back(&offer);
    allocator.declined(&framework, &role, agent, &resources, life, now);
    allocator.touch(agent);
    allocator.framework_changed(&framework);
    if fake.frameworks[&framework].connected {
        refusals
            .0
            .push((framework, role, agent, resources, now + life));
    }
}

/// Everything is connected and wants offers.
fn act_all_up(fake: &mut Fake, ids: &[FrameworkId], allocator: &mut Allocator) -> &'static str {
    for (id, agent) in &mut fake.agents {
        agent.connected = true;
        allocator.touch(*id);
    }
    for id in ids {
        let framework = fake.frameworks.get_mut(id).unwrap();
        framework.connected = true;
        framework.suppressed.clear();
        allocator.framework_changed(id);
    }
    "free resources that nobody was offered"
}

/// All that is offered of the agents, pass by pass, as `framework: resources`.
fn rounds(allocator: &mut Allocator, fake: &mut Fake) -> Vec<String> {
    let mut all = Vec::new();
    for second in 0..10 {
        let plan = pass(allocator, seconds(second), fake);
        all.extend(plan.offers.iter().map(|offer| {
            let NewOffer {
                framework,
                resources,
                ..
            } = offer;
            format!("{framework}: {resources}")
        }));
    }
    all
}

#[test]
fn reserved_resources_go_to_their_role_and_below_it_only() {
    let mut fake = Fake::default();
    fake.add_agent(1, "cpus(web):2;mem(web):64;cpus(db):1;mem(db):32");
    fake.add_framework("other", &["webs"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    assert!(rounds(&mut allocator, &mut fake).is_empty());
    let below = fake.add_framework("below", &["web/front"]);
    allocator.framework_changed(&below);
    let web = "cpus(reservations: [(STATIC,web)]):2; mem(reservations: [(STATIC,web)]):64";
    assert_eq!(rounds(&mut allocator, &mut fake), [format!("below: {web}")]);
}

#[test]
fn what_one_may_not_have_is_offered_to_the_next() {
    let mut fake = Fake::default();
    fake.add_agent(1, "cpus:1;mem:32;cpus(web):2;mem(web):64");
    fake.add_framework("a", &["*"]);
    fake.add_framework("b", &["web"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    let mut all = rounds(&mut allocator, &mut fake);
    all.sort_unstable();
    let web = "cpus(reservations: [(STATIC,web)]):2; mem(reservations: [(STATIC,web)]):64";
    let first = ["a: cpus:1; mem:32".to_owned(), format!("b: {web}")];
    assert_eq!(all, first, "the order of shares gives the rest to a");
}

#[test]
fn a_declined_part_is_filtered_as_it_was_offered() {
    let mut fake = Fake::default();
    let agent = fake.add_agent(1, "cpus:1;mem:32;cpus(web):2;mem(web):64");
    let a = fake.add_framework("a", &["*"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    let plan = pass(&mut allocator, seconds(0), &mut fake);
    let offer = plan.offers[0].clone();
    fake.give_back(&offer);
    let minute = Duration::from_secs(60);
    allocator.declined(&a, &role("*"), agent, &offer.resources, minute, seconds(0));
    allocator.touch(agent);
    assert!(
        pass(&mut allocator, seconds(1), &mut fake)
            .offers
            .is_empty()
    );
    let plan = pass(&mut allocator, seconds(61), &mut fake);
    assert_eq!(plan.offers[0].resources, offer.resources);
}

#[test]
fn stacks_of_reservations_are_for_those_who_understand_them() {
    let stack = |role: Role| Terms {
        reservations: vec![
            Reservation::fixed(Role::new("web").unwrap()),
            Reservation {
                kind: ReservationKind::Dynamic,
                ..Reservation::fixed(role)
            },
        ],
        ..Terms::default()
    };
    let mut fake = Fake::default();
    let agent = fake.add_agent(1, "cpus:2;mem:64");
    let refined = parse("cpus:2;mem:64").on_terms(|_| stack(role("web/front")));
    fake.agents.get_mut(&agent).unwrap().free = refined.unwrap();
    fake.add_framework("a", &["web/front"]);
    let mut allocator = Allocator::new(Dice::new(1), &fake);
    assert!(
        pass(&mut allocator, seconds(0), &mut fake)
            .offers
            .is_empty()
    );
    let b = fake.add_framework("b", &["web/front"]);
    let able = &mut fake.frameworks.get_mut(&b).unwrap().info.capabilities;
    able.insert(Capability::ReservationRefinement);
    allocator.framework_changed(&b);
    let plan = pass(&mut allocator, seconds(1), &mut fake);
    assert_eq!(takers(&plan), ["b"]);
}
