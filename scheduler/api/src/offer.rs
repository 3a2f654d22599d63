//! An offer: free resources of one agent, promised to one framework in one role.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, FrameworkId, OfferId, Role};
use crate::resource::Resources;

/// One offer = one agent × one framework × one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Assigned by the ledger.
    pub id: OfferId,
    /// Whom it is made to.
    pub framework: FrameworkId,
    /// Where the resources are.
    pub agent: AgentId,
    /// In whose name they would be used.
    pub role: Role,
    /// Never empty.
    pub resources: Resources,
}
