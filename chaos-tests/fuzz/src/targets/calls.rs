//! Calls of Mesos clients in both encodings, and the records of their streams.

use std::sync::OnceLock;

use shoal_api::call::FrameworkCall;
use shoal_api::{Principal, StreamId};
use shoal_mesos::call::{Admitted, Head, Received, Request, Standing, receive};
use shoal_mesos::codec::Codec;
use shoal_mesos::json::Message;
use shoal_mesos::limits::MESSAGE_MEMORY;
use shoal_mesos::operator;
use shoal_mesos::proto::v1::{agent, master, scheduler};
use shoal_mesos::record_io::{Decoder, FrameError, frame};

use super::PLAIN;
use crate::target::{Memory, Target, Verdict};

/// A list grows by doubling, which needs three times what it holds, and what is read is written and
/// read again.
const MESSAGES: Memory = Memory {
    fixed: 4 * MESSAGE_MEMORY,
    per_byte: 64,
};

macro_rules! call {
    ($target:ident, $name:literal, $covers:literal, $codec:ident, $run:ident, $seeds:expr) => {
        pub(super) const $target: Target = Target {
            name: $name,
            covers: $covers,
            run: |input| $run(Codec::$codec, input),
            seeds: || $seeds(Codec::$codec),
            memory: MESSAGES,
        };
    };
}

call!(
    SCHEDULER_JSON,
    "scheduler-json",
    "calls of frameworks to /api/v1/scheduler in JSON, until they are words for the ledger",
    Json,
    scheduler,
    scheduler_calls
);
call!(
    SCHEDULER_PROTOBUF,
    "scheduler-protobuf",
    "the same in protobuf",
    Protobuf,
    scheduler,
    scheduler_calls
);
call!(
    OPERATOR_JSON,
    "operator-json",
    "calls of operators to a master's /api/v1 in JSON",
    Json,
    to_master,
    operator_calls::<master::Call>
);
call!(
    OPERATOR_PROTOBUF,
    "operator-protobuf",
    "the same in protobuf",
    Protobuf,
    to_master,
    operator_calls::<master::Call>
);
call!(
    AGENT_JSON,
    "agent-json",
    "calls of operators to an agent's /api/v1 in JSON",
    Json,
    to_agent,
    operator_calls::<agent::Call>
);
call!(
    AGENT_PROTOBUF,
    "agent-protobuf",
    "the same in protobuf",
    Protobuf,
    to_agent,
    operator_calls::<agent::Call>
);

pub(super) const RECORD_IO: Target = Target {
    name: "record-io",
    covers: "the records of a stream, cut into pieces in two ways",
    run: record_io,
    seeds: || {
        vec![
            [
                frame(b"{\"type\":\"HEARTBEAT\"}"),
                frame(b"x"),
                frame(&[7; 300]),
            ]
            .concat(),
            b"00005\nabcde1\nx".to_vec(),
        ]
    },
    memory: PLAIN,
};

const STREAM: &str = "11111111-2222-3333-4444-555555555555";

fn head(codec: Codec) -> Head<'static> {
    Head {
        method: "POST",
        content_type: Some(codec.media_type()),
        accept: Some(codec.media_type()),
        stream: None,
        principal: None,
    }
}

/// A message that was read is the same after being written and read, in either encoding.
fn round_trip<M: Message>(codec: Codec, body: &[u8]) -> Option<M> {
    let message: M = codec.decode(body).ok()?;
    for form in [codec, Codec::Protobuf] {
        let written = form.encode(&message);
        let again: M = match form.decode(&written) {
            Ok(again) => again,
            Err(error) => panic!("what is written as {form:?} is refused: {error}"),
        };
        let twice = form.encode(&again);
        assert!(
            twice == written,
            "{form:?}: {:?} is written again as {:?}",
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(&twice)
        );
    }
    Some(message)
}

fn scheduler(codec: Codec, body: &[u8]) -> Verdict {
    let read: Option<scheduler::Call> = round_trip(codec, body);
    let subscribe = receive(&head(codec), body);
    let within = Head {
        stream: Some(STREAM),
        ..head(codec)
    };
    let call = receive(&within, body);
    if read.is_none() {
        assert!(
            subscribe.is_err() && call.is_err(),
            "what is no message is no call"
        );
    }
    let subscribed = match subscribe {
        Ok(Request::Subscribe { framework, .. }) => framework.ok(),
        Ok(Request::Call(_)) | Err(_) => None,
    };
    if let Some(info) = &subscribed {
        kept(info);
    }
    let admitted = match call {
        Ok(Request::Call(received)) => admit(received),
        Ok(Request::Subscribe { .. }) => panic!("a subscription within a stream"),
        Err(_) => None,
    };
    Verdict::of(subscribed).or(Verdict::of(admitted))
}

