//! Which nodes a development cluster has: names, roles, addresses, folders. Pure; starts nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use shoal_api::agent::HostPort;
use shoal_api::{Name, Resources};
use shoal_membership::Label;

use super::folder;
use crate::cli::flags::DevFlags;
use crate::cli::{Exit, Failure};
use crate::config::key::{KeyFile, QuorumSize};
use crate::config::settings::{self, Settings};
use crate::machine::Machine;
use crate::roles::NodeRole;

/// The ports of a cluster whose API is at 5050; all shift by as much as the API's does.
const API_PORT: u16 = 5050;
const GOSSIP_PORT: u16 = 7946;
const PEER_PORT: u16 = 7947;

/// The ports that every node of one cluster uses, each on an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The API.
    pub http: u16,
    /// The agent's API.
    pub agent_http: u16,
    /// Gossip.
    pub gossip: u16,
    /// Peers.
    pub peer: u16,
}

impl Ports {
    /// Derives the others from that of the API.
    ///
    /// # Errors
    /// [`Exit::Usage`] if one of them would be out of range.
    pub fn following(http: u16) -> Result<Ports, Failure> {
        let shift = i32::from(http) - i32::from(API_PORT);
        let shifted = |port: u16| {
            u16::try_from(i32::from(port) + shift)
                .ok()
                .filter(|port| *port > 0)
        };
        let ports = (http != 0).then_some(()).and_then(|()| {
            Some(Ports {
                http,
                agent_http: http.checked_add(1)?,
                gossip: shifted(GOSSIP_PORT)?,
                peer: shifted(PEER_PORT)?,
            })
        });
        ports.ok_or_else(|| {
            let top = u16::MAX - (PEER_PORT - API_PORT);
            Failure::new(
                Exit::Usage,
                format!("port {http} leaves no room for the other ports, which follow it"),
                format!("choose a port from 1 to {top} by --http"),
            )
        })
    }
}

/// The folder that belongs to an API address, unless the user names one.
pub fn data_folder(flags: &DevFlags) -> Result<PathBuf, Failure> {
    let folder = match &flags.data {
        Some(folder) => folder.clone(),
        None => {
            let ip = flags.http.ip();
            let name = match ip == IpAddr::V4(Ipv4Addr::LOCALHOST) {
                true => format!("dev-{}", flags.http.port()),
                false => format!("dev-{ip}-{}", flags.http.port()).replace(':', "_"),
            };
            Path::new(".shoal").join(name)
        }
    };
    std::path::absolute(&folder).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("--data {} is no path: {error}", folder.display()),
            "",
        )
    })
}

/// All nodes, masters first. One that is master and agent if there is one of each.
///
/// # Errors
/// [`Exit::Usage`] if the addresses do not suffice or are not on loopback.
pub fn nodes(flags: &DevFlags, data: &Path, machine: Machine) -> Result<Vec<Settings>, Failure> {
    let ports = Ports::following(flags.http.port())?;
    let (masters, agents) = (u32::from(flags.masters), u32::from(flags.agents));
    let single = masters == 1 && agents <= 1;
    let count = if single { 1 } else { masters + agents };
    let addresses = addresses(flags.http.ip(), count)?;
    let seeds: Vec<HostPort> = addresses[..masters.min(count) as usize]
        .iter()
        .map(|ip| HostPort::new(&ip.to_string(), ports.gossip))
        .collect();
    let resources = |at: u32| match &flags.resources {
        Some(resources) => resources.clone(),
        None => machine.share(at, agents),
    };
    let mut nodes = Vec::new();
    for (at, ip) in (0_u32..).zip(&addresses) {
        let (name, roles, agent) = if single && agents == 1 {
            (
                "dev".to_owned(),
                vec![NodeRole::Master, NodeRole::Agent],
                Some(0),
            )
        } else if at < masters {
            (format!("master{}", at + 1), vec![NodeRole::Master], None)
        } else {
            let agent = at - masters;
            (
                format!("agent{}", agent + 1),
                vec![NodeRole::Agent],
                Some(agent),
            )
        };
        let master = roles.contains(&NodeRole::Master);
        nodes.push(Settings {
            data: data.join(&name),
            name: Some(Name::new(&name).expect("a made-up name is valid")),
            roles,
            join: joins(&seeds, at as usize),
            gossip: SocketAddr::new(*ip, ports.gossip),
            peer: SocketAddr::new(*ip, ports.peer),
            http: SocketAddr::new(*ip, ports.http),
            agent_http: SocketAddr::new(*ip, ports.agent_http),
            bootstrap_expect: master.then_some(QuorumSize(flags.masters)),
            resources: agent.map_or_else(|| Some(Resources::new()), |at| Some(resources(at))),
            gossip_key_file: Some(KeyFile(data.join(folder::KEY))),
            cluster: Label::new(&format!("dev-{}", ports.http)).expect("a made-up label is short"),
            ..Settings::default()
        });
    }
    Ok(nodes)
}

