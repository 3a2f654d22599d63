//! What one accept costs the masters, without sockets and disks: to be run under a profiler.
//!
//! `cargo run --release -p shoal-master --example accept_cost [ACCEPTS [IN_FLIGHT]]`: three masters
//! are stepped in one thread as their nodes would, a guest has IN_FLIGHT accepts of one task each
//! under way at the leader, and 100 agents have sessions. Under `valgrind --tool=callgrind
//! --toggle-collect='*accept_cost::round*'` only the rounds of accepts count; divide by ACCEPTS.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::call::{AgentName, Filters, Launch, Subscribe};
use shoal_api::session::{AgentMessage, Hello, MasterMessage};
use shoal_api::task::Command;
use shoal_api::{
    AgentId, AgentInfo, ClusterId, Fence, FrameworkId, FrameworkInfo, Generation, HostPort,
    Instant, Name, NodeId, OfferId, Origin, Plants, RaftId, RequestId, Resources, Role, StreamId,
    TaskId, TaskSpec,
};
use shoal_master::{
    Config, Conn, Forwarded, Input, LedgerCommand, LedgerMessage, Master, Outcome, Output,
    PeerMessage, Tuning,
};
use shoal_offers::OffersCommand;
use shoal_offers::allocator::NewOffer;

const AGENTS: u64 = 100;
const OFFERS: usize = 4_096;
const STREAM: StreamId = StreamId(7);
const GUEST: RaftId = RaftId(99);

/// What this thread has used of its core, so that other work on the machine does not count.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split_whitespace().next().expect("a first field");
    Duration::from_nanos(nanos.parse().expect("nanoseconds"))
}

struct Cluster {
    now: Instant,
    masters: BTreeMap<RaftId, Master>,
    outcomes: Vec<(u64, Outcome)>,
    welcomed: BTreeSet<AgentId>,
    counter: u64,
    told: u64,
}

fn config(id: u64) -> Config {
    Config {
        node: NodeId(id.into()),
        generation: Generation(1),
        raft: RaftId(id),
        name: Name::new(&format!("m{id}")).expect("a name"),
        cluster: ClusterId(1),
        http: HostPort::new("127.0.0.1", 5050),
        peer: HostPort::new("127.0.0.1", 7947),
        pid: 1,
        seed: id,
        tuning: Tuning {
            snapshot_entries: u64::MAX / 2,
            snapshot_bytes: u64::MAX,
            ..Tuning::default()
        },
        plants: Plants::NONE,
    }
}

impl Cluster {
    fn new() -> Cluster {
        let ids = [1, 2, 3].map(RaftId);
        let now = Instant::from_nanos(1_000_000);
        let founded = |id: RaftId| {
            let master = Master::new(config(id.0), now, shoal_quorum::found(&ids));
            (id, master.expect("a fresh master"))
        };
        Cluster {
            now,
            masters: ids.into_iter().map(founded).collect(),
            outcomes: Vec::new(),
            welcomed: BTreeSet::new(),
            counter: 0,
            told: 0,
        }
    }

    fn step(&mut self, on: RaftId, input: Input) {
        let master = self.masters.get_mut(&on).expect("one of three");
        master.step(self.now, input);
        self.settle();
    }

