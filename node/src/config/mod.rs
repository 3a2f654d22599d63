//! What one node is told: flags, environment and file, checked and completed.
//!
//! [`settings`] is the one table of all keys; [`layers`] puts the sources over each other; [`check`]
//! refuses what makes no sense together; [`reload`] does it again while the node runs.

pub mod attributes;
pub mod check;
pub(crate) mod file;
pub mod flags;
pub mod given_tags;
pub mod gossip;
pub mod key;
pub mod layers;
pub mod problem;
pub mod reference;
pub mod reload;
pub mod settings;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shoal_api::agent::HostPort;
use shoal_api::member::Tags;
use shoal_api::{Attribute, Name, Resources};
use shoal_membership::{Label, Profile, Tuning};

use crate::cli::{Exit, Failure};
use crate::handlers::HandlerSpec;
use crate::keyring;
use crate::machine::Machine;
use crate::roles::NodeRoles;
use attributes::Attributes;
use flags::NodeFlags;
use layers::Layers;
use problem::Problems;
use settings::Settings;

/// A listener: where it binds, and how others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Bound here.
    pub bind: SocketAddr,
    /// Told to others.
    pub advertise: HostPort,
}

/// One node's configuration.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its label.
    pub name: Name,
    /// Where everything durable is; absolute.
    pub data: PathBuf,
    /// What it is.
    pub roles: NodeRoles,
    /// Gossip addresses to join through; resolved when they are used.
    pub join: Vec<HostPort>,
    /// Gossip binds here.
    pub gossip: SocketAddr,
    /// Gossip is reached here.
    pub gossip_advertise: SocketAddr,
    /// The peer port.
    pub peer: Listen,
    /// The API.
    pub http: Listen,
    /// The agent's API; bound on agents only.
    pub agent_http: Listen,
    /// For the first start of a master.
    pub bootstrap_expect: Option<u8>,
    /// How long a master must be dead until a spare takes its place.
    pub replace_dead: Duration,
    /// After how long an unanswered offer is taken back; never without it.
    pub offer_timeout: Option<Duration>,
    /// What the agent offers.
    pub resources: Resources,
    /// What distinguishes the agent.
    pub attributes: Vec<Attribute>,
    /// The gossip's label.
    pub cluster: Label,
    /// How patient the gossip is; by its address without it.
    pub gossip_profile: Option<Profile>,
    /// What is other than the profile says.
    pub gossip_tuning: Tuning,
    /// How long failed members are remembered.
    pub gossip_keep_failed: Duration,
    /// How long members that left are remembered.
    pub gossip_keep_left: Duration,
    /// Tags that others find it by.
    pub tags: Tags,
    /// Scripts that run on what happens among the members.
    pub event_handlers: Vec<HandlerSpec>,
    /// Whether it is told the events of before it joined.
    pub replay_events: bool,
    /// Whether it joins those that it knew, though it left for good.
    pub rejoin_after_leave: bool,
    /// Who must have a key of the gossip, and where keys come from.
    pub keys: keyring::Given,
    /// Whether strangers may reach it.
    pub insecure: bool,
}

/// Settings, and where each of them comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub settings: Settings,
    /// Who said so.
    pub layers: Layers,
}

/// What holds for a node that is started with these flags in the environment of this process.
///
/// # Errors
/// Everything that is wrong.
pub fn load(flags: &NodeFlags) -> Result<Loaded, Problems> {
    checked(Layers::gather(flags, |name| std::env::var_os(name)))
}

/// What a file says, with nothing from flags and environment.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_file(file: &Path) -> Result<Loaded, Problems> {
    checked(Layers::of_file(file))
}

pub(crate) fn checked(layers: Layers) -> Result<Loaded, Problems> {
    let settings = Settings::of(&layers).map_err(Problems)?;
    let found = check::contradictions(&settings, &layers);
    match found.is_empty() {
        true => Ok(Loaded { settings, layers }),
        false => Err(Problems(found)),
    }
}

