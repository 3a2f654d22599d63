//! The accept loop of the peer port.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use super::connection::Connection;
use super::handshake::{Refusals, accept};
use super::identity::Identity;
use crate::authorize::Policy;
use crate::limits;
use crate::stop::Stop;

/// Accepts until `stop` is set, and hands connections on whose handshake is done.
///
/// Handshakes are bounded in number and time; a receiver that is full holds them up, which is the
/// back-pressure of this port.
pub async fn serve(
    listener: TcpListener,
    me: Identity,
    policy: Policy,
    accepted: mpsc::Sender<Connection>,
    mut stop: Stop,
) {
    let room = Arc::new(Semaphore::new(limits::PEER_HANDSHAKES));
    let places = Arc::new(Semaphore::new(limits::PEER_CONNECTIONS));
    let refusals = Arc::new(Refusals::new());
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let stream = tokio::select! {
            result = listener.accept() => match result {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a peer connection");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stop.wanted() => return,
        };
        let (me, refusals, accepted) = (me.clone(), Arc::clone(&refusals), accepted.clone());
        let places = Arc::clone(&places);
        tokio::spawn(async move {
            if let Some(connection) = accept(&me, policy, &refusals, &places, stream).await {
                // An error means that the node is ending; the connection ends with it.
                drop(accepted.send(connection).await);
            }
            drop(permit);
        });
    }
}
