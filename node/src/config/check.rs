//! Values that are right each for itself and make no sense together.

use std::net::SocketAddr;

use super::layers::Layers;
use super::problem::Problem;
use super::settings::Settings;
use crate::roles::NodeRoles;

/// A key, what is wrong with its value, and what to do.
type Found = (&'static str, String, String);

/// Everything that makes no sense.
pub fn contradictions(settings: &Settings, layers: &Layers) -> Vec<Problem> {
    let listeners = listeners(settings);
    let mut found = Vec::new();
    if !settings.insecure {
        found.extend(open(&listeners));
    }
    found.extend(shared(&listeners));
    found.extend(unreachable(settings, &listeners));
    if settings.bootstrap_expect.is_some() && !NodeRoles::of(&settings.roles).master {
        found.push((
            "bootstrap_expect",
            "bootstrap_expect is for masters only, and this node is none".to_owned(),
            "add master to roles, or leave bootstrap_expect out".to_owned(),
        ));
    }
    if settings.gossip_key.is_some() && settings.gossip_key_file.is_some() {
        found.push((
            "gossip_key",
            "gossip_key and gossip_key_file are both set".to_owned(),
            "leave one of them out".to_owned(),
        ));
    }
    let problem = |(key, error, hint)| Problem {
        origin: layers.origin(key),
        key: Some(key),
        error,
        hint,
    };
    found.into_iter().map(problem).collect()
}

/// Listeners that strangers can reach.
fn open(listeners: &[(&'static str, SocketAddr)]) -> Vec<Found> {
    let open = listeners
        .iter()
        .filter(|(_, address)| !address.ip().is_loopback());
    let told = open.map(|(key, address)| {
        (
            *key,
            format!("{key} {address} can be reached by other machines, and nothing authenticates them"),
            "anybody who reaches these ports can run commands here as this user: listen on \
             loopback, or add --insecure (insecure = true) if the network itself keeps strangers out"
                .to_owned(),
        )
    });
    told.collect()
}

/// Listeners that would take each other's port.
fn shared(listeners: &[(&'static str, SocketAddr)]) -> Vec<Found> {
    let mut found = Vec::new();
    for (at, (key, address)) in listeners.iter().enumerate() {
        let mut before = listeners[..at].iter();
        if let Some((other, taken)) = before.find(|(_, other)| clash(*address, *other)) {
            found.push((
                *key,
                format!("{key} is {address}, and so is {other} ({taken})"),
                format!("give {key} another port"),
            ));
        }
    }
    found
}

/// Addresses that would be told to others and mean nothing to them.
fn unreachable(settings: &Settings, listeners: &[(&'static str, SocketAddr)]) -> Vec<Found> {
    let mut found = Vec::new();
    for (key, address) in listeners {
        let (advertise, unset) = match *key {
            "gossip" => ("advertise_gossip", settings.advertise_gossip.is_none()),
            "peer" => ("advertise_peer", settings.advertise_peer.is_none()),
            "http" => ("advertise_http", settings.advertise_http.is_none()),
            _ => (
                "advertise_agent_http",
                settings.advertise_agent_http.is_none(),
            ),
        };
        if unset && address.ip().is_unspecified() {
            found.push((
                *key,
                format!("{key} is {address}, which others cannot reach"),
                format!("say by {advertise} how they reach this node"),
            ));
        }
    }
    let gossip = settings.advertise_gossip;
    if let Some(address) = gossip.filter(|address| address.ip().is_unspecified()) {
        found.push((
            "advertise_gossip",
            format!("advertise_gossip is {address}, which others cannot reach"),
            "name the address that other nodes send to".to_owned(),
        ));
    }
    found
}

/// What a node of these roles listens on.
pub fn listeners(settings: &Settings) -> Vec<(&'static str, SocketAddr)> {
    let roles = NodeRoles::of(&settings.roles);
    let mut list = vec![("gossip", settings.gossip), ("peer", settings.peer)];
    list.push(("http", settings.http));
    if roles.agent {
        list.push(("agent_http", settings.agent_http));
    }
    list
}

/// Whether one process cannot listen on both. Port 0 is any free one.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || everywhere)
}
