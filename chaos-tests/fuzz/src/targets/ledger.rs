//! The ledger: entries applied to a living state, and snapshots read back.

use std::sync::OnceLock;

use bytes::Bytes;
use shoal_api::call::{AgentName, Filters, Launch, Subscribe};
use shoal_api::id::{Generation, NodeId, OfferId, RequestId, StreamId, UpdateId};
use shoal_api::session::AgentMessage;
use shoal_api::task::TaskState;
use shoal_api::{Command, Index, Instant, Plants, RunSpec, Timestamp};
use shoal_builtin::RunsCommand;
use shoal_ledger::{Entry, Header};
use shoal_master::{CharterCommand, LedgerCommand, State};
use shoal_offers::allocator::NewOffer;
use shoal_offers::{DisconnectCause, OffersCommand, RemovalCause, RescindCause};
use xxhash_rust::xxh3::xxh3_64;

use super::samples;
use crate::target::{Memory, Target, Verdict};

/// A state is cloned, changed and written for each input.
const STATE: Memory = Memory {
    fixed: 16 * 1024 * 1024,
    per_byte: 1_024,
};

pub(super) const ENTRY: Target = Target {
    name: "ledger-entry",
    covers: "one entry of the ledger, applied to a state with agents, frameworks, offers and tasks",
    run: entry,
    seeds: || {
        let commands = commands();
        let mut seeds: Vec<Vec<u8>> = commands
            .iter()
            .map(|command| alone(command.clone()))
            .collect();
        seeds.push(together(&commands));
        seeds
    },
    memory: STATE,
};

pub(super) const SNAPSHOT: Target = Target {
    name: "ledger-snapshot",
    covers: "the chunks of a snapshot of the ledger, with their checksums put right",
    run: snapshot,
    seeds: || vec![chunks_of(&State::default()), chunks_of(state())],
    memory: STATE,
};

const HOLDER: NodeId = NodeId(3);

/// The state before each input, and the index after it.
fn state() -> &'static State {
    static STATE: OnceLock<State> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut state = State::new(Plants::NONE);
        let first = [
            LedgerCommand::Charter(CharterCommand::Founded {
                cluster: shoal_api::ClusterId(7),
            }),
            LedgerCommand::Charter(CharterCommand::RingSet(vec![HOLDER])),
            LedgerCommand::Offers(OffersCommand::SessionOpened {
                hello: Box::new(samples::hello(false)),
                master: HOLDER,
            }),
            LedgerCommand::Offers(OffersCommand::Subscribed {
                subscribe: Box::new(samples::subscribe()),
                holder: HOLDER,
            }),
        ];
        for command in first {
            done(&mut state, command);
        }
        for step in [offer, accept, offer, report] {
            let command = step(&state);
            done(&mut state, LedgerCommand::Offers(command));
        }
        done(
            &mut state,
            LedgerCommand::Runs(RunsCommand::Create(Box::new(run()))),
        );
        assert!(state.offers.offers().next().is_some(), "an offer is out");
        state
    })
}

fn done(state: &mut State, command: LedgerCommand) {
    let applied = state.apply(Index(1), &Bytes::from(alone(command)));
    assert!(
        applied.is_ok_and(|applied| applied.len() == 1),
        "a command is applied"
    );
}

fn header(counter: u64) -> Header {
    Header {
        version: shoal_ledger::entry::HEADER_VERSION,
        time: Instant::from_nanos(5_000_000_000),
        wall: Timestamp::from_nanos(1_700_000_000_000_000_000),
        principal: None,
        request: RequestId {
            node: HOLDER,
            generation: Generation(1),
            counter,
        },
        lowest: 0,
    }
}

fn alone(command: LedgerCommand) -> Vec<u8> {
    together(&[command])
}

fn together(commands: &[LedgerCommand]) -> Vec<u8> {
    let commands = commands.iter().map(|command| {
        let (module, body) = command.clone().encode();
        shoal_ledger::Command {
            header: header(0),
            module,
            body,
        }
    });
    let entry = Entry {
        commands: commands.collect(),
    };
    entry.encode().expect("a seed is short").to_vec()
}

fn offer(state: &State) -> OffersCommand {
    let (agent, _) = state.offers.agents().next().expect("an agent");
    let (framework, _) = state.offers.frameworks().next().expect("a framework");
    let mut free = samples::resources();
    for task in state.offers.tasks() {
        let used = &task.row.assignment.spec.resources;
        free.subtract(used).expect("a task uses what is there");
    }
    OffersCommand::OffersMade {
        offers: vec![NewOffer {
            framework: framework.clone(),
            role: samples::role(),
            agent,
            resources: free,
        }],
    }
}

