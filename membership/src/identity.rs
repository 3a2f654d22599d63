//! The identity of a member on the gossip, and its fixed binary form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut};
use shoal_api::{Generation, NodeId};

const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;

/// Who a member is at one time of its life. `foca` keeps one identity per node: the highest by
/// generation, then renewal, then address.
///
/// Invariants: the node is not zero; the generation is 1 to `u32::MAX`; the port is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub node: NodeId,
    pub generation: Generation,
    /// Raised in memory whenever others took the node for dead.
    pub renewal: u32,
    pub address: SocketAddr,
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Identity> {
        let renewal = self.renewal.checked_add(1)?;
        Some(Identity { renewal, ..*self })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Identity) -> bool {
        debug_assert_eq!(self.node, adversary.node);
        self > adversary
    }
}

impl Identity {
    /// Bytes that [`Identity::encode`] writes.
    pub fn encoded_len(&self) -> usize {
        let address = match self.address {
            SocketAddr::V4(_) => 4,
            SocketAddr::V6(_) => 16,
        };
        16 + 4 + 4 + 1 + address + 2
    }

    /// Writes it: node, generation, renewal, family, address, port; big endian.
    pub fn encode(&self, buffer: &mut impl BufMut) {
        buffer.put_u128(self.node.0);
        buffer.put_u32(narrow(self.generation));
        buffer.put_u32(self.renewal);
        match self.address.ip() {
            IpAddr::V4(ip) => {
                buffer.put_u8(FAMILY_V4);
                buffer.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                buffer.put_u8(FAMILY_V6);
                buffer.put_slice(&ip.octets());
            }
        }
        buffer.put_u16(self.address.port());
    }

    /// Reads one; nothing if it is cut short or breaks an invariant.
    pub fn decode(buffer: &mut impl Buf) -> Option<Identity> {
        let node = NodeId(buffer.try_get_u128().ok()?);
        let generation = Generation(u64::from(buffer.try_get_u32().ok()?));
        let renewal = buffer.try_get_u32().ok()?;
        let ip = match buffer.try_get_u8().ok()? {
            FAMILY_V4 => IpAddr::V4(Ipv4Addr::from_bits(buffer.try_get_u32().ok()?)),
            FAMILY_V6 => IpAddr::V6(Ipv6Addr::from_bits(buffer.try_get_u128().ok()?)),
            _ => return None,
        };
        let port = buffer.try_get_u16().ok()?;
        let valid =
            node != NodeId(0) && generation != Generation(0) && !ip.is_unspecified() && port != 0;
        valid.then_some(Identity {
            node,
            generation,
            renewal,
            address: SocketAddr::new(ip, port),
        })
    }

    /// Reads one that fills the whole slice.
    pub fn decode_all(mut bytes: &[u8]) -> Option<Identity> {
        let identity = Identity::decode(&mut bytes)?;
        bytes.is_empty().then_some(identity)
    }

    /// Its binary form, alone.
    pub fn to_bytes(self) -> bytes::Bytes {
        let mut buffer = Vec::with_capacity(self.encoded_len());
        self.encode(&mut buffer);
        buffer.into()
    }
}

/// A generation as the gossip carries it; the configuration refuses longer ones.
fn narrow(generation: Generation) -> u32 {
    u32::try_from(generation.0).expect("generations beyond 32 bits are refused at the border")
}

#[cfg(test)]
pub(crate) mod tests {
    use foca::Identity as _;

    use super::*;

    pub fn identity(node: u128, generation: u64, renewal: u32, address: &str) -> Identity {
        Identity {
            node: NodeId(node),
            generation: Generation(generation),
            renewal,
            address: address.parse().expect("a socket address"),
        }
    }

    #[test]
    fn round_trip_and_every_cut() {
        for address in ["10.1.2.3:7946", "[fd00::1]:7946"] {
            let one = identity(7, 3, 2, address);
            let bytes = one.to_bytes();
            assert_eq!(bytes.len(), one.encoded_len());
            assert!(bytes.len() <= crate::limits::IDENTITY_BYTES);
            assert_eq!(Identity::decode_all(&bytes), Some(one));
            for cut in 0..bytes.len() {
                assert_eq!(Identity::decode_all(&bytes[..cut]), None, "cut at {cut}");
            }
            let mut longer = bytes.to_vec();
            longer.push(0);
            assert_eq!(Identity::decode_all(&longer), None);
        }
    }

    #[test]
    fn broken_invariants_are_refused() {
        for bad in [
            identity(0, 1, 0, "10.0.0.1:1"),
            identity(1, 0, 0, "10.0.0.1:1"),
            identity(1, 1, 0, "0.0.0.0:1"),
            identity(1, 1, 0, "10.0.0.1:0"),
        ] {
            assert_eq!(Identity::decode_all(&bad.to_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_newer_life_wins_over_any_renewal() {
        let old = identity(1, 1, 900, "10.0.0.9:1");
        let new = identity(1, 2, 0, "10.0.0.1:1");
        assert!(new.win_addr_conflict(&old));
        assert!(!old.win_addr_conflict(&new));
        let renewed = old.renew().expect("renewals are left");
        assert!(renewed.win_addr_conflict(&old));
    }
}
