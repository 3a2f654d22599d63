//! Masters over a perfect network and instant disks: what the parts promise when nothing fails.
//!
//! Faults are the simulator's (chaos-tests); here is the plain road of a task, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::call::{AgentName, Call, Filters, FrameworkCall, Launch};
use shoal_api::member::{Member, MemberEvent, MemberStatus};
use shoal_api::notice::Notice;
use shoal_api::session::{AgentMessage, Hello, MasterMessage};
use shoal_api::*;
use shoal_master::{
    Answer, Ask, Config, Conn, EntryEvents, Input, LedgerMessage, Master, Output, PeerMessage,
    Request, Tuning, What,
};

struct Cluster {
    now: Instant,
    masters: BTreeMap<RaftId, Master>,
    answers: BTreeMap<Ask, Answer>,
    to_agents: Vec<(RaftId, Conn, MasterMessage)>,
    notices: Vec<(RaftId, Conn, Notice)>,
    opened: BTreeMap<Conn, (FrameworkId, StreamId)>,
    events: BTreeMap<RaftId, Vec<EntryEvents>>,
    next: u64,
}

const CLUSTER: ClusterId = ClusterId(0xc1);

fn config(id: u64) -> Config {
    Config {
        node: NodeId(u128::from(id)),
        generation: Generation(1),
        raft: RaftId(id),
        name: Name::new(&format!("m{id}")).unwrap(),
        cluster: CLUSTER,
        http: HostPort::new("127.0.0.1", 5050),
        peer: HostPort::new("127.0.0.1", 7947),
        pid: 1,
        seed: id,
        tuning: Tuning::default(),
        plants: Plants::NONE,
    }
}

impl Cluster {
    fn new(count: u64) -> Cluster {
        let ids: Vec<RaftId> = (1..=count).map(RaftId).collect();
        let now = Instant::from_nanos(1_000_000);
        let masters = ids
            .iter()
            .map(|id| {
                (
                    *id,
                    Master::new(config(id.0), now, shoal_quorum::found(&ids)).unwrap(),
                )
            })
            .collect();
        let mut cluster = Cluster {
            now,
            masters,
            answers: BTreeMap::new(),
            to_agents: Vec::new(),
            notices: Vec::new(),
            opened: BTreeMap::new(),
            events: BTreeMap::new(),
            next: 0,
        };
        for id in 1..=count {
            for on in &ids {
                let member = Member {
                    id: NodeId(u128::from(id)),
                    generation: Generation(1),
                    name: Some(Name::new(&format!("m{id}")).unwrap()),
                    gossip: "127.0.0.1:7946".parse().unwrap(),
                    status: MemberStatus::Alive,
                    tags: BTreeMap::from([(Arc::from("raft_id"), Arc::from(id.to_string()))]),
                };
                cluster.step(*on, Input::Member(MemberEvent::Joined(member)));
            }
        }
        cluster
    }

    fn step(&mut self, on: RaftId, input: Input) {
        self.masters.get_mut(&on).unwrap().step(self.now, input);
        self.settle();
    }