impl NodeConfig {
    /// Completes settings by what the machine says.
    ///
    /// # Errors
    /// [`Exit::Usage`] with what to do, or [`Exit::Failed`] if the machine does not tell.
    pub fn of(settings: Settings) -> Result<NodeConfig, Failure> {
        let roles = NodeRoles::of(&settings.roles);
        let data = std::path::absolute(&settings.data).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("data {} is no path: {error}", settings.data.display()),
                "",
            )
        })?;
        let gossip_tuning = tuning(&settings);
        let keys = settings.keys();
        let resources = match settings.resources {
            Some(resources) => resources,
            None if roles.agent => detect(&data)?.share(0, 1),
            None => Resources::new(),
        };
        let attributes = settings.attributes.as_ref();
        Ok(NodeConfig {
            name: settings.name.map_or_else(host_name, Ok)?,
            data,
            roles,
            join: settings.join,
            gossip: settings.gossip,
            gossip_advertise: settings.advertise_gossip.unwrap_or(settings.gossip),
            peer: listen(settings.peer, settings.advertise_peer),
            http: listen(settings.http, settings.advertise_http),
            agent_http: listen(settings.agent_http, settings.advertise_agent_http),
            bootstrap_expect: settings.bootstrap_expect.map(|size| size.0),
            replace_dead: settings.replace_dead.duration(),
            offer_timeout: settings.offer_timeout.map(|seconds| seconds.duration()),
            resources,
            attributes: attributes.map_or(&[][..], Attributes::list).to_vec(),
            cluster: settings.cluster,
            gossip_profile: settings.gossip_profile.map(|profile| profile.0),
            gossip_tuning,
            gossip_keep_failed: settings.gossip_keep_failed.duration(),
            gossip_keep_left: settings.gossip_keep_left.duration(),
            tags: settings.tags.get().clone(),
            event_handlers: settings.event_handlers,
            replay_events: settings.replay_events,
            rejoin_after_leave: settings.rejoin_after_leave,
            keys,
            insecure: settings.insecure,
        })
    }
}

fn tuning(settings: &Settings) -> Tuning {
    let time = |millis: Option<gossip::Millis>| millis.map(gossip::Millis::duration);
    let count = |few: Option<gossip::Few>| few.map(|few| few.0);
    Tuning {
        probe_interval: time(settings.gossip_probe_interval),
        probe_timeout: time(settings.gossip_probe_timeout),
        suspicion: time(settings.gossip_suspicion),
        gossip_interval: time(settings.gossip_interval),
        gossip_fanout: count(settings.gossip_fanout),
        retransmit: count(settings.gossip_retransmit),
        sync_interval: time(settings.gossip_sync_interval),
        reconnect_interval: time(settings.gossip_reconnect_interval),
    }
}

/// Looks at the machine.
///
/// # Errors
/// [`Exit::Failed`] with the key that makes it needless.
pub fn detect(data: &Path) -> Result<Machine, Failure> {
    Machine::detect(data).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot find out what this machine has: {error}"),
            "say what to offer by --resources",
        )
    })
}

/// Resolves a host and port to all its addresses.
///
/// # Errors
/// The resolver's.
pub fn resolve(address: &HostPort) -> std::io::Result<Vec<SocketAddr>> {
    Ok((&*address.host, address.port).to_socket_addrs()?.collect())
}

fn listen(bind: SocketAddr, advertise: Option<HostPort>) -> Listen {
    Listen {
        bind,
        advertise: advertise.unwrap_or_else(|| HostPort::new(&bind.ip().to_string(), bind.port())),
    }
}

/// The name of a node that is given none.
///
/// # Errors
/// [`Exit::Usage`] if the machine's name is no name of a node.
pub fn host_name() -> Result<Name, Failure> {
    let uname = rustix::system::uname();
    let text = uname.nodename().to_string_lossy();
    Name::new(&text).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("the host name is no node name: {error}"),
            "name the node by --name",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<NodeConfig, Failure> {
        let all = [&["--name", "n", "--config="][..], arguments].concat();
        NodeConfig::of(load(&NodeFlags::of(&all))?.settings)
    }

    #[test]
    fn an_open_listener_needs_a_word() {
        let failure = config(&["--peer", "0.0.0.0:7947"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let text = failure.to_string();
        assert!(
            text.contains("--peer: ") && text.contains("add --insecure"),
            "{text}"
        );
        assert!(text.contains("advertise_peer"), "both are told: {text}");
        let failure = config(&["--peer", "0.0.0.0:7947", "--insecure"]).unwrap_err();
        assert!(failure.hint.contains("advertise_peer"), "{failure}");
        let open = [
            "--peer",
            "0.0.0.0:7947",
            "--insecure",
            "--advertise-peer",
            "a:7947",
        ];
        assert_eq!(
            config(&open).unwrap().peer.advertise,
            HostPort::new("a", 7947)
        );
        assert!(config(&["--peer", "[::1]:7947"]).is_ok());
        assert!(
            config(&["--agent-http", "0.0.0.0:5051"]).is_ok(),
            "no agent listens there"
        );
    }

    #[test]
    fn two_listeners_do_not_share_a_port() {
        let failure = config(&["--http", "127.0.0.1:7947"]).unwrap_err();
        assert!(failure.error.contains("so is peer"), "{failure}");
        assert!(config(&["--http", "127.0.0.2:7947"]).is_ok());
        assert!(config(&["--http", "127.0.0.1:0", "--peer", "127.0.0.1:0"]).is_ok());
    }

    #[test]
    fn only_masters_bootstrap() {
        let failure = config(&["--bootstrap-expect", "3"]).unwrap_err();
        assert!(
            failure.error.starts_with("--bootstrap-expect: "),
            "{failure}"
        );
        assert!(config(&["--bootstrap-expect", "3", "--roles", "agent,master"]).is_ok());
    }
}
