//! The alerts, by what they watch.

mod agents;
mod gossip;
mod ledger;
mod nodes;
mod quorum;

use shoal_catalogue as catalogue;

use crate::alert::Alert;
use crate::query::select;

/// Alerts about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they watch.
    pub name: &'static str,
    /// The alerts.
    pub alerts: Vec<Alert>,
}

/// All of them.
pub fn all() -> Vec<Group> {
    let group = |name, alerts| Group { name, alerts };
    vec![
        group("shoal-quorum", quorum::alerts()),
        group("shoal-ledger", ledger::alerts()),
        group("shoal-agents", agents::alerts()),
        group("shoal-gossip", gossip::alerts()),
        group("shoal-nodes", nodes::alerts()),
    ]
}

/// Only what masters say: every node has these metrics, and only masters set them.
fn of_masters(expression: &str) -> String {
    of_role(expression, "~.*master.*")
}

/// Only what agents say.
fn of_agents(expression: &str) -> String {
    of_role(expression, "~.*agent.*")
}

fn of_role(expression: &str, roles: &str) -> String {
    let nodes = select(&catalogue::NODE_INFO, &[("roles", roles)]);
    format!("{expression} and on (job, instance) {nodes}")
}
