//! What a web page may not do. A browser on this machine carries requests of any page that its user
//! looks at, and to a listener they look like the user's own. Who may do what is not decided here.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{CONTENT_TYPE, HOST, HeaderName, ORIGIN};
use http::{HeaderMap, StatusCode};

use super::super::reply::{self, Reply};
use crate::authorize::Policy;

/// Refuses what a page of somebody else sends, of requests that change something or take everything.
///
/// A page cannot send JSON under its name without asking the server first, which answers no such
/// question; its origin is told by the browser; and a page whose host name was made to point at this
/// machine tells that name.
///
/// # Errors
/// The answer: 403, or 415 for a body that is not called JSON.
pub fn refuse_foreign(policy: Policy, headers: &HeaderMap, body: bool) -> Result<(), Box<Reply>> {
    let host = text(headers, HOST);
    if let Some(origin) = text(headers, ORIGIN)
        && origin.split_once("://").map(|(_, rest)| rest) != host
    {
        return Err(refused(format!(
            "a page of {origin} may not do that at {}",
            host.unwrap_or("a host without a name")
        )));
    }
    if policy == Policy::Loopback && !host.is_some_and(is_loopback) {
        return Err(refused(format!(
            "'{}' in the header Host is no address of this machine alone",
            host.unwrap_or_default()
        )));
    }
    let called = text(headers, CONTENT_TYPE).unwrap_or_default();
    let essence = called.split(';').next().unwrap_or_default().trim();
    if body && !essence.eq_ignore_ascii_case("application/json") {
        return Err(Box::new(reply::problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is not called JSON",
            format!("the header Content-Type is '{called}'"),
            "send it as Content-Type: application/json",
        )));
    }
    Ok(())
}

fn refused(error: String) -> Box<Reply> {
    Box::new(reply::problem(
        StatusCode::FORBIDDEN,
        error,
        "a web page must not steer the cluster of who looks at it",
        "use `shoal`, or a client that calls 127.0.0.1 or localhost and sends no Origin",
    ))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a HOST or HOST:PORT can only mean this machine.
fn is_loopback(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.split(']').next().unwrap_or_default();
        return inner.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    type Header = (HeaderName, &'static str);

    fn status(policy: Policy, headers: &[Header], body: bool) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        match refuse_foreign(policy, &headers.collect(), body) {
            Ok(()) => 200,
            Err(reply) => reply.status().as_u16(),
        }
    }

    #[test]
    fn pages_of_others_are_refused() {
        let json = (CONTENT_TYPE, "application/json; charset=utf-8");
        let at = |host| (HOST, host);
        let from = |origin| (ORIGIN, origin);
        let cases: [(&[Header], bool, u16); 12] = [
            (&[at("127.0.0.1:5050")], false, 200),
            (&[at("localhost:5050"), json.clone()], true, 200),
            (&[at("[::1]:5050"), json.clone()], true, 200),
            (
                &[at("127.9.9.9"), from("http://127.9.9.9"), json.clone()],
                true,
                200,
            ),
            (
                &[at("127.0.0.1:5050"), (CONTENT_TYPE, "text/plain")],
                true,
                415,
            ),
            (&[at("127.0.0.1:5050")], true, 415),
            (
                &[at("127.0.0.1:5050"), from("http://evil.example")],
                false,
                403,
            ),
            (&[at("127.0.0.1:5050"), from("null")], false, 403),
            (
                &[at("127.0.0.1:5050"), from("http://127.0.0.1:80")],
                false,
                403,
            ),
            (
                &[at("evil.example:5050"), from("http://evil.example:5050")],
                false,
                403,
            ),
            (&[at("127.0.0.1.evil.example:5050")], false, 403),
            (&[], false, 403),
        ];
        for (headers, body, expected) in cases {
            assert_eq!(
                status(Policy::Loopback, headers, body),
                expected,
                "{headers:?}"
            );
        }
        assert_eq!(
            status(Policy::Insecure, &[at("m1.example:5050")], false),
            200
        );
        let foreign = [at("m1.example"), from("http://evil.example")];
        assert_eq!(status(Policy::Insecure, &foreign, false), 403);
    }
}
