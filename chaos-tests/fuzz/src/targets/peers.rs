//! What nodes say to each other: gossip, frames of the peer port, and what is in them.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shoal_api::call::ReconcileTask;
use shoal_api::id::{Generation, NodeId, RaftId, RequestId, StreamId};
use shoal_api::session::{
    AgentMessage, FileError, FilePiece, FileRead, MasterMessage, SessionRefusal,
};
use shoal_api::task::TaskState;
use shoal_api::{HostPort, Index};
use shoal_ledger::{ModuleNumber, StateHash};
use shoal_master::{Forwarded, LedgerMessage};
use shoal_quorum::Message;
use shoal_quorum::bootstrap::BootstrapMessage;

use super::{PLAIN, ledger, samples};
use crate::target::{Memory, Target, Verdict};

pub(super) const GOSSIP_DATAGRAM: Target = Target {
    name: "gossip-datagram",
    covers: "one datagram of the gossip port, from anybody, fed to a member",
    run: |input| verdict(shoal_membership::fuzzing::datagram(input)),
    seeds: shoal_membership::fuzzing::datagrams,
    memory: GOSSIP,
};

pub(super) const GOSSIP_SECTIONS: Target = Target {
    name: "gossip-sections",
    covers: "the sections of several datagrams, in envelopes that are right",
    run: |input| verdict(shoal_membership::fuzzing::sections(input)),
    seeds: shoal_membership::fuzzing::sections_sent,
    memory: GOSSIP,
};

/// A member is made for each input.
const GOSSIP: Memory = Memory {
    fixed: 1024 * 1024,
    per_byte: 128,
};

pub(super) const PEER_FRAMES: Target = Target {
    name: "peer-frames",
    covers: "the peer port: handshakes, answers and frames, cut in two ways",
    run: |input| verdict(shoal_node::fuzzing::peer_frames(input)),
    seeds: shoal_node::fuzzing::peer_streams,
    memory: Memory {
        // Each of four readers makes room for what a frame announces, up to a bound, and more than
        // once, as frames that were read hold on to it.
        fixed: 16 * shoal_node::limits::PEER_READ_BYTES,
        per_byte: 64,
    },
};

pub(super) const RAFT_MESSAGE: Target = Target {
    name: "raft-message",
    covers: "messages of Raft and of founders, in a frame",
    run: raft,
    seeds: raft_messages,
    memory: PLAIN,
};

pub(super) const LEDGER_MESSAGE: Target = Target {
    name: "ledger-message",
    covers: "what masters say to each other besides Raft, in a frame",
    run: postcards::<LedgerMessage>,
    seeds: ledger_messages,
    memory: POSTCARDS,
};

pub(super) const AGENT_MESSAGE: Target = Target {
    name: "agent-message",
    covers: "what an agent says to its master, until the ledger has applied it",
    run: |input| {
        let verdict = postcards::<AgentMessage>(input);
        if let Ok(message) = postcard::from_bytes(input) {
            ledger::said_by_agent(message);
        }
        verdict
    },
    seeds: agent_messages,
    memory: POSTCARDS,
};

pub(super) const MASTER_MESSAGE: Target = Target {
    name: "master-message",
    covers: "what a master says to an agent",
    run: postcards::<MasterMessage>,
    seeds: master_messages,
    memory: POSTCARDS,
};

/// Vectors of rows of hundreds of bytes, of which the decoder makes room for up to a mebibyte at once.
const POSTCARDS: Memory = Memory {
    fixed: 8 * 1024 * 1024,
    per_byte: 512,
};

fn verdict(accepted: bool) -> Verdict {
    Verdict::of(accepted.then_some(()))
}

fn raft(input: &[u8]) -> Verdict {
    let bytes = Bytes::copy_from_slice(input);
    let raft = Message::from_bytes(bytes.clone()).ok();
    if let Some(message) = &raft {
        let written = message.to_bytes();
        assert_eq!(written.len(), message.size(), "its size is what is written");
        let again = Message::from_bytes(written).expect("what is written can be read");
        assert_eq!(&again, message, "it is read as it was written");
        let _told = message.term_and_vote(RaftId(1));
    }
    let founder = BootstrapMessage::from_bytes(bytes).ok();
    if let Some(message) = &founder {
        let again = BootstrapMessage::from_bytes(message.to_bytes());
        assert_eq!(again.as_ref(), Ok(message), "it is read as it was written");
    }
    Verdict::of(raft).or(Verdict::of(founder))
}

/// What is read is the same after being written and read.
pub(super) fn postcards<T>(input: &[u8]) -> Verdict
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(read) = postcard::from_bytes::<T>(input) else {
        return Verdict::Refused;
    };
    let written = bytes_of(&read);
    let again: T = postcard::from_bytes(&written).expect("what is written can be read");
    assert_eq!(again, read, "it is read as it was written");
    assert_eq!(bytes_of(&again), written, "and written as it was read");
    Verdict::Accepted
}