    /// Carries everything until nothing more is said.
    fn settle(&mut self) {
        loop {
            let mut inputs: Vec<(RaftId, Input)> = Vec::new();
            for (id, master) in &mut self.masters {
                while let Some(output) = master.poll_output() {
                    match output {
                        Output::Send { to, message } => {
                            let node = NodeId(u128::from(id.0));
                            inputs.push((
                                to,
                                Input::Peer {
                                    from: *id,
                                    node,
                                    message,
                                },
                            ));
                        }
                        Output::Persist { ticket, .. } => {
                            inputs.push((*id, Input::Persisted(ticket)));
                        }
                        Output::SaveSnapshot(snapshot) => {
                            inputs.push((*id, Input::SnapshotSaved(snapshot.index)));
                        }
                        Output::TakeSnapshot { index, image } => {
                            let chunks: Arc<[Bytes]> = image.write();
                            inputs.push((*id, Input::SnapshotReady { index, chunks }));
                        }
                        Output::ToAgent { conn, message } => {
                            self.to_agents.push((*id, conn, message));
                        }
                        Output::StreamOpened {
                            conn,
                            framework,
                            stream,
                        } => {
                            self.opened.insert(conn, (framework, stream));
                        }
                        Output::ToStream { conn, notice } => self.notices.push((*id, conn, notice)),
                        Output::Answer { ask, answer } => {
                            self.answers.insert(ask, answer);
                        }
                        Output::Halt { why } => panic!("master {id} halts: {why}"),
                        Output::StreamRefused { refused, .. } => panic!("refused: {refused}"),
                        Output::Compact(_)
                        | Output::CloseSession(_)
                        | Output::CloseStream(_)
                        | Output::Status(_)
                        | Output::Book(_)
                        | Output::EventsSkipped(_)
                        | Output::Stopped => {}
                        Output::Events(entry) => {
                            self.events.entry(*id).or_default().push(entry);
                        }
                    }
                }
            }
            if inputs.is_empty() {
                return;
            }
            for (to, input) in inputs {
                if let Some(master) = self.masters.get_mut(&to) {
                    master.step(self.now, input);
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let due = self
                .masters
                .values()
                .filter_map(Master::next_deadline)
                .min()
                .unwrap();
            self.now = due.max(self.now + Duration::from_micros(1)).min(end);
            for id in self.masters.keys().copied().collect::<Vec<_>>() {
                self.masters
                    .get_mut(&id)
                    .unwrap()
                    .step(self.now, Input::Wake);
            }
            self.settle();
        }
    }

    fn leader(&self) -> RaftId {
        self.masters
            .iter()
            .find(|(_, master)| master.leadership().leading)
            .map(|(id, _)| *id)
            .expect("a leader")
    }

    fn ask(&mut self, on: RaftId, request: Request) -> Answer {
        self.next += 1;
        let ask = Ask(self.next);
        self.step(on, Input::Request { ask, request });
        if !self.answers.contains_key(&ask) {
            self.run(Duration::from_secs(2));
        }
        self.answers
            .remove(&ask)
            .expect("an answer within two seconds")
    }

    fn conn(&mut self) -> Conn {
        self.next += 1;
        Conn(self.next)
    }

    fn agent(&mut self, on: RaftId, node: u128) -> Conn {
        let conn = self.conn();
        let info = AgentInfo {
            node: NodeId(node),
            name: Name::new(&format!("a{node}")).unwrap(),
            http: HostPort::new("127.0.0.2", 5051),
            resources: Resources::parse("cpus:4;mem:1024;ports:[31000-32000]").unwrap(),
            attributes: Vec::new(),
            version: Arc::from("0.1.0"),
        };
        let hello = Hello {
            info,
            generation: Generation(1),
            number: conn.0,
            cluster: None,
            agent: None,
            fence: Fence::default(),
            tasks: Vec::new(),
        };
        let message = AgentMessage::Hello(Box::new(hello));
        self.step(on, Input::Session { conn, message });
        self.run(Duration::from_millis(300));
        conn
    }

    fn subscribe(&mut self, on: RaftId) -> (Conn, FrameworkId, StreamId) {
        let conn = self.conn();
        let info = FrameworkInfo {
            id: None,
            name: Arc::from("test"),
            user: Arc::from("root"),
            principal: None,
            roles: BTreeSet::from([Role::any()]),
            suppressed: BTreeSet::new(),
            capabilities: BTreeSet::new(),
            failover_timeout: Duration::from_secs(60),
            raw: Bytes::new(),
        };
        self.step(
            on,
            Input::Subscribe {
                conn,
                info: Box::new(info),
            },
        );
        self.run(Duration::from_millis(300));
        let (framework, stream) = self.opened.get(&conn).expect("a stream").clone();
        (conn, framework, stream)
    }

    fn status(&self, key: &TaskKey, sequence: u64, state: TaskState) -> StatusUpdate {
        StatusUpdate {
            task: key.clone(),
            sequence,
            id: UpdateId(u128::from(sequence)),
            state,
            source: Source::Executor,
            reason: None,
            message: Arc::from(""),
            timestamp: Timestamp::from_nanos(1),
            exit: None,
        }
    }
}

fn spec(id: &str) -> Arc<TaskSpec> {
    Arc::new(TaskSpec {
        id: TaskId::new(id).unwrap(),
        name: Arc::from(id),
        resources: Resources::parse("cpus:1;mem:64").unwrap(),
        command: Some(Command::Shell(Arc::from("true"))),
        environment: Vec::new(),
        user: None,
        kill_grace: None,
        unsupported: None,
        raw: Bytes::new(),
        digest: None,
    })
}

/// A framework with its stream and the only agent, both at one master.
struct Stage {
    on: RaftId,
    agent_conn: Conn,
    agent: AgentId,
    framework: FrameworkId,
    stream: StreamId,
    offer: shoal_api::offer::Offer,
}

impl Stage {
    fn set(cluster: &mut Cluster, on: RaftId) -> Stage {
        let agent_conn = cluster.agent(on, 100);
        let agent = cluster
            .to_agents
            .iter()
            .find_map(|(_, conn, message)| match message {
                MasterMessage::Welcome { agent, .. } if *conn == agent_conn => Some(*agent),
                _ => None,
            });
        let agent = agent.expect("the agent is welcome");
        let (conn, framework, stream) = cluster.subscribe(on);
        cluster.run(Duration::from_secs(2));
        let mut heard = cluster
            .notices
            .iter()
            .filter(|(_, at, _)| *at == conn)
            .map(|(_, _, notice)| notice);
        assert!(matches!(heard.next(), Some(Notice::Subscribed { .. })));
        assert_eq!(heard.next(), Some(&Notice::Heartbeat));
        let Some(Notice::Offers(offers)) = heard.next() else {
            panic!("no offers")
        };
        assert_eq!(offers.len(), 1);
        let offer = offers[0].0.clone();
        assert_eq!(offer.agent, agent);
        Stage {
            on,
            agent_conn,
            agent,
            framework,
            stream,
            offer,
        }
    }

    fn call(&self, call: Call) -> Request {
        let (framework, stream) = (self.framework.clone(), self.stream);
        Request::Call(FrameworkCall {
            framework,
            stream,
            call,
        })
    }

    /// The agent reports, the framework hears of it and acknowledges.
    fn report(&self, cluster: &mut Cluster, key: &TaskKey, sequence: u64, state: TaskState) {
        let message = AgentMessage::Update(cluster.status(key, sequence, state));
        cluster.step(
            self.on,
            Input::Session {
                conn: self.agent_conn,
                message,
            },
        );
        cluster.run(Duration::from_millis(50));
        let told = cluster.notices.iter().any(
            |(_, _, notice)| matches!(notice, Notice::Update(status) if status.state == state),
        );
        assert!(told, "the framework hears of {state}");
        let acknowledge = self.call(Call::Acknowledge {
            agent: AgentName::Id(self.agent),
            task: Arc::from(key.task.as_str()),
            update: UpdateId(u128::from(sequence)),
        });
        assert!(matches!(cluster.ask(self.on, acknowledge), Answer::Done));
    }
}

#[test]
fn a_task_goes_the_whole_road() {
    for masters in [1, 3] {
        let mut cluster = Cluster::new(masters);
        cluster.run(Duration::from_secs(5));
        let leader = cluster.leader();
        let other = *cluster
            .masters
            .keys()
            .find(|id| **id != leader)
            .unwrap_or(&leader);
        let stage = Stage::set(&mut cluster, other);
        let accept = stage.call(Call::Accept {
            offers: vec![Ok(stage.offer.id)],
            launches: vec![Launch::Task {
                agent: AgentName::Id(stage.agent),
                spec: spec("t1"),
            }],
            filters: Filters::default(),
        });
        let answer = cluster.ask(leader, accept);
        assert!(matches!(answer, Answer::Done), "{answer:?}");
        let launched = cluster
            .to_agents
            .iter()
            .find_map(|(_, _, message)| match message {
                MasterMessage::Launch { assignment, .. } => Some(assignment.key.clone()),
                _ => None,
            });
        let key = launched.expect("the launch reaches the agent");
        stage.report(&mut cluster, &key, 1, TaskState::Running);
        stage.report(&mut cluster, &key, 2, TaskState::Finished);
        let forgotten = cluster
            .to_agents
            .iter()
            .any(|(_, _, m)| matches!(m, MasterMessage::Forget { task, .. } if *task == key));
        assert!(forgotten, "the agent may forget the task");
        let Answer::State(view) = cluster.ask(other, Request::Read) else {
            panic!("no state")
        };
        assert_eq!(view.state.offers.tasks().count(), 0);
        view.state.check().unwrap();
        for master in cluster.masters.values() {
            assert_eq!(master.state().hash(), view.state.hash());
        }
        check_story(&cluster, &key);
    }
}

/// Every master told the same events, and those of the task in the order of its life.
fn check_story(cluster: &Cluster, key: &TaskKey) {
    let mut told = cluster.events.values();
    let first = told.next().expect("masters tell events");
    for other in told {
        assert_eq!(other, first);
    }
    assert!(first.windows(2).all(|pair| pair[0].index < pair[1].index));
    let all: Vec<&What> = first
        .iter()
        .flat_map(|entry| entry.events.iter().map(|event| &event.what))
        .collect();
    for name in ["leader_elected", "cluster_founded", "agent_connected"] {
        assert!(all.iter().any(|what| what.name() == name), "{name}");
    }
    let of_task = all
        .iter()
        .filter(|what| what.task() == Some(key.task.as_str()));
    let names: Vec<String> = of_task
        .map(|what| match what {
            What::TaskStatus {
                state,
                report: Some(report),
                ..
            } => format!("{state} {}", report.update.0),
            What::TaskAcknowledged { update, .. } => format!("acknowledged {}", update.0),
            other => other.name().to_owned(),
        })
        .collect();
    assert_eq!(
        names,
        [
            "task_launched",
            "TASK_RUNNING 1",
            "acknowledged 1",
            "TASK_FINISHED 2",
            "acknowledged 2"
        ]
    );
    let accepted = all.iter().find_map(|what| match what {
        What::OffersAccepted {
            offers, launched, ..
        } => Some((offers, launched)),
        _ => None,
    });
    let (offers, launched) = accepted.expect("the accept is told");
    assert_eq!((offers.len(), *launched), (1, 1));
    let made = all
        .iter()
        .any(|what| matches!(what, What::OfferMade(offer) if offer.id == offers[0]));
    assert!(made, "the accepted offer was told when it was made");
}

#[test]
fn a_run_is_placed_and_ends() {
    let mut cluster = Cluster::new(3);
    cluster.run(Duration::from_secs(5));
    let leader = cluster.leader();
    let conn = cluster.agent(leader, 100);
    let spec = RunSpec {
        name: Arc::from("hello"),
        command: Command::Shell(Arc::from("true")),
        environment: Vec::new(),
        resources: Resources::parse("cpus:0.5;mem:32").unwrap(),
        user: None,
        kill_grace: None,
        count: 3,
    };
    let Answer::RunCreated(run) = cluster.ask(leader, Request::CreateRun(Box::new(spec))) else {
        panic!("the run is not created");
    };
    cluster.run(Duration::from_secs(1));
    let keys: Vec<TaskKey> = cluster
        .to_agents
        .iter()
        .filter_map(|(_, _, message)| match message {
            MasterMessage::Launch { assignment, .. } => Some(assignment.key.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(keys.len(), 3);
    for key in &keys {
        let message = AgentMessage::Update(cluster.status(key, 1, TaskState::Finished));
        cluster.step(leader, Input::Session { conn, message });
    }
    cluster.run(Duration::from_secs(1));
    let Answer::State(view) = cluster.ask(leader, Request::Read) else {
        panic!("no state")
    };
    assert_eq!(view.state.runs.run(run).unwrap().unfinished, 0);
    assert_eq!(view.state.offers.tasks().count(), 0);
    assert_eq!(
        view.state.offers.offers().count(),
        0,
        "nothing is offered to runs that want nothing"
    );
    view.state.check().unwrap();
}

/// A cluster of three whose third founder died before it said anything, and a newcomer with that name.
fn without_the_third(newcomer: &str) -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.masters.remove(&RaftId(3));
    let spare = Config {
        name: Name::new(newcomer).unwrap(),
        ..config(4)
    };
    let spare = Master::new(spare, cluster.now, shoal_quorum::Recovered::default()).unwrap();
    cluster.masters.insert(RaftId(4), spare);
    let seen = |id: u64, name: &str, status| Member {
        id: NodeId(u128::from(id)),
        generation: Generation(1),
        name: Some(Name::new(name).unwrap()),
        gossip: "127.0.0.1:7946".parse().unwrap(),
        status,
        tags: BTreeMap::from([(Arc::from("raft_id"), Arc::from(id.to_string()))]),
    };
    for on in cluster.masters.keys().copied().collect::<Vec<_>>() {
        let dead = seen(3, "m3", MemberStatus::Failed);
        cluster.step(on, Input::Member(MemberEvent::StatusChanged(dead)));
        let new = seen(4, newcomer, MemberStatus::Alive);
        cluster.step(on, Input::Member(MemberEvent::Joined(new)));
    }
    cluster
}

fn voters(cluster: &Cluster) -> Vec<u64> {
    let membership = &cluster.masters[&cluster.leader()].leadership().membership;
    membership.voters.iter().map(|raft| raft.0).collect()
}

#[test]
fn a_founder_that_was_wiped_before_it_spoke_gets_its_vote_back() {
    let mut cluster = without_the_third("m3");
    cluster.run(Duration::from_secs(10));
    assert_eq!(voters(&cluster), [1, 2, 4]);
}

#[test]
fn a_spare_replaces_a_dead_master_after_its_time() {
    let mut cluster = without_the_third("spare");
    cluster.run(Duration::from_secs(300));
    assert_eq!(voters(&cluster), [1, 2, 3], "too early");
    // The gossip forgets the dead long before that; a new leader does not begin to count again.
    for on in [RaftId(1), RaftId(2)] {
        cluster.step(on, Input::Member(MemberEvent::Reaped(NodeId(3))));
    }
    let leader = cluster.leader();
    cluster.ask(leader, Request::TransferLeadership(None));
    cluster.run(Duration::from_secs(310));
    assert_eq!(voters(&cluster), [1, 2, 4]);
    let replaced = cluster.masters.values().map(|m| m.stats().voters_replaced);
    assert_eq!(replaced.sum::<u64>(), 1);
}

#[test]
fn a_spare_can_be_promoted_but_not_a_stranger() {
    let mut cluster = without_the_third("spare");
    cluster.run(Duration::from_secs(10));
    let leader = cluster.leader();
    let stranger = cluster.ask(leader, Request::PromoteMaster(RaftId(77)));
    assert!(matches!(stranger, Answer::Refused(_)), "{stranger:?}");
    let promoted = cluster.ask(leader, Request::PromoteMaster(RaftId(4)));
    assert!(matches!(promoted, Answer::Done), "{promoted:?}");
    assert_eq!(voters(&cluster), [1, 2, 3, 4]);
}

/// How many offers of that framework are out at the leader.
fn out(cluster: &Cluster, framework: &FrameworkId) -> usize {
    let leader = &cluster.masters[&cluster.leader()];
    leader.state().offers.offers_of(framework).count()
}

#[test]
fn a_decline_waits_while_nobody_else_wants_the_offer() {
    let mut cluster = Cluster::new(3);
    cluster.run(Duration::from_secs(5));
    let leader = cluster.leader();
    let stage = Stage::set(&mut cluster, leader);
    let decline = |offers: Vec<shoal_api::OfferId>| Call::Decline {
        offers,
        filters: Filters::default(),
    };
    let call = stage.call(decline(vec![stage.offer.id]));
    assert!(matches!(cluster.ask(leader, call), Answer::Done));
    cluster.run(Duration::from_secs(5));
    assert_eq!(out(&cluster, &stage.framework), 1, "nothing was written");
    // Somebody else's entry ends the quiet, and the next framework is offered what was given back.
    let (_, other, _) = cluster.subscribe(leader);
    assert_eq!(out(&cluster, &stage.framework), 0);
    assert_eq!(out(&cluster, &other), 1);
    // While two want offers, a decline goes within a second.
    let back = cluster.masters[&leader].state().offers.offers_of(&other);
    let back: Vec<_> = back.map(|row| row.offer.id).collect();
    let (framework, stream) = cluster.opened.values().last().unwrap().clone();
    assert_eq!(framework, other);
    let call = Request::Call(FrameworkCall {
        framework,
        stream,
        call: decline(back),
    });
    assert!(matches!(cluster.ask(leader, call), Answer::Done));
    cluster.run(Duration::from_millis(1_500));
    assert_eq!(out(&cluster, &other), 0);
}

#[test]
fn a_stranger_ends_no_master_that_has_a_leader() {
    let one = RaftId(1);
    let told = || Input::Peer {
        from: RaftId(99),
        node: NodeId(99),
        message: PeerMessage::Ledger(LedgerMessage::Removed {
            raft: one,
            incarnation: Incarnation(1 << 20),
        }),
    };
    // Steps without settling, which takes a halt for a fault.
    let halted = |cluster: &mut Cluster| {
        let master = cluster.masters.get_mut(&one).unwrap();
        master.step(cluster.now, told());
        master.halted().is_some()
    };
    let mut cluster = Cluster::new(3);
    cluster.run(Duration::from_secs(90));
    cluster.leader();
    assert!(!halted(&mut cluster), "it has a leader");
    cluster.masters.retain(|id, _| *id == one);
    cluster.run(Duration::from_secs(30));
    assert!(!halted(&mut cluster), "there may only be an election");
    cluster.run(Duration::from_secs(60));
    assert!(halted(&mut cluster), "its own life of the cluster is over");
}
