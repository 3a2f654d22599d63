//! What the endpoints of version 1 of Mesos' API share: the head of a request, and refusals.

use std::borrow::Cow;

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use shoal_mesos::call::Head;
use shoal_mesos::refusal::Refusal;

use super::reply::{self, Reply};

/// The header that names a subscription.
pub const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// What of a request's head matters, as texts.
#[derive(Debug)]
pub struct Heading<'a> {
    method: &'a str,
    content_type: Option<Cow<'a, str>>,
    accept: Option<Cow<'a, str>>,
    stream: Option<Cow<'a, str>>,
}

impl<'a> Heading<'a> {
    /// Of a request.
    pub fn of(parts: &'a http::request::Parts) -> Heading<'a> {
        let headers = &parts.headers;
        Heading {
            method: parts.method.as_str(),
            content_type: text(headers, &CONTENT_TYPE),
            accept: text(headers, &ACCEPT),
            stream: text(headers, &STREAM_ID),
        }
    }

    /// As the messages' crate wants it.
    pub fn head(&self) -> Head<'_> {
        Head {
            method: self.method,
            content_type: self.content_type.as_deref(),
            accept: self.accept.as_deref(),
            stream: self.stream.as_deref(),
            principal: None,
        }
    }
}

/// The value of a header. Several lines of it are one list, and what is no text is not absent: both
/// are told apart from what they are not by whoever reads the value.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut lines = headers.get_all(name).into_iter();
    let first = String::from_utf8_lossy(lines.next()?.as_bytes());
    Some(lines.fold(first, |all, line| {
        let line = String::from_utf8_lossy(line.as_bytes());
        Cow::Owned(format!("{all}, {line}"))
    }))
}

/// A refusal as Mesos gives it.
pub fn refused(refusal: &Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut reply = reply::text(status, refusal.to_string());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let post = HeaderValue::from_static("POST");
        reply.headers_mut().insert(ALLOW, post);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_header_are_a_list() {
        let mut request = http::Request::new(());
        let headers = request.headers_mut();
        headers.append(ACCEPT, HeaderValue::from_static("text/html"));
        headers.append(ACCEPT, HeaderValue::from_static("application/json"));
        headers.append(CONTENT_TYPE, HeaderValue::from_bytes(b"\xff").unwrap());
        let (parts, ()) = request.into_parts();
        let heading = Heading::of(&parts);
        let head = heading.head();
        assert_eq!(head.accept, Some("text/html, application/json"));
        assert_eq!(head.content_type, Some("\u{fffd}"));
        assert_eq!((head.method, head.stream), ("GET", None));
    }
}
