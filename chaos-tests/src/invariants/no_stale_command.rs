//! Source: design section 5, rule 1: "Only the master named in the committed `SessionOpened` commands
//! that agent", and "the agent persists the highest [fence] with the command's own checkpoint and
//! refuses less."

use std::collections::BTreeMap;

use shoal_api::{Epoch, Fence, Index, NodeId};
use shoal_offers::Presence;

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "nothing is commanded by a stale session";

/// Ledgers whose sessions are remembered.
const REMEMBERED: usize = 2_000;

/// An agent's newest session, and the master that holds it if it is open.
type Session = (Epoch, Option<NodeId>);

#[derive(Debug, Default)]
pub(super) struct NoStaleCommand {
    highest: BTreeMap<NodeId, Fence>,
    sessions: BTreeMap<Index, BTreeMap<NodeId, Session>>,
}

impl NoStaleCommand {
    /// Whether a session was over both before and after an index, as far as ledgers were seen: what
    /// came and went between two of them is not known.
    fn is_over(&self, node: NodeId, master: NodeId, fence: Fence) -> bool {
        let before = self.sessions.range(..=fence.index).next_back();
        let after = self.sessions.range(fence.index..).next();
        let over = |seen: Option<(&Index, &BTreeMap<NodeId, Session>)>| {
            let session = seen.and_then(|(_, sessions)| sessions.get(&node));
            session.is_some_and(|(epoch, holder)| {
                *epoch > fence.epoch || (*epoch == fence.epoch && *holder != Some(master))
            })
        };
        over(before) && over(after)
    }
}

impl Invariant for NoStaleCommand {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Obeyed { node, fence } = fact {
            let highest = self.highest.entry(*node).or_default();
            if *fence < *highest {
                return Err(format!("node {node} obeyed {fence:?} after {highest:?}"));
            }
            *highest = *fence;
        }
        if let Fact::Ledger { index, state } = fact {
            let sessions = state.offers.agents().map(|(_, row)| {
                let holder = match row.presence {
                    Presence::Connected { master, .. } => Some(master),
                    Presence::Disconnected { .. } | Presence::Unreachable { .. } => None,
                };
                (row.info.node, (row.epoch, holder))
            });
            self.sessions.insert(*index, sessions.collect());
            while self.sessions.len() > REMEMBERED {
                self.sessions.pop_first();
            }
        }
        if let Fact::Commanded {
            master,
            node,
            fence,
        } = fact
            && self.is_over(*node, *master, *fence)
        {
            return Err(format!(
                "master {master} commands node {node} with {fence:?}, which is over"
            ));
        }
        Ok(())
    }
}
