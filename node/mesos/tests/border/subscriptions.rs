//! Who subscribes, and the text of the ERROR event where that makes no sense.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shoal_api::{Capability, FrameworkInfo, Principal, Role};
use shoal_mesos::call::{Head, Request, details, receive};

fn subscribe(info: &Value, principal: Option<&Principal>) -> Result<FrameworkInfo, Arc<str>> {
    subscribe_with(&json!({"framework_info": info}), principal)
}

fn subscribe_with(
    subscribe: &Value,
    principal: Option<&Principal>,
) -> Result<FrameworkInfo, Arc<str>> {
    let id = subscribe["framework_info"]["id"].clone();
    let body = json!({"type": "SUBSCRIBE", "framework_id": id, "subscribe": subscribe});
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        accept: Some("application/json"),
        principal,
        ..Head::default()
    };
    match receive(&head, body.to_string().as_bytes()) {
        Ok(Request::Subscribe { framework, .. }) => framework,
        other => panic!("{body} became {other:?}"),
    }
}

fn multi_role(roles: &Value) -> Value {
    json!({"user": "u", "name": "n", "roles": roles, "capabilities": [{"type": "MULTI_ROLE"}]})
}

#[test]
fn a_framework_of_few_words_gets_the_defaults() {
    let info = subscribe(&json!({"user": "", "name": "n"}), None).unwrap();
    assert_eq!(info.id, None);
    assert_eq!(
        info.roles.iter().map(Role::as_str).collect::<Vec<_>>(),
        ["*"]
    );
    assert_eq!(info.failover_timeout, Duration::ZERO);
    assert!(info.capabilities.is_empty());
    let empty_id = subscribe(&json!({"user": "", "name": "n", "id": {"value": ""}}), None);
    assert_eq!(empty_id.unwrap().id, None);
}

#[test]
fn everything_it_says_is_kept() {
    let info = json!({
        "user": "u", "name": "n", "id": {"value": "f-1"}, "failover_timeout": 60.5,
        "roles": ["b", "a"], "hostname": "h", "webui_url": "http://w", "checkpoint": true,
        "principal": "p", "labels": {"labels": [{"key": "k"}]},
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}, {"type": "NEW"}],
    });
    let all = json!({"framework_info": info, "suppressed_roles": ["a"]});
    let info = subscribe_with(&all, None).unwrap();
    assert_eq!(info.id.as_ref().unwrap().as_str(), "f-1");
    assert_eq!(info.failover_timeout, Duration::from_millis(60_500));
    assert_eq!(info.roles.len(), 2);
    assert_eq!(
        info.suppressed.iter().map(Role::as_str).collect::<Vec<_>>(),
        ["a"]
    );
    assert!(info.can(Capability::PartitionAware) && info.can(Capability::MultiRole));
    let details = details(&info);
    assert_eq!((&*details.hostname, &*details.webui_url), ("h", "http://w"));
    assert!(details.checkpoint);
    assert_eq!(details.labels, [("k".to_owned(), None)]);
}

#[test]
fn a_principal_that_was_proved_is_filled_in() {
    let proved = Principal::new("p").unwrap();
    let info = subscribe(&json!({"user": "u", "name": "n"}), Some(&proved)).unwrap();
    assert_eq!(info.principal, Some(proved));
}

#[test]
fn what_makes_no_sense_is_told() {
    let cases = [
        (multi_role(&json!([])), "at least one role"),
        (multi_role(&json!(["a", "a"])), "duplicate role 'a'"),
        (multi_role(&json!(["/a"])), "Role is invalid"),
        (
            json!({"user": "u", "name": "n", "role": "a b"}),
            "Role is invalid",
        ),
        (
            json!({"user": "u", "name": "n", "id": {"value": "a/b"}}),
            "'FrameworkInfo.id'",
        ),
        (
            json!({"user": "u", "name": "n", "failover_timeout": 1e30}),
            "failover_timeout",
        ),
        (
            json!({"user": "u", "name": "n", "failover_timeout": "Infinity"}),
            "failover_timeout",
        ),
    ];
    for (info, text) in cases {
        let error = subscribe(&info, None).unwrap_err();
        assert!(error.contains(text), "{info}: {error}");
    }
    let suppressed = json!({
        "framework_info": multi_role(&json!(["a"])), "suppressed_roles": ["b"],
    });
    assert!(
        subscribe_with(&suppressed, None)
            .unwrap_err()
            .contains("'b'")
    );
    let constrained = json!({
        "framework_info": multi_role(&json!(["a"])),
        "offer_constraints": {"role_constraints": {"a": {}}},
    });
    assert!(
        subscribe_with(&constrained, None)
            .unwrap_err()
            .contains("constraints")
    );
}
