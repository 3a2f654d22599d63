//! Mesos' v1 scheduler API: calls become requests to the machine, notices become records.
//!
//! What deliberately does not live here: the messages and their rules (`shoal-mesos`), and what a call
//! does (the ledger).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use shoal_api::notice::Notice;
use shoal_api::{AgentId, FrameworkId, FrameworkInfo, HostPort, StreamId};
use shoal_master::{Answer, Refused, View};
use shoal_mesos::call::{Admitted, Received, Request as Asked, Standing, receive};
use shoal_mesos::codec::Codec;
use shoal_mesos::event::{Audience, Surroundings, record, refusal};
use shoal_mesos::master::Master;
use shoal_mesos::refusal::Refusal;
use tokio::sync::{mpsc, oneshot};

use super::reply::{self, Reply, ReplyBody};
use super::v1::{Heading, STREAM_ID, refused};
use super::{Api, body};
use crate::authorize::{Action, Caller, Object};
use crate::drive::mailbox::{Inbound, Mail, Mailbox, Opened, connection};
use crate::limits;

/// Answers one call.
pub async fn call(
    api: &Api,
    caller: &Caller,
    master: &Mailbox,
    request: Request<Incoming>,
) -> Reply {
    let (parts, incoming) = request.into_parts();
    let heading = Heading::of(&parts);
    let bytes = match body::read(&parts.headers, incoming).await {
        Ok(bytes) => bytes,
        Err(error) => return reply::text(error.status(), error.to_string()),
    };
    match receive(&heading.head(), &bytes) {
        Err(refusal) => refused(&refusal),
        Ok(Asked::Subscribe {
            codec,
            framework: Ok(info),
        }) => {
            let object = info.id.clone().map_or(Object::Cluster, Object::Framework);
            match api.policy.authorize(caller, Action::Subscribe, &object) {
                Ok(()) => subscribe(api, master, codec, info).await,
                Err(denied) => told_off(codec, &denied.to_string()),
            }
        }
        Ok(Asked::Subscribe {
            codec,
            framework: Err(why),
        }) => told_off(codec, &why),
        Ok(Asked::Call(received)) => {
            // What is no id is nobody's, and is refused as that further on.
            let framework = FrameworkId::new(received.framework());
            let object = framework.map_or(Object::Cluster, Object::Framework);
            match api.policy.authorize(caller, Action::Call, &object) {
                Ok(()) => ask(master, &parts.headers, received).await,
                Err(denied) => reply::text(StatusCode::FORBIDDEN, denied.to_string()),
            }
        }
    }
}

fn unavailable(why: &str) -> Reply {
    refused(&Refusal::Unavailable(why.to_owned()))
}

/// Anything but a subscription.
async fn ask(master: &Mailbox, headers: &HeaderMap, received: Received) -> Reply {
    let framework: Arc<str> = Arc::from(received.framework());
    let named: Option<StreamId> = headers
        .get(&STREAM_ID)
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.parse().ok());
    // A well-formed stream is taken at its word here, and held against the ledger by the machine.
    let standing = match named {
        Some(stream) => Some(Standing {
            principal: None,
            stream: Some(stream),
        }),
        None => match master.ask(shoal_master::Request::Read).await {
            Answer::State(view) => standing_of(&view, &framework),
            Answer::Done | Answer::RunCreated(_) | Answer::File(_) | Answer::Refused(_) => {
                return unavailable("No leader can be reached at the moment");
            }
        },
    };
    let call = match received.admit(standing.as_ref(), None) {
        Ok(Admitted::Call(call)) => call,
        Ok(Admitted::Nothing) => return reply::empty(StatusCode::ACCEPTED),
        Err(refusal) => return refused(&refusal),
    };
    match master.ask(shoal_master::Request::Call(call)).await {
        Answer::Refused(refusal) => {
            let stream = named.map(|stream| stream.to_string()).unwrap_or_default();
            refused_by_ledger(&refusal, stream, &framework)
        }
        Answer::Done | Answer::State(_) | Answer::RunCreated(_) | Answer::File(_) => {
            reply::empty(StatusCode::ACCEPTED)
        }
    }
}

fn standing_of(view: &View, framework: &str) -> Option<Standing> {
    let id = FrameworkId::new(framework).ok()?;
    let row = view.state.offers.framework(&id)?;
    let stream = row.stream().map(|(stream, _)| stream);
    Some(Standing {
        principal: row.info.principal.clone(),
        stream,
    })
}

fn refused_by_ledger(refusal: &Refused, stream: String, framework: &str) -> Reply {
    let Refused::Offers(inner) = refusal else {
        return unavailable(&refusal.to_string());
    };
    refused(&match inner {
        shoal_offers::Refusal::UnknownFramework | shoal_offers::Refusal::FrameworkRemoved => {
            Refusal::UnknownFramework
        }
        shoal_offers::Refusal::NotSubscribed => Refusal::NotSubscribed,
        shoal_offers::Refusal::OtherStream(_) => Refusal::OtherStream {
            stream,
            framework: framework.to_owned(),
        },
        shoal_offers::Refusal::Malformed
        | shoal_offers::Refusal::InvalidFramework(_)
        | shoal_offers::Refusal::PrincipalChanged { .. }
        | shoal_offers::Refusal::TooMany { .. }
        | shoal_offers::Refusal::UnknownAgent(_)
        | shoal_offers::Refusal::OldSession { .. }
        | shoal_offers::Refusal::Session(_)
        | shoal_offers::Refusal::OldTimer
        | shoal_offers::Refusal::InvalidOperation(_)
        | shoal_offers::Refusal::Conflict(_) => Refusal::Invalid(inner.to_string()),
    })
}

