//! One node from start to end: opens everything, wires it, and takes it down in order.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::api::board::Board;
use crate::api::route::Door;
use crate::api::{Api, server};
use crate::cli::{Exit, Failure};
use crate::config::NodeConfig;
use crate::stop::Stop;

/// The runtime of a node: its threads do IO only, the machines have threads of their own.
///
/// # Errors
/// [`Exit::Failed`] if the kernel has no thread left.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("shoal-io")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start threads: {error}"), ""))
}

/// Runs a node until `stop` is set. A keeper that it starts gets `lifeline` as standard input.
///
/// # Errors
/// What keeps it from running.
pub async fn run(
    config: NodeConfig,
    lifeline: Option<OwnedFd>,
    mut stop: Stop,
) -> Result<(), Failure> {
    crate::metrics::registry();
    let board = Arc::new(Board::default());
    let http = bind("--http", config.http.bind).await?;
    let api = Arc::new(Api::new(Arc::clone(&board)));
    tokio::spawn(server::serve(
        http,
        Door::Node,
        Arc::clone(&api),
        stop.clone(),
    ));
    if config.roles.agent {
        let agent_http = bind("--agent-http", config.agent_http.bind).await?;
        tokio::spawn(server::serve(agent_http, Door::Agent, api, stop.clone()));
    }
    stop.wanted().await;
    drop(lifeline);
    Ok(())
}

async fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| cannot_listen(flag, address, &error))
}

/// The failure of a listener, with what to do.
pub fn cannot_listen(flag: &str, address: SocketAddr, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("cannot listen on {address}: {error}"),
        format!("another process may have it: choose another address by {flag}"),
    )
}
