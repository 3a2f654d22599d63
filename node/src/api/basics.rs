//! The endpoints of every node: pages, health, metrics, version.

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use shoal_master::Answer;

use shoal_mesos::listing::Build;

use super::Api;
use super::reply::{self, Reply};
use super::route::Page;
use crate::limits;
use crate::metrics::{Cluster, Form, registry, render};

pub use shoal_mesos::master::MESOS_VERSION;

/// What a browser may do for our pages: load what this node serves, ask this node, nothing else.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                              connect-src 'self'; img-src data:; base-uri 'none'; \
                              form-action 'none'; frame-ancestors 'none'";

/// A page for people, or a part of one.
pub fn page(page: Page) -> Reply {
    let (kind, body) = match page {
        Page::Start => ("text/html; charset=utf-8", embedded("index.html")),
        Page::Script => ("text/javascript; charset=utf-8", embedded("page.js")),
        Page::Style => ("text/css; charset=utf-8", embedded("page.css")),
        Page::Runbooks => {
            let groups = shoal_dashboards::alerts::all();
            let page = shoal_dashboards::runbooks::html(&groups);
            ("text/html; charset=utf-8", page.into())
        }
    };
    let mut reply = reply::whole(StatusCode::OK, kind, body);
    let headers = reply.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

fn embedded(path: &str) -> bytes::Bytes {
    let page = shoal_dashboards::page(path);
    bytes::Bytes::from_static(page.expect("the parts of the page are built in"))
}

/// Whether the node works: it does if it answers.
pub fn health() -> Reply {
    reply::empty(StatusCode::OK)
}

/// Mesos' `/version`.
pub fn version() -> Reply {
    let body = shoal_mesos::listing::version(&Build::default());
    reply::whole(StatusCode::OK, "application/json", body)
}

/// The metrics, in the form that the client takes.
pub async fn metrics(api: &Api, headers: &HeaderMap) -> Reply {
    let form = metrics_form(headers);
    show_cluster(api).await;
    let text = render(registry(), form);
    match form {
        Form::Json => reply::whole(StatusCode::OK, "application/json", text),
        Form::Text => {
            let mut reply = reply::whole(StatusCode::OK, "text/plain", text);
            let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            reply.headers_mut().insert(CONTENT_TYPE, content_type);
            reply
        }
    }
}

/// Brings up to date what is counted on request only. A machine that does not answer in time does not
/// keep the other metrics from being seen.
async fn show_cluster(api: &Api) {
    let Some(master) = api.master.get() else {
        return;
    };
    let asked = master.ask(shoal_master::Request::ReadStale);
    let answered = tokio::time::timeout(limits::SCRAPE, asked).await;
    if let Ok(Answer::State(view)) = answered {
        let (masters, members) = (api.board.masters(), api.board.members());
        let cluster = api.cluster.get_or_init(Cluster::handles);
        cluster.show(&view, &masters, &members);
    }
}

/// JSON is for those who ask for it, and for the old clients that say nothing at all.
fn metrics_form(headers: &HeaderMap) -> Form {
    let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Form::Json;
    };
    let mut best = (0_u32, Form::Text);
    for part in accept.split(',') {
        let mut fields = part.split(';').map(str::trim);
        let kind = fields.next().unwrap_or_default();
        let form = match kind {
            "application/json" => Form::Json,
            "text/plain" | "text/*" | "*/*" | "application/openmetrics-text" => Form::Text,
            _ => continue,
        };
        let quality = fields
            .find_map(|field| field.strip_prefix("q="))
            .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
        let quality = (quality.clamp(0.0, 1.0) * 1000.0) as u32;
        if quality > best.0 {
            best = (quality, form);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_take_the_form_that_is_asked_for() {
        for (accept, form) in [
            (None, Form::Json),
            (Some("application/json"), Form::Json),
            (Some("application/json, text/plain, */*"), Form::Json),
            (Some("*/*"), Form::Text),
            (Some("text/plain"), Form::Text),
            (Some("text/html"), Form::Text),
            (Some("application/json;q=0.5, text/plain"), Form::Text),
            (
                Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1"),
                Form::Text,
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(metrics_form(&headers), form, "{accept:?}");
        }
    }
}
