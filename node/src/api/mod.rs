//! HTTP: one server, one route table, one file per dialect or kind of endpoint.

mod agent;
mod basics;
pub mod board;
pub mod body;
mod counters;
pub mod facts;
mod keyring;
mod listing;
pub mod members;
mod moment;
mod operator;
pub mod reply;
pub mod route;
mod scheduler;
pub mod server;
mod shoal;
mod snapshot;
mod v1;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use crate::authorize::{Action, Caller, Object, Policy};
use crate::drive::mailbox::Mailbox;
use crate::executor::Window;
use crate::gossip::Gossip;
use crate::keyring::Keys;
use crate::limits;
use crate::metrics::Cluster;
use crate::stop::Stopper;
pub use basics::MESOS_VERSION;
use board::Board;
use facts::Facts;
use members::Members;
use reply::Reply;
use route::{Door, Endpoint, KeyringRoute, Ours, Own};
#[cfg(feature = "fuzzing")]
pub use shoal::read_run;

/// What all handlers share.
#[derive(Debug)]
pub struct Api {
    /// What the machines last said.
    pub board: Arc<Board>,
    /// Who may do what.
    pub policy: Policy,
    /// The master of this node, from its start on.
    pub master: OnceLock<Mailbox>,
    /// The gossip of this node, from its start on.
    pub gossip: OnceLock<Gossip>,
    /// Says that this node shall leave the cluster, and end.
    pub leave: OnceLock<Stopper>,
    /// The agent of this node, from its start on.
    pub agent: OnceLock<Window>,
    /// The gossip's keys, from the start on.
    pub keys: OnceLock<Arc<Keys>>,
    /// How the node was started.
    pub facts: Facts,
    /// Room for listings that are being written or sent.
    listings: Arc<Semaphore>,
    /// Seats for clients that follow the events.
    event_clients: Arc<Semaphore>,
    /// Who follows the events by Mesos' operator API.
    operator_streams: operator::stream::Seats,
    /// Room for files that are being sent.
    downloads: Arc<Semaphore>,
    counters: counters::Counters,
    cluster: OnceLock<Cluster>,
}

impl Api {
    /// For one node, whose master, if it is one, has not started.
    pub fn new(board: Arc<Board>, policy: Policy, facts: Facts) -> Api {
        Api {
            board,
            policy,
            master: OnceLock::new(),
            gossip: OnceLock::new(),
            leave: OnceLock::new(),
            agent: OnceLock::new(),
            keys: OnceLock::new(),
            facts,
            listings: Arc::new(Semaphore::new(limits::LISTINGS)),
            event_clients: Arc::new(Semaphore::new(limits::EVENT_CLIENTS)),
            operator_streams: operator::stream::Seats::default(),
            downloads: Arc::new(Semaphore::new(limits::DOWNLOADS)),
            counters: counters::Counters::new(),
            cluster: OnceLock::new(),
        }
    }
}

/// Answers one request.
pub async fn handle(
    api: Arc<Api>,
    door: Door,
    from: SocketAddr,
    request: Request<Incoming>,
) -> Reply {
    let started = Instant::now();
    let endpoint = route::route(door, request.uri().path());
    let label = endpoint.as_ref().map_or("none", Endpoint::label);
    let caller = Caller {
        principal: None,
        from,
    };
    let reply = match endpoint {
        Some(endpoint) => answer(&api, &caller, endpoint, request).await,
        None => not_found(request.uri().path()),
    };
    api.counters.count(label, reply.status(), started.elapsed());
    reply
}

