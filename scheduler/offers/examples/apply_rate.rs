//! How many accepts of one task each one core applies in a second.
//!
//! `cargo run --release -p shoal-offers --example apply_rate [ACCEPTS]`: entries of 256 accepts are
//! decoded and applied with their window of outcomes, as a master does; the offers between them,
//! the reports and acknowledgements of every task, are timed apart. Times are of this thread's core.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::call::{AgentName, Filters, Launch, Subscribe};
use shoal_api::session::Hello;
use shoal_api::task::Command as Program;
use shoal_api::{
    AgentId, AgentInfo, Capability, Epoch, Fence, FrameworkId, FrameworkInfo, Generation, HostPort,
    Incarnation, Index, Instant, Name, NodeId, OfferId, Origin, Plants, RequestId, Resources, Role,
    Source, StatusUpdate, StreamId, TaskId, TaskKey, TaskSpec, TaskState, Timestamp, UpdateId,
};
use shoal_ledger::{Command, Entry, Header, Module, Outcomes};
use shoal_offers::allocator::NewOffer;
use shoal_offers::{Context, Effect, Offers, OffersCommand, Outcome, encode_result};

const AGENTS: u64 = 100;
const BATCH: usize = 256;
const STREAM: StreamId = StreamId(1);

/// What this thread has used of its core, so that other work on the machine does not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split_whitespace().next().expect("a first field");
    Duration::from_nanos(nanos.parse().expect("nanoseconds"))
}

struct Bench {
    offers: Offers,
    outcomes: Outcomes,
    index: u64,
    counter: u64,
    effects: Vec<Effect>,
}

impl Bench {
    /// Encodes an entry, then times decoding and applying it.
    fn apply(&mut self, commands: Vec<OffersCommand>) -> (Duration, Vec<Outcome>) {
        self.index += 1;
        let first = self.counter + 1;
        let commands = commands.iter().map(|command| {
            self.counter += 1;
            Command {
                header: Header {
                    version: 1,
                    time: Instant::from_nanos(self.index),
                    wall: Timestamp::from_nanos(self.index as i64),
                    principal: None,
                    request: RequestId {
                        node: NodeId(1),
                        generation: Generation(1),
                        counter: self.counter,
                    },
                    lowest: first,
                },
                module: Offers::NUMBER,
                body: command.encode(),
            }
        });
        let entry = Entry {
            commands: commands.collect(),
        };
        let bytes = entry.encode().expect("a small entry");
        let started = cpu_time();
        let mut results = Vec::new();
        let entry = Entry::decode(&bytes).expect("an entry");
        for (position, command) in entry.commands.iter().enumerate() {
            self.outcomes.admit(&command.header);
            let context = Context {
                index: Index(self.index),
                position: position as u32,
                header: &command.header,
                incarnation: Incarnation(1),
                origin: Origin(7),
                plants: Plants::NONE,
            };
            let typed = OffersCommand::decode(&command.body).expect("a command");
            self.effects.clear();
            let result = self.offers.apply(&context, typed, &mut self.effects);
            self.outcomes
                .record(&command.header.request, encode_result(&result));
            results.push(result.expect("no command is refused"));
        }
        (cpu_time() - started, results)
    }
}

fn hello(node: u64) -> OffersCommand {
    let name = format!("agent-{node}");
    let hello = Hello {
        info: AgentInfo {
            node: NodeId(node.into()),
            name: Name::new(&name).expect("a name"),
            http: HostPort::new(&name, 5051),
            resources: Resources::parse("cpus:100000;mem:100000000;disk:1000;ports:[31000-32000]")
                .expect("resources"),
            attributes: Vec::new(),
            version: Arc::from("1.0.0"),
        },
        generation: Generation(1),
        number: 1,
        cluster: None,
        agent: None,
        fence: Fence::default(),
        tasks: Vec::new(),
    };
    OffersCommand::SessionOpened {
        hello: Box::new(hello),
        master: NodeId(1),
    }
}

fn subscribe() -> OffersCommand {
    let info = FrameworkInfo {
        id: None,
        name: Arc::from("bench"),
        user: Arc::from("nobody"),
        principal: None,
        roles: BTreeSet::from([Role::any()]),
        suppressed: BTreeSet::new(),
        capabilities: BTreeSet::from([Capability::PartitionAware]),
        failover_timeout: Duration::from_secs(60),
        raw: Bytes::new(),
    };
    let subscribe = Subscribe {
        info,
        stream: STREAM,
    };
    OffersCommand::Subscribed {
        subscribe: Box::new(subscribe),
        holder: NodeId(1),
    }
}

