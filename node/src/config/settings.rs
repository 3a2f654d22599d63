//! The one table of all keys. Flag, key, variable, default, unit, range and documentation all come
//! from here, so that none of them can say something else than the others.

use std::net::SocketAddr;
use std::path::PathBuf;

use shoal_api::agent::HostPort;
use shoal_api::{Name, Resources};
use shoal_membership::Label;

use super::attributes::Attributes;
use super::given_tags::GivenTags;
use super::gossip::{Few, GossipProfile, Millis};
use super::key::{
    Encryption, GossipKey, Key, KeyFile, QuorumSize, Reload, Seconds, Setting, Standard,
};
use super::layers::Layers;
use super::problem::Problem;
use crate::handlers::HandlerSpec;
use crate::keyring;
use crate::log::{LogFilter, LogFormat};
use crate::roles::NodeRole;

macro_rules! settings {
    ($($field:ident: $type:ty, $default:ident($text:literal), $reload:ident, $help:literal;)*) => {
        /// What one node is told: a value for every key.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $(#[doc = $help] pub $field: $type,)*
        }

        /// All keys, in the order in which people read them.
        pub const KEYS: &[Key] = &[$(Key {
            name: stringify!($field),
            shape: <$type as Setting>::SHAPE,
            range: <$type as Setting>::RANGE,
            placeholder: <$type as Setting>::PLACEHOLDER,
            default: Standard::$default($text),
            reload: Reload::$reload,
            help: $help,
        }),*];

        impl Settings {
            /// The values that the layers give.
            ///
            /// # Errors
            /// Everything that was said and cannot be understood.
            pub fn of(layers: &Layers) -> Result<Settings, Vec<Problem>> {
                let mut problems = layers.problems.clone();
                $(let $field: Option<$type> = layers.value(stringify!($field), &mut problems);)*
                match ($($field,)*) {
                    ($(Some($field),)*) if problems.is_empty() => Ok(Settings { $($field),* }),
                    _ => Err(problems),
                }
            }

            /// The texts of every key's value, in the order of [`KEYS`].
            pub fn texts(&self) -> Vec<Vec<String>> {
                vec![$(self.$field.texts()),*]
            }
        }
    };
}