async fn answer(
    api: &Arc<Api>,
    caller: &Caller,
    endpoint: Endpoint,
    request: Request<Incoming>,
) -> Reply {
    let authorized = api
        .policy
        .authorize(caller, action(&endpoint), &Object::Cluster);
    if let Err(denied) = authorized {
        return reply::forbidden(&denied);
    }
    let read = request.method() == Method::GET || request.method() == Method::HEAD;
    let master = api.master.get();
    match endpoint {
        Endpoint::Health => basics::health(),
        Endpoint::Version => basics::version(),
        Endpoint::Page(_) | Endpoint::Metrics | Endpoint::Leader if !read => {
            reply::method_not_allowed("GET")
        }
        Endpoint::Page(page) => basics::page(page),
        Endpoint::Metrics => basics::metrics(api, request.headers()).await,
        Endpoint::Members(which) => members::answer(api, which, request).await,
        Endpoint::Scheduler => match master {
            Some(master) => scheduler::call(api, caller, master, request).await,
            None => no_mesos_master(),
        },
        Endpoint::Operator => match master {
            Some(master) => operator::call(api, master, request).await,
            None => no_mesos_master(),
        },
        Endpoint::Listing(which) => match master {
            Some(master) => listing::answer(api, master, which, request.uri().query()).await,
            None => no_mesos_master(),
        },
        Endpoint::Own(own) => agent::answer(api, own, request).await,
        Endpoint::Flags => {
            let flags = shoal_mesos::listing::flags(&api.facts.master_flags);
            listing::document(request.uri().query(), flags)
        }
        Endpoint::Snapshot => match master {
            Some(master) => snapshot::answer(api, master, request.uri().query()).await,
            None => no_mesos_master(),
        },
        Endpoint::Redirect if master.is_some() => listing::redirect(api),
        Endpoint::Redirect => no_mesos_master(),
        Endpoint::Keyring(route) => keyring::answer(api, route, request).await,
        Endpoint::Leader if master.is_some() => shoal::leader(api),
        Endpoint::Leader => no_master(),
        Endpoint::Ours(ours) => match master {
            Some(master) => shoal::answer(api, caller, master, ours, request).await,
            None => no_master(),
        },
    }
}

/// What a request wants to do, as far as its path says.
fn action(endpoint: &Endpoint) -> Action {
    match endpoint {
        Endpoint::Page(_)
        | Endpoint::Health
        | Endpoint::Metrics
        | Endpoint::Members(Members::List | Members::Own | Members::Stream | Members::Distance)
        | Endpoint::Version
        | Endpoint::Redirect
        | Endpoint::Flags
        | Endpoint::Snapshot
        | Endpoint::Own(Own::Flags | Own::Snapshot)
        | Endpoint::Keyring(KeyringRoute::List)
        | Endpoint::Leader => Action::Observe,
        Endpoint::Keyring(KeyringRoute::Install | KeyringRoute::Use | KeyringRoute::Remove) => {
            Action::ChangeKeys
        }
        // The operator API serves what reads only.
        Endpoint::Listing(_)
        | Endpoint::Operator
        | Endpoint::Own(
            Own::State | Own::Containers | Own::Statistics | Own::Operator | Own::Files(_),
        ) => Action::Read,
        Endpoint::Scheduler => Action::Call,
        Endpoint::Members(Members::Join | Members::Leave | Members::Remove | Members::Tags) => {
            Action::ChangeMembers
        }
        Endpoint::Members(Members::Event | Members::Query | Members::Reachability) => Action::Tell,
        Endpoint::Ours(ours) => match ours {
            Ours::Events
            | Ours::Agents
            | Ours::Frameworks
            | Ours::Offers
            | Ours::Tasks
            | Ours::Task(_)
            | Ours::Timeline(_)
            | Ours::TaskLogs(_)
            | Ours::Run(_)
            | Ours::Quorum => Action::Read,
            Ours::Backup => Action::Backup,
            Ours::Runs => Action::CreateRun,
            Ours::RunKill(_) | Ours::TaskKill(_) | Ours::Teardown(_) => Action::Kill,
            Ours::QuorumRemove | Ours::QuorumTransfer | Ours::QuorumPromote => Action::ChangeQuorum,
        },
    }
}

fn no_mesos_master() -> Reply {
    let why = "This node is no master of a running cluster";
    reply::text(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn no_master() -> Reply {
    let document = serde_json::json!({
        "error": "this node is no master of a running cluster",
        "detail": "",
        "hint": "ask a master: /shoal/v1/members lists them with their roles and addresses",
        "unchanged": true,
    });
    reply::json(StatusCode::SERVICE_UNAVAILABLE, &document)
}

fn not_found(path: &str) -> Reply {
    let path: String = path.chars().take(200).collect();
    match path.starts_with("/shoal") {
        true => reply::problem(
            StatusCode::NOT_FOUND,
            format!("nothing is at {path}"),
            "",
            "",
        ),
        false => reply::empty(StatusCode::NOT_FOUND),
    }
}