fn accept(framework: &FrameworkId, offer: OfferId, agent: AgentId, task: usize) -> OffersCommand {
    let id = format!("task-{task:08}");
    let spec = TaskSpec {
        id: TaskId::new(&id).expect("an id"),
        name: Arc::from(id.as_str()),
        resources: Resources::parse("cpus:0.1;mem:32").expect("resources"),
        command: Some(Program::Shell(Arc::from("echo hello; sleep 1"))),
        environment: vec![(Arc::from("KEY"), Arc::from("value"))],
        user: None,
        kill_grace: None,
        unsupported: None,
        raw: Bytes::from(vec![7_u8; 300]),
        digest: None,
    };
    OffersCommand::Accepted {
        framework: framework.clone(),
        stream: STREAM,
        offers: vec![Ok(offer)],
        launches: vec![Launch::Task {
            agent: AgentName::Id(agent),
            spec: Arc::new(spec),
        }],
        filters: Filters::default(),
        claim: None,
    }
}

fn status(task: &TaskKey, agent: AgentId, sequence: u64, state: TaskState) -> OffersCommand {
    let update = StatusUpdate {
        task: task.clone(),
        sequence,
        id: UpdateId(u128::from(task.launch.0) * 8 + u128::from(sequence)),
        state,
        source: Source::Executor,
        reason: None,
        message: Arc::from("Command exited with status 0"),
        timestamp: Timestamp::from_nanos(1),
        exit: None,
    };
    OffersCommand::TaskStatus {
        agent,
        epoch: Epoch(1),
        updates: vec![update],
    }
}

fn acknowledge(task: &TaskKey, agent: AgentId, sequence: u64) -> OffersCommand {
    OffersCommand::Acknowledged {
        framework: task.framework.clone(),
        stream: STREAM,
        agent: AgentName::Id(agent),
        task: Arc::from(task.task.as_str()),
        update: UpdateId(u128::from(task.launch.0) * 8 + u128::from(sequence)),
    }
}

fn rate(what: &str, count: usize, took: Duration) {
    let per_second = count as f64 / took.as_secs_f64();
    println!("{what:<32} {count:>9} in {took:>12.3?} = {per_second:>10.0}/s");
}

/// Everything after the launches: reports and acknowledgements.
fn run_tasks(bench: &mut Bench, launched: &[(TaskKey, AgentId)]) {
    let states = [TaskState::Running, TaskState::Finished];
    for (sequence, state) in (1..).zip(states) {
        let (mut reports, mut receipts) = (Duration::ZERO, Duration::ZERO);
        for batch in launched.chunks(BATCH) {
            let commands = batch
                .iter()
                .map(|(key, on)| status(key, *on, sequence, state));
            reports += bench.apply(commands.collect()).0;
            let commands = batch
                .iter()
                .map(|(key, on)| acknowledge(key, *on, sequence));
            receipts += bench.apply(commands.collect()).0;
        }
        rate(&format!("reports of {state}"), launched.len(), reports);
        rate("their acknowledgements", launched.len(), receipts);
    }
}

fn main() {
    let accepts: usize = std::env::args()
        .nth(1)
        .map_or(200_000, |text| text.parse().expect("a number of accepts"));
    let mut bench = Bench {
        offers: Offers::new(),
        outcomes: Outcomes::new(),
        index: 0,
        counter: 0,
        effects: Vec::new(),
    };
    bench.apply((1..=AGENTS).map(hello).collect());
    bench.apply(vec![subscribe()]);
    let framework = bench.offers.frameworks().next().expect("one").0.clone();
    let agents: Vec<AgentId> = bench.offers.agents().map(|(id, _)| id).collect();
    let (mut offering, mut accepting) = (Duration::ZERO, Duration::ZERO);
    let mut launched: Vec<(TaskKey, AgentId)> = Vec::new();
    while launched.len() < accepts {
        let one = Resources::parse("cpus:0.2;mem:64").expect("resources");
        let plan = (0..BATCH).map(|at| NewOffer {
            framework: framework.clone(),
            role: Role::any(),
            agent: agents[at % agents.len()],
            resources: one.clone(),
        });
        let offers = plan.collect();
        offering += bench.apply(vec![OffersCommand::OffersMade { offers }]).0;
        let out: Vec<_> = bench.offers.offers().map(|row| row.offer.clone()).collect();
        let commands = out
            .iter()
            .enumerate()
            .map(|(at, offer)| accept(&framework, offer.id, offer.agent, launched.len() + at));
        let (took, results) = bench.apply(commands.collect());
        accepting += took;
        for (result, offer) in results.iter().zip(&out) {
            let Outcome::Accepted { launched: keys, .. } = result else {
                panic!("an accept has another outcome: {result:?}");
            };
            launched.push((keys[0].clone(), offer.agent));
        }
    }
    rate("offers made", launched.len(), offering);
    rate("accepts of one task", launched.len(), accepting);
    let image = bench.offers.clone();
    run_tasks(&mut bench, &launched);
    drop(image);
    bench.offers.check().expect("the state is sound");
}
