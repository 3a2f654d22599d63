//! What a node is told before it gossips: who it is, where it is reached, how patient it is.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::member::Tags;
use shoal_api::{Generation, Name, NodeId, Plants};
use thiserror::Error;

use crate::keyring::Secrecy;
use crate::limits;
use crate::talk::Clocks;
use crate::timing::Timing;

/// Why a configuration cannot work. Nothing was started; the caller must give other values.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The node id is all zeroes.
    #[error("node id is zero")]
    NoNode,
    /// The generation is zero or has run out of the numbers that the gossip can carry.
    #[error("generation {generation} is not between 1 and {limit}", limit = u32::MAX)]
    Generation { generation: Generation },
    /// Nobody could reach that address.
    #[error("gossip address {address} cannot be reached by others")]
    Address { address: SocketAddr },
    /// A time is zero.
    #[error("{what} is zero")]
    Zero { what: &'static str },
    /// The stages of a probe do not fit the time between two probes.
    #[error(
        "a probe may wait {timeout:?} in each of three stages, which is too long for one every {interval:?}; raise the interval or lower the timeout"
    )]
    Probe {
        timeout: Duration,
        interval: Duration,
    },
}

/// Why a cluster label is refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cluster label has {bytes} bytes, at most {limit} are allowed", limit = limits::LABEL_BYTES)]
pub struct LabelError {
    bytes: usize,
}

/// Why tags are refused. Nothing changed; the caller must send fewer or shorter ones.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TagsError {
    /// Too many of them.
    #[error("node has {count} tags, at most {limit} are allowed", limit = limits::TAGS)]
    Count { count: usize },
    /// A key is empty or too long.
    #[error("tag key '{key}' has {bytes} bytes, 1 to {limit} are allowed", limit = limits::TAG_KEY_BYTES)]
    Key { key: Arc<str>, bytes: usize },
    /// A value is too long.
    #[error("value of tag '{key}' has {bytes} bytes, at most {limit} are allowed", limit = limits::TAG_VALUE_BYTES)]
    Value { key: Arc<str>, bytes: usize },
    /// A key or a value would disturb lists and terminals.
    #[error("tag '{key}' has a control character", key = key.escape_default())]
    Character { key: Arc<str> },
    /// Together they are too long.
    #[error("tags take {bytes} bytes, at most {limit} are allowed", limit = limits::TAGS_BYTES)]
    Total { bytes: usize },
}

/// Which gossip a datagram belongs to: nodes with another label do not hear each other.
///
/// At most [`limits::LABEL_BYTES`] bytes; may be empty. Not a secret. Source: memberlist's label.
#[derive(Clone, PartialEq, Eq)]
pub struct Label(Arc<str>);

impl Label {
    /// Takes the text if it is short enough.
    ///
    /// # Errors
    /// [`LabelError`] when it is too long.
    pub fn new(text: &str) -> Result<Label, LabelError> {
        if text.len() > limits::LABEL_BYTES {
            return Err(LabelError { bytes: text.len() });
        }
        Ok(Label(Arc::from(text)))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({:?})", &*self.0)
    }
}

/// Tags that fit their bounds: at most [`limits::TAGS`], together [`limits::TAGS_BYTES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTags(Tags);

impl NodeTags {
    /// Takes the tags if they fit.
    ///
    /// # Errors
    /// [`TagsError`] says which bound they break.
    pub fn new(tags: Tags) -> Result<NodeTags, TagsError> {
        if tags.len() > limits::TAGS {
            return Err(TagsError::Count { count: tags.len() });
        }
        let mut total = 0;
        for (key, value) in &tags {
            if key.is_empty() || key.len() > limits::TAG_KEY_BYTES {
                return Err(TagsError::Key {
                    key: key.clone(),
                    bytes: key.len(),
                });
            }
            if key.chars().chain(value.chars()).any(char::is_control) {
                return Err(TagsError::Character { key: key.clone() });
            }
            if value.len() > limits::TAG_VALUE_BYTES {
                return Err(TagsError::Value {
                    key: key.clone(),
                    bytes: value.len(),
                });
            }
            total += key.len() + value.len() + limits::TAG_OVERHEAD_BYTES;
        }
        if total > limits::TAGS_BYTES {
            return Err(TagsError::Total { bytes: total });
        }
        Ok(NodeTags(tags))
    }

    /// The tags.
    pub fn get(&self) -> &Tags {
        &self.0
    }

    /// The tags, given away.
    pub fn into_tags(self) -> Tags {
        self.0
    }
}

/// How patient the gossip is: a trade of bandwidth and false alarms for speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One site: probes every second, a death is known to all in 3 to 4 s among 50 members.
    #[default]
    Lan,
    /// Sites far apart: probes every 3 s, a death is known to all in about 10 s.
    Wan,
    /// Loopback clusters for development: probes every half second, a death is known to all in
    /// about 3 to 4 s, also on a machine that is busy.
    Local,
}

/// What is other than the profile says. Members of one cluster may differ, but should not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Between two probes of this node. Shorter finds a crash sooner and costs traffic.
    pub probe_interval: Option<Duration>,
    /// How long each of a probe's three stages waits. Longer forgives slow members and networks.
    pub probe_timeout: Option<Duration>,
    /// The shortest time that a suspect has to refute, among up to 50 members; among more it grows
    /// with their logarithm. Longer forgives longer pauses of a member.
    pub suspicion: Option<Duration>,
    /// Between rounds of gossip, while there is something to spread.
    pub gossip_interval: Option<Duration>,
    /// Members that each round goes to.
    pub gossip_fanout: Option<u32>,
    /// Times that each node sends one piece of news, per tenfold size of the cluster. More bears more
    /// loss and costs traffic.
    pub retransmit: Option<u32>,
    /// Between full synchronisations with a random member, among up to 32 members.
    pub sync_interval: Option<Duration>,
    /// Between looks for a random failed member.
    pub reconnect_interval: Option<Duration>,
}

