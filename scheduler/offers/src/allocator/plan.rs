//! What a pass decided, and what it chose not to do.

use serde::{Deserialize, Serialize};
use shoal_api::{AgentId, FrameworkId, Resources, Role};

/// An offer to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOffer {
    /// To whom.
    pub framework: FrameworkId,
    /// In whose name.
    pub role: Role,
    /// Of which agent.
    pub agent: AgentId,
    /// All that was free there.
    pub resources: Resources,
}

/// The result of one pass: to be proposed to the ledger, which checks each offer again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// At most [`super::limits::OFFERS_PER_PLAN`], no agent twice, in the order decided.
    pub offers: Vec<NewOffer>,
    /// What was looked at and left.
    pub report: Report,
}

impl Plan {
    /// The agents that it makes offers of.
    pub fn agents(&self) -> impl Iterator<Item = AgentId> + '_ {
        self.offers.iter().map(|offer| offer.agent)
    }
}

/// Agents by why a pass made no offer of them; with the offers they add up to `visited`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Agents looked at.
    pub visited: usize,
    /// Gone, or without a session.
    pub not_connected: usize,
    /// Offered by an earlier plan that is not settled; they are visited again then.
    pub unsettled: usize,
    /// Nothing free, or less than an offer needs.
    pub too_small: usize,
    /// No framework wants offers, or none may see this agent.
    pub no_taker: usize,
    /// All that may see this agent declined as much before.
    pub filtered: usize,
    /// Beyond the size of a plan; they stay touched.
    pub postponed: usize,
    /// Scalars of a kind beyond the bound, which no share counts; since the start.
    pub uncounted_kinds: usize,
    /// Filters dropped because there were too many; since the start.
    pub dropped_filters: usize,
}
