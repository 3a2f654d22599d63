//! Recorded requests get the recorded status and text.

use shoal_mesos::call::{Admitted, Head, Request, Standing, receive};
use shoal_mesos::codec::Codec;
use shoal_mesos::proto::v1::scheduler::Call;

use crate::{Exchange, exchanges};

const FRAMEWORK: &str = "d57482ac-1e1d-44cb-912a-2e916fc1add9-0000";

/// Calls that this version refuses with 501, where Mesos serves them.
const NOT_SERVED: [&str; 5] = [
    "083-message-unknown-executor",
    "084-shutdown-unknown-executor",
    "086-update-framework",
    "087-err-update-framework-user",
    "088-err-update-framework-checkpoint",
];

#[test]
fn the_answers_are_those_of_mesos() {
    for exchange in exchanges() {
        let body = exchange.body.as_bytes();
        let (status, text) = answer(&exchange, exchange.content_type.as_deref(), body);
        if let Ok(call) = Codec::Json.decode::<Call>(body) {
            let binary = Codec::Protobuf.encode(&call);
            let type_of = exchange.content_type.as_deref();
            let type_of = type_of.map(|name| match name {
                "application/json" => "application/x-protobuf",
                other => other,
            });
            let answered = answer(&exchange, type_of, &binary);
            assert_eq!(answered, (status, text.clone()), "{}", exchange.name);
        }
        if NOT_SERVED.contains(&exchange.name.as_str()) {
            assert_eq!(status, 501, "{}: {text}", exchange.name);
            continue;
        }
        assert_eq!(
            (status, &text),
            (exchange.status, &exchange.text),
            "{}",
            exchange.name
        );
    }
}

/// What a master would answer; the ledger's part is played from the recordings.
fn answer(exchange: &Exchange, content_type: Option<&str>, body: &[u8]) -> (u16, String) {
    let head = Head {
        method: &exchange.method,
        content_type,
        accept: exchange.accept.as_deref(),
        stream: exchange.stream.as_deref(),
        principal: None,
    };
    let request = match receive(&head, body) {
        Ok(request) => request,
        Err(refusal) => return (refusal.status(), refusal.to_string()),
    };
    match request {
        Request::Subscribe { framework, .. } => match framework {
            Err(message) => (200, message.to_string()),
            Ok(_) if exchange.name.starts_with("094") => {
                (200, "Framework has been removed".to_owned())
            }
            Ok(_) => (200, String::new()),
        },
        Request::Call(call) => {
            let standing = standing(exchange, call.framework());
            match call.admit(standing.as_ref(), None) {
                Ok(Admitted::Call(_) | Admitted::Nothing) => (202, String::new()),
                Err(refusal) => (refusal.status(), refusal.to_string()),
            }
        }
    }
}

/// The main framework's stream, as it was when the request was recorded.
fn standing(exchange: &Exchange, framework: &str) -> Option<Standing> {
    let number: u32 = exchange.name[..3]
        .parse()
        .expect("a recording has a number");
    let stream = match number {
        0..=88 => "7614c3a2-da41-4979-87ec-46ae20290c56",
        89..=90 => "30ca614f-09e4-41e9-aa15-94bb9536811d",
        91..=92 => "bc47cea4-e171-4568-b6b4-972ebf531212",
        _ => return None,
    };
    (framework == FRAMEWORK).then(|| Standing {
        principal: None,
        stream: Some(stream.parse().expect("a recorded stream id is a UUID")),
    })
}

#[test]
fn a_framework_without_a_stream_is_told_before_its_header_is_looked_at() {
    let body = format!(r#"{{"type":"REVIVE","framework_id":{{"value":"{FRAMEWORK}"}}}}"#);
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        ..Head::default()
    };
    let Ok(Request::Call(call)) = receive(&head, body.as_bytes()) else {
        panic!("a REVIVE is a call");
    };
    let gone = Standing {
        principal: None,
        stream: None,
    };
    assert_eq!(call.admit(Some(&gone), None).unwrap_err().status(), 403);
}

#[test]
fn another_principal_is_refused() {
    let owner = shoal_api::Principal::new("owner").unwrap();
    let other = shoal_api::Principal::new("other").unwrap();
    let body = format!(r#"{{"type":"TEARDOWN","framework_id":{{"value":"{FRAMEWORK}"}}}}"#);
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        stream: Some("7614c3a2-da41-4979-87ec-46ae20290c56"),
        principal: Some(&other),
        ..Head::default()
    };
    let Ok(Request::Call(call)) = receive(&head, body.as_bytes()) else {
        panic!("a TEARDOWN is a call");
    };
    let standing = Standing {
        principal: Some(owner.clone()),
        stream: "7614c3a2-da41-4979-87ec-46ae20290c56".parse().ok(),
    };
    let refusal = call
        .clone()
        .admit(Some(&standing), Some(&other))
        .unwrap_err();
    assert_eq!(refusal.status(), 400);
    assert!(call.admit(Some(&standing), Some(&owner)).is_ok());
}

#[test]
fn what_a_call_lacks_is_named_with_its_place() {
    let cases = [
        (
            r#"{"type":"ACCEPT","framework_id":{"value":"f"},"accept":{"operations":[
                {"type":"LAUNCH","launch":{"task_infos":[{"name":"a"}]}}]}}"#,
            "Failed to convert JSON into Call protobuf: Missing required fields: \
             accept.operations[0].launch.task_infos[0].task_id, \
             accept.operations[0].launch.task_infos[0].agent_id",
        ),
        (
            r#"{"type":"KILL","framework_id":{}}"#,
            "Failed to convert JSON into Call protobuf: Missing required fields: \
             framework_id.value",
        ),
        (
            r#"{"type":"ACKNOWLEDGE","framework_id":{"value":"f"},"acknowledge":
                {"agent_id":{"value":"a"},"task_id":{"value":"t"},"uuid":"AAAA"}}"#,
            "Failed to validate scheduler::Call: Not a valid UUID",
        ),
        (
            r#"{"type":"KILL","framework_id":{"value":"f"}}"#,
            "Failed to validate scheduler::Call: Expecting 'kill' to be present",
        ),
    ];
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        ..Head::default()
    };
    for (body, text) in cases {
        let refusal = receive(&head, body.as_bytes()).unwrap_err();
        assert_eq!(refusal.status(), 400);
        assert_eq!(refusal.to_string(), text);
    }
}