fn out(state: &State) -> OfferId {
    let row = state.offers.offers().next().expect("an offer is out");
    row.offer.id
}

fn accept(state: &State) -> OffersCommand {
    let (agent, _) = state.offers.agents().next().expect("an agent");
    let (framework, _) = state.offers.frameworks().next().expect("a framework");
    OffersCommand::Accepted {
        framework: framework.clone(),
        stream: StreamId(5),
        offers: vec![Ok(out(state))],
        launches: vec![
            Launch::Task {
                agent: AgentName::Id(agent),
                spec: std::sync::Arc::new(samples::spec()),
            },
            Launch::Invalid {
                task: "..".into(),
                agent: AgentName::Foreign("x".into()),
                why: "no".into(),
            },
        ],
        filters: Filters::default(),
        claim: None,
    }
}

fn report(state: &State) -> OffersCommand {
    let (agent, row) = state.offers.agents().next().expect("an agent");
    let mut updates = vec![samples::update(1, TaskState::Running)];
    for update in &mut updates {
        update.task = task_of(state);
    }
    OffersCommand::TaskStatus {
        agent,
        epoch: row.epoch,
        updates,
    }
}

fn task_of(state: &State) -> shoal_api::id::TaskKey {
    let task = state.offers.tasks().next().expect("a task");
    task.key.clone()
}

fn run() -> RunSpec {
    RunSpec {
        name: "job".into(),
        command: Command::Shell("true".into()),
        environment: vec![("A".into(), "b".into())],
        resources: samples::resources(),
        user: None,
        kill_grace: None,
        count: 3,
    }
}

/// One of each kind of command that makes sense in that state.
fn commands() -> Vec<LedgerCommand> {
    let offers = comings().into_iter().chain(calls());
    let mut all: Vec<LedgerCommand> = offers.map(LedgerCommand::Offers).collect();
    all.push(LedgerCommand::Runs(RunsCommand::Create(Box::new(run()))));
    all.push(LedgerCommand::Runs(RunsCommand::Kill(shoal_api::RunId(1))));
    all.push(LedgerCommand::Charter(CharterCommand::LifeBegan {
        incarnation: shoal_api::id::Incarnation(99),
        keep: None,
    }));
    all
}

/// Agents and frameworks come and go.
fn comings() -> Vec<OffersCommand> {
    let state = state();
    let (agent, row) = state.offers.agents().next().expect("an agent");
    let (framework, _) = state.offers.frameworks().next().expect("a framework");
    let (framework, epoch, stream) = (framework.clone(), row.epoch, StreamId(5));
    let again = Subscribe {
        stream: StreamId(6),
        info: shoal_api::FrameworkInfo {
            id: Some(framework.clone()),
            ..samples::subscribe().info
        },
    };
    vec![
        OffersCommand::SessionOpened {
            hello: Box::new(samples::hello(true)),
            master: NodeId(4),
        },
        OffersCommand::SessionClosed {
            agent,
            epoch,
            restarting: Some(std::time::Duration::from_secs(60)),
        },
        OffersCommand::LeaseEnded { agent, epoch },
        OffersCommand::Subscribed {
            subscribe: Box::new(again),
            holder: NodeId(4),
        },
        OffersCommand::Disconnected {
            framework: framework.clone(),
            stream,
            cause: DisconnectCause::StreamClosed,
        },
        OffersCommand::FrameworkRemoved {
            framework: framework.clone(),
            cause: RemovalCause::Teardown { stream },
        },
    ]
}

/// A framework calls, an agent reports.
fn calls() -> Vec<OffersCommand> {
    let state = state();
    let (agent, _) = state.offers.agents().next().expect("an agent");
    let (framework, _) = state.offers.frameworks().next().expect("a framework");
    let (framework, stream) = (framework.clone(), StreamId(5));
    let roles = || std::collections::BTreeSet::from([samples::role()]);
    vec![
        accept(state),
        OffersCommand::Declined {
            framework: framework.clone(),
            stream,
            offers: vec![out(state)],
            filters: Filters::default(),
        },
        OffersCommand::Rescinded {
            offers: vec![out(state)],
            cause: RescindCause::Timeout,
        },
        OffersCommand::Suppressed {
            framework: framework.clone(),
            stream,
            roles: roles(),
        },
        OffersCommand::Revived {
            framework: framework.clone(),
            stream,
            roles: roles(),
        },
        OffersCommand::Kill {
            framework: framework.clone(),
            stream: Some(stream),
            task: "web.1".into(),
            agent: Some(AgentName::Id(agent)),
            grace: None,
        },
        report(state),
        OffersCommand::Acknowledged {
            framework,
            stream,
            agent: AgentName::Id(agent),
            task: "web.1".into(),
            update: UpdateId(1 << 70),
        },
    ]
}

