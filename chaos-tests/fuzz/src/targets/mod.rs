//! All targets, by what they read.

mod calls;
mod files;
mod http;
mod ledger;
mod peers;
mod planted;
mod samples;
mod texts;

use crate::target::{Memory, Target};

/// What a decoder may need that copies its input a few times and makes a row of each few bytes.
const PLAIN: Memory = Memory {
    fixed: 256 * 1024,
    per_byte: 64,
};

/// Every decoder.
pub const TARGETS: [Target; 27] = [
    calls::SCHEDULER_JSON,
    calls::SCHEDULER_PROTOBUF,
    calls::OPERATOR_JSON,
    calls::OPERATOR_PROTOBUF,
    calls::AGENT_JSON,
    calls::AGENT_PROTOBUF,
    calls::RECORD_IO,
    http::REQUEST,
    http::RUN,
    texts::RESOURCES,
    texts::ATTRIBUTES,
    texts::IDS,
    texts::CONFIGURATION,
    peers::GOSSIP_DATAGRAM,
    peers::GOSSIP_SECTIONS,
    peers::PEER_FRAMES,
    peers::RAFT_MESSAGE,
    peers::LEDGER_MESSAGE,
    peers::AGENT_MESSAGE,
    peers::MASTER_MESSAGE,
    ledger::ENTRY,
    ledger::SNAPSHOT,
    files::LOG_SEGMENT,
    files::SNAPSHOT_FILE,
    files::CHECKPOINT_LOG,
    files::KEEPER,
    files::IDENTITY,
];

/// Decoders that are broken on purpose, to see that each kind of break is found.
pub const PLANTED: [Target; 5] = [
    planted::PANIC,
    planted::ABORT,
    planted::STACK,
    planted::MEMORY,
    planted::DEAF,
];
