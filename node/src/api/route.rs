//! The one route table of all dialects: a path in, an endpoint out.
//!
//! Mesos' rule (the deepest registered route wins, the rest of the path is ignored, trailing
//! slashes and the process' name do not count) holds for Mesos' routes only; ours are exact, and
//! what belongs to another dialect is never caught by a Mesos route above it.

use super::members::Members;

/// Which listener a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The node's own API.
    Node,
    /// The agent's API.
    Agent,
}

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A page for people, or a part of one.
    Page(Page),
    /// Whether the node works.
    Health,
    /// The metrics.
    Metrics,
    /// Mesos: the version.
    Version,
    /// Mesos: where the leader is.
    Redirect,
    /// Mesos: the scheduler API.
    Scheduler,
    /// Mesos: a listing of version 0.
    Listing(Listing),
    /// Mesos: the operator API.
    Operator,
    /// Mesos: how the node was started.
    Flags,
    /// Mesos: metrics by Mesos' names.
    Snapshot,
    /// Mesos: an endpoint of an agent.
    Own(Own),
    /// Ours: members of the gossip.
    Members(Members),
    /// Ours: the keys of the gossip.
    Keyring(KeyringRoute),
    /// Ours: the leading master.
    Leader,
    /// Ours, answered by masters.
    Ours(Ours),
}

/// What is done with the keys of the gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringRoute {
    /// Lists them.
    List,
    /// Installs one.
    Install,
    /// Seals with one.
    Use,
    /// Removes one.
    Remove,
}

/// A listing of version 0 of Mesos, of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Everything.
    State,
    /// Agents and frameworks, with tasks counted.
    Summary,
    /// Agents.
    Slaves,
    /// Frameworks with their tasks.
    Frameworks,
    /// Tasks, cut.
    Tasks,
    /// Roles.
    Roles,
}

/// What people look at in a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The state of the cluster.
    Start,
    /// The script of [`Page::Start`].
    Script,
    /// The style of all pages.
    Style,
    /// What to do about each alert.
    Runbooks,
}

/// What an agent answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Everything about it.
    State,
    /// How it was started.
    Flags,
    /// Its metrics by Mesos' names.
    Snapshot,
    /// Its tasks as containers.
    Containers,
    /// What its tasks use.
    Statistics,
    /// Its operator API.
    Operator,
    /// The files of its tasks.
    Files(Files),
}

/// What is done with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Lists a folder.
    Browse,
    /// Reads a piece.
    Read,
    /// Sends all of one.
    Download,
    /// Lists which folders there are.
    Debug,
}

/// What answers a request to our own API, on a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ours {
    /// What the ledger did.
    Events,
    /// Agents.
    Agents,
    /// Frameworks.
    Frameworks,
    /// Remove a framework with its tasks.
    Teardown(String),
    /// Offers.
    Offers,
    /// Tasks.
    Tasks,
    /// One task.
    Task(String),
    /// The life of a task.
    Timeline(String),
    /// What a task wrote.
    TaskLogs(String),
    /// End a task.
    TaskKill(String),
    /// Create a run.
    Runs,
    /// One run.
    Run(String),
    /// End a run.
    RunKill(String),
    /// The quorum.
    Quorum,
    /// Take a master out.
    QuorumRemove,
    /// Hand leadership over.
    QuorumTransfer,
    /// Give a spare a vote.
    QuorumPromote,
    /// The whole ledger as a file.
    Backup,
}

