//! Seeds by name: resolved in tasks of their own, again and again until they are.

use std::net::SocketAddr;

use shoal_api::HostPort;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::limits;

/// The resolutions under way.
#[derive(Debug, Default)]
pub(super) struct Resolving {
    tasks: JoinSet<Vec<SocketAddr>>,
}

impl Resolving {
    /// Takes seeds: the addresses among them, at once; names are resolved.
    pub fn take(&mut self, seeds: Vec<HostPort>) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for seed in seeds {
            match seed.ip() {
                Some(ip) => addresses.push(SocketAddr::new(ip, seed.port)),
                None if self.tasks.len() < shoal_membership::limits::SEEDS => {
                    self.tasks.spawn(resolve(seed));
                }
                None => warn!(%seed, "too many seeds wait to be resolved"),
            }
        }
        addresses
    }

    /// Waits for the addresses of a name; for ever if none is being resolved.
    pub async fn next(&mut self) -> Vec<SocketAddr> {
        match self.tasks.join_next().await {
            Some(addresses) => addresses.unwrap_or_default(),
            None => std::future::pending().await,
        }
    }
}

async fn resolve(seed: HostPort) -> Vec<SocketAddr> {
    let mut said = false;
    loop {
        let lookup = tokio::net::lookup_host((&*seed.host, seed.port));
        match timeout(limits::RESOLVE, lookup).await {
            Ok(Ok(found)) => {
                let found: Vec<_> = found.collect();
                if !found.is_empty() {
                    return found;
                }
            }
            Ok(Err(error)) if !said => {
                warn!(%seed, %error, "cannot resolve the seed yet");
                said = true;
            }
            Ok(Err(_)) | Err(_) => {}
        }
        sleep(limits::RESOLVE_AGAIN).await;
    }
}