impl Tuning {
    fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("gossip_fanout", self.gossip_fanout),
            ("retransmit", self.retransmit),
        ];
        let times = [
            ("probe_interval", self.probe_interval),
            ("probe_timeout", self.probe_timeout),
            ("suspicion", self.suspicion),
            ("gossip_interval", self.gossip_interval),
            ("sync_interval", self.sync_interval),
            ("reconnect_interval", self.reconnect_interval),
        ];
        let times = times.map(|(what, time)| (what, time.is_some_and(|time| time.is_zero())));
        let counts = counts.map(|(what, count)| (what, count == Some(0)));
        let zero = times.into_iter().chain(counts).find(|(_, zero)| *zero);
        zero.map_or(Ok(()), |(what, _)| Err(ConfigError::Zero { what }))
    }
}

/// How a node gossips. Fixed for the life of the machine, the tags apart.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node, never zero.
    pub id: NodeId,
    /// Its life, 1 to `u32::MAX`: raised and synced before this machine is made.
    pub generation: Generation,
    /// Its label among people.
    pub name: Name,
    /// The gossip it belongs to.
    pub label: Label,
    /// The address where the others reach it by UDP; neither unspecified nor port 0.
    pub gossip: SocketAddr,
    /// What it tells about itself at first.
    pub tags: NodeTags,
    /// How patient it is. Default: [`Profile::Lan`].
    pub profile: Profile,
    /// What is other than the profile says.
    pub tuning: Tuning,
    /// How long a failed member is remembered, and looked for. Default: 24 h, as in Serf.
    pub keep_failed: Duration,
    /// How long a member that left is remembered. Default: 24 h, as in Serf.
    pub keep_left: Duration,
    /// How far this node had heard of events and queries when it last ran; zeroes for one that
    /// never did. What was told later is delivered once it is heard.
    pub clocks: Clocks,
    /// Whether a node that never ran is told the events of before it joined, as far as others
    /// remember them. Default: no, as in Serf.
    pub replay_events: bool,
    /// The seed of all chance in the machine; one seed, one trace.
    pub seed: u64,
    /// Who must have a key, and the keys. Default: gossip is plain; a node that runs for others
    /// asks for more.
    pub secrecy: Secrecy,
    /// What nonces begin with: 64 bits of the system's entropy, drawn for this life alone. Default:
    /// the seed, which is enough for a simulation only.
    pub entropy: u64,
    /// Deliberate defects, for the simulator's teeth; none in a real node.
    pub plants: Plants,
}

impl Config {
    /// The default time for which gone members are remembered. Source: Serf's reconnect and
    /// tombstone timeouts.
    pub const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

    /// A configuration with the defaults for everything that has one.
    pub fn new(
        id: NodeId,
        generation: Generation,
        name: Name,
        label: Label,
        gossip: SocketAddr,
        seed: u64,
    ) -> Config {
        Config {
            id,
            generation,
            name,
            label,
            gossip,
            tags: NodeTags::default(),
            profile: Profile::default(),
            tuning: Tuning::default(),
            keep_failed: Config::KEEP,
            keep_left: Config::KEEP,
            secrecy: Secrecy::default(),
            entropy: seed,
            clocks: Clocks::default(),
            replay_events: false,
            seed,
            plants: Plants::NONE,
        }
    }

    /// Whether a machine can be made of it.
    ///
    /// # Errors
    /// [`ConfigError`] names the first value that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.id == NodeId(0) {
            return Err(ConfigError::NoNode);
        }
        if self.generation == Generation(0) || u32::try_from(self.generation.0).is_err() {
            return Err(ConfigError::Generation {
                generation: self.generation,
            });
        }
        if self.gossip.ip().is_unspecified() || self.gossip.port() == 0 {
            return Err(ConfigError::Address {
                address: self.gossip,
            });
        }
        self.tuning.check()?;
        Timing::new(self).check()?;
        for (what, time) in [
            ("keep_failed", self.keep_failed),
            ("keep_left", self.keep_left),
        ] {
            if time.is_zero() {
                return Err(ConfigError::Zero { what });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, usize)]) -> Tags {
        pairs
            .iter()
            .map(|(key, bytes)| (Arc::from(*key), Arc::from("x".repeat(*bytes))))
            .collect()
    }

    #[test]
    fn tags_are_bounded() {
        assert!(NodeTags::new(tags(&[("a", 512), ("b", 400)])).is_ok());
        assert!(matches!(
            NodeTags::new(tags(&[("a", 513)])),
            Err(TagsError::Value { .. })
        ));
        assert!(matches!(
            NodeTags::new(tags(&[("a\n", 1)])),
            Err(TagsError::Character { .. })
        ));
        assert!(matches!(
            NodeTags::new(tags(&[("", 1)])),
            Err(TagsError::Key { .. })
        ));
        assert!(matches!(
            NodeTags::new(tags(&[("a", 512), ("b", 512)])),
            Err(TagsError::Total { .. })
        ));
        let many = (0..65).map(|i| (Arc::from(format!("{i}")), Arc::from("")));
        assert!(matches!(
            NodeTags::new(many.collect()),
            Err(TagsError::Count { count: 65 })
        ));
    }
}