impl Endpoint {
    /// All labels, for the metrics.
    pub const LABELS: &'static [&'static str] = &[
        "page",
        "health",
        "metrics",
        "version",
        "redirect",
        "scheduler",
        "listing",
        "operator",
        "flags",
        "snapshot",
        "files",
        "members",
        "keyring",
        "leader",
        "events",
        "agents",
        "frameworks",
        "teardown",
        "offers",
        "tasks",
        "timeline",
        "logs",
        "kill",
        "runs",
        "quorum",
        "backup",
        "none",
    ];

    /// Its label in the metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Endpoint::Page(_) => "page",
            Endpoint::Health => "health",
            Endpoint::Metrics => "metrics",
            Endpoint::Version => "version",
            Endpoint::Redirect => "redirect",
            Endpoint::Scheduler => "scheduler",
            Endpoint::Listing(_) => "listing",
            Endpoint::Operator => "operator",
            Endpoint::Flags => "flags",
            Endpoint::Snapshot => "snapshot",
            Endpoint::Own(own) => match own {
                Own::State | Own::Containers | Own::Statistics => "listing",
                Own::Flags => "flags",
                Own::Snapshot => "snapshot",
                Own::Operator => "operator",
                Own::Files(_) => "files",
            },
            Endpoint::Members(_) => "members",
            Endpoint::Keyring(_) => "keyring",
            Endpoint::Leader => "leader",
            Endpoint::Ours(ours) => ours.label(),
        }
    }
}

impl Ours {
    fn label(&self) -> &'static str {
        match self {
            Ours::Events => "events",
            Ours::Agents => "agents",
            Ours::Frameworks => "frameworks",
            Ours::Teardown(_) => "teardown",
            Ours::Offers => "offers",
            Ours::Tasks | Ours::Task(_) => "tasks",
            Ours::Timeline(_) => "timeline",
            Ours::TaskLogs(_) => "logs",
            Ours::TaskKill(_) | Ours::RunKill(_) => "kill",
            Ours::Runs | Ours::Run(_) => "runs",
            Ours::Backup => "backup",
            Ours::Quorum | Ours::QuorumRemove | Ours::QuorumTransfer | Ours::QuorumPromote => {
                "quorum"
            }
        }
    }

    /// Whether it changes something: such a request is a POST, any other a GET.
    pub fn changes(&self) -> bool {
        match self {
            Ours::Runs
            | Ours::RunKill(_)
            | Ours::Teardown(_)
            | Ours::TaskKill(_)
            | Ours::QuorumRemove
            | Ours::QuorumTransfer
            | Ours::QuorumPromote => true,
            Ours::Events
            | Ours::Agents
            | Ours::Frameworks
            | Ours::Offers
            | Ours::Tasks
            | Ours::Task(_)
            | Ours::Timeline(_)
            | Ours::TaskLogs(_)
            | Ours::Run(_)
            | Ours::Quorum
            | Ours::Backup => false,
        }
    }
}

/// Mesos' routes of a master, without the process' name.
const MASTER_ROUTES: &[(&str, Endpoint)] = &[
    ("api/v1/scheduler", Endpoint::Scheduler),
    ("api/v1", Endpoint::Operator),
    ("state", Endpoint::Listing(Listing::State)),
    ("state.json", Endpoint::Listing(Listing::State)),
    ("state-summary", Endpoint::Listing(Listing::Summary)),
    ("slaves", Endpoint::Listing(Listing::Slaves)),
    ("frameworks", Endpoint::Listing(Listing::Frameworks)),
    ("tasks", Endpoint::Listing(Listing::Tasks)),
    ("roles", Endpoint::Listing(Listing::Roles)),
    ("flags", Endpoint::Flags),
    ("metrics/snapshot", Endpoint::Snapshot),
];

/// Mesos' routes of an agent, without the process' name.
const AGENT_ROUTES: &[(&str, Endpoint)] = &[
    ("api/v1", Endpoint::Own(Own::Operator)),
    ("state", Endpoint::Own(Own::State)),
    ("state.json", Endpoint::Own(Own::State)),
    ("containers", Endpoint::Own(Own::Containers)),
    ("monitor/statistics", Endpoint::Own(Own::Statistics)),
    ("monitor/statistics.json", Endpoint::Own(Own::Statistics)),
    ("flags", Endpoint::Own(Own::Flags)),
    ("metrics/snapshot", Endpoint::Own(Own::Snapshot)),
    ("files/browse", Endpoint::Own(Own::Files(Files::Browse))),
    ("files/read", Endpoint::Own(Own::Files(Files::Read))),
    ("files/download", Endpoint::Own(Own::Files(Files::Download))),
    ("files/debug", Endpoint::Own(Own::Files(Files::Debug))),
];

