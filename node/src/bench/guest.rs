//! A guest at the peer port: it forwards commands to the leader and is told their outcomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use shoal_api::agent::HostPort;
use shoal_api::call::{AgentName, Filters, Launch, Subscribe};
use shoal_api::session::{AgentMessage, Hello, MasterMessage};
use shoal_api::{
    AgentId, AgentInfo, Command, Fence, FrameworkId, FrameworkInfo, Generation, Name, NodeId,
    OfferId, RaftId, RequestId, Resources, Role, StreamId, TaskId, TaskSpec,
};
use shoal_master::{Forwarded, LedgerCommand, LedgerMessage, Outcome};
use shoal_offers::OffersCommand;
use shoal_offers::allocator::NewOffer;

use super::cluster::no_cluster;
use crate::cli::{Exit, Failure};
use crate::peer::{Connection, Identity, Purpose, dial};
use crate::roles::NodeRoles;

pub(super) fn failed(what: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, what.to_string(), "")
}

/// Who the guest is; one identity for all its connections.
#[derive(Clone, Debug)]
pub struct Guest {
    identity: Identity,
    counter: u64,
}

impl Guest {
    /// A new guest with random ids.
    ///
    /// # Errors
    /// The kernel has no entropy.
    pub fn new() -> Result<Guest, Failure> {
        let bits = crate::entropy::draw().map_err(failed)?;
        let identity = Identity {
            node: NodeId(bits),
            generation: Generation(1),
            raft: Some(RaftId((bits as u64) | 1)),
            roles: NodeRoles {
                master: true,
                agent: false,
            },
            name: Name::new("bench").expect("the name is well formed"),
            cluster: no_cluster(),
        };
        Ok(Guest {
            identity,
            counter: 0,
        })
    }

    /// The guest's node, as holder of its framework's stream.
    pub fn node(&self) -> NodeId {
        self.identity.node
    }

    /// A connection for commands.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn dial(&self, to: &HostPort) -> Result<Connection, Failure> {
        dial(&self.identity, to, Purpose::Forward)
            .await
            .map_err(failed)
    }

    /// A command under a new request id.
    pub fn command(&mut self, command: OffersCommand) -> Forwarded {
        self.counter += 1;
        let request = RequestId {
            node: self.identity.node,
            generation: self.identity.generation,
            counter: self.counter,
        };
        let (module, body) = LedgerCommand::Offers(command).encode();
        Forwarded {
            request,
            principal: None,
            module,
            body,
        }
    }
}

/// Encodes commands for the leader.
pub fn forward(lowest: u64, commands: Vec<Forwarded>) -> Bytes {
    let message = LedgerMessage::Forward { lowest, commands };
    Bytes::from(postcard::to_allocvec(&message).expect("a message can be encoded"))
}

/// The outcomes that a payload tells, with the counters of their commands.
pub fn outcomes(payload: &Bytes) -> Vec<(u64, Outcome)> {
    let Ok(LedgerMessage::Applied { outcomes }) = postcard::from_bytes(payload) else {
        return Vec::new();
    };
    let typed = |(request, outcome): (RequestId, Bytes)| {
        Some((request.counter, postcard::from_bytes(&outcome).ok()?))
    };
    outcomes.into_iter().filter_map(typed).collect()
}

/// Sends one command and waits for its outcome.
///
/// # Errors
/// The connection breaks.
pub async fn one(connection: &mut Connection, command: Forwarded) -> Result<Outcome, Failure> {
    let counter = command.request.counter;
    connection
        .writer
        .write(&mut vec![forward(counter, vec![command])])
        .await
        .map_err(failed)?;
    loop {
        let payload = connection.reader.next().await.map_err(failed)?;
        let payload = payload.ok_or_else(|| failed("the master closed the connection"))?;
        if let Some((_, outcome)) = outcomes(&payload)
            .into_iter()
            .find(|(of, _)| *of == counter)
        {
            return Ok(outcome);
        }
    }
}

/// The framework that the guest plays. The agents have a resource of a kind of which the allocator
/// offers nothing by itself, so all its offers are the guest's own.
pub fn subscribe(holder: NodeId, stream: StreamId) -> OffersCommand {
    let roles = std::collections::BTreeSet::from([Role::any()]);
    let info = FrameworkInfo {
        id: None,
        name: Arc::from("bench"),
        user: Arc::from("nobody"),
        principal: None,
        suppressed: std::collections::BTreeSet::new(),
        roles,
        capabilities: std::collections::BTreeSet::new(),
        failover_timeout: std::time::Duration::from_secs(3600),
        raw: Bytes::new(),
    };
    OffersCommand::Subscribed {
        subscribe: Box::new(Subscribe { info, stream }),
        holder,
    }
}

