//! Recorded bodies survive both codecs.

use prost::Message;
use shoal_mesos::codec::Codec;
use shoal_mesos::proto::v1::scheduler::{Call, Event};

use crate::{comparable, events, exchanges};

#[test]
fn events_are_written_as_mesos_writes_them() {
    let mut seen = 0;
    for line in events() {
        let event: Event = Codec::Json.decode(line.as_bytes()).expect(line);
        let written = Codec::Json.encode(&event);
        let written = std::str::from_utf8(&written).unwrap();
        assert_eq!(comparable(written), comparable(line));
        assert_eq!(
            without_numbers(written),
            without_numbers(line),
            "the order of fields"
        );
        seen += 1;
    }
    assert!(seen > 150, "the file holds {seen} events");
}

#[test]
fn events_survive_protobuf() {
    for line in events() {
        let event: Event = Codec::Json.decode(line.as_bytes()).expect(line);
        let bytes = Codec::Protobuf.encode(&event);
        let back: Event = Codec::Protobuf.decode(&bytes).expect(line);
        assert_eq!(back, event);
        assert_eq!(bytes.len(), event.encoded_len());
    }
}

#[test]
fn calls_survive_both_codecs() {
    let mut seen = 0;
    for exchange in exchanges() {
        let Ok(call) = Codec::Json.decode::<Call>(exchange.body.as_bytes()) else {
            assert_ne!(exchange.status, 202, "{}", exchange.name);
            continue;
        };
        for codec in [Codec::Json, Codec::Protobuf] {
            let back: Call = codec.decode(&codec.encode(&call)).expect(&exchange.name);
            // An unset field with a default comes back set, so the second writing is compared.
            assert_eq!(
                codec.encode(&back),
                codec.encode(&call),
                "{}",
                exchange.name
            );
        }
        seen += 1;
    }
    assert!(seen > 75, "the file holds {seen} readable calls");
}

/// The text without its numbers, whose last digit may differ for the same double.
fn without_numbers(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_ascii_digit() && *c != '.')
        .collect()
}
