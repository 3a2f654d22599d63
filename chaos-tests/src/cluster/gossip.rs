//! The members: each node's gossip machine, and what nodes make of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::member::{Member, MemberEvent, MemberStatus, Tags};
use shoal_api::{HostPort, Name, NodeId};
use shoal_membership::{Config, Input, Label, Membership, NodeTags, Output};

use super::{CLUSTER, Cluster, Event, MASTERS, NODES, Packet};
use crate::invariants::Fact;
use crate::network::Host;
use crate::plant::Plant;

/// One node's gossip.
#[derive(Debug, Default)]
pub(super) struct Gossip {
    machine: Option<Membership>,
    wake: Option<shoal_api::Instant>,
    /// Somebody declared this life dead, or may have taken it for the one before.
    declared: bool,
    renewals: u64,
}

impl Gossip {
    pub(super) fn stop(&mut self) {
        *self = Gossip::default();
    }
}

/// After the last fault, how long a suspect may take to hear of it and to refute.
const QUIET: Duration = Duration::from_secs(3);

/// The member that an event declares dead.
fn declared_dead(event: &MemberEvent) -> Option<&Member> {
    match event {
        MemberEvent::StatusChanged(member) => {
            (member.status == MemberStatus::Failed).then_some(member)
        }
        MemberEvent::Joined(_) | MemberEvent::Updated(_) | MemberEvent::Reaped(_) => None,
    }
}

/// Where a host gossips.
fn address(host: Host) -> SocketAddr {
    let ip = Ipv4Addr::new(10, 0, 0, host.0 as u8 + 1);
    SocketAddr::new(IpAddr::V4(ip), 7946)
}

fn host_at(address: SocketAddr) -> Option<Host> {
    let IpAddr::V4(ip) = address.ip() else {
        return None;
    };
    let host = usize::from(ip.octets()[3]).checked_sub(1)?;
    (host < NODES).then_some(Host(host))
}

/// Where a host's peer port is.
pub(super) fn peer(host: Host) -> HostPort {
    HostPort::new(&format!("10.0.0.{}", host.0 + 1), 7947)
}

/// The host behind a peer address.
pub(super) fn host_of(peer: &HostPort) -> Option<Host> {
    host_at(SocketAddr::new(peer.ip()?, peer.port))
}

impl Cluster {
    /// A node's label and identity.
    pub(super) fn identity(&self, host: Host) -> (Name, NodeId) {
        let name = if host.0 < MASTERS {
            format!("master-{}", host.0)
        } else {
            format!("agent-{}", host.0 - MASTERS)
        };
        let node = if host.0 < MASTERS {
            self.masters[host.0].node
        } else {
            self.agents[host.0 - MASTERS].node
        };
        (
            Name::new(&name).expect("letters and digits are a name"),
            node,
        )
    }

    pub(super) fn start_gossip(&mut self, host: Host) {
        let (name, node) = self.identity(host);
        let mut tags = Tags::new();
        let mut tag = |key: &str, value: String| tags.insert(Arc::from(key), Arc::from(value));
        tag("cluster", CLUSTER.to_string());
        let generation = if host.0 < MASTERS {
            tag("roles", "master".to_owned());
            tag("raft_id", self.masters[host.0].raft.to_string());
            self.masters[host.0].raise_generation()
        } else {
            tag("roles", "agent".to_owned());
            self.agents[host.0 - MASTERS].raise_generation()
        };
        let seed = self.dice.next_u64();
        let label = Label::new("").expect("an empty label is short");
        let mut config = Config::new(node, generation, name, label, address(host), seed);
        config.plants = Plant::machine(self.plant);
        config.tags = NodeTags::new(tags).expect("the tags are few");
        let now = self.hosts.clock(host, self.queue.now());
        let mut machine = Membership::new(config, now).expect("the configuration is sound");
        let seeds = (0..MASTERS).map(|at| address(Host(at))).collect();
        machine.step(now, Input::Join { seeds });
        self.gossips[host.0] = Gossip {
            machine: Some(machine),
            ..Gossip::default()
        };
        self.pump_gossip(host);
    }

    pub(super) fn gossip_heard(&mut self, from: Host, to: Host, bytes: Bytes) {
        self.step_gossip(
            to,
            Input::Datagram {
                from: address(from),
                bytes,
            },
        );
    }

    pub(super) fn wake_gossip(&mut self, host: Host) {
        let now = self.queue.now();
        if self.gossips[host.0].wake.is_some_and(|at| at <= now) {
            self.gossips[host.0].wake = None;
            self.step_gossip(host, Input::Wake);
        }
    }