/// What one task uses; see [`subscribe`].
pub fn share() -> Resources {
    Resources::parse("slots:1").expect("the text is well formed")
}

/// Small offers, spread over the agents.
pub fn offers(framework: &FrameworkId, agents: &[AgentId], count: usize) -> OffersCommand {
    let offers = (0..count)
        .map(|at| NewOffer {
            framework: framework.clone(),
            role: Role::any(),
            agent: agents[at % agents.len()],
            resources: share(),
        })
        .collect();
    OffersCommand::OffersMade { offers }
}

/// An accept of one offer with one task.
pub fn accept(
    framework: &FrameworkId,
    stream: StreamId,
    offer: OfferId,
    agent: AgentId,
) -> OffersCommand {
    let id = format!("t{}", offer.number);
    let spec = Arc::new(TaskSpec {
        name: Arc::from(id.as_str()),
        id: TaskId::new(&id).expect("the id is well formed"),
        resources: share(),
        command: Some(Command::Shell(Arc::from("true"))),
        environment: Vec::new(),
        user: None,
        kill_grace: None,
        unsupported: None,
        raw: Bytes::new(),
        digest: None,
    });
    OffersCommand::Accepted {
        framework: framework.clone(),
        stream,
        offers: vec![Ok(offer)],
        launches: vec![Launch::Task {
            agent: AgentName::Id(agent),
            spec,
        }],
        filters: Filters::default(),
        claim: None,
    }
}

/// Plays agents: each opens a session and answers pings until the connection ends.
///
/// # Errors
/// A session is refused.
pub async fn play_agents(
    count: u32,
    masters: &[HostPort],
) -> Result<BTreeMap<u32, AgentId>, Failure> {
    let mut agents = BTreeMap::new();
    for number in 0..count {
        let to = &masters[number as usize % masters.len()];
        let bits = crate::entropy::draw().map_err(failed)?;
        let identity = Identity {
            node: NodeId(bits),
            generation: Generation(1),
            raft: None,
            roles: NodeRoles {
                master: false,
                agent: true,
            },
            name: Name::new(&format!("bench-{number}")).expect("the name is well formed"),
            cluster: no_cluster(),
        };
        let mut connection = dial(&identity, to, Purpose::Session)
            .await
            .map_err(failed)?;
        let hello = Hello {
            info: AgentInfo {
                node: identity.node,
                name: identity.name.clone(),
                http: HostPort::new("127.0.0.1", 1),
                resources: Resources::parse("slots:1000000").expect("well formed"),
                attributes: Vec::new(),
                version: Arc::from(env!("CARGO_PKG_VERSION")),
            },
            generation: Generation(1),
            number: 1,
            cluster: None,
            agent: None,
            fence: Fence::default(),
            tasks: Vec::new(),
        };
        say(&mut connection, &AgentMessage::Hello(Box::new(hello))).await?;
        let agent = loop {
            match hear(&mut connection).await? {
                MasterMessage::Welcome { agent, .. } => break agent,
                MasterMessage::Refused(refusal) => return Err(failed(refusal)),
                MasterMessage::Launch { .. }
                | MasterMessage::Kill { .. }
                | MasterMessage::UpdateDurable { .. }
                | MasterMessage::Forget { .. }
                | MasterMessage::Ping
                | MasterMessage::Move { .. }
                | MasterMessage::ReadFile(_)
                | MasterMessage::RemoveVolume { .. } => {}
            }
        };
        agents.insert(number, agent);
        tokio::spawn(async move {
            // The end of the cluster ends the session.
            while let Ok(message) = hear(&mut connection).await {
                if message == MasterMessage::Ping
                    && say(&mut connection, &AgentMessage::Pong).await.is_err()
                {
                    return;
                }
            }
        });
    }
    Ok(agents)
}

async fn say(connection: &mut Connection, message: &AgentMessage) -> Result<(), Failure> {
    let bytes = Bytes::from(postcard::to_allocvec(message).map_err(failed)?);
    connection
        .writer
        .write(&mut vec![bytes])
        .await
        .map_err(failed)
}

async fn hear(connection: &mut Connection) -> Result<MasterMessage, Failure> {
    let payload = connection.reader.next().await.map_err(failed)?;
    let payload = payload.ok_or_else(|| failed("the master closed a session"))?;
    postcard::from_bytes(&payload).map_err(failed)
}