/// Paths of an agent that stand below a route of its own and are none of it.
const AGENT_OTHERS: &[&str] = &["api/v1/executor", "api/v1/resource_provider"];

/// Paths that Mesos' rule never catches.
const OTHER_DIALECTS: &[&str] = &["v2", "v1", "scheduler", "shoal"];

/// Finds what answers a path, which still has its percent signs.
pub fn route(door: Door, path: &str) -> Option<Endpoint> {
    if let Some(endpoint) = exact(path) {
        return Some(endpoint);
    }
    let path = path.trim_matches('/');
    if let Some(rest) = path.strip_prefix("shoal/v1/") {
        return match door {
            Door::Node => shoal(rest),
            Door::Agent => None,
        };
    }
    let first = path.split('/').next().unwrap_or_default();
    if OTHER_DIALECTS.contains(&first) {
        return None;
    }
    mesos(door, path)
}

/// Routes of every node, on both doors.
fn exact(path: &str) -> Option<Endpoint> {
    match path {
        "/" => Some(Endpoint::Page(Page::Start)),
        "/page.js" => Some(Endpoint::Page(Page::Script)),
        "/page.css" => Some(Endpoint::Page(Page::Style)),
        "/runbooks" => Some(Endpoint::Page(Page::Runbooks)),
        "/health" => Some(Endpoint::Health),
        "/metrics" => Some(Endpoint::Metrics),
        "/shoal/v1/members" => Some(Endpoint::Members(Members::List)),
        _ => None,
    }
}

/// Makes an endpoint of the name in its path, which is empty where there is none.
type MakeEndpoint = fn(String) -> Endpoint;

/// Our own routes below `/shoal/v1/`; a name in braces is any one segment, without its percent signs.
const OURS: &[(&str, MakeEndpoint)] = &[
    ("keyring", |_| Endpoint::Keyring(KeyringRoute::List)),
    ("keyring/install", |_| {
        Endpoint::Keyring(KeyringRoute::Install)
    }),
    ("keyring/use", |_| Endpoint::Keyring(KeyringRoute::Use)),
    ("keyring/remove", |_| {
        Endpoint::Keyring(KeyringRoute::Remove)
    }),
    ("members", |_| Endpoint::Members(Members::List)),
    ("members/self", |_| Endpoint::Members(Members::Own)),
    ("members/stream", |_| Endpoint::Members(Members::Stream)),
    ("members/rtt", |_| Endpoint::Members(Members::Distance)),
    ("members/join", |_| Endpoint::Members(Members::Join)),
    ("members/leave", |_| Endpoint::Members(Members::Leave)),
    ("members/remove", |_| Endpoint::Members(Members::Remove)),
    ("members/tags", |_| Endpoint::Members(Members::Tags)),
    ("members/event", |_| Endpoint::Members(Members::Event)),
    ("members/query", |_| Endpoint::Members(Members::Query)),
    ("members/reachability", |_| {
        Endpoint::Members(Members::Reachability)
    }),
    ("leader", |_| Endpoint::Leader),
    ("events", |_| Endpoint::Ours(Ours::Events)),
    ("agents", |_| Endpoint::Ours(Ours::Agents)),
    ("frameworks", |_| Endpoint::Ours(Ours::Frameworks)),
    ("frameworks/{framework}/teardown", |id| {
        Endpoint::Ours(Ours::Teardown(id))
    }),
    ("offers", |_| Endpoint::Ours(Ours::Offers)),
    ("tasks", |_| Endpoint::Ours(Ours::Tasks)),
    ("tasks/{task}", |id| Endpoint::Ours(Ours::Task(id))),
    ("tasks/{task}/timeline", |id| {
        Endpoint::Ours(Ours::Timeline(id))
    }),
    ("tasks/{task}/logs", |id| Endpoint::Ours(Ours::TaskLogs(id))),
    ("tasks/{task}/kill", |id| Endpoint::Ours(Ours::TaskKill(id))),
    ("runs", |_| Endpoint::Ours(Ours::Runs)),
    ("runs/{run}", |id| Endpoint::Ours(Ours::Run(id))),
    ("runs/{run}/kill", |id| Endpoint::Ours(Ours::RunKill(id))),
    ("quorum", |_| Endpoint::Ours(Ours::Quorum)),
    ("backup", |_| Endpoint::Ours(Ours::Backup)),
    ("quorum/remove", |_| Endpoint::Ours(Ours::QuorumRemove)),
    ("quorum/transfer", |_| Endpoint::Ours(Ours::QuorumTransfer)),
    ("quorum/promote", |_| Endpoint::Ours(Ours::QuorumPromote)),
];