    fn step_gossip(&mut self, host: Host, input: Input) {
        let now = self.hosts.clock(host, self.queue.now());
        if let Some(machine) = &mut self.gossips[host.0].machine {
            machine.step(now, input);
        }
        self.pump_gossip(host);
    }

    fn pump_gossip(&mut self, host: Host) {
        while let Some(output) = self.gossips[host.0]
            .machine
            .as_mut()
            .and_then(Membership::poll_output)
        {
            match output {
                Output::Datagram { to, bytes } => {
                    if let Some(to) = host_at(to) {
                        self.send_datagram(host, to, Packet::Gossip(bytes));
                    }
                }
                // Only datagrams here: whatever goes by stream must work without.
                Output::Open { stream, .. } => {
                    let now = self.hosts.clock(host, self.queue.now());
                    if let Some(machine) = &mut self.gossips[host.0].machine {
                        machine.step(now, Input::Closed { stream });
                    }
                }
                Output::Frame { .. } | Output::Close { .. } => {}
                Output::Event(event) => {
                    self.check_declared(host, &event);
                    if host.0 < MASTERS {
                        let failure = declared_dead(&event).is_some();
                        if failure && self.plant == Some(Plant::FailuresUnheard) {
                            continue;
                        }
                        self.step_master(host, shoal_master::Input::Member(event));
                    } else {
                        self.masters_seen(host);
                    }
                }
                // A wiped master's name is still its old self's until that one has failed.
                Output::NameRefused { .. } => {}
                Output::Superseded { by } => {
                    let detail = format!("host {} is superseded by life {by}", host.0);
                    self.tell(&Fact::Unsettled(detail));
                }
                Output::Left
                | Output::UserEvent(_)
                | Output::Query(_)
                | Output::Reply { .. }
                | Output::QueryEnded { .. } => {}
            }
        }
        self.check_renewals(host);
        let life = self.hosts.get(host).life;
        let gossip = &mut self.gossips[host.0];
        let Some(deadline) = gossip.machine.as_ref().and_then(Membership::next_deadline) else {
            return;
        };
        let at = self.hosts.when(host, deadline).max(self.queue.now());
        if gossip.wake.is_none_or(|planned| at < planned) {
            gossip.wake = Some(at);
            self.queue.push(at, Event::WakeGossip { host, life });
        }
    }

    /// A member takes a new identity only if somebody declared it dead.
    fn check_renewals(&mut self, host: Host) {
        let gossip = &mut self.gossips[host.0];
        let renewals = gossip.machine.as_ref().map(|m| m.stats().renewals);
        let renewals = renewals.unwrap_or_default();
        if renewals > gossip.renewals && !gossip.declared {
            let detail = format!(
                "host {} is told that it is dead, and nobody thinks so",
                host.0
            );
            self.tell(&Fact::DeclaredDead(detail));
        }
        self.gossips[host.0].renewals = renewals;
    }

    /// A member that has been up among friends for a while is not declared dead.
    fn check_declared(&mut self, host: Host, event: &MemberEvent) {
        let (troubles, last) = self.trouble;
        let Some(member) = declared_dead(event) else {
            return;
        };
        let Some(other) = host_at(member.gossip) else {
            return;
        };
        self.gossips[other.0].declared = true;
        if troubles > 0 || self.queue.now().since(last) < QUIET {
            return;
        }
        let (_, node) = self.identity(other);
        if self.hosts.get(other).up && node == member.id {
            let (host, other) = (host.0, other.0);
            let detail = format!("host {host} declares host {other} dead, which runs");
            self.tell(&Fact::DeclaredDead(detail));
        }
    }

    /// What a host's gossip makes of a node.
    pub(super) fn status_at(&self, host: Host, node: NodeId) -> Option<MemberStatus> {
        let mut members = self.gossips[host.0].machine.as_ref()?.members();
        let found = members.find(|member| member.id == node);
        found.map(|member| member.status)
    }

    /// The masters that a node sees by gossip, with their nodes.
    pub(super) fn masters_in_gossip(&self, host: Host) -> Vec<(NodeId, HostPort)> {
        let Some(machine) = &self.gossips[host.0].machine else {
            return Vec::new();
        };
        let living = machine.members().filter(|member| match member.status {
            MemberStatus::Alive | MemberStatus::Suspect => member.tags.contains_key("raft_id"),
            MemberStatus::Leaving | MemberStatus::Left | MemberStatus::Failed => false,
        });
        living
            .filter_map(|member| Some((member.id, peer(host_at(member.gossip)?))))
            .collect()
    }
}
