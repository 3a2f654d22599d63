//! The gossip's keys: whether there are any, and whether they are secret.

use shoal_membership::Policy;

use super::{Finding, note, ok, wrong};
use crate::config::NodeConfig;
use crate::keyring::{self, FILE, file};

/// Looks at where the node's keys come from.
pub fn look(config: &NodeConfig, findings: &mut Vec<Finding>) {
    const CHECK: &str = "gossip key";
    let secrecy = match keyring::find(&config.data, &config.keys) {
        Ok(found) => found.secrecy,
        Err(failure) => {
            findings.push(wrong(CHECK, failure.error, failure.hint));
            return;
        }
    };
    let mode = keyring::text::policy(secrecy.policy());
    findings.push(match (secrecy.policy(), secrecy.keyring()) {
        (Policy::Required, Some(ring)) => {
            let count = ring.keys().len();
            let primary = ring.primary().id();
            ok(CHECK, format!("{count} keys, seals with {primary}"))
        }
        (Policy::Incoming | Policy::Outgoing, _) => note(
            CHECK,
            format!("gossip_encryption is {mode}: strangers are heard, too"),
            "take the next step once every node has taken this one",
        ),
        (Policy::Off | Policy::Required, _) => note(
            CHECK,
            "gossip is not encrypted: whoever reaches its port is a member",
            "give every node a key and take the steps of gossip_encryption",
        ),
    });
    let kept = config.data.join(FILE);
    for path in config.keys.file.iter().chain([&kept]) {
        if file::is_open(path) {
            findings.push(wrong(
                CHECK,
                format!("other users can read {}", path.display()),
                format!("chmod 600 {}", path.display()),
            ));
        }
    }
}