fn entry(input: &[u8]) -> Verdict {
    let bytes = Bytes::copy_from_slice(input);
    let mut state = state().clone();
    let before = state.hash();
    let Ok(entry) = Entry::decode(&bytes) else {
        assert!(
            state.apply(Index(9), &bytes).is_err(),
            "what is no entry is not applied"
        );
        assert_eq!(state.hash(), before, "and changes nothing");
        return Verdict::Refused;
    };
    let written = entry.encode().expect("what was read fits");
    assert_eq!(
        Entry::decode(&written).as_ref(),
        Ok(&entry),
        "an entry is read as it was written"
    );
    let mut sound = Verdict::Refused;
    for command in &entry.commands {
        if let Some(read) = LedgerCommand::decode(command.module, &command.body) {
            let (module, body) = read.clone().encode();
            assert_eq!(
                LedgerCommand::decode(module, &body),
                Some(read),
                "so is a command"
            );
            sound = Verdict::Accepted;
        }
    }
    applied(&mut state, &bytes);
    sound
}

/// Applies an entry and holds the state to all its promises.
fn applied(state: &mut State, entry: &Bytes) {
    let mut other = state.clone();
    let done = state
        .apply(Index(9), entry)
        .expect("an entry that can be read is applied");
    let again = other.apply(Index(9), entry).expect("here, too");
    assert_eq!(done.len(), again.len(), "replicas agree");
    assert_eq!(state.hash(), other.hash(), "replicas agree");
    if let Err(violation) = state.check() {
        panic!("{violation}");
    }
    let chunks = state.write();
    match State::read(&chunks, Plants::NONE) {
        Ok(read) => assert_eq!(read.hash(), state.hash(), "an image is the state"),
        Err(error) => panic!("an image cannot be read: {error}"),
    }
}

/// What an agent says, as its master hands it to the ledger.
pub(super) fn said_by_agent(message: AgentMessage) {
    let mut state = state().clone();
    let (agent, row) = state.offers.agents().next().expect("an agent");
    let epoch = row.epoch;
    let command = match message {
        AgentMessage::Hello(hello) => OffersCommand::SessionOpened {
            hello,
            master: NodeId(4),
        },
        AgentMessage::Update(update) => OffersCommand::TaskStatus {
            agent,
            epoch,
            updates: vec![update],
        },
        AgentMessage::Restarting { back_within } => OffersCommand::SessionClosed {
            agent,
            epoch,
            restarting: Some(back_within),
        },
        AgentMessage::Pong | AgentMessage::Stale { .. } | AgentMessage::FilePiece { .. } => return,
    };
    let entry = alone(LedgerCommand::Offers(command));
    applied(&mut state, &Bytes::from(entry));
}

/// Pieces, each after its length of two bytes, big end first, without the checksums at their ends.
fn chunks_of(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in state.write().iter() {
        let content = &chunk[..chunk.len() - 8];
        let length = u16::try_from(content.len()).expect("a seed is short");
        out.extend(length.to_be_bytes());
        out.extend(content);
    }
    out
}

fn snapshot(mut input: &[u8]) -> Verdict {
    let mut chunks = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (content, rest) = rest.split_at(length.min(rest.len()));
        let sum = xxh3_64(content).to_le_bytes();
        chunks.push(Bytes::from([content, &sum].concat()));
        input = rest;
    }
    let mut rows = 0;
    for (position, chunk) in chunks.iter().enumerate() {
        rows += usize::from(shoal_ledger::snapshot::look_at(position, chunk).is_ok());
    }
    let Ok(state) = State::read(&chunks, Plants::NONE) else {
        return Verdict::Refused;
    };
    assert_eq!(rows, chunks.len(), "what is read can be looked at");
    if let Err(violation) = state.check() {
        panic!("{violation}");
    }
    let again = State::read(&state.write(), Plants::NONE).map(|again| again.hash());
    assert_eq!(again.ok(), Some(state.hash()), "an image is the state");
    Verdict::Accepted
}
