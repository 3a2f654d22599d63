//! Answers: a whole body, one in pieces, or a stream of pieces from a bounded channel.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::authorize::Denied;

/// The body of an answer.
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it; taken once.
    Whole(Option<Bytes>),
    /// Pieces until the sender is gone; sent in chunks, without a length.
    Stream(mpsc::Receiver<Bytes>),
    /// Pieces that are all there.
    Pieces(Pieces),
}

/// A long body that was written in pieces.
#[derive(Debug)]
pub struct Pieces {
    left: VecDeque<Bytes>,
    bytes: u64,
    /// The right to be in memory, given back with the last piece.
    _held: Option<OwnedSemaphorePermit>,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            ReplyBody::Whole(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            ReplyBody::Stream(pieces) => pieces
                .poll_recv(context)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
            ReplyBody::Pieces(pieces) => {
                let next = pieces.left.pop_front();
                pieces.bytes -= next.as_ref().map_or(0, Bytes::len) as u64;
                Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            ReplyBody::Stream(_) => false,
            ReplyBody::Pieces(pieces) => pieces.left.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            ReplyBody::Stream(_) => SizeHint::default(),
            ReplyBody::Pieces(pieces) => SizeHint::with_exact(pieces.bytes),
        }
    }
}

/// An answer.
pub type Reply = Response<ReplyBody>;

/// An answer with a whole body.
pub fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(ReplyBody::Whole(Some(body.into())));
    *reply.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// An answer with a long body; `held` is given back once it is sent.
pub fn pieces(
    status: StatusCode,
    content_type: &'static str,
    pieces: Vec<Bytes>,
    held: Option<OwnedSemaphorePermit>,
) -> Reply {
    let mut reply = Response::new(ReplyBody::Pieces(Pieces {
        bytes: pieces.iter().map(Bytes::len).sum::<usize>() as u64,
        left: pieces.into(),
        _held: held,
    }));
    *reply.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// An answer without a body that has the type of a text, as Mesos answers what is not there.
pub fn empty_text(status: StatusCode) -> Reply {
    whole(status, "text/plain; charset=utf-8", Bytes::new())
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(ReplyBody::Whole(None));
    *reply.status_mut() = status;
    reply
}

/// Our own JSON.
pub fn json(status: StatusCode, document: &Value) -> Reply {
    let mut text = document.to_string();
    text.push('\n');
    whole(status, "application/json", text)
}

/// Plain text, as Mesos answers what it refuses.
pub fn text(status: StatusCode, text: impl Into<String>) -> Reply {
    whole(status, "text/plain; charset=utf-8", text.into())
}

/// 405 with the method that would do.
pub fn method_not_allowed(allow: &'static str) -> Reply {
    let mut reply = text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("Expecting one of {{ '{allow}' }}"),
    );
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// The caller may not, as our own API says it.
pub fn forbidden(denied: &Denied) -> Reply {
    problem(StatusCode::FORBIDDEN, denied.to_string(), "", "")
}

/// A refusal in our own form: what, why, and what to do about it.
pub fn problem(
    status: StatusCode,
    error: impl Into<String>,
    detail: impl Into<String>,
    hint: impl Into<String>,
) -> Reply {
    let document = serde_json::json!({
        "error": error.into(),
        "detail": detail.into(),
        "hint": hint.into(),
    });
    json(status, &document)
}
