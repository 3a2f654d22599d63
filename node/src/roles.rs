//! What a node is by configuration.

use std::fmt;

use clap::ValueEnum;

/// One thing that a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum NodeRole {
    /// A candidate for the quorum, and a server of the API.
    Master,
    /// It offers resources and runs tasks.
    Agent,
}

impl NodeRole {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeRole::Master => "master",
            NodeRole::Agent => "agent",
        }
    }
}

/// Everything that a node is; a plain member if it is neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeRoles {
    /// See [`NodeRole::Master`].
    pub master: bool,
    /// See [`NodeRole::Agent`].
    pub agent: bool,
}

impl NodeRoles {
    /// From a list; a role that stands twice counts once.
    pub fn of(list: &[NodeRole]) -> NodeRoles {
        NodeRoles {
            master: list.contains(&NodeRole::Master),
            agent: list.contains(&NodeRole::Agent),
        }
    }

    /// The bits for a frame: 1 master, 2 agent.
    pub fn bits(self) -> u32 {
        u32::from(self.master) | (u32::from(self.agent) << 1)
    }

    /// From bits; unknown ones are those of a newer version and mean nothing here.
    pub fn from_bits(bits: u32) -> NodeRoles {
        NodeRoles {
            master: bits & 1 != 0,
            agent: bits & 2 != 0,
        }
    }

    /// From the text of a tag; unknown words mean nothing here.
    pub fn from_tag(text: &str) -> NodeRoles {
        NodeRoles {
            master: text.split(',').any(|word| word == "master"),
            agent: text.split(',').any(|word| word == "agent"),
        }
    }
}

impl fmt::Display for NodeRoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.master, self.agent) {
            (true, true) => "master,agent",
            (true, false) => "master",
            (false, true) => "agent",
            (false, false) => "member",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_text_round_trip() {
        for bits in 0..4 {
            let roles = NodeRoles::from_bits(bits);
            assert_eq!(roles.bits(), bits);
            assert_eq!(NodeRoles::from_tag(&roles.to_string()), roles);
        }
    }
}
