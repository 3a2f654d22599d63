//! Every bound of the shell, with its policy when full and where the number comes from.

use std::time::Duration;

/// Bytes in a configuration file. More: refused. Ours.
pub const CONFIG_FILE_BYTES: u64 = 1024 * 1024;
/// Mistakes in a configuration file that are told, the first ones: more come of a file that is something
/// else. Ours.
pub const CONFIG_PROBLEMS: usize = 50;

/// How long members are waited for that do not say which keys they have. Ours: longer than a member
/// that died unseen counts as alive.
pub const KEYRING_ANSWERS: Duration = Duration::from_secs(10);
/// Bytes in a file of keys. More: refused. Ours: far more than a full keyring.
pub const KEY_FILE_BYTES: u64 = 4_096;
/// Room on the disk below which `shoal doctor` complains. Ours: a log and its snapshots, twice.
pub const DOCTOR_ROOM_BYTES: u64 = 256 * 1024 * 1024;
/// A sync that `shoal doctor` calls slow. Ours: a commit takes a millisecond on a good disk.
pub const DOCTOR_SYNC_SLOW: Duration = Duration::from_millis(10);
/// A sync that is too slow for a master: as long as the quorum's heartbeat.
pub const DOCTOR_SYNC_BAD: Duration = Duration::from_millis(100);
/// Files that a node may have to open: [`HTTP_CONNECTIONS`] and as much again for all else.
pub const DOCTOR_FILES: u64 = 2 * HTTP_CONNECTIONS as u64;
/// Fewer are too few for any node. Ours.
pub const DOCTOR_FILES_MIN: u64 = 1024;
/// Processes that an agent with its tasks may have to start. Ours.
pub const DOCTOR_PROCESSES: u64 = 4096;
/// How long `shoal doctor` waits for a node's answer.
pub const DOCTOR_ANSWER: Duration = Duration::from_secs(3);
/// Members whose clocks `shoal doctor` asks for. More: those with the lowest ids.
pub const DOCTOR_CLOCKS: usize = 32;
/// How far clocks may be apart. Ours: schedules and records are of seconds.
pub const DOCTOR_CLOCK_SECONDS: f64 = 1.0;

/// Event handlers of a node. More: refused. Ours.
pub const HANDLERS: usize = 32;
/// Runs that wait for one event handler. More: dropped and counted. Ours.
pub const HANDLER_JOBS: usize = 256;
/// How long one run of an event handler may take. Longer: killed. Ours.
pub const HANDLER_RUN: Duration = Duration::from_secs(60);
/// Bytes kept of what an event handler writes, of each stream; the rest is dropped. Source: Serf.
pub const HANDLER_OUTPUT_BYTES: usize = 8 * 1024;
/// Quiet after which what happened to members is told to event handlers. Source: Serf.
pub const HANDLER_COALESCE: Duration = Duration::from_secs(1);
/// How long it is gathered at most. Source: Serf.
pub const HANDLER_COALESCE_MOST: Duration = Duration::from_secs(3);

/// How long answers to a query of the API count at most. More: refused. Ours: below
/// [`HTTP_REQUEST`] and [`CLIENT_READ`].
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the command line waits for a connection. Ours.
pub const CLIENT_CONNECT: Duration = Duration::from_secs(3);
/// How long the command line waits for more of an answer. Ours: longer than [`HTTP_REQUEST`].
pub const CLIENT_READ: Duration = Duration::from_secs(40);
/// Bytes in one line of an answer's head. Longer is an error.
pub const CLIENT_LINE_BYTES: u64 = 16 * 1024;
/// Bytes in one event of a stream. Longer is an error.
pub const CLIENT_EVENT_BYTES: u64 = 1024 * 1024;
/// Bytes in the body of an answer. Longer is an error.
pub const CLIENT_BODY_BYTES: u64 = 256 * 1024 * 1024;