fn admit(received: Received) -> Option<Option<FrameworkCall>> {
    let stream: StreamId = STREAM.parse().expect("a stream's id");
    let standing = Standing {
        principal: Some(Principal::new("someone").expect("a principal")),
        stream: Some(stream),
    };
    match received.admit(Some(&standing), None).ok()? {
        Admitted::Nothing => Some(None),
        Admitted::Call(call) => {
            assert_eq!(call.stream, stream, "a call is of the stream it came with");
            kept(&call);
            Some(Some(call))
        }
    }
}

/// What goes into the ledger comes out of it as the same.
fn kept<T>(words: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let bytes = postcard::to_allocvec(words).expect("words can be written");
    let again: T = postcard::from_bytes(&bytes).expect("what is written can be read");
    assert_eq!(&again, words, "the ledger keeps what it was given");
}

fn to_master(codec: Codec, body: &[u8]) -> Verdict {
    let read: Option<master::Call> = round_trip(codec, body);
    let asked = operator::to_master(&head(codec), body).ok();
    assert!(
        read.is_some() || asked.is_none(),
        "what is no message is no call"
    );
    Verdict::of(asked)
}

fn to_agent(codec: Codec, body: &[u8]) -> Verdict {
    let read: Option<agent::Call> = round_trip(codec, body);
    let asked = operator::to_agent(&head(codec), body).ok();
    assert!(
        read.is_some() || asked.is_none(),
        "what is no message is no call"
    );
    Verdict::of(asked)
}

/// The bodies that a real framework sent to a real Mesos, each once for each kind of call.
fn scheduler_calls(codec: Codec) -> Vec<Vec<u8>> {
    let lines = include_str!("../../../../node/mesos/tests/golden/calls.jsonl").lines();
    let bodies = lines.filter_map(|line| {
        let exchange: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(exchange["body"].as_str()?.to_owned())
    });
    let mut seeds: Vec<Vec<u8>> = bodies
        .filter_map(|body| in_form::<scheduler::Call>(codec, body.as_bytes()))
        .collect();
    seeds.sort();
    seeds.dedup();
    seeds
}

/// A body in an encoding, if it is a message at all.
fn in_form<M: Message>(codec: Codec, json: &[u8]) -> Option<Vec<u8>> {
    match codec {
        Codec::Json => Some(json.to_vec()),
        Codec::Protobuf => {
            let message: M = Codec::Json.decode(json).ok()?;
            Some(codec.encode(&message).to_vec())
        }
    }
}

/// One of each kind of an operator's calls that has a body worth reading.
fn operator_calls<M: Message>(codec: Codec) -> Vec<Vec<u8>> {
    static CALLS: OnceLock<Vec<String>> = OnceLock::new();
    let calls = CALLS.get_or_init(|| {
        let simple = [
            "GET_HEALTH",
            "GET_FLAGS",
            "GET_STATE",
            "GET_TASKS",
            "SUBSCRIBE",
        ];
        let simple = simple.map(|name| format!("{{\"type\":\"{name}\"}}"));
        let rest = include_str!("../../seeds/operator.jsonl").lines();
        simple.into_iter().chain(rest.map(str::to_owned)).collect()
    });
    calls
        .iter()
        .filter_map(|call| in_form::<M>(codec, call.as_bytes()))
        .collect()
}

fn records(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<bool, FrameError>) {
    let mut decoder = Decoder::new();
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => found.push(record.to_vec()),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(decoder.is_between_records()))
}

fn record_io(stream: &[u8]) -> Verdict {
    let whole = records(&[stream]);
    let (first, second) = stream.split_at(stream.len() / 3);
    assert_eq!(records(&[first, second]), whole, "cuts carry no meaning");
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(records(&bytes), whole, "cuts carry no meaning");
    let (found, end) = whole;
    let framed: Vec<u8> = found
        .iter()
        .filter(|record| !record.is_empty())
        .flat_map(|record| frame(record))
        .collect();
    let (again, _) = records(&[&framed]);
    let full: Vec<Vec<u8>> = found
        .into_iter()
        .filter(|record| !record.is_empty())
        .collect();
    assert_eq!(again, full, "what is framed is found");
    Verdict::of((end == Ok(true) && !full.is_empty()).then_some(()))
}
