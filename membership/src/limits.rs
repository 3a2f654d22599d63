//! The bounds of the gossip: sizes of datagrams, tags and tables, and what a reply may cost.
//!
//! What happens at a bound is said beside it; every refusal has a counter in [`crate::Stats`].

use std::time::Duration;

/// Bytes in one datagram, in and out; a longer one is dropped. Source: memberlist's UDP buffer,
/// which fits an Ethernet frame with room for tunnels.
pub const DATAGRAM_BYTES: usize = 1_400;
/// Bytes around the sections at most: version, flags, key id and nonce in front, the tag behind.
pub const ENVELOPE_BYTES: usize = 34;
/// Keys in a keyring; further ones are refused. Ours.
pub const KEYS: usize = 8;
/// How far datagrams of one sender may overtake each other, in its datagrams; what is further
/// behind is dropped as replayed. A multiple of 64. Ours: some seconds of a busy sender.
pub const REPLAY_WINDOW: usize = 1_024;
/// Sections in one datagram; more make it malformed. Ours.
pub const SECTIONS: usize = 16;
/// Bytes in one frame of a stream, in and out; a longer one is not read, and ends the stream.
/// Ours.
pub const FRAME_BYTES: usize = 64 * 1_024;
/// Frames that one side sends on one stream; what does not fit comes with the next
/// synchronisation. A full table of the usual descriptions fits. Ours.
pub const STREAM_FRAMES: usize = 64;
/// Streams that the machine has open at once; further wishes are dropped and counted. Ours.
pub const STREAMS: usize = 32;
/// Bytes in front of a section's body: its type and a length of at most two bytes (in a frame,
/// three).
pub const SECTION_HEAD_BYTES: usize = 3;
/// Bytes in a cluster label; longer ones are refused at start. Ours.
pub const LABEL_BYTES: usize = 64;

/// The longest encoded identity: node, generation, renewal, family, IPv6 address, port.
pub const IDENTITY_BYTES: usize = 16 + 4 + 4 + 1 + 16 + 2;
/// The longest encoded (node, generation, version).
pub const LIFE_BYTES: usize = 9 + 9 + 6 + 11;
/// The longest encoded rumour about a receiver: identity, incarnation, state.
pub const RUMOUR_BYTES: usize = 2 + IDENTITY_BYTES + 4 + 2;
/// The encoded coordinate of a node.
pub const COORDINATE_BYTES: usize = 8 * 3 + 3 + 3 + 2;
/// Bytes kept free for news in a datagram whose SWIM part is full. Ours.
pub const NEWS_BYTES_KEPT: usize = 120;
/// Bytes of one SWIM packet: what the envelope, the sender, a rumour and some news leave of it.
pub const SWIM_BYTES: usize = DATAGRAM_BYTES
    - ENVELOPE_BYTES
    - (SECTION_HEAD_BYTES + LIFE_BYTES)
    - (SECTION_HEAD_BYTES + RUMOUR_BYTES)
    - (SECTION_HEAD_BYTES + COORDINATE_BYTES)
    - (SECTION_HEAD_BYTES + NEWS_BYTES_KEPT)
    - SECTION_HEAD_BYTES;

/// Tags of one node; more are refused. Ours.
pub const TAGS: usize = 64;
/// Bytes in the key of a tag; longer ones are refused. Ours.
pub const TAG_KEY_BYTES: usize = 64;
/// Bytes in the value of a tag; longer ones are refused. Ours.
pub const TAG_VALUE_BYTES: usize = 512;
/// Bytes of all tags of one node, keys and values and [`TAG_OVERHEAD_BYTES`] each; more are
/// refused, so that what a node tells about itself fits one datagram. Serf: 512.
pub const TAGS_BYTES: usize = 1_024;
/// What a tag costs beyond its key and value.
pub const TAG_OVERHEAD_BYTES: usize = 8;
/// The longest encoded description of a node: life, name and tags with their frames.
pub const META_BYTES: usize =
    (LIFE_BYTES + 2) + (shoal_api::limits::NAME_BYTES + 3) + TAGS_BYTES + 3;

/// Members in the table, this node and the gone ones too; news of further ones is dropped and
/// counted. Ours.
pub const MEMBERS: usize = 10_000;
/// Seeds remembered from joins; further ones are ignored and counted. Ours.
pub const SEEDS: usize = 64;
/// Pieces of news waiting to be spread; beyond it the most often sent one is dropped. Ours.
pub const NEWS: usize = 4_096;
/// Members whose confirmation of one suspicion is remembered; further ones change nothing. Ours.
pub const CONFIRMATIONS: usize = 16;
/// Things that other members asked this one to find out, at once; more are not taken. Ours.
pub const ERRANDS: usize = 256;
/// Nodes asked about in one pull; the rest waits for its next turn. Ours.
pub const PULLS_PER_DATAGRAM: usize = 32;
/// Datagrams that answer one pull; the rest is asked for again. Ours.
pub const PULL_REPLY_DATAGRAMS: usize = 8;
/// Buckets that the table is hashed into for synchronising. Ours.
pub const SYNC_BUCKETS: usize = 64;
/// Datagrams that answer one synchronisation; the rest comes with the next one. Ours.
pub const SYNC_REPLY_DATAGRAMS: usize = 16;
/// The longest encoded entry of a synchronisation beside the node's description.
pub const ENTRY_BYTES: usize = (2 + IDENTITY_BYTES) + 4 + 2 + 2 + 11 + 3;