/// HTTP connections of one listener. Full: those that have waited longest for their clients are closed,
/// one in 64; where all are being answered, the new one gets 503.
pub const HTTP_CONNECTIONS: usize = 4096;
/// Connections that wait to be accepted, as far as the system allows. Full: the kernel lets a client try
/// again after a second. Ours: all agents and frameworks of a cluster may come back at once.
pub const BACKLOG: u32 = 4096;
/// Clients that are being told of a 503 of that kind. More: closed without a word.
pub const HTTP_REFUSALS: usize = 64;
/// How long telling one may take.
pub const HTTP_REFUSAL: Duration = Duration::from_secs(1);
/// Headers of one request. More: 431.
pub const HTTP_HEADERS: usize = 64;
/// Bytes that hyper buffers per connection; a longer head: 431.
pub const HTTP_BUFFER_BYTES: usize = 64 * 1024;
/// How long a head may take, from its first byte on; the first head, from the connect on. Longer: 408.
pub const HTTP_HEAD: Duration = Duration::from_secs(65);
/// How long a connection may idle between requests. Longer: closed. Ours: clients that keep one
/// connection for their calls, as pymesos does, may have nothing to say for long.
pub const HTTP_IDLE: Duration = Duration::from_secs(60 * 60);
/// How long a body may take. Longer: 408.
pub const HTTP_BODY: Duration = Duration::from_secs(20);
/// Bytes in a request's body. More: 413. Ours: an accept of 10 000 small tasks fits.
pub const HTTP_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Bytes in a body up to which it needs no room: it is bounded by its connection.
pub const HTTP_SMALL_BODY_BYTES: usize = 64 * 1024;
/// Bytes in all larger bodies that are being read or answered. More: 503. Ours.
pub const HTTP_BODIES_BYTES: usize = 256 * 1024 * 1024;
/// How long a request may wait for its answer. Longer: 503.
pub const HTTP_REQUEST: Duration = Duration::from_secs(30);
/// Pieces that wait for the client of one stream. Full: its notices wait.
pub const HTTP_STREAM_PIECES: usize = 16;
/// Listings that are being written or sent. Full: the next waits for [`LISTING_WAIT`], then 503.
pub const LISTINGS: usize = 16;
/// How long a listing waits for its turn.
pub const LISTING_WAIT: Duration = Duration::from_secs(10);
/// Event streams of the operator API. More: the oldest is closed. Source: Mesos.
pub const OPERATOR_STREAMS: usize = 1000;
/// Files of sandboxes that are being sent whole. Full: 503.
pub const DOWNLOADS: usize = 64;
/// Bytes in the name of the function that `jsonp` asks for. More: 400.
pub const CALLBACK_BYTES: usize = 128;
/// Notices that wait for one framework. Full: its stream is closed.
pub const STREAM_NOTICES: usize = 4096;
/// Events of the ledger that a master keeps for its readers. The oldest make room. Ours.
pub const EVENTS_KEPT: usize = 65_536;
/// About how many bytes they may take. The oldest make room. Ours.
pub const EVENTS_KEPT_BYTES: usize = 16 * 1024 * 1024;
/// Clients that follow the events of one master. More: 503.
pub const EVENT_CLIENTS: usize = 128;
/// Entries whose events are taken out at once.
pub const EVENTS_AT_ONCE: usize = 256;
/// The same of an operator's stream, whose records are longer and are one piece.
pub const OPERATOR_ENTRIES_AT_ONCE: usize = 8;
/// Bytes of events that are sent as one piece; an entry's events may exceed it.
pub const EVENTS_PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for one client. Full: the client has [`EVENTS_UNREAD`] to read one.
pub const EVENTS_PIECES: usize = 2;
/// How long a client may leave a piece unread before its stream is closed.
pub const EVENTS_UNREAD: Duration = Duration::from_secs(20);
/// How long an event stream is silent at most.
pub const EVENTS_HEARTBEAT: Duration = Duration::from_secs(10);

const _: () = assert!(CLIENT_READ.as_secs() > 2 * EVENTS_HEARTBEAT.as_secs());
const _: () = assert!(CLIENT_READ.as_secs() > HTTP_REQUEST.as_secs());
const _: () = assert!(HTTP_BODY.as_secs() < HTTP_HEAD.as_secs());
const _: () = assert!(LISTING_WAIT.as_secs() < HTTP_REQUEST.as_secs());
const _: () = assert!(HTTP_BODY_BYTES < HTTP_BODIES_BYTES / 4);
const _: () = assert!(HTTP_HEAD.as_secs() < HTTP_IDLE.as_secs());

/// How soon the command line looks again while something happens.
pub const CLIENT_POLL_MIN: Duration = Duration::from_millis(15);
/// How soon it looks again while nothing happens.
pub const CLIENT_POLL_MAX: Duration = Duration::from_millis(250);
/// How long `shoal run` waits for its tasks to start before it says so on a terminal.
pub const CLIENT_WORD: Duration = Duration::from_secs(3);
/// How long `shoal run` bears failing answers before it gives up.
pub const CLIENT_PATIENCE: Duration = Duration::from_secs(90);

