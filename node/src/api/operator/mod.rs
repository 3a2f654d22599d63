//! The operator API of Mesos, version 1, on a master: `POST /api/v1`.
//!
//! What reads is served by every master, from its own copy of the ledger once that is current. Of
//! what changes something only reservations and volumes are served; the rest says so.

mod calls;
pub mod stream;
mod translate;

use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use shoal_mesos::codec::Codec;
use shoal_mesos::json::Message;
use shoal_mesos::operator;

use super::reply::{self, Reply};
use super::v1::{Heading, refused};
use super::{Api, body};
use crate::drive::mailbox::Mailbox;

/// Answers one call.
pub async fn call(api: &Arc<Api>, master: &Mailbox, request: Request<Incoming>) -> Reply {
    let (parts, incoming) = request.into_parts();
    let bytes = match body::read(&parts.headers, incoming).await {
        Ok(bytes) => bytes,
        Err(error) => return reply::text(error.status(), error.to_string()),
    };
    match operator::to_master(&Heading::of(&parts).head(), &bytes) {
        Err(refusal) => refused(&refusal),
        Ok(asked) => calls::answer(api, master, asked).await,
    }
}

/// A short answer.
pub fn message<M: Message>(codec: Codec, message: &M) -> Reply {
    reply::whole(StatusCode::OK, codec.media_type(), codec.encode(message))
}
