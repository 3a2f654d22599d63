//! Ports: free for a node that is to start, held and reachable for one that runs.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use shoal_api::agent::HostPort;

use super::data::{Running, program};
use super::{Finding, Listener, ok, wrong};
use crate::config::{NodeConfig, resolve};
use crate::limits::DOCTOR_ANSWER;

/// How a listener is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

/// Looks at every port of the node, and at the names of those that it joins through.
pub fn look(
    config: &NodeConfig,
    listeners: &[Listener],
    running: Option<Running>,
    findings: &mut Vec<Finding>,
) {
    for (key, address) in listeners {
        let (protocol, advertise) = match *key {
            "gossip" => (Protocol::Udp, None),
            "peer" if !config.roles.master => continue,
            "peer" => (Protocol::Tcp, Some(&config.peer.advertise)),
            "http" => (Protocol::Tcp, Some(&config.http.advertise)),
            _ => (Protocol::Tcp, Some(&config.agent_http.advertise)),
        };
        let check = format!("port {key}");
        findings.push(match running {
            Some(running) => held(check, key, *address, protocol, advertise, running),
            None => free(check, key, *address, protocol, advertise),
        });
    }
    for seed in &config.join {
        if let Err(error) = resolve(seed) {
            findings.push(wrong(
                "join",
                format!("{seed} has no address: {error}"),
                "correct the name, or the machine's resolver",
            ));
        }
    }
}

/// The port of a node that runs.
fn held(
    check: String,
    key: &str,
    address: SocketAddr,
    protocol: Protocol,
    advertise: Option<&HostPort>,
    running: Running,
) -> Finding {
    let mine = sockets(running.pid);
    let open = listening(protocol, address);
    if !mine.is_empty() && !open.iter().any(|inode| mine.contains(inode)) {
        return wrong(
            check,
            format!("process {} does not listen on {address}", running.pid),
            format!("it runs with another configuration: restart it, or correct {key}"),
        );
    }
    match advertise.map(|advertise| (advertise, reach(advertise))) {
        Some((advertise, Err(error))) => wrong(
            check,
            format!("{address} is held by the node, but {advertise} does not answer: {error}"),
            format!("others use that address: correct advertise_{key}, or open the way to it"),
        ),
        Some((advertise, Ok(()))) => ok(check, format!("{address}, reached as {advertise}")),
        None => ok(check, format!("{address}, held by the node")),
    }
}

fn reach(advertise: &HostPort) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in resolve(advertise)? {
        match TcpStream::connect_timeout(&address, DOCTOR_ANSWER) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The port of a node that is to start.
fn free(
    check: String,
    key: &str,
    address: SocketAddr,
    protocol: Protocol,
    advertise: Option<&HostPort>,
) -> Finding {
    if let Err(error) = try_bind(address, protocol) {
        let (found, remedy) = match error.kind() {
            io::ErrorKind::AddrInUse => (
                format!("{address} is taken{}", taker(protocol, address)),
                format!("end that process, or choose another port by {key}"),
            ),
            io::ErrorKind::AddrNotAvailable => (
                format!(
                    "no interface of this machine has the address {}",
                    address.ip()
                ),
                format!("bring the interface up, or correct {key}; `ip address` lists them"),
            ),
            io::ErrorKind::PermissionDenied => (
                format!("this user may not listen on {address}"),
                format!("choose a port from 1024 on by {key}"),
            ),
            _ => (
                format!("cannot listen on {address}: {error}"),
                String::new(),
            ),
        };
        return wrong(check, found, remedy);
    }
    match advertise.map(|advertise| (advertise, resolve(advertise))) {
        Some((advertise, Err(error))) => wrong(
            check,
            format!("others are told {advertise}, which has no address: {error}"),
            format!("correct advertise_{key}, or the machine's resolver"),
        ),
        Some((_, Ok(_))) | None => ok(check, format!("{address} is free")),
    }
}

/// Binds as a node would, without listening, and lets go.
fn try_bind(address: SocketAddr, protocol: Protocol) -> io::Result<()> {
    match protocol {
        Protocol::Udp => UdpSocket::bind(address).map(drop),
        Protocol::Tcp => {
            let family = match address {
                SocketAddr::V4(_) => AddressFamily::INET,
                SocketAddr::V6(_) => AddressFamily::INET6,
            };
            let socket = socket(family, SocketType::STREAM, None)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            Ok(bind(&socket, &address)?)
        }
    }
}

/// Who has the port, as far as this user may see.
fn taker(protocol: Protocol, address: SocketAddr) -> String {
    let open = listening(protocol, address);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        if sockets(pid).iter().any(|inode| open.contains(inode)) {
            return format!(" by process {pid}{}", program(pid));
        }
    }
    String::new()
}

/// The sockets that a process holds; none if this user may not see.
fn sockets(pid: u32) -> Vec<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"));
    let links = open
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| {
            let text = link.to_str()?.strip_prefix("socket:[")?;
            text.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

/// The sockets that listen on an address, or on all addresses at its port.
fn listening(protocol: Protocol, address: SocketAddr) -> Vec<u64> {
    let files = match protocol {
        Protocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Protocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let tables = files.map(|file| fs::read_to_string(file).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    lines
        .filter_map(|line| listener(protocol, line))
        .filter(|(local, _)| {
            let everywhere = local.ip().is_unspecified() || address.ip().is_unspecified();
            local.port() == address.port() && (everywhere || local.ip() == address.ip())
        })
        .map(|(_, inode)| inode)
        .collect()
}

/// A line of the kernel's tables of sockets, if that one listens.
fn listener(protocol: Protocol, line: &str) -> Option<(SocketAddr, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
    // In state 0A a TCP socket listens; a UDP socket always does.
    if protocol == Protocol::Tcp && *state != "0A" {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits in the machine's order.
    let word = |at: usize| {
        Some(
            u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0_u8; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((SocketAddr::new(ip, port), inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;
    use std::net::TcpListener;

    #[test]
    fn who_has_a_port_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let told = || free("port http".to_owned(), "http", address, Protocol::Tcp, None);
        let finding = told();
        assert_eq!(finding.status, Status::Wrong);
        let me = format!("process {}", std::process::id());
        assert!(finding.found.contains(&me), "{finding:?}");
        drop(taken);
        assert_eq!(told().status, Status::Ok);
        let elsewhere = free(
            "port http".to_owned(),
            "http",
            "192.0.2.1:5050".parse().unwrap(),
            Protocol::Tcp,
            None,
        );
        assert!(elsewhere.found.contains("no interface"), "{elsewhere:?}");
    }

    #[test]
    fn sockets_of_both_families_are_read() {
        let line =
            "0: 0100007F:13BA 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1";
        let read = listener(Protocol::Tcp, line);
        assert_eq!(read, Some(("127.0.0.1:5050".parse().unwrap(), 77)));
        assert_eq!(listener(Protocol::Tcp, &line.replace("0A", "01")), None);
        let line = "0: 00000000000000000000000001000000:13BA 0:0 07 0:0 00:0 0 0 0 5 2";
        let read = listener(Protocol::Udp, line);
        assert_eq!(read, Some(("[::1]:5050".parse().unwrap(), 5)));
    }
}
