//! The rules of Mesos' JSON, one by one.

use shoal_mesos::codec::{Codec, DecodeError};
use shoal_mesos::json::Message;
use shoal_mesos::proto::v1;
use shoal_mesos::proto::v1::scheduler::Call;

fn read<M: Message>(text: &str) -> Result<M, DecodeError> {
    Codec::Json.decode(text.as_bytes())
}

fn write<M: Message>(message: &M) -> String {
    String::from_utf8(Codec::Json.encode(message).to_vec()).expect("JSON is text")
}

fn again<M: Message>(text: &str) -> String {
    write(&read::<M>(text).unwrap_or_else(|error| panic!("{error} in {text}")))
}

#[test]
fn an_unset_field_with_a_default_is_written_unless_deprecated() {
    assert_eq!(again::<v1::CommandInfo>("{}"), r#"{"shell":true}"#);
    assert_eq!(
        again::<v1::CommandInfo>(r#"{"shell":false}"#),
        r#"{"shell":false}"#
    );
    assert_eq!(again::<v1::Filters>("{}"), r#"{"refuse_seconds":5.0}"#);
    assert_eq!(
        again::<v1::FrameworkInfo>(r#"{"user":"u","name":"n"}"#),
        r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#
    );
    assert_eq!(
        again::<v1::FrameworkInfo>(r#"{"role":"r","user":"u","name":"n"}"#),
        r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false,"role":"r"}"#
    );
    assert_eq!(
        again::<v1::environment::Variable>(r#"{"name":"a","value":"b"}"#),
        r#"{"name":"a","type":"VALUE","value":"b"}"#
    );
    assert_eq!(
        again::<v1::CsiPluginInfo>(r#"{"type":"t"}"#),
        r#"{"type":"t","name":"default"}"#
    );
}

#[test]
fn wide_numbers_are_numbers() {
    let time = r#"{"nanoseconds":9223372036854775807}"#;
    assert_eq!(again::<v1::TimeInfo>(time), time);
    let range = r#"{"begin":0,"end":18446744073709551615}"#;
    assert_eq!(again::<v1::value::Range>(range), range);
}

#[test]
fn numbers_and_booleans_may_be_texts() {
    assert_eq!(
        again::<v1::value::Range>(r#"{"begin":"31000","end":31001.0}"#),
        r#"{"begin":31000,"end":31001}"#
    );
    assert_eq!(
        again::<v1::CommandInfo>(r#"{"shell":"false"}"#),
        r#"{"shell":false}"#
    );
    assert_eq!(
        again::<v1::value::Scalar>(r#"{"value":"0.5"}"#),
        r#"{"value":0.5}"#
    );
    assert_eq!(
        again::<v1::value::Scalar>(r#"{"value":"-1e3"}"#),
        r#"{"value":-1000.0}"#
    );
}

#[test]
fn infinity_is_kept_and_what_is_no_number_refused() {
    for text in [r#"{"value":"Infinity"}"#, r#"{"value":"-Infinity"}"#] {
        assert_eq!(again::<v1::value::Scalar>(text), text);
    }
    for bad in [
        r#"{"value":"NaN"}"#,
        r#"{"value":NaN}"#,
        r#"{"value":1e999}"#,
        r#"{"value":"1e999"}"#,
        r#"{"value":"inf"}"#,
        r#"{"value":"x"}"#,
        r#"{"value":true}"#,
        r#"{"value":[1]}"#,
        r#"{"value":{}}"#,
    ] {
        assert!(read::<v1::value::Scalar>(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_integer_must_fit_its_field() {
    for bad in ["-1", "18446744073709551616", "1e30", "\"-1\""] {
        let text = format!(r#"{{"begin":{bad},"end":1}}"#);
        assert!(read::<v1::value::Range>(&text).is_err(), "{bad}");
    }
    let port = |value: &str| read::<v1::Address>(&format!(r#"{{"port":{value}}}"#));
    assert!(port("2147483648").is_err());
    assert_eq!(port("-1").unwrap().port, Some(-1));
}

#[test]
fn an_unknown_enum_name_is_dropped_where_optional_and_refused_where_required() {
    assert_eq!(
        read::<Call>(r#"{"type":"NOSUCHCALL"}"#).unwrap().r#type,
        None
    );
    assert_eq!(read::<Call>(r#"{"type":"KILL"}"#).unwrap().r#type, Some(6));
    assert_eq!(read::<Call>(r#"{"type":6}"#).unwrap().r#type, Some(6));
    assert_eq!(read::<Call>(r#"{"type":999}"#).unwrap().r#type, None);
    let error = read::<v1::Volume>(r#"{"container_path":"/a","mode":"WO"}"#).unwrap_err();
    assert!(error.to_string().contains("'mode'"), "{error}");
}

#[test]
fn null_is_unset_and_unknown_fields_are_skipped() {
    let call: Call = read(
        r#"{"type":null,"framework_id":null,"accept":{"operations":null},"nosuch":[{"a":[[]]}]}"#,
    )
    .unwrap();
    assert_eq!(call.r#type, None);
    assert_eq!(call.framework_id, None);
    assert!(call.accept.unwrap().operations.is_empty());
    let roles: v1::FrameworkInfo =
        read(r#"{"user":"u","name":"n","roles":["a",null,"b"]}"#).unwrap();
    assert_eq!(roles.roles, ["a", "b"]);
}

#[test]
fn of_two_equal_keys_the_last_wins() {
    assert_eq!(
        again::<v1::TaskId>(r#"{"value":"a","value":"b"}"#),
        r#"{"value":"b"}"#
    );
    let info: v1::FrameworkInfo =
        read(r#"{"user":"u","name":"n","roles":["a"],"roles":["b"]}"#).unwrap();
    assert_eq!(info.roles, ["b"]);
    assert!(read::<v1::TaskId>(r#"{"value":"a","value":null}"#).is_err());
}

#[test]
fn missing_required_fields_are_refused_in_both_codecs() {
    assert!(read::<v1::TaskId>("{}").is_err());
    assert!(Codec::Protobuf.decode::<v1::Offer>(b"").is_err());
    assert!(Codec::Protobuf.decode::<Call>(b"").is_ok());
    let nested = Call {
        framework_id: Some(v1::FrameworkId { value: None }),
        ..Call::default()
    };
    let bytes = Codec::Protobuf.encode(&nested);
    assert!(Codec::Protobuf.decode::<Call>(&bytes).is_err());
}

#[test]
fn only_an_object_is_a_message() {
    for bad in ["[]", "1", "\"x\"", "true", "null"] {
        let error = read::<Call>(bad).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Failed to convert JSON into Call protobuf: Expecting a JSON object",
            "{bad}"
        );
        let inside = format!(r#"{{"framework_id":{bad}}}"#);
        assert_eq!(read::<Call>(&inside).is_ok(), bad == "null", "{bad}");
    }
    let error = read::<Call>(r#"{"revive":{"roles":"a"}}"#).unwrap_err();
    assert!(error.to_string().contains("'roles'"), "{error}");
}

#[test]
fn bytes_are_base64_with_padding() {
    let uuid = r#"{"value":"MDEyMzQ1Njc4OWFiY2RlZg=="}"#;
    assert_eq!(again::<v1::Uuid>(uuid), uuid);
    for bad in ["!!notbase64", "AAA", "AA-_", "AAAA=", " AAAA"] {
        assert!(
            read::<v1::Uuid>(&format!(r#"{{"value":"{bad}"}}"#)).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn maps_are_objects() {
    let text = r#"{"name":"n","task_id":{"value":"t"},"agent_id":{"value":"a"},"limits":{"cpus":{"value":"Infinity"},"mem":{"value":5.0}}}"#;
    assert_eq!(again::<v1::TaskInfo>(text), text);
    let bad = text.replace(r#"{"value":5.0}"#, "{}");
    assert!(read::<v1::TaskInfo>(&bad).is_err());
    assert!(read::<v1::TaskInfo>(&text.replace(r#"{"value":5.0}"#, "[]")).is_err());
}

#[test]
fn a_oneof_is_written_as_its_field() {
    use v1::scheduler::AttributeConstraint;
    let text =
        r#"{"selector":{"attribute_name":"rack"},"predicate":{"text_equals":{"value":"r1"}}}"#;
    assert_eq!(again::<AttributeConstraint>(text), text);
    let text = r#"{"selector":{"pseudoattribute_type":"HOSTNAME"},"predicate":{"exists":{}}}"#;
    assert_eq!(again::<AttributeConstraint>(text), text);
}

#[test]
fn texts_are_escaped_where_they_must_be() {
    let text = "{\"value\":\"a\\\"b\\\\c\\n\\t\\u0001/é😀\u{7f}\"}";
    assert_eq!(again::<v1::TaskId>(text), text);
    let escaped = r#"{"value":"\ud83d\ude00\/"}"#;
    assert_eq!(again::<v1::TaskId>(escaped), r#"{"value":"😀/"}"#);
    assert!(read::<v1::TaskId>(r#"{"value":"\ud83d"}"#).is_err());
}

#[test]
fn an_enum_number_without_a_name_is_not_written() {
    let call = Call {
        r#type: Some(999),
        ..Call::default()
    };
    assert_eq!(write(&call), "{}");
}

#[test]
fn errors_say_where_the_parser_stopped() {
    let text = |body: &str| read::<Call>(body).unwrap_err().to_string();
    assert_eq!(
        text("{\"type\":\"KILL\",\n bad"),
        "Failed to parse body into JSON: syntax error at line 2 near: bad"
    );
    assert_eq!(
        text("{} x"),
        "Failed to parse body into JSON: Parsed JSON included non-whitespace trailing \
         characters: x"
    );
    // What does not fit a field is reported only if the rest is JSON.
    assert!(text(r#"{"type":{}, bad"#).contains("syntax error"));
    assert!(text(r#"{"type":{}}"#).contains("Not expecting a JSON object for field 'type'"));
}