pub(super) fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("memory takes every value")
}

fn request() -> RequestId {
    RequestId {
        node: NodeId(1 << 99),
        generation: Generation(2),
        counter: 300,
    }
}

fn piece() -> FilePiece {
    FilePiece {
        bytes: Bytes::from_static(b"hello\n"),
        size: 6,
        complete: true,
    }
}

fn file_read() -> FileRead {
    FileRead {
        request: 1,
        task: samples::task(),
        file: "stdout".into(),
        offset: 1 << 40,
        length: 4096,
    }
}

/// A field of protobuf: a number, or bytes.
fn number(tag: u8, value: u8) -> Vec<u8> {
    vec![tag << 3, value]
}

fn bytes(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("a seed is short");
    [&[tag << 3 | 2, length][..], body].concat()
}

/// Messages by their field numbers, as `shoal-quorum` writes them.
fn raft_messages() -> Vec<Vec<u8>> {
    let entry = [number(1, 2), number(2, 9), bytes(4, b"data")].concat();
    let append = [
        number(1, 1),
        number(2, 3),
        number(4, 8),
        number(5, 7),
        bytes(10, &entry),
    ]
    .concat();
    let vote = [number(1, 3), number(2, 4), number(3, 3), number(4, 8)].concat();
    let members = [bytes(1, &[1, 2, 3]), bytes(5, &[7])].concat();
    let piece = [
        number(1, 3),
        number(2, 50),
        number(3, 2),
        bytes(4, &members),
        number(6, 1),
    ];
    let piece = [piece.concat(), bytes(8, b"piece")].concat();
    let received = [number(1, 3), number(2, 50), number(3, 1)].concat();
    vec![
        [number(1, 2), bytes(2, &append)].concat(),
        [number(1, 2), bytes(2, &vote)].concat(),
        [number(1, 2), bytes(3, &piece)].concat(),
        [number(1, 2), bytes(4, &received)].concat(),
        [bytes(1, &[1, 2, 3]), number(2, 1)].concat(),
    ]
}

fn ledger_messages() -> Vec<Vec<u8>> {
    let forwarded = Forwarded {
        request: request(),
        principal: None,
        module: ModuleNumber(1),
        body: Bytes::from_static(b"body"),
    };
    [
        LedgerMessage::Forward {
            lowest: 3,
            commands: vec![forwarded.clone(), forwarded],
        },
        LedgerMessage::Refused {
            request: request(),
            refused: shoal_master::Refused::Unavailable,
        },
        LedgerMessage::Applied {
            outcomes: vec![(request(), Bytes::from_static(b"outcome"))],
        },
        LedgerMessage::Reconcile {
            framework: samples::framework(),
            stream: StreamId(5),
            tasks: vec![ReconcileTask {
                task: "t".into(),
                agent: None,
            }],
        },
        LedgerMessage::ReadFile {
            agent: samples::agent(),
            read: file_read(),
        },
        LedgerMessage::FilePiece {
            request: 1,
            piece: Ok(piece()),
        },
        LedgerMessage::Hash {
            index: Index(9),
            hash: StateHash(1 << 77),
        },
    ]
    .iter()
    .map(bytes_of)
    .collect()
}

fn agent_messages() -> Vec<Vec<u8>> {
    [
        AgentMessage::Hello(Box::new(samples::hello(false))),
        AgentMessage::Hello(Box::new(samples::hello(true))),
        AgentMessage::Update(samples::update(1, TaskState::Running)),
        AgentMessage::Update(samples::update(2, TaskState::Failed)),
        AgentMessage::Pong,
        AgentMessage::Stale {
            fence: samples::fence(),
        },
        AgentMessage::Restarting {
            back_within: std::time::Duration::from_millis(60_001),
        },
        AgentMessage::FilePiece {
            request: 1,
            piece: Err(FileError::NoSuchFile("stdout".into())),
        },
    ]
    .iter()
    .map(bytes_of)
    .collect()
}

fn master_messages() -> Vec<Vec<u8>> {
    let (fence, task) = (samples::fence(), samples::task());
    [
        MasterMessage::Welcome {
            cluster: shoal_api::ClusterId(7),
            agent: samples::agent(),
            fence,
        },
        MasterMessage::Refused(SessionRefusal::Invalid("no".into())),
        MasterMessage::Launch {
            fence,
            assignment: samples::assignment(),
        },
        MasterMessage::Kill {
            fence,
            task: task.clone(),
            grace: Some(std::time::Duration::from_secs(3)),
        },
        MasterMessage::UpdateDurable { task, sequence: 2 },
        MasterMessage::Ping,
        MasterMessage::Move {
            peer: HostPort::new("host", 7947),
        },
        MasterMessage::ReadFile(file_read()),
    ]
    .iter()
    .map(bytes_of)
    .collect()
}
