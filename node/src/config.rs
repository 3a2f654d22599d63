//! What one node is told: its flags, checked and completed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use shoal_api::agent::{AttributeValue, HostPort};
use shoal_api::{Amount, Attribute, Name, Resources};

use crate::cli::flags::{HostPortFlag, NodeFlags};
use crate::cli::{Exit, Failure};
use crate::machine::Machine;
use crate::roles::NodeRoles;

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
    /// What the agent offers.
    pub resources: Resources,
    /// What distinguishes the agent.
    pub attributes: Vec<Attribute>,
    /// The gossip's label.
    pub cluster: String,
    /// Whether to end when standard input does.
    pub lifeline: bool,
    /// Whether strangers may reach it.
    pub insecure: bool,
}

impl NodeConfig {
    /// Checks flags and fills in what they leave open.
    ///
    /// # Errors
    /// [`Exit::Usage`] with what to do, or [`Exit::Failed`] if the machine does not tell.
    pub fn from_flags(flags: NodeFlags) -> Result<NodeConfig, Failure> {
        let roles = NodeRoles::of(&flags.roles);
        let data = std::path::absolute(&flags.data).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("--data {} is no path: {error}", flags.data.display()),
                "",
            )
        })?;
        let listeners = [
            ("--gossip", flags.gossip),
            ("--peer", flags.peer),
            ("--http", flags.http),
            ("--agent-http", flags.agent_http),
        ];
        if !flags.insecure {
            let used = if roles.agent { 4 } else { 3 };
            refuse_open(&listeners[..used])?;
        }
        if flags.bootstrap_expect.is_some() && !roles.master {
            return Err(Failure::new(
                Exit::Usage,
                "--bootstrap-expect is for masters only",
                "add --roles master, or leave it out",
            ));
        }
        let resources = match flags.resources {
            Some(resources) => resources,
            None if roles.agent => detect(&data)?.share(0, 1),
            None => Resources::new(),
        };
        let gossip_advertise = flags.advertise_gossip.unwrap_or(flags.gossip);
        refuse_unspecified("--advertise-gossip", gossip_advertise)?;
        Ok(NodeConfig {
            name: flags.name.map_or_else(host_name, Ok)?,
            data,
            roles,
            join: flags.join.into_iter().map(|flag| flag.0).collect(),
            gossip: flags.gossip,
            gossip_advertise,
            peer: listen("--advertise-peer", flags.peer, flags.advertise_peer)?,
            http: listen("--advertise-http", flags.http, flags.advertise_http)?,
            agent_http: listen(
                "--advertise-agent-http",
                flags.agent_http,
                flags.advertise_agent_http,
            )?,
            bootstrap_expect: flags.bootstrap_expect,
            resources,
            attributes: attributes(flags.attributes.as_deref().unwrap_or_default())?,
            cluster: flags.cluster,
            lifeline: flags.lifeline,
            insecure: flags.insecure,
        })
    }
}

/// Looks at the machine.
///
/// # Errors
/// [`Exit::Failed`] with the flag that makes it needless.
pub fn detect(data: &std::path::Path) -> Result<Machine, Failure> {
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

fn refuse_open(listeners: &[(&str, SocketAddr)]) -> Result<(), Failure> {
    match listeners.iter().find(|(_, addr)| !addr.ip().is_loopback()) {
        None => Ok(()),
        Some((flag, addr)) => Err(Failure::new(
            Exit::Usage,
            format!(
                "{flag} {addr} can be reached by other machines, and nothing authenticates them"
            ),
            "anybody who reaches these ports can run commands here as this user: \
             listen on loopback, or add --insecure if the network itself keeps strangers out",
        )),
    }
}

fn refuse_unspecified(flag: &str, address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_unspecified() {
        return Err(Failure::new(
            Exit::Usage,
            format!("others cannot reach {address}"),
            format!("say by {flag} HOST:PORT how they reach this node"),
        ));
    }
    Ok(())
}

fn listen(
    flag: &str,
    bind: SocketAddr,
    advertise: Option<HostPortFlag>,
) -> Result<Listen, Failure> {
    let advertise = match advertise {
        Some(flag) => flag.0,
        None => {
            refuse_unspecified(flag, bind)?;
            HostPort::new(&bind.ip().to_string(), bind.port())
        }
    };
    Ok(Listen { bind, advertise })
}

fn host_name() -> Result<Name, Failure> {
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

/// Reads `rack:a;ssd:true;bays:[1-4];weight:1.5`. Source: Mesos' `--attributes`.
fn attributes(text: &str) -> Result<Vec<Attribute>, Failure> {
    let mut list = Vec::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let bad = |why: &str| {
            Failure::new(
                Exit::Usage,
                format!("attribute '{part}' cannot be read: {why}"),
                "attributes look like rack:a;weight:1.5;bays:[1-4]",
            )
        };
        let (name, value) = part.split_once(':').ok_or_else(|| bad("it has no ':'"))?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || value.is_empty() {
            return Err(bad("its name or its value is empty"));
        }
        let value = if value.starts_with('[') {
            let parsed =
                Resources::parse(&format!("x:{value}")).map_err(|error| bad(&error.to_string()))?;
            match parsed.get("x") {
                Some(shoal_api::Value::Ranges(ranges)) => AttributeValue::Ranges(ranges.clone()),
                Some(shoal_api::Value::Scalar(_) | shoal_api::Value::Set(_)) | None => {
                    return Err(bad("a range list is [BEGIN-END,...]"));
                }
            }
        } else {
            match value.parse().ok().and_then(Amount::from_f64) {
                Some(amount) => AttributeValue::Scalar(amount),
                None => AttributeValue::Text(Arc::from(value)),
            }
        };
        list.push(Attribute {
            name: Arc::from(name),
            value,
        });
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::cli::flags::{Command, Flags};

    fn config(arguments: &[&str]) -> Result<NodeConfig, Failure> {
        let all = ["shoal", "node", "--name", "n"].iter().chain(arguments);
        let flags = Flags::try_parse_from(all).expect("flags that parse");
        let Command::Node(flags) = flags.command else {
            panic!("not a node");
        };
        NodeConfig::from_flags(*flags)
    }

    #[test]
    fn an_open_listener_needs_a_word() {
        let failure = config(&["--peer", "0.0.0.0:7947"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.contains("--insecure"), "{failure}");
        let failure = config(&["--peer", "0.0.0.0:7947", "--insecure"]).unwrap_err();
        assert!(failure.hint.contains("--advertise-peer"), "{failure}");
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
    }

    #[test]
    fn only_masters_bootstrap() {
        assert!(config(&["--bootstrap-expect", "3"]).is_err());
        assert!(config(&["--bootstrap-expect", "3", "--roles", "agent,master"]).is_ok());
    }

    #[test]
    fn attributes_have_three_kinds() {
        let list = attributes("rack:a; weight:1.5;bays:[1-4]").unwrap();
        assert_eq!(list[0].value, AttributeValue::Text(Arc::from("a")));
        assert_eq!(list[1].value, AttributeValue::Scalar(Amount(1500)));
        assert!(matches!(&list[2].value, AttributeValue::Ranges(r) if r.len() == 1));
        assert!(attributes("rack").is_err());
    }
}
