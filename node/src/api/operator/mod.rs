//! The operator API of Mesos, version 1, on a master: `POST /api/v1`.
//!
//! What reads is served by every master, from its own copy of the ledger once that is current. What
//! changes something is not served and says so.

mod calls;

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use shoal_mesos::call::Head;
use shoal_mesos::codec::Codec;
use shoal_mesos::json::Message;
use shoal_mesos::negotiate::Formats;
use shoal_mesos::operator;
use shoal_mesos::refusal::Refusal;

use super::reply::{self, Reply};
use super::{Api, body};
use crate::drive::mailbox::Mailbox;

/// Answers one call.
pub async fn call(api: &Arc<Api>, master: &Mailbox, request: Request<Incoming>) -> Reply {
    let (parts, incoming) = request.into_parts();
    let bytes = match body::read(&parts.headers, incoming).await {
        Ok(bytes) => bytes,
        Err(error) => return reply::text(error.status(), error.to_string()),
    };
    match operator::to_master(&head(&parts), &bytes, Formats::Both) {
        Err(refusal) => refused(&refusal),
        Ok(asked) => calls::answer(api, master, asked).await,
    }
}

/// What of a request's head matters.
pub fn head(parts: &http::request::Parts) -> Head<'_> {
    let text = |name: &HeaderName| {
        let value = parts.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    Head {
        method: parts.method.as_str(),
        content_type: text(&CONTENT_TYPE),
        accept: text(&http::header::ACCEPT),
        stream: None,
        principal: None,
    }
}

/// A refusal as Mesos gives it.
pub fn refused(refusal: &Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut reply = reply::text(status, refusal.to_string());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        reply
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
    }
    reply
}

/// A short answer.
pub fn message<M: Message>(codec: Codec, message: &M) -> Reply {
    reply::whole(StatusCode::OK, codec.media_type(), codec.encode(message))
}