settings! {
    name: Option<Name>, Unset("the machine's host name"), Restart,
        "the node's label, which no other living node may have";
    data: PathBuf, Value("shoal-data"), Restart,
        "the folder for everything that must survive a restart";
    roles: Vec<NodeRole>, Unset("a plain member"), Restart,
        "what the node is";
    join: Vec<HostPort>, Unset("nobody"), Live,
        "gossip addresses of members to join through; any living one will do";
    gossip: SocketAddr, Value("127.0.0.1:7946"), Restart,
        "where to gossip, UDP and TCP";
    peer: SocketAddr, Value("127.0.0.1:7947"), Restart,
        "where masters and agents talk to this node";
    http: SocketAddr, Value("127.0.0.1:5050"), Restart,
        "where to serve the API";
    agent_http: SocketAddr, Value("127.0.0.1:5051"), Restart,
        "where to serve the agent's API, on an agent";
    advertise_gossip: Option<SocketAddr>, Unset("`gossip`"), Restart,
        "how others reach the gossip address";
    advertise_peer: Option<HostPort>, Unset("`peer`"), Restart,
        "how others reach the peer address";
    advertise_http: Option<HostPort>, Unset("`http`"), Restart,
        "how others reach the API";
    advertise_agent_http: Option<HostPort>, Unset("`agent_http`"), Restart,
        "how others reach the agent's API";
    bootstrap_expect: Option<QuorumSize>, Unset("found no cluster"), Restart,
        "found a new cluster once so many masters see each other; needed once, at the first start";
    replace_dead: Seconds, Value("600"), Restart,
        "how long a master must be dead until a caught-up spare takes its place by itself";
    offer_timeout: Option<Seconds>, Unset("never"), Restart,
        "after how long an offer that was not answered is taken back, and may be made to others";
    resources: Option<Resources>, Unset("what the machine has"), Restart,
        "what the agent offers";
    attributes: Option<Attributes>, Unset("none"), Restart,
        "what distinguishes the agent for placement";
    cluster: Label, Value("shoal"), Restart,
        "only nodes with the same label gossip with each other";
    gossip_profile: Option<GossipProfile>, Unset("`local` on a loopback address, else `lan`"), Restart,
        "how patient the gossip is: `lan` probes every second and knows a crash in 3 to 4 s, `wan` every 3 s and in about 10 s, `local` every half second and bears a busy machine";
    gossip_probe_interval: Option<Millis>, Unset("by profile: 1000, 3000 or 500"), Restart,
        "between two probes of this node; shorter finds a crash sooner and costs traffic";
    gossip_probe_timeout: Option<Millis>, Unset("by profile: about 250, 1000 or 150"), Restart,
        "how long each of a probe's three stages waits, together at most the interval; longer forgives slow members";
    gossip_suspicion: Option<Millis>, Unset("by profile: 1100, 5000 or 2000"), Restart,
        "the shortest time a suspect has to refute, among up to 50 members, more among more; longer forgives pauses and tells of a crash later";
    gossip_interval: Option<Millis>, Unset("by profile: 200, 500 or 100"), Restart,
        "between rounds of gossip while there is something to spread; shorter spreads sooner and packs less into a packet";
    gossip_fanout: Option<Few>, Unset("by profile: 3, 4 or 3"), Restart,
        "members that each round of gossip goes to; more spreads sooner and costs traffic";
    gossip_retransmit: Option<Few>, Unset("8"), Restart,
        "how often each node sends a piece of news, per tenfold size of the cluster; more bears more loss and costs traffic";
    gossip_sync_interval: Option<Millis>, Unset("by profile: 30000, 60000 or 5000"), Restart,
        "between full synchronisations with a random member, among up to 32 members, longer among more; shorter mends what gossip missed sooner and costs traffic";
    gossip_reconnect_interval: Option<Millis>, Unset("by profile: 10000, 30000 or 2000"), Restart,
        "between looks for a random failed member; shorter heals a partition sooner";
    gossip_keep_failed: Seconds, Value("86400"), Restart,
        "how long a failed member is remembered and looked for; a longer partition must be joined by hand";
    gossip_keep_left: Seconds, Value("86400"), Restart,
        "how long a member that left is remembered; who was away for longer may still list it";
    gossip_encryption: Encryption, Value("required"), Live,
        "who must have a key: `off` gossips in plain text, the two between lead there and back";
    gossip_key: Option<GossipKey>, Unset("`gossip_key_file`"), Live,
        "the key of the cluster, for a node that keeps none; shown by its id only";
    gossip_key_file: Option<KeyFile>, Unset("the keys that the node keeps"), Live,
        "a file with keys of the cluster, the one to seal with first, for a node that keeps none";
    insecure: bool, Value("false"), Restart,
        "allow listening on addresses that other machines can reach, without authentication";
    tags: GivenTags, Unset("none"), Restart,
        "tags that other members find the node by; `shoal tags` changes them while it runs";
    event_handlers: Vec<HandlerSpec>, Unset("none"), Live,
        "scripts to run on what happens among the members, as Serf runs them";
    replay_events: bool, Value("false"), Restart,
        "whether a new node is told the user events of before it joined";
    rejoin_after_leave: bool, Value("false"), Restart,
        "whether a node that left by `shoal leave` joins those that it knew again at its start";
    log_level: LogFilter, Value("info"), Live,
        "what is logged";
    log_format: LogFormat, Value("text"), Restart,
        "how a line of the log looks";
}

impl Default for Settings {
    fn default() -> Settings {
        match Settings::of(&Layers::default()) {
            Ok(settings) => settings,
            Err(problems) => panic!("the defaults are wrong: {problems:?}"),
        }
    }
}

impl Settings {
    /// What they say about keys of the gossip.
    pub fn keys(&self) -> keyring::Given {
        keyring::Given {
            policy: self.gossip_encryption.0,
            key: self.gossip_key.as_ref().map(|key| key.0.clone()),
            file: self.gossip_key_file.as_ref().map(|file| file.0.clone()),
        }
    }
}

/// The values as arguments of a `shoal node` process; what is as by default is left out.
pub fn arguments(settings: &Settings) -> Vec<String> {
    let standard = Settings::default().texts();
    let all = KEYS.iter().zip(settings.texts()).zip(standard);
    all.filter(|((_, texts), standard)| texts != standard)
        .map(|((key, texts), _)| format!("--{}={}", key.flag(), texts.join(",")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented_and_its_default_is_legal() {
        let settings = Settings::default();
        for (key, texts) in KEYS.iter().zip(settings.texts()) {
            match key.default {
                Standard::Value(value) => assert_eq!(texts, [value], "{}", key.name),
                Standard::Unset(meaning) => {
                    assert!(texts.is_empty() && !meaning.is_empty(), "{}", key.name);
                }
            }
            assert!(
                !key.help.is_empty() && !key.help.ends_with('.'),
                "{}",
                key.name
            );
            assert_eq!(key.flag().replace('-', "_"), key.name);
        }
        assert!(arguments(&settings).is_empty());
    }
}
