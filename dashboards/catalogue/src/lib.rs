//! Every metric of a node: name, type, labels, help. Nothing is counted that does not stand here.
//!
//! A crate of its own, so that both who counts (`node`) and who draws (`dashboards`) name a metric by
//! its constant. What deliberately does not live here: any counting.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A distribution over buckets with these upper bounds.
    Histogram(&'static [f64]),
    /// Read from the system or a machine when somebody asks.
    Scraped,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Unit last, in base units.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// From 100 µs to 10 s.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// From 1 to 4096 things.
const SIZES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

macro_rules! catalogue {
    ($($ident:ident = $kind:expr, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $ident: Metric = Metric {
                name: $name,
                kind: $kind,
                labels: &[$($label),*],
                help: $help,
            };
        )*
        /// All of them.
        pub const CATALOGUE: &[Metric] = &[$($ident),*];
    };
}

catalogue! {
    HTTP_REQUESTS = Kind::Counter, "shoal_http_requests_total", ["endpoint", "code"],
        "HTTP requests answered, by endpoint and class of status code.";
    HTTP_SECONDS = Kind::Histogram(SECONDS), "shoal_http_request_duration_seconds", ["endpoint"],
        "Time from a request's head to its answer's head.";
    HTTP_CONNECTIONS = Kind::Gauge, "shoal_http_connections", [],
        "Open HTTP connections.";
    HTTP_CROWDED = Kind::Counter, "shoal_http_crowded_total", ["outcome"],
        "HTTP connections evicted while they waited for their client, or refused, since all places were taken.";
    STREAMS_SLOW = Kind::Counter, "shoal_streams_given_up_total", [],
        "Event streams closed because their client did not keep up.";
    PEER_CONNECTIONS = Kind::Gauge, "shoal_peer_connections", ["purpose"],
        "Open peer connections, by purpose.";
    PEER_FRAMES = Kind::Counter, "shoal_peer_frames_total", ["direction", "purpose"],
        "Frames exchanged with peers, by direction and purpose.";
    PEER_BYTES = Kind::Counter, "shoal_peer_bytes_total", ["direction", "purpose"],
        "Bytes exchanged with peers, by direction and purpose.";
    PEER_DROPPED = Kind::Counter, "shoal_peer_frames_dropped_total", ["cause"],
        "Frames to or from peers that were dropped, by cause.";
    PEER_REFUSED = Kind::Counter, "shoal_peer_handshakes_refused_total", ["cause"],
        "Peer connections refused at their handshake, by cause.";
    MACHINE_INPUTS = Kind::Counter, "shoal_machine_inputs_total", ["machine"],
        "Inputs that a machine took, by machine.";
    MACHINE_BATCH = Kind::Histogram(SIZES), "shoal_machine_batch_inputs", ["machine"],
        "Inputs that a machine took at once, by machine.";
    MACHINE_BUSY = Kind::Histogram(SECONDS), "shoal_machine_busy_seconds", ["machine"],
        "Time a machine worked on one batch of inputs.";
    MEMBERS = Kind::Gauge, "shoal_members", ["status"],
        "Members of the gossip as this node sees them, by status.";
    GOSSIP_DATAGRAMS = Kind::Counter, "shoal_gossip_datagrams_total", ["direction", "kind"],
        "Gossip datagrams, and frames of streams, by direction and by what they are for.";
    GOSSIP_DROPPED = Kind::Counter, "shoal_gossip_datagrams_dropped_total", ["cause"],
        "Gossip datagrams dropped, by cause.";
    RAFT_TERM = Kind::Gauge, "shoal_raft_term", [],
        "The Raft term of this master.";
    RAFT_LEADING = Kind::Gauge, "shoal_raft_leading", [],
        "Whether this master leads: 1 or 0.";
    RAFT_CAMPAIGNS = Kind::Counter, "shoal_raft_campaigns_total", [],
        "Elections that this master stood in.";
    LEDGER_ENTRIES = Kind::Counter, "shoal_ledger_entries_total", [],
        "Ledger entries applied.";
    LEDGER_COMMANDS = Kind::Counter, "shoal_ledger_commands_total", [],
        "Ledger commands applied.";
    LEDGER_PROPOSED = Kind::Counter, "shoal_ledger_proposed_entries_total", [],
        "Ledger entries proposed by this master as leader.";
    LEDGER_DROPPED = Kind::Counter, "shoal_ledger_dropped_commands_total", [],
        "Commands dropped by this master as leader because too many waited.";
    SNAPSHOTS = Kind::Counter, "shoal_ledger_snapshots_total", ["kind"],
        "Snapshots of the ledger, taken here or installed from the leader.";
    MASTER_UNAVAILABLE = Kind::Counter, "shoal_requests_unavailable_total", [],
        "Requests that found no leader in time.";
    OFFERS_MADE = Kind::Counter, "shoal_offers_made_total", [],
        "Offers made by this master as leader.";
    NOTICES = Kind::Counter, "shoal_stream_notices_total", [],
        "Events sent to the streams of frameworks.";
    LEASES_ENDED = Kind::Counter, "shoal_agent_leases_ended_total", [],
        "Agents given up as unreachable by this master as leader.";
    REMOVAL_PAUSED = Kind::Gauge, "shoal_agent_removal_paused", [],
        "Whether too many agents vanished together to give them up: 1 or 0.";
    SESSIONS = Kind::Gauge, "shoal_agent_sessions", [],
        "Agent sessions that this master holds.";
    STREAMS = Kind::Gauge, "shoal_framework_streams", [],
        "Framework streams that this master holds.";
    AGENT_CONNECTED = Kind::Gauge, "shoal_agent_connected", [],
        "Whether a master commands the agent of this node: 1 or 0.";
    AGENT_KEEPER = Kind::Gauge, "shoal_agent_keeper_reached", [],
        "Whether the agent of this node reaches its keeper: 1 or 0.";
    AGENT_TASKS = Kind::Gauge, "shoal_agent_tasks", ["state"],
        "Tasks of the agent of this node, running or all that are not forgotten.";
    AGENT_LAUNCHED = Kind::Counter, "shoal_agent_launched_tasks_total", [],
        "Tasks that the agent of this node took in.";
    AGENT_UPDATES = Kind::Counter, "shoal_agent_updates_sent_total", ["kind"],
        "Status updates that the agent of this node sent, by whether it was the first time.";
    LEDGER_APPLIED = Kind::Gauge, "shoal_ledger_applied_index", [],
        "The last ledger index that this master applied.";
    DISK_SECONDS = Kind::Histogram(SECONDS), "shoal_disk_persist_duration_seconds", [],
        "Time from the order of a batch of the log until it is durable.";
    DISK_FULL = Kind::Gauge, "shoal_disk_full", [],
        "Whether the log of this master waits for room on its disk: 1 or 0.";
    RAFT_LEADER_KNOWN = Kind::Gauge, "shoal_raft_leader_known", [],
        "Whether this master knows who leads: 1 or 0.";
    RAFT_VOTERS = Kind::Gauge, "shoal_raft_voters", ["status"],
        "Voting masters in the quorum, by whether the gossip sees them: alive or absent.";
    RAFT_LEARNERS = Kind::Gauge, "shoal_raft_learners", [],
        "Masters in the quorum that do not vote: spares, and newcomers that catch up.";
    RAFT_REPLACED = Kind::Counter, "shoal_raft_voters_replaced_total", [],
        "Voters whose place another master took while this one led.";
    RAFT_MESSAGES_DROPPED = Kind::Counter, "shoal_raft_messages_dropped_total", ["cause"],
        "Raft messages dropped: not for this master or impossible, or too many waited for the disk.";
    LEDGER_AGE = Kind::Gauge, "shoal_ledger_age_seconds", [],
        "How long ago this master last heard of a leader, in seconds; 0 when its ledger is current.";
    LEDGER_AGENTS = Kind::Gauge, "shoal_ledger_agents", ["status"],
        "Agents in the ledger of this master, by status.";
    LEDGER_FRAMEWORKS = Kind::Gauge, "shoal_ledger_frameworks", ["status"],
        "Frameworks in the ledger of this master, by status.";
    LEDGER_TASKS = Kind::Gauge, "shoal_ledger_tasks", ["state"],
        "Tasks in the ledger of this master that are not over, by state; waiting ones have no agent.";
    LEDGER_OFFERS = Kind::Gauge, "shoal_ledger_offers", [],
        "Offers in the ledger of this master that are out.";
    LEDGER_CPUS = Kind::Gauge, "shoal_ledger_cpus", ["share"],
        "Processors of all agents in the ledger of this master: total, and of these free and offered.";
    LEDGER_MEMORY = Kind::Gauge, "shoal_ledger_memory_bytes", ["share"],
        "Main memory of all agents in the ledger of this master: total, and of these free and offered.";
    LEDGER_DISK = Kind::Gauge, "shoal_ledger_disk_bytes", ["share"],
        "Disk of all agents in the ledger of this master: total, and of these free and offered.";
    GOSSIP_BYTES = Kind::Counter, "shoal_gossip_bytes_total", ["direction", "kind"],
        "Bytes of gossip datagrams, and frames of streams, by direction and by what they are for.";
    GOSSIP_PROBES = Kind::Counter, "shoal_gossip_probes_total", ["stage"],
        "Probes by the stages they came to: begun, indirect, stream, vouched for, failed.";
    GOSSIP_TRIPS = Kind::Histogram(SECONDS), "shoal_gossip_round_trip_seconds", [],
        "How long pings took that were answered directly.";
    GOSSIP_HEALTH = Kind::Gauge, "shoal_gossip_health_score", [],
        "How badly this node hears by its own judgement: 0 is well, 7 is worst.";
    GOSSIP_CONFIRMATIONS = Kind::Counter, "shoal_gossip_suspicions_confirmed_total", [],
        "Times another member could not reach whom this node suspects, either.";
    GOSSIP_ALARMS = Kind::Counter, "shoal_gossip_false_alarms_total", [],
        "Times this node said that it lives, as others suspected it or held it for failed.";
    GOSSIP_REVIVED = Kind::Counter, "shoal_gossip_revived_total", [],
        "Failed members that turned out to live.";
    GOSSIP_RECONNECTS = Kind::Counter, "shoal_gossip_reconnects_total", [],
        "Failed members that this node looked for.";
    GOSSIP_STREAMS = Kind::Counter, "shoal_gossip_streams_total", ["outcome"],
        "Gossip streams that this node wished for: opened, broken, refused as too many were open.";
    GOSSIP_SYNCS = Kind::Counter, "shoal_gossip_syncs_total", ["outcome"],
        "Synchronisations: started, and batches of entries that brought something.";
    GOSSIP_QUEUED = Kind::Gauge, "shoal_gossip_queued", ["queue"],
        "What waits to be spread by this node, by queue: updates of members, news, broadcasts.";
    GOSSIP_SUSPICIONS = Kind::Counter, "shoal_gossip_suspicions_total", [],
        "Probes of this node that ended in a suspicion.";
    GOSSIP_REFUTED = Kind::Counter, "shoal_gossip_suspicions_refuted_total", [],
        "Suspicions seen by this node that were refuted in time.";
    GOSSIP_DECLARED = Kind::Counter, "shoal_gossip_failures_declared_total", [],
        "Members that this node declared failed.";
    GOSSIP_RENEWALS = Kind::Counter, "shoal_gossip_renewals_total", [],
        "Times this node came back after the others held it for failed.";
    GOSSIP_STALLS = Kind::Counter, "shoal_gossip_stalls_total", [],
        "Times this node was woken much too late to gossip: it was paused, or has no processor.";
    GOSSIP_EVENTS = Kind::Counter, "shoal_gossip_user_events_total", ["outcome"],
        "User events: told by this node, heard by gossip, caught up by a synchronisation, or before its time.";
    GOSSIP_QUERIES = Kind::Counter, "shoal_gossip_queries_total", ["outcome"],
        "Queries: asked by this node, heard, or left unanswered because too many were open.";
    GOSSIP_REPLIES = Kind::Counter, "shoal_gossip_query_replies_total", ["outcome"],
        "Answers to queries: sent, repeated, relayed for others, too late to be sent; received, received again, received too late.";
    GOSSIP_BROADCASTS = Kind::Counter, "shoal_gossip_broadcasts_total", ["outcome"],
        "Broadcasts that had no effect: known already, refused, or dropped from a full queue.";
    HANDLER_RUNS = Kind::Counter, "shoal_event_handler_runs_total", ["outcome"],
        "Runs of event handlers: succeeded, failed, timed out, dropped from a full queue; and happenings that they missed.";
    GOSSIP_CONFLICTS = Kind::Counter, "shoal_gossip_name_conflicts_total", [],
        "Times another living node was seen with the name of this node.";
    AGENT_REFUSED = Kind::Counter, "shoal_agent_refused_tasks_total", [],
        "Launches that the agent of this node answered with an update that the task will not run.";
    AGENT_STALE = Kind::Counter, "shoal_agent_stale_commands_total", [],
        "Commands of an older session that the agent of this node refused.";
    AGENT_DIALS = Kind::Counter, "shoal_agent_dials_total", [],
        "Connections to a master that the agent of this node asked for.";
    AGENT_STRAYS = Kind::Counter, "shoal_agent_stray_processes_total", [],
        "Processes that the keeper knows and the agent of this node does not.";
    NODE_INFO = Kind::Scraped, "shoal_node_info", ["name", "roles"],
        "Always 1; the labels say the name of the node and its roles, member if it has none.";
    DATA_SIZE = Kind::Scraped, "shoal_data_size_bytes", [],
        "Size of the file system that holds the data of this node, in bytes.";
    DATA_AVAILABLE = Kind::Scraped, "shoal_data_available_bytes", [],
        "Bytes free on the file system that holds the data of this node.";
    PROCESS_WRITTEN = Kind::Scraped, "shoal_process_written_bytes_total", [],
        "Bytes that this process had written to disks.";
    CONFIG_RELOADS = Kind::Counter, "shoal_config_reloads_total", ["outcome"],
        "How often the configuration was read again on HUP, by whether it was applied or refused.";
    CONFIG_WAITING = Kind::Gauge, "shoal_config_waiting_keys", [],
        "Keys of the configuration whose new value waits for a restart.";
    BUILD_INFO = Kind::Scraped, "shoal_build_info", ["version"],
        "Always 1; the label says which version runs.";
    PROCESS_START = Kind::Scraped, "process_start_time_seconds", [],
        "When the process started, in seconds since 1970.";
    PROCESS_CPU = Kind::Scraped, "process_cpu_seconds_total", [],
        "Processor time used, in seconds.";
    PROCESS_MEMORY = Kind::Scraped, "process_resident_memory_bytes", [],
        "Main memory used, in bytes.";
    PROCESS_FILES = Kind::Scraped, "process_open_fds", [],
        "Open file descriptors.";
    PROCESS_MAX_FILES = Kind::Scraped, "process_max_fds", [],
        "The most file descriptors that this process may have open.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_their_unit() {
        for (at, metric) in CATALOGUE.iter().enumerate() {
            let twice = CATALOGUE[at + 1..]
                .iter()
                .any(|other| other.name == metric.name);
            assert!(!twice, "{} stands twice", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            if metric.kind == Kind::Counter {
                assert!(metric.name.ends_with("_total"), "{}", metric.name);
            }
        }
    }

    #[test]
    fn the_page_for_people_lists_exactly_these() {
        let mut page = String::from(
            "# Metrics\n\nEvery metric of a node, as served at `/metrics`. A test keeps this page \
             equal to the catalogue in `dashboards/catalogue/src/lib.rs`.\n\n\
             | name | type | labels | meaning |\n| --- | --- | --- | --- |\n",
        );
        for metric in CATALOGUE {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
                Kind::Scraped if metric.name.ends_with("_total") => "counter",
                Kind::Scraped => "gauge",
            };
            page.push_str(&format!(
                "| `{}` | {kind} | {} | {} |\n",
                metric.name,
                metric.labels.join(", "),
                metric.help
            ));
        }
        assert_eq!(
            include_str!("../../../node/METRICS.md"),
            page,
            "METRICS.md must be:\n{page}"
        );
    }
}
