//! The one place that says who may do what. Every dialect and the peer port ask here.
//!
//! A request to the API is asked about twice: at the door, with what its path alone says, about
//! [`Object::Cluster`]; and by its handler about what it names, as soon as that is known.
//!
//! Until callers prove who they are, there is one policy: whoever reaches a listener may do
//! everything, and only this machine reaches it unless the operator said `--insecure`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use shoal_api::{FrameworkId, NodeId, Principal, RaftId, RunId};

use crate::peer::Purpose;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it says to be; nobody has checked it.
    pub principal: Option<Principal>,
    /// Where it called from.
    pub from: SocketAddr,
}

/// What it wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See members, health, metrics.
    Observe,
    /// See agents, frameworks, tasks and what tasks write.
    Read,
    /// Register a framework.
    Subscribe,
    /// Speak for a framework.
    Call,
    /// Start work of its own.
    CreateRun,
    /// End work.
    Kill,
    /// Change who votes or leads.
    ChangeQuorum,
    /// Join, leave, take members off the list, change tags.
    ChangeMembers,
    /// Tell or ask all members something.
    Tell,
    /// Change which keys the gossip is sealed with.
    ChangeKeys,
    /// Take everything that the ledger holds.
    Backup,
    /// Open a connection between nodes.
    Connect(Purpose),
}

/// What it wants to do it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// All of it, or something in it that was not looked at so far: at the door, where whoever may do
    /// this to anything passes.
    Cluster,
    /// One framework with its tasks.
    Framework(FrameworkId),
    /// One run.
    Run(RunId),
    /// One node.
    Node(NodeId),
    /// One master; without an id any of them, as the cluster chooses.
    Master(Option<RaftId>),
}

/// A refusal. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action:?} is not allowed to callers from {from}")]
pub struct Denied {
    action: Action,
    from: IpAddr,
}

/// The policy of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Everything, from this machine.
    Loopback,
    /// Everything, from anywhere: `--insecure`.
    Insecure,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::Loopback => "loopback",
            Policy::Insecure => "insecure",
        })
    }
}

impl Policy {
    /// Says whether the caller may.
    ///
    /// # Errors
    /// [`Denied`], for the caller to be told.
    pub fn authorize(self, caller: &Caller, action: Action, object: &Object) -> Result<(), Denied> {
        let from = caller.from.ip().to_canonical();
        let allowed = match self {
            Policy::Loopback => from.is_loopback(),
            Policy::Insecure => true,
        };
        if !allowed {
            tracing::warn!(%from, ?action, ?object, "a caller is refused");
            return Err(Denied { action, from });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_unless_told_otherwise() {
        let caller = |from: &str| Caller {
            principal: None,
            from: from.parse().unwrap(),
        };
        let ask = |policy: Policy, from| {
            policy
                .authorize(&caller(from), Action::Kill, &Object::Cluster)
                .is_ok()
        };
        assert!(ask(Policy::Loopback, "127.0.0.9:1"));
        assert!(ask(Policy::Loopback, "[::ffff:127.0.0.1]:1"));
        assert!(!ask(Policy::Loopback, "10.0.0.1:1"));
        assert!(ask(Policy::Insecure, "10.0.0.1:1"));
    }
}