/// Every master but the node itself.
fn joins(seeds: &[HostPort], own: usize) -> Vec<HostPort> {
    let others = seeds.iter().enumerate().filter(|(at, _)| *at != own);
    others.map(|(_, seed)| seed.clone()).collect()
}

/// Loopback addresses from the first one on.
fn addresses(first: IpAddr, count: u32) -> Result<Vec<IpAddr>, Failure> {
    let bad = |why: &str| {
        Err(Failure::new(
            Exit::Usage,
            format!("--http {first}: {why}"),
            "a development cluster lives on loopback, 127.0.0.1 for example",
        ))
    };
    if !first.is_loopback() {
        return bad("other machines can reach this address");
    }
    let start = match first {
        IpAddr::V4(start) => u32::from(start),
        IpAddr::V6(_) if count == 1 => return Ok(vec![first]),
        IpAddr::V6(_) => return bad("there is only one loopback address of IPv6"),
    };
    let all = (start..start.saturating_add(count)).map(|bits| IpAddr::V4(Ipv4Addr::from(bits)));
    let all: Vec<IpAddr> = all.collect();
    if all.iter().any(|ip| !ip.is_loopback()) {
        return bad("not enough loopback addresses follow it");
    }
    Ok(all)
}

/// The arguments of a `shoal node` process whose life hangs on its standard input. What else stands
/// in the environment or in a file of this machine is not for it.
pub fn arguments(node: &Settings) -> Vec<String> {
    let mut list = vec!["node".to_owned(), "--config=".to_owned()];
    list.extend(settings::arguments(node));
    list.push("--lifeline".to_owned());
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::cli::flags::{Command, Flags};

    fn dev(arguments: &[&str]) -> DevFlags {
        let all = ["shoal", "dev"].iter().chain(arguments);
        let Command::Dev(flags) = Flags::try_parse_from(all).unwrap().command else {
            panic!("not dev");
        };
        flags
    }

    fn machine() -> Machine {
        Machine {
            cpus: 2,
            mem: 4096,
            disk: 50_000,
        }
    }

    #[test]
    fn ports_follow_the_api() {
        let ports = Ports::following(6050).unwrap();
        assert_eq!(
            (ports.agent_http, ports.gossip, ports.peer),
            (6051, 8946, 8947)
        );
        assert!(Ports::following(0).is_err());
        assert!(Ports::following(65_000).is_err());
        assert!(Ports::following(1).is_ok());
    }

    #[test]
    fn one_of_each_is_one_node() {
        let list = nodes(&dev(&[]), Path::new("/d"), machine()).unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].roles, [NodeRole::Master, NodeRole::Agent]);
        assert!(list[0].join.is_empty());
    }

    #[test]
    fn masters_come_first_and_everybody_joins_them() {
        let flags = dev(&[
            "--masters",
            "3",
            "--agents",
            "2",
            "--http",
            "127.0.0.5:6000",
        ]);
        let list = nodes(&flags, Path::new("/d"), machine()).unwrap();
        let names: Vec<&str> = list
            .iter()
            .map(|n| n.name.as_ref().unwrap().as_str())
            .collect();
        assert_eq!(names, ["master1", "master2", "master3", "agent1", "agent2"]);
        assert_eq!(list[4].http, "127.0.0.9:6000".parse().unwrap());
        assert_eq!(list[0].join.len(), 2);
        assert_eq!(list[4].join.len(), 3);
        assert_eq!(list[3].bootstrap_expect, None);
        assert_eq!(list[2].bootstrap_expect, Some(QuorumSize(3)));
    }

    #[test]
    fn the_process_gets_what_was_planned() {
        let flags = dev(&["--masters", "3", "--agents", "1"]);
        for node in nodes(&flags, Path::new("/d"), machine()).unwrap() {
            let all = std::iter::once("shoal".to_owned()).chain(arguments(&node));
            let Command::Node(read) = Flags::try_parse_from(all).unwrap().command else {
                panic!("not a node");
            };
            assert!(read.lifeline);
            let loaded = crate::config::load(&read).unwrap();
            assert_eq!(format!("{:?}", loaded.settings), format!("{node:?}"));
        }
    }

    #[test]
    fn other_machines_never_reach_it() {
        assert!(
            nodes(
                &dev(&["--http", "0.0.0.0:5050"]),
                Path::new("/d"),
                machine()
            )
            .is_err()
        );
        let many = dev(&["--http", "127.255.255.254:5050", "--masters", "3"]);
        assert!(nodes(&many, Path::new("/d"), machine()).is_err());
    }
}