    /// Carries everything until nothing more is said.
    fn settle(&mut self) {
        loop {
            let mut inputs: Vec<(RaftId, Input)> = Vec::new();
            let Cluster {
                masters,
                outcomes,
                welcomed,
                told,
                ..
            } = self;
            for (id, master) in masters {
                while let Some(output) = master.poll_output() {
                    match output {
                        Output::Send { to: GUEST, message } => hear(message, outcomes),
                        Output::Send { to, message } => {
                            let node = NodeId(id.0.into());
                            let from = *id;
                            let input = Input::Peer {
                                from,
                                node,
                                message,
                            };
                            inputs.push((to, input));
                        }
                        Output::Persist { ticket, .. } => {
                            inputs.push((*id, Input::Persisted(ticket)));
                        }
                        Output::ToAgent { message, .. } => {
                            *told += 1;
                            if let MasterMessage::Welcome { agent, .. } = message {
                                welcomed.insert(agent);
                            }
                        }
                        Output::Halt { why } => panic!("master {id} halts: {why}"),
                        Output::SaveSnapshot(_)
                        | Output::Compact(_)
                        | Output::TakeSnapshot { .. }
                        | Output::CloseSession(_)
                        | Output::StreamOpened { .. }
                        | Output::StreamRefused { .. }
                        | Output::ToStream { .. }
                        | Output::CloseStream(_)
                        | Output::Answer { .. }
                        | Output::Status(_)
                        | Output::Book(_)
                        | Output::Events(_)
                        | Output::EventsSkipped(_)
                        | Output::Stopped => {}
                    }
                }
            }
            if inputs.is_empty() {
                return;
            }
            for (to, input) in inputs {
                let master = self.masters.get_mut(&to).expect("one of three");
                master.step(self.now, input);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_millis(10);
            for id in [1, 2, 3] {
                self.step(RaftId(id), Input::Wake);
            }
        }
    }

    fn leader(&self) -> RaftId {
        let leading = |master: &Master| master.leadership().leading;
        let mut leaders = self.masters.iter().filter(|(_, master)| leading(master));
        *leaders.next().expect("a leader").0
    }

    fn command(&mut self, command: OffersCommand) -> Forwarded {
        self.counter += 1;
        let (module, body) = LedgerCommand::Offers(command).encode();
        Forwarded {
            request: RequestId {
                node: NodeId(99),
                generation: Generation(1),
                counter: self.counter,
            },
            principal: None,
            module,
            body,
        }
    }

    /// Forwards commands, through their encoding as over a connection; the outcomes come back.
    fn forward(&mut self, leader: RaftId, commands: Vec<Forwarded>) -> Vec<Outcome> {
        let lowest = commands[0].request.counter;
        let sent = commands.len();
        let message = LedgerMessage::Forward { lowest, commands };
        let bytes = postcard::to_allocvec(&message).expect("a message");
        round(self, leader, &bytes);
        let outcomes = std::mem::take(&mut self.outcomes);
        assert_eq!(outcomes.len(), sent, "all are answered");
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// What is measured: a forward arrives, and all masters work until it is applied everywhere.
#[inline(never)]
fn round(cluster: &mut Cluster, leader: RaftId, bytes: &[u8]) {
    let message = postcard::from_bytes(bytes).expect("it was encoded");
    let input = Input::Peer {
        from: GUEST,
        node: NodeId(99),
        message: PeerMessage::Ledger(message),
    };
    cluster.step(leader, input);
}

fn hear(message: PeerMessage, heard: &mut Vec<(u64, Outcome)>) {
    let PeerMessage::Ledger(LedgerMessage::Applied { outcomes }) = message else {
        return;
    };
    heard.extend(outcomes.into_iter().map(|(request, outcome)| {
        let outcome = postcard::from_bytes(&outcome).expect("an outcome");
        (request.counter, outcome)
    }));
}

fn hello(node: u64) -> Hello {
    Hello {
        info: AgentInfo {
            node: NodeId(u128::from(node)),
            name: Name::new(&format!("agent-{node}")).expect("a name"),
            http: HostPort::new("127.0.0.1", 1),
            resources: Resources::parse("slots:1000000").expect("resources"),
            attributes: Vec::new(),
            version: Arc::from("1.0.0"),
        },
        generation: Generation(1),
        number: 1,
        cluster: None,
        agent: None,
        fence: Fence::default(),
        tasks: Vec::new(),
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
        capabilities: BTreeSet::new(),
        failover_timeout: Duration::from_secs(3600),
        raw: Bytes::new(),
    };
    let stream = STREAM;
    OffersCommand::Subscribed {
        subscribe: Box::new(Subscribe { info, stream }),
        holder: NodeId(99),
    }
}

fn share() -> Resources {
    Resources::parse("slots:1").expect("resources")
}

fn accept(framework: &FrameworkId, offer: OfferId, agent: AgentId) -> OffersCommand {
    let id = format!("t{}", offer.number);
    let spec = TaskSpec {
        name: Arc::from(id.as_str()),
        id: TaskId::new(&id).expect("an id"),
        resources: share(),
        command: Some(Command::Shell(Arc::from("true"))),
        environment: Vec::new(),
        user: None,
        kill_grace: None,
        unsupported: None,
        raw: Bytes::new(),
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

/// Makes offers, and says which they are.
fn offer(
    cluster: &mut Cluster,
    leader: RaftId,
    framework: &FrameworkId,
    store: &mut VecDeque<(OfferId, AgentId)>,
    made: &mut u64,
) {
    let agents: Vec<AgentId> = cluster.welcomed.iter().copied().collect();
    let origin: Origin = agents[0].origin;
    let plan = (0..OFFERS).map(|at| NewOffer {
        framework: framework.clone(),
        role: Role::any(),
        agent: agents[at % agents.len()],
        resources: share(),
    });
    let offers = plan.collect();
    let command = cluster.command(OffersCommand::OffersMade { offers });
    let lowest = command.request.counter;
    let commands = vec![command];
    let message = PeerMessage::Ledger(LedgerMessage::Forward { lowest, commands });
    let input = Input::Peer {
        from: GUEST,
        node: NodeId(99),
        message,
    };
    cluster.step(leader, input);
    cluster.outcomes.clear();
    for at in 0..OFFERS {
        let number = *made + at as u64;
        store.push_back((OfferId { origin, number }, agents[at % agents.len()]));
    }
    *made += OFFERS as u64;
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut number = |or: usize| arguments.next().map_or(or, |n| n.expect("a number"));
    let (accepts, in_flight) = (number(100_000), number(256));
    let mut cluster = Cluster::new();
    cluster.run(Duration::from_secs(5));
    let leader = cluster.leader();
    for node in 1..=AGENTS {
        let on = RaftId(1 + node % 3);
        let conn = Conn(node);
        let message = AgentMessage::Hello(Box::new(hello(1_000 + node)));
        cluster.step(on, Input::Session { conn, message });
    }
    assert_eq!(cluster.welcomed.len() as u64, AGENTS, "all have sessions");
    let subscribe = cluster.command(subscribe());
    let outcome = cluster.forward(leader, vec![subscribe]).remove(0);
    let Outcome::Offers(Ok(shoal_offers::Outcome::Subscribed { framework })) = outcome else {
        panic!("the framework is not subscribed: {outcome:?}");
    };
    let (mut store, mut made) = (VecDeque::new(), 0);
    let (mut done, mut took) = (0, Duration::ZERO);
    while done < accepts {
        if store.len() < in_flight {
            offer(&mut cluster, leader, &framework, &mut store, &mut made);
        }
        let batch: Vec<_> = store.drain(..in_flight).collect();
        let commands = batch.into_iter().map(|(offer, agent)| {
            let command = accept(&framework, offer, agent);
            cluster.command(command)
        });
        let commands = commands.collect();
        let started = cpu_time();
        let outcomes = cluster.forward(leader, commands);
        took += cpu_time() - started;
        let launched = |outcome: &Outcome| matches!(outcome, Outcome::Offers(Ok(shoal_offers::Outcome::Accepted { launched, refused: 0 })) if launched.len() == 1);
        assert!(outcomes.iter().all(launched), "every accept launches");
        done += in_flight;
        cluster.now = cluster.now + Duration::from_millis(1);
    }
    let each = took.as_secs_f64() * 1e6 / done as f64;
    println!(
        "{done} accepts, {in_flight} in flight: {each:.2} us of one core each, three masters; \
         {} messages to agents",
        cluster.told
    );
}