/// How long `shoal dev` waits before it starts a dead node again.
pub const DEV_RESTART: Duration = Duration::from_secs(1);
/// How long a node, and then its keeper and tasks, may take to end before they are ended.
pub const DEV_END: Duration = Duration::from_secs(8);
/// How often `shoal dev` says what it waits for.
pub const DEV_WORD: Duration = Duration::from_secs(15);

/// How long an accept loop rests after the kernel refused it a connection.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long what was sent may stay unread before the kernel closes the connection.
pub const TCP_UNREAD: Duration = Duration::from_secs(60);

/// Connections whose handshake is not done. The accept loop waits when full.
pub const PEER_HANDSHAKES: usize = 256;
/// Connections that others may have open. More: refused and counted. Ours: every agent of a large
/// cluster on one master, once the others are gone.
pub const PEER_CONNECTIONS: usize = 20_000;
/// How long a handshake may take. Longer: closed and counted.
pub const PEER_HANDSHAKE: Duration = Duration::from_secs(5);
/// Bytes in a handshake. More: closed and counted.
pub const PEER_HANDSHAKE_BYTES: usize = 4 * 1024;
/// Bytes in one frame. More: the connection is closed. Ours: a session's largest message fits.
pub const PEER_FRAME_BYTES: usize = 17 * 1024 * 1024;
/// Bytes read at once at most.
pub const PEER_READ_BYTES: usize = 256 * 1024;
/// Bytes that an idle connection keeps for writing.
pub const PEER_BUFFER_BYTES: usize = 1024 * 1024;
/// Payloads that wait for one connection. Full: dropped and counted towards a master, closed
/// towards an agent.
pub const PEER_QUEUE: usize = 8 * 1024;
/// Payloads written at once.
pub const PEER_BATCH: usize = 256;
/// How soon a broken connection to a master is dialled again.
pub const PEER_RETRY_MIN: Duration = Duration::from_millis(20);
/// How late at most.
pub const PEER_RETRY_MAX: Duration = Duration::from_millis(500);
/// How long what was sent to a peer may stay unread before the kernel closes the connection.
pub const PEER_UNREAD: Duration = Duration::from_secs(15);

const _: () = assert!(PEER_FRAME_BYTES > shoal_api::limits::SESSION_MESSAGE_BYTES);
const _: () = assert!(PEER_HANDSHAKE_BYTES < PEER_FRAME_BYTES);

/// Things that wait for the master's machine. Full: whoever brings more waits.
pub const MACHINE_QUEUE: usize = 16 * 1024;
/// Things that the machine takes at once, besides the replies of the disk.
pub const MACHINE_BATCH: usize = 2048;
/// How long the machine sleeps at most.
pub const MACHINE_SLEEP: Duration = Duration::from_secs(1);
/// Orders that wait for the disk. Full: the machine waits.
pub const DISK_ORDERS: usize = 256;
/// Those that forward commands without being masters. More: not answered.
pub const GUESTS: usize = 16;

/// Broken links that wait to be told. Full: not told, the silence is noticed.
pub const PEER_EVENTS: usize = 64;
/// How long each part of a node may take to end in good order.
pub const NODE_END: Duration = Duration::from_secs(4);
/// How long another living node may have this node's name before this one gives up: longer than
/// the gossip needs to see that the holder has failed.
pub const NAME_PATIENCE: Duration = Duration::from_secs(30);

/// Words of founders that wait. Full: whoever brings more waits.
pub const BOOTSTRAP_MESSAGES: usize = 64;

/// How often, and how many times, a transfer of leadership is looked for after it is done.
pub const TRANSFER_LOOK: Duration = Duration::from_millis(20);
/// See [`TRANSFER_LOOK`].
pub const TRANSFER_LOOKS: u32 = 100;
/// How long a request for the metrics waits for the master's machine. Longer: what it said last counts.
pub const SCRAPE: Duration = Duration::from_secs(1);
/// How often the machine's counters are exported.
pub const EXPORT: Duration = Duration::from_millis(500);
/// How long a node with data of a cluster looks for members of it before it starts without.
pub const STRANGERS: Duration = Duration::from_secs(1);
/// Backups that may be taken of one master at a time; more are refused. Each holds an image of the ledger
/// as long as its client reads.
pub const BACKUPS: usize = 2;
