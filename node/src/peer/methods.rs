//! Which role may open which kind of connection to which role: one table, asked at each handshake.

use super::identity::Purpose;
use crate::roles::NodeRoles;

/// A line of the table.
struct Rule {
    purpose: Purpose,
    /// Whether a node that is this may dial.
    dials: fn(NodeRoles) -> bool,
    /// Whether a node that is this may be dialled.
    listens: fn(NodeRoles) -> bool,
}

fn master(roles: NodeRoles) -> bool {
    roles.master
}

fn agent(roles: NodeRoles) -> bool {
    roles.agent
}

const TABLE: [Rule; 4] = [
    Rule {
        purpose: Purpose::Raft,
        dials: master,
        listens: master,
    },
    Rule {
        purpose: Purpose::Forward,
        dials: master,
        listens: master,
    },
    Rule {
        purpose: Purpose::Session,
        dials: agent,
        listens: master,
    },
    Rule {
        purpose: Purpose::Bootstrap,
        dials: master,
        listens: master,
    },
];

/// Whether the table allows it.
pub fn allows(purpose: Purpose, dialer: NodeRoles, listener: NodeRoles) -> bool {
    TABLE
        .iter()
        .any(|rule| rule.purpose == purpose && (rule.dials)(dialer) && (rule.listens)(listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purpose_has_one_line() {
        for purpose in Purpose::ALL {
            assert_eq!(
                TABLE.iter().filter(|rule| rule.purpose == purpose).count(),
                1
            );
        }
    }

    #[test]
    fn agents_open_sessions_only() {
        let (master, agent) = (NodeRoles::from_bits(1), NodeRoles::from_bits(2));
        for purpose in Purpose::ALL {
            assert_eq!(allows(purpose, agent, master), purpose == Purpose::Session);
            assert_eq!(allows(purpose, master, master), purpose != Purpose::Session);
            assert!(!allows(purpose, master, agent));
            assert!(!allows(purpose, NodeRoles::default(), master));
        }
    }
}
