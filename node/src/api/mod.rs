//! HTTP: one server, one route table, one file per dialect or kind of endpoint.

mod basics;
pub mod board;
pub mod body;
mod counters;
pub mod reply;
pub mod route;
pub mod server;

use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use board::Board;
use reply::Reply;
use route::{Door, Endpoint};

/// What all handlers share.
#[derive(Debug)]
pub struct Api {
    /// What the machines last said.
    pub board: Arc<Board>,
    counters: counters::Counters,
}

impl Api {
    /// For one node.
    pub fn new(board: Arc<Board>) -> Api {
        Api {
            board,
            counters: counters::Counters::new(),
        }
    }
}

/// Answers one request.
pub async fn handle(api: Arc<Api>, door: Door, request: Request<Incoming>) -> Reply {
    let started = Instant::now();
    let endpoint = route::route(door, request.uri().path());
    let label = endpoint.as_ref().map_or("none", Endpoint::label);
    let reply = match endpoint {
        Some(endpoint) => answer(&api, endpoint, request).await,
        None => not_found(request.uri().path()),
    };
    api.counters.count(label, reply.status(), started.elapsed());
    reply
}

async fn answer(api: &Arc<Api>, endpoint: Endpoint, request: Request<Incoming>) -> Reply {
    let read = request.method() == Method::GET || request.method() == Method::HEAD;
    match endpoint {
        Endpoint::Health => basics::health(),
        Endpoint::Version => basics::version(),
        Endpoint::Page | Endpoint::Metrics | Endpoint::Members if !read => {
            reply::method_not_allowed("GET")
        }
        Endpoint::Page => basics::page(),
        Endpoint::Metrics => basics::metrics(request.headers()),
        Endpoint::Members => basics::members(api, request.uri().query()),
        Endpoint::Redirect
        | Endpoint::Scheduler
        | Endpoint::State
        | Endpoint::Leader
        | Endpoint::Agents
        | Endpoint::Frameworks
        | Endpoint::Tasks
        | Endpoint::Task(_)
        | Endpoint::TaskLogs(_)
        | Endpoint::TaskKill(_)
        | Endpoint::Runs
        | Endpoint::Run(_)
        | Endpoint::RunKill(_)
        | Endpoint::Quorum
        | Endpoint::QuorumRemove
        | Endpoint::QuorumTransfer => no_master(),
    }
}

fn no_master() -> Reply {
    reply::problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "this node is no master",
        "",
        "ask a master: /shoal/v1/members lists them with their roles and addresses",
    )
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
