//! Targets of the fuzzer: the journal, as it is and with its sums put right, and the socket.
//!
//! Each says whether the bytes were accepted, and panics if a promise is broken.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::{MAGIC, Record, encode, read_records};
use crate::process::BootId;
use crate::protocol::{
    Answer, Body, End, Failure, Frames, Identity, Request, Spec, State, Task, frame,
};

/// A journal's file.
pub fn journal(input: &[u8]) -> bool {
    let raw = one_journal(input);
    let mut sealed = input.to_vec();
    let mut at = MAGIC.len();
    while let Some(record) = sealed.get_mut(at..)
        && record.len() >= 8
    {
        let length = u32::from_le_bytes(record[..4].try_into().expect("four bytes")) as usize;
        let Some(body) = record.get(8..length.saturating_add(8)) else {
            break;
        };
        let sum = crc32fast::hash(body).to_le_bytes();
        record[4..8].copy_from_slice(&sum);
        at += 8 + length;
    }
    one_journal(&sealed) || raw
}

fn one_journal(bytes: &[u8]) -> bool {
    if !bytes.starts_with(MAGIC) {
        return false;
    }
    let (records, end) = read_records(bytes);
    assert!(end <= bytes.len(), "a journal ends within itself");
    let mut written = MAGIC.to_vec();
    records
        .iter()
        .for_each(|record| written.extend(encode(record)));
    let (again, _) = read_records(&written);
    assert_eq!(again, records, "a record is read as it was written");
    !records.is_empty()
}

/// The bytes of a journal.
pub fn journals() -> Vec<Vec<u8>> {
    let key = || "task-1".to_owned();
    let records = [
        Record::Intended { key: key() },
        Record::Started {
            key: key(),
            pid: 4_000_000,
            started: 99,
            boot: BootId(1 << 80),
            at: 1_700_000_000_000_000_000,
        },
        Record::Ended {
            key: key(),
            end: End::Signal(9),
            at: -1,
        },
        Record::NotStarted {
            key: key(),
            failure: Failure::Exec("no such file".to_owned()),
            at: 3,
        },
        Record::Forgotten { key: key() },
    ];
    let mut bytes = MAGIC.to_vec();
    records
        .iter()
        .for_each(|record| bytes.extend(encode(record)));
    vec![bytes]
}

/// What arrives on the socket, on either side.
pub fn socket(input: &[u8]) -> bool {
    let asked = one_side::<Request>(input);
    one_side::<Answer>(input) || asked
}

fn one_side<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(input: &[u8]) -> bool {
    let whole = messages::<T>(&[input]);
    let pieces: Vec<&[u8]> = input.chunks(7).collect();
    assert_eq!(messages::<T>(&pieces), whole, "cuts carry no meaning");
    for message in &whole {
        let written = frame(message).expect("what fitted fits");
        let again = messages::<T>(&[&written]);
        assert_eq!(
            again[..],
            std::slice::from_ref(message)[..],
            "it is read as it was written"
        );
    }
    !whole.is_empty()
}

fn messages<T: DeserializeOwned>(pieces: &[&[u8]]) -> Vec<T> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    for piece in pieces {
        frames.push(piece);
        loop {
            match frames.take() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// What both sides say.
pub fn sockets() -> Vec<Vec<u8>> {
    let key = || "task-1".to_owned();
    let spec = Spec {
        program: "/bin/sh".to_owned(),
        arguments: vec!["sh".to_owned(), "-c".to_owned(), "true".to_owned()],
        environment: vec![("A".to_owned(), "b".to_owned())],
        directory: "/".to_owned(),
        stdout: "/dev/null".to_owned(),
        stderr: "/dev/null".to_owned(),
        identity: Some(Identity {
            uid: 1000,
            gid: 1000,
            groups: vec![27],
        }),
        umask: 0o22,
    };
    let asked = [
        Request::Hello { version: 1 },
        Request::Spawn {
            key: key(),
            spec: Box::new(spec),
        },
        Request::Signal {
            key: key(),
            signal: 15,
        },
        Request::List,
        Request::Forget { key: key() },
        Request::Shutdown { grace_ms: 5_000 },
    ];
    let task = |state| Task { key: key(), state };
    let told = [
        Body::Hello {
            version: 1,
            pid: 7,
            stopping: false,
        },
        Body::Tasks(vec![
            task(State::Running { pid: 8, since: 1 }),
            task(State::Ended {
                end: End::Code(3),
                at: 2,
            }),
        ]),
        Body::Refused("no".to_owned()),
    ];
    let told = told.map(|body| Answer { request: 1, body });
    let bytes = |frames: Vec<Vec<u8>>| frames.concat();
    vec![
        bytes(
            asked
                .iter()
                .map(|message| frame(message).expect("short"))
                .collect(),
        ),
        bytes(
            told.iter()
                .map(|message| frame(message).expect("short"))
                .collect(),
        ),
    ]
}
