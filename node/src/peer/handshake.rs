//! The first frames of a connection, on both sides, each within a time limit.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use metrics::Counter;
use prost::Message;
use shoal_api::agent::HostPort;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::connection::{Connection, ReadError, next_frame, put};
use super::frame::{Answer, AnswerBody, Handshake};
use super::identity::{self, HandshakeError, Identity, PeerIdentity, Purpose};
use super::methods;
use crate::authorize::{Action, Caller, Object, Policy};
use crate::limits;
use crate::metrics::{catalogue, counter};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address, or nobody listens there.
    #[error("{to} cannot be reached: {error}")]
    Unreachable {
        /// Where to.
        to: HostPort,
        /// Why.
        error: io::Error,
    },
    /// It took too long.
    #[error("{to} did not answer within {} s", limits::PEER_HANDSHAKE.as_secs())]
    TooSlow {
        /// Where to.
        to: HostPort,
    },
    /// The other side said no.
    #[error("{to} refused: {why}")]
    Refused {
        /// Where to.
        to: HostPort,
        /// In its words.
        why: String,
    },
    /// The other side's introduction is not acceptable.
    #[error("{to} is no peer of this node: {error}")]
    Handshake {
        /// Where to.
        to: HostPort,
        /// Why.
        error: HandshakeError,
    },
}

/// Opens a connection. Tries all addresses of the host within one time limit.
///
/// # Errors
/// [`DialError`] says why not; nothing is left open.
pub async fn dial(me: &Identity, to: &HostPort, purpose: Purpose) -> Result<Connection, DialError> {
    match tokio::time::timeout(limits::PEER_HANDSHAKE, open(me, to, purpose)).await {
        Ok(result) => result,
        Err(_) => Err(DialError::TooSlow { to: to.clone() }),
    }
}

async fn open(me: &Identity, to: &HostPort, purpose: Purpose) -> Result<Connection, DialError> {
    let unreachable = |error| DialError::Unreachable {
        to: to.clone(),
        error,
    };
    let refused = |error| DialError::Handshake {
        to: to.clone(),
        error,
    };
    let stream = TcpStream::connect((&*to.host, to.port)).await;
    let mut stream = stream.map_err(unreachable)?;
    super::prepare(&stream).map_err(unreachable)?;
    let mut out = BytesMut::new();
    put(&mut out, &me.handshake(purpose));
    stream.write_all(&out).await.map_err(unreachable)?;
    let answer = first_frame(&mut stream)
        .await
        .map_err(|error| match error {
            ReadError::Malformed => refused(HandshakeError::Malformed),
            ReadError::Broken(error) => unreachable(error),
        })?;
    let answer = Answer::decode(answer).map_err(|_| refused(HandshakeError::Malformed))?;
    let welcome = match answer.body {
        Some(AnswerBody::Welcome(welcome)) => welcome,
        Some(AnswerBody::Refused(why)) => {
            let why = why.chars().filter(|c| !c.is_control()).take(300).collect();
            return Err(DialError::Refused {
                to: to.clone(),
                why,
            });
        }
        None => return Err(refused(HandshakeError::Malformed)),
    };
    let peer = identity::read(me, &welcome).map_err(refused)?;
    if !methods::allows(purpose, me.roles, peer.roles) {
        return Err(refused(HandshakeError::NotAllowed {
            roles: peer.roles,
            purpose,
        }));
    }
    Ok(Connection::new(stream, peer, purpose, None))
}

/// The first frame of a side; it is short, and nothing follows it before the answer.
async fn first_frame(stream: &mut TcpStream) -> Result<bytes::Bytes, ReadError> {
    let mut buffer = BytesMut::new();
    let frame = next_frame(stream, &mut buffer, limits::PEER_HANDSHAKE_BYTES).await?;
    if !buffer.is_empty() {
        return Err(ReadError::Malformed);
    }
    frame.ok_or_else(|| ReadError::Broken(io::ErrorKind::UnexpectedEof.into()))
}

/// Counters of what was refused.
pub struct Refusals(Vec<(&'static str, Counter)>);

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusals")
    }
}

impl Refusals {
    /// Looks every handle up once.
    pub fn new() -> Refusals {
        let handle = |label: &&'static str| (*label, counter(&catalogue::PEER_REFUSED, &[label]));
        Refusals(HandshakeError::LABELS.iter().map(handle).collect())
    }

    /// Counts one.
    pub fn count(&self, label: &'static str) {
        let of = self.0.iter().find(|(known, _)| *known == label);
        of.expect("every label is listed").1.increment(1);
    }
}

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals::new()
    }
}

/// Answers a connection that somebody opened; `None` if it is not to be used.
pub async fn accept(
    me: &Identity,
    policy: Policy,
    refusals: &Refusals,
    places: &Arc<Semaphore>,
    mut stream: TcpStream,
) -> Option<Connection> {
    let from = stream.peer_addr().ok()?;
    super::prepare(&stream).ok()?;
    let handshake =
        match tokio::time::timeout(limits::PEER_HANDSHAKE, first_frame(&mut stream)).await {
            Ok(Ok(frame)) => Handshake::decode(frame).map_err(|_| HandshakeError::Malformed),
            Ok(Err(ReadError::Malformed)) => Err(HandshakeError::Malformed),
            Ok(Err(ReadError::Broken(_))) => return None,
            Err(_) => {
                refusals.count("timeout");
                return None;
            }
        };
    let caller = Caller {
        principal: None,
        from,
    };
    let checked = handshake.and_then(|handshake| {
        let (peer, purpose) = check(me, policy, &caller, &handshake)?;
        let place = Arc::clone(places).try_acquire_owned();
        Ok((peer, purpose, place.map_err(|_| HandshakeError::Busy)?))
    });
    let mut out = BytesMut::new();
    let body = match &checked {
        Ok((_, purpose, _)) => AnswerBody::Welcome(me.handshake(*purpose)),
        Err(error) => {
            tracing::debug!(%from, %error, "a peer connection is refused");
            refusals.count(error.label());
            AnswerBody::Refused(error.to_string())
        }
    };
    put(&mut out, &Answer { body: Some(body) });
    let sent = tokio::time::timeout(limits::PEER_HANDSHAKE, stream.write_all(&out)).await;
    match (checked, sent) {
        (Ok((peer, purpose, place)), Ok(Ok(()))) => {
            Some(Connection::new(stream, peer, purpose, Some(place)))
        }
        _ => None,
    }
}

fn check(
    me: &Identity,
    policy: Policy,
    caller: &Caller,
    handshake: &Handshake,
) -> Result<(PeerIdentity, Purpose), HandshakeError> {
    let peer = identity::read(me, handshake)?;
    let purpose = Purpose::from_number(handshake.purpose).ok_or(HandshakeError::Malformed)?;
    let not_allowed = HandshakeError::NotAllowed {
        roles: peer.roles,
        purpose,
    };
    if !methods::allows(purpose, peer.roles, me.roles) {
        return Err(not_allowed);
    }
    if peer.roles.master && peer.raft.is_none() {
        return Err(HandshakeError::Malformed);
    }
    let object = Object::Node(peer.node);
    match policy.authorize(caller, Action::Connect(purpose), &object) {
        Ok(()) => Ok((peer, purpose)),
        Err(_) => Err(not_allowed),
    }
}
