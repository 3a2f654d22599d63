//! What the allocator sees of the state.

use std::collections::BTreeSet;

use shoal_api::{AgentId, FrameworkId, FrameworkInfo, Role};

use crate::allocator::{AgentView, FrameworkView, View};
use crate::query::least_role;
use crate::state::Offers;

static NO_ROLES: BTreeSet<Role> = BTreeSet::new();

/// The weight of a role that nobody weighted, in thousandths.
const WEIGHT: u32 = 1000;

impl View for Offers {
    fn agent_ids(&self) -> Vec<AgentId> {
        self.agents.iter().map(|(id, _)| *id).collect()
    }

    fn framework_ids(&self) -> Vec<FrameworkId> {
        let known = self.frameworks.iter().map(|(id, _)| id);
        let using = self.derived.used.iter().map(|((id, _), _)| id);
        let all: BTreeSet<&FrameworkId> = known.chain(using).collect();
        all.into_iter().cloned().collect()
    }

    fn agent(&self, id: AgentId) -> Option<AgentView<'_>> {
        let row = self.agents.get(&id)?;
        Some(AgentView {
            info: row.info.content(),
            counted: !row.is_unreachable(),
            connected: row.is_connected(),
            free: row.free.clone(),
        })
    }

    fn framework(&self, id: &FrameworkId) -> Option<FrameworkView<'_>> {
        let used: Vec<_> = self
            .derived
            .used
            .range((id.clone(), least_role())..)
            .take_while(|((framework, _), _)| framework == id)
            .map(|((_, role), usage)| (role.clone(), usage.quantities.to_resources()))
            .collect();
        if let Some(row) = self.frameworks.get(id) {
            return Some(FrameworkView {
                info: &row.info,
                suppressed: &row.suppressed,
                connected: row.stream().is_some(),
                used,
            });
        }
        if used.is_empty() {
            return None;
        }
        let info: &FrameworkInfo = match self.completed_frameworks.get(id) {
            Some(row) => &row.info,
            None => return None,
        };
        Some(FrameworkView {
            info,
            suppressed: &NO_ROLES,
            connected: false,
            used,
        })
    }

    fn weight(&self, _role: &Role) -> u32 {
        WEIGHT
    }
}
