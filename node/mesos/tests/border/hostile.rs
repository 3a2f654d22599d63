//! Bad input is refused, and never more than that.

use proptest::prelude::*;
use shoal_mesos::call::{Head, receive};
use shoal_mesos::codec::Codec;
use shoal_mesos::limits;
use shoal_mesos::proto::v1;
use shoal_mesos::proto::v1::scheduler::{Call, Event};
use shoal_mesos::record_io::Decoder;

use crate::{events, exchanges};

fn offer(codec: Codec, body: &[u8]) {
    let head = Head {
        method: "POST",
        content_type: Some(codec.media_type()),
        ..Head::default()
    };
    // Only that it comes back matters.
    let _ = receive(&head, body);
}

#[test]
fn every_truncation_of_a_recorded_call_is_answered() {
    for exchange in exchanges() {
        let body = exchange.body.as_bytes();
        let Ok(call) = Codec::Json.decode::<Call>(body) else {
            continue;
        };
        for end in 0..body.len() {
            offer(Codec::Json, &body[..end]);
        }
        let binary = Codec::Protobuf.encode(&call);
        for end in 0..binary.len() {
            offer(Codec::Protobuf, &binary[..end]);
        }
    }
}

#[test]
fn depth_is_bounded() {
    let open = "{\"parent\":".repeat(100_000);
    let close = "}".repeat(100_000);
    let nested = format!("{open}{{}}{close}");
    assert!(
        Codec::Json
            .decode::<v1::ContainerId>(nested.as_bytes())
            .is_err()
    );
    for known in ["type", "framework_id", "nosuch"] {
        let arrays = format!(
            r#"{{"{known}":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let read = Codec::Json.decode::<Call>(arrays.as_bytes());
        assert_eq!(read.is_ok(), known == "nosuch", "{known}");
    }
    let mut headers: Vec<Vec<u8>> = Vec::new();
    let mut length = 0;
    for _ in 0..50_000 {
        let mut header = vec![0x12];
        prost::encode_length_delimiter(length, &mut header).expect("a buffer grows");
        length += header.len();
        headers.push(header);
    }
    headers.reverse();
    let binary = headers.concat();
    assert!(Codec::Protobuf.decode::<v1::ContainerId>(&binary).is_err());
}

#[test]
fn size_is_bounded() {
    let body = vec![b' '; limits::CALL_BYTES + 1];
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        ..Head::default()
    };
    assert_eq!(receive(&head, &body).unwrap_err().status(), 413);
}

proptest! {
    #[test]
    fn noise_is_answered(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        offer(Codec::Json, &body);
        offer(Codec::Protobuf, &body);
    }

    #[test]
    fn a_damaged_call_is_answered(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all = exchanges();
        let mut body = which.get(&all).body.clone().into_bytes();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = byte;
            offer(Codec::Json, &body);
        }
    }

    #[test]
    fn a_damaged_event_is_read_or_refused(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let all: Vec<&str> = events().collect();
        let event: Event = Codec::Json.decode(which.get(&all).as_bytes()).unwrap();
        let mut body = Codec::Protobuf.encode(&event).to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(event) = Codec::Protobuf.decode::<Event>(&body) {
            let _ = Codec::Json.encode(&event);
        }
    }

    #[test]
    fn a_stream_of_noise_ends_or_waits(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
    ) {
        let mut decoder = Decoder::new();
        'stream: for piece in pieces {
            decoder.push(&piece);
            loop {
                match decoder.next_record() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
        }
    }
}