/// Bytes in the name of an event or a query; longer ones are refused. Ours.
pub const EVENT_NAME_BYTES: usize = 128;
/// What the names of queries that nodes ask among themselves begin with.
pub const INTERNAL_PREFIX: &str = "_shoal_";
/// Bytes of name and payload of an event; longer ones are refused. Serf: 512 by default.
pub const EVENT_BYTES: usize = 1_024;
/// Bytes of an encoded query without what its asker adds; longer ones are refused. Serf: 1 024.
pub const QUERY_BYTES: usize = 1_100;
/// Bytes of an answer; longer ones are refused. Source: Serf.
pub const ANSWER_BYTES: usize = 1_024;
/// What an asker adds to a query: time, id, identity, timeout, and its frame.
pub const QUERY_HEAD_BYTES: usize = 11 + 9 + (2 + IDENTITY_BYTES) + 11 + 3;
/// Bytes of one broadcast; longer ones make a datagram malformed. Ours.
pub const BROADCAST_BYTES: usize = QUERY_BYTES + QUERY_HEAD_BYTES;
/// Broadcasts waiting to be spread; beyond it the one that was sent most often is dropped, and
/// counted. Ours.
pub const BROADCASTS: usize = 512;
/// Broadcasts in one section; more make it malformed. Ours.
pub const BROADCASTS_PER_SECTION: usize = 64;
/// Datagrams of broadcasts to one member in one round of gossip. Ours.
pub const BROADCAST_DATAGRAMS: usize = 4;
/// Which part of a round of gossip a broadcast waits at most before it goes on. Ours.
pub const BROADCAST_HASTE: u32 = 8;
/// Broadcasts of a newer version remembered, so that none is passed on twice; beyond it the
/// oldest is forgotten. Ours.
pub const UNKNOWN_KEPT: usize = 256;
/// Events remembered; beyond it the oldest are forgotten. Source: Serf.
pub const EVENTS_KEPT: usize = 512;
/// Events compared in one synchronisation, the newest. Ours.
pub const EVENTS_COMPARED: usize = 96;
/// Queries remembered, so that none counts twice; beyond it the oldest is forgotten. Serf: 512.
pub const QUERIES_KEPT: usize = 1_024;
/// Logical times that an event or a query may lie back; older ones are dropped. Ours.
pub const LAMPORT_WINDOW: u64 = 1_024;
/// Logical times that an event or a query may lie ahead; others are dropped, so that no single
/// one uses up all times. Ours.
pub const LAMPORT_JUMP: u64 = 1 << 40;
/// Queries of one node that wait for answers at a time; more are refused. Ours.
pub const QUERIES_ASKED: usize = 64;
/// Queries that one node may answer at a time; others go unanswered, and are counted. Ours.
pub const QUERIES_OPEN: usize = 256;
/// The longest time for which answers to a query count. Ours.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(600);
/// Other members through which an answer comes, at most. Source: Serf.
pub const RELAYS: u8 = 5;
/// Times that an answer is sent until its receipt comes. Ours.
pub const REPLY_TRIES: u32 = 5;
/// Names and tags in the filter of a query; more are refused. Ours.
pub const FILTERS: usize = 64;
/// Bytes that a compiled expression of a filter may take; bigger ones are refused. Ours.
pub const EXPRESSION_BYTES: usize = 64 * 1024;
/// Depth to which an expression of a filter may nest; deeper ones are refused. Ours.
pub const EXPRESSION_NESTS: u32 = 32;
/// Members remembered as forgotten on an operator's word; beyond it the oldest may come back as
/// failed. Ours.
pub const PRUNED: usize = 1_024;

const PAYLOAD_BYTES: usize =
    DATAGRAM_BYTES - ENVELOPE_BYTES - (SECTION_HEAD_BYTES + LIFE_BYTES) - SECTION_HEAD_BYTES;
const _: () = assert!(META_BYTES + ENTRY_BYTES + 3 <= PAYLOAD_BYTES);
const _: () = assert!(BROADCAST_BYTES + 3 <= PAYLOAD_BYTES);
const _: () = assert!(EVENT_BYTES + 11 + 3 + 3 + 2 + 3 <= BROADCAST_BYTES);
const _: () = assert!(ANSWER_BYTES + 11 + 9 + (LIFE_BYTES + 2) * 2 + 3 + 3 <= PAYLOAD_BYTES);
const EVENT_DIGEST_BYTES: usize = SECTION_HEAD_BYTES + EVENTS_COMPARED * 8 + 3 + 11 + 11 + 2 + 2;
const _: () = assert!(SYNC_BUCKETS * 4 + 3 + EVENT_DIGEST_BYTES <= PAYLOAD_BYTES);
const _: () = assert!(EVENTS_KEPT < LAMPORT_WINDOW as usize);
const _: () = assert!(SYNC_BUCKETS == u64::BITS as usize);
const _: () = assert!(SYNC_BUCKETS * 4 + 3 <= PAYLOAD_BYTES);
const _: () = assert!(PULLS_PER_DATAGRAM * (LIFE_BYTES + 2) <= PAYLOAD_BYTES);
// A SWIM header names at most three nodes, and one update must fit beside it.
const _: () = assert!(3 * IDENTITY_BYTES + 8 + 2 + IDENTITY_BYTES + 4 <= SWIM_BYTES);
const _: () = assert!(NEWS_BYTES_KEPT >= LIFE_BYTES + 2);
const _: () = assert!(TAG_KEY_BYTES + TAG_VALUE_BYTES + TAG_OVERHEAD_BYTES <= TAGS_BYTES);
const _: () = assert!(DATAGRAM_BYTES < 1 << 14);
const _: () = assert!(REPLAY_WINDOW.is_multiple_of(64));
const _: () = assert!(FRAME_BYTES < 1 << 21 && FRAME_BYTES > DATAGRAM_BYTES);