fn shoal(rest: &str) -> Option<Endpoint> {
    OURS.iter().find_map(|(pattern, endpoint)| {
        let name = matched(pattern, rest)?;
        Some(endpoint(decode(name)?))
    })
}

/// The segment in the place of the pattern's name, empty if it has none; `None` if the path differs.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    if pattern.split('/').count() != path.split('/').count() {
        return None;
    }
    let mut name = "";
    for (wanted, got) in pattern.split('/').zip(path.split('/')) {
        if wanted.starts_with('{') {
            name = got;
        } else if wanted != got {
            return None;
        }
    }
    Some(name)
}

fn mesos(door: Door, path: &str) -> Option<Endpoint> {
    let process = match door {
        Door::Node => "master",
        Door::Agent => "slave(1)",
    };
    let own = path.strip_prefix(process).unwrap_or(path);
    let own = match own.strip_prefix('/') {
        // libprocess drops any number of slashes here, and none further on.
        Some(rest) => rest.trim_start_matches('/'),
        None if own.len() == path.len() => path,
        None if own.is_empty() => own,
        None => path,
    };
    match own {
        "version" => return Some(Endpoint::Version),
        "health" => return Some(Endpoint::Health),
        "redirect" if door == Door::Node => return Some(Endpoint::Redirect),
        _ => {}
    }
    let routes = match door {
        Door::Node => MASTER_ROUTES,
        Door::Agent => AGENT_ROUTES,
    };
    let other = |path: &&str| own == *path || own.starts_with(&format!("{path}/"));
    if door == Door::Agent && AGENT_OTHERS.iter().any(other) {
        return None;
    }
    let mut prefix = own;
    loop {
        if let Some((_, endpoint)) = routes.iter().find(|(route, _)| *route == prefix) {
            return Some(endpoint.clone());
        }
        prefix = prefix.rsplit_once('/')?.0;
    }
}

/// A segment or a value of a query without its percent signs; `None` if it is not text.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// The value of a key in a query; the first one counts, `+` is a space.
pub fn query(query: Option<&str>, key: &str) -> Option<String> {
    query?.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name)? == key).then(|| decode(&value.replace('+', " ")))?
    })
}