/// A subscription that is refused: 200, one ERROR, the end.
fn told_off(codec: Codec, why: &str) -> Reply {
    let (pieces, body) = mpsc::channel(1);
    pieces
        .try_send(refusal(why, codec))
        .expect("a new channel has room");
    // A subscription that came to nothing has an id in its head all the same, as in Mesos.
    let stream = StreamId(crate::entropy::draw().unwrap_or_default());
    streamed(codec, stream, body)
}

fn streamed(codec: Codec, stream: StreamId, pieces: mpsc::Receiver<Bytes>) -> Reply {
    let mut reply = Reply::new(ReplyBody::Stream(pieces));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(codec.media_type()));
    let id = HeaderValue::from_str(&stream.to_string()).expect("a UUID is a header value");
    headers.insert(STREAM_ID, id);
    reply
}

/// Opens a stream in a task of its own, which outlives this call and tells the machine its end.
async fn subscribe(api: &Api, master: &Mailbox, codec: Codec, info: FrameworkInfo) -> Reply {
    let (head, reply) = oneshot::channel();
    tokio::spawn(carry(master.clone(), api.board.http(), codec, info, head));
    reply
        .await
        .unwrap_or_else(|_| unavailable("The master is stopping"))
}

async fn carry(
    master: Mailbox,
    http: HostPort,
    codec: Codec,
    info: FrameworkInfo,
    head: oneshot::Sender<Reply>,
) {
    let audience = Audience::new(&info, codec);
    let conn = master.conn();
    let (out, notices) = connection(limits::STREAM_NOTICES);
    let (opened, outcome) = oneshot::channel();
    let info = Box::new(info);
    if !master
        .send(Mail::Subscribe {
            conn,
            info,
            opened,
            out,
        })
        .await
    {
        return;
    }
    match outcome.await {
        Ok(Ok(Opened { framework, stream })) => {
            tracing::info!(%framework, %stream, "a framework subscribed");
            if let Answer::State(view) = master.ask(shoal_master::Request::ReadStale).await {
                let id = Arc::from(view.state.origin().to_string());
                let around = Around {
                    master: Master { id, http },
                    addresses: addresses(&view),
                };
                let (pieces, body) = mpsc::channel(limits::HTTP_STREAM_PIECES);
                if head.send(streamed(codec, stream, body)).is_ok() {
                    pump(notices, &master, audience, around, pieces).await;
                }
            }
            tracing::info!(%framework, %stream, "a framework's stream ended");
        }
        Ok(Err(refused)) => {
            // A client that is gone misses nothing.
            drop(head.send(match refused.is_event() {
                true => told_off(codec, &refused.to_string()),
                false => unavailable(&refused.to_string()),
            }));
        }
        Err(_) => {}
    }
    master.send(Mail::StreamClosed(conn)).await;
}

/// What events tell besides the notice: this master, and where agents are.
struct Around {
    master: Master,
    addresses: BTreeMap<AgentId, IpAddr>,
}

impl Surroundings for Around {
    fn master(&self) -> &Master {
        &self.master
    }

    fn address_of(&self, agent: &AgentId) -> Option<IpAddr> {
        self.addresses.get(agent).copied()
    }
}

fn addresses(view: &View) -> BTreeMap<AgentId, IpAddr> {
    let agents = view.state.offers.agents();
    agents
        .filter_map(|(id, row)| Some((id, row.info.http.ip()?)))
        .collect()
}

/// Writes a framework's notices until either side is gone.
async fn pump(
    mut notices: Inbound<Notice>,
    master: &Mailbox,
    audience: Audience,
    mut around: Around,
    pieces: mpsc::Sender<Bytes>,
) {
    let give_up = notices.give_up();
    loop {
        let notice = tokio::select! {
            notice = notices.queue.recv() => notice,
            () = pieces.closed() => return,
            () = give_up.notified() => return,
        };
        let Some(notice) = notice else { return };
        learn(&notice, master, &mut around).await;
        let bytes = record(&notice, audience, &around);
        tokio::select! {
            // A client that does not read holds up its own stream only.
            sent = pieces.send(bytes) => if sent.is_err() { return },
            () = give_up.notified() => return,
        }
    }
}

/// Makes sure that the address of an agent that the notice names is known.
async fn learn(notice: &Notice, master: &Mailbox, around: &mut Around) {
    match notice {
        Notice::Offers(offers) => {
            for (offer, agent) in offers {
                if let Some(ip) = agent.http.ip() {
                    around.addresses.insert(offer.agent, ip);
                }
            }
        }
        Notice::Update(status) => {
            let Some(shoal_api::call::AgentName::Id(agent)) = &status.agent else {
                return;
            };
            if status.update.is_some()
                && !around.addresses.contains_key(agent)
                && let Answer::State(view) = master.ask(shoal_master::Request::ReadStale).await
            {
                around.addresses = addresses(&view);
            }
        }
        Notice::Subscribed { .. }
        | Notice::Heartbeat
        | Notice::Rescind(_)
        | Notice::Operation(_)
        | Notice::Failure { .. }
        | Notice::Error(_) => {}
    }
}
