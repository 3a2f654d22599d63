//! What stands around a body: path, query and headers; and the body of a run.

use shoal_mesos::listing::TaskQuery;
use shoal_mesos::negotiate;
use shoal_node::api::route::{Door, decode, query, route};

use super::PLAIN;
use crate::target::{Target, Verdict};

pub(super) const REQUEST: Target = Target {
    name: "http-request",
    covers: "path, query, Content-Type and Accept of a request, one a line",
    run: request,
    seeds: || {
        [
            "/api/v1/scheduler\n\napplication/json\napplication/json",
            "/master/tasks\nlimit=5&offset=2&order=asc&framework_id=a%20b\n\n",
            "/shoal/v1/tasks/web%2Fprod/files/stdout\nfrom=1&follow=true\n\n*/*;q=0.1, application/x-protobuf",
            "/shoal/v1/events\nfrom=1.2&kind=task_reported,run_created\n\ntext/event-stream",
            "/files/read\npath=/x&offset=0&length=10&jsonp=f\n\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    memory: PLAIN,
};

pub(super) const RUN: Target = Target {
    name: "run-json",
    covers: "the body of POST /shoal/v1/runs",
    run: |input| Verdict::of(shoal_node::fuzzing::run(input).then_some(())),
    seeds: || {
        [
            r#"{"name":"a","command":["sh","-c","true"],"resources":"cpus:1;mem:32","count":3}"#,
            r#"{"name":"b","command":["x"],"environment":[{"name":"A","value":"é\u0041"}],"resources":"cpus:0.1","user":"u","kill_grace":1.5}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    memory: PLAIN,
};

fn request(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let mut lines = text.splitn(4, '\n');
    let mut next = || lines.next().filter(|line| !line.is_empty());
    let (path, asked, content, accept) = (next(), next(), next(), next());
    let path = path.unwrap_or("/");
    let found = [Door::Node, Door::Agent].map(|door| route(door, path));
    for endpoint in found.iter().flatten() {
        assert!(!endpoint.label().is_empty(), "an endpoint has a label");
    }
    if let Some(text) = decode(path) {
        assert!(text.len() <= path.len(), "percent signs shorten");
    }
    let values = TaskQuery::parse(|key| query(asked, key));
    assert!(values.limit.is_none_or(|limit| limit <= i64::MAX as usize));
    let _negotiated = (negotiate::of_body(content), negotiate::of_answer(accept));
    Verdict::of(found.into_iter().flatten().next())
}