/// All values of a key in a query, in order.
pub fn queries(query: Option<&str>, key: &str) -> Vec<String> {
    let pairs = query.into_iter().flat_map(|query| query.split('&'));
    let values = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name)? == key).then(|| decode(&value.replace('+', " ")))?
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mesos_takes_the_longest_prefix() {
        for path in [
            "/api/v1/scheduler",
            "/master/api/v1/scheduler",
            "/api/v1/scheduler/",
            "/api/v1/scheduler/whatever/else",
            "//api/v1/scheduler",
            "/master//api/v1/scheduler//",
        ] {
            assert_eq!(route(Door::Node, path), Some(Endpoint::Scheduler), "{path}");
        }
        let state = Some(Endpoint::Listing(Listing::State));
        assert_eq!(route(Door::Node, "/master/state"), state);
        assert_eq!(route(Door::Node, "/state/x"), state);
        for path in ["/api/v1", "/api/v1/operator", "/master/api/v1/"] {
            assert_eq!(route(Door::Node, path), Some(Endpoint::Operator), "{path}");
        }
        let slaves = Some(Endpoint::Listing(Listing::Slaves));
        assert_eq!(route(Door::Node, "/slaves/some-id"), slaves);
        assert_eq!(
            route(Door::Node, "/metrics/snapshot"),
            Some(Endpoint::Snapshot)
        );
        assert_eq!(
            route(Door::Node, "/master/version"),
            Some(Endpoint::Version)
        );
    }

    #[test]
    fn mesos_catches_nothing_else() {
        for path in [
            "/redirect/x",
            "/v1/scheduler",
            "/v1/scheduler/jobs",
            "/v2/apps",
            "/scheduler/state",
            "/shoal/state",
            "/shoal/v1/nothing",
            "/masterstate",
            "/api//v1/scheduler",
            "/%73tate",
            "/shoal/v1//tasks",
            "/../state",
            "/nothing",
            "/master",
        ] {
            assert_eq!(route(Door::Node, path), None, "{path}");
        }
        assert_eq!(route(Door::Agent, "/api/v1/executor"), None);
        assert_eq!(route(Door::Agent, "/slave(1)/api/v1/executor"), None);
        let state = Some(Endpoint::Own(Own::State));
        assert_eq!(route(Door::Agent, "/slave(1)/state"), state);
        let operator = Some(Endpoint::Own(Own::Operator));
        assert_eq!(route(Door::Agent, "/api/v1"), operator);
        assert_eq!(
            route(Door::Agent, "/files/read"),
            Some(Endpoint::Own(Own::Files(Files::Read)))
        );
        assert_eq!(route(Door::Node, "/files/read"), None);
        assert_eq!(
            route(Door::Agent, "/slave(1)/health"),
            Some(Endpoint::Health)
        );
    }

    #[test]
    fn ours_are_exact_and_decoded() {
        let logs = route(Door::Node, "/shoal/v1/tasks/a%20b/logs");
        assert_eq!(logs, Some(Endpoint::Ours(Ours::TaskLogs("a b".to_owned()))));
        assert_eq!(route(Door::Node, "/shoal/v1/tasks/%zz"), None);
        assert_eq!(
            query(Some("a=1&b=x%26y+z&b=2"), "b"),
            Some("x&y z".to_owned())
        );
        assert_eq!(query(Some("a"), "a"), Some(String::new()));
        assert_eq!(query(None, "a"), None);
    }

    #[test]
    fn every_label_is_listed() {
        let ours = OURS.iter().map(|(_, endpoint)| endpoint("x".to_owned()));
        let mesos = MASTER_ROUTES.iter().map(|(_, endpoint)| endpoint.clone());
        for endpoint in ours.chain(mesos).chain([Endpoint::Page(Page::Start)]) {
            let label = endpoint.label();
            assert!(Endpoint::LABELS.contains(&label), "{label}");
        }
    }

    #[test]
    fn the_reference_describes_every_route_and_no_other() {
        let page = include_str!("../../../docs/api.md");
        let mut routes: Vec<String> = OURS
            .iter()
            .map(|(pattern, endpoint)| {
                let method = match endpoint("x".to_owned()) {
                    Endpoint::Ours(ours) if ours.changes() => "POST",
                    Endpoint::Members(which) if which.changes() => "POST",
                    Endpoint::Keyring(which) if which != KeyringRoute::List => "POST",
                    _ => "GET",
                };
                format!("{method} /shoal/v1/{pattern}")
            })
            .collect();
        let mut described: Vec<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
            .map(str::to_owned)
            .collect();
        routes.sort();
        described.sort();
        assert_eq!(described, routes, "docs/api.md has a heading per route");
        for (route, _) in MASTER_ROUTES {
            let word = format!("`/{route}`");
            assert!(page.contains(&word), "docs/api.md does not mention {word}");
        }
        for kind in shoal_master::What::NAMES {
            let row = format!("| `{kind}` |");
            assert!(page.contains(&row), "docs/api.md does not describe {kind}");
        }
    }
}
