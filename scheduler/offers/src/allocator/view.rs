//! What the allocator may see of the ledger, read only. What it never sees: tasks and offers.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_api::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Resources, Role};

/// One agent, as far as allocation goes.
#[derive(Clone, Debug)]
pub struct AgentView<'a> {
    /// What it is and has; another set of attributes ends the filters on it.
    pub info: &'a Arc<AgentInfo>,
    /// Whether its resources count as part of the cluster: not when it is unreachable.
    pub counted: bool,
    /// Whether it may be offered: it has a session.
    pub connected: bool,
    /// Neither offered nor allocated.
    pub free: Resources,
}

/// One framework, as far as allocation goes.
#[derive(Clone, Debug)]
pub struct FrameworkView<'a> {
    /// Its roles and capabilities.
    pub info: &'a FrameworkInfo,
    /// Those of its roles that want no offers.
    pub suppressed: &'a BTreeSet<Role>,
    /// Whether it has a stream.
    pub connected: bool,
    /// Allocated and offered, by role; a role that it gave up counts while tasks of it run.
    pub used: Vec<(Role, Resources)>,
}

/// The ledger as the allocator sees it.
pub trait View {
    /// All agents, in ascending order.
    fn agent_ids(&self) -> Vec<AgentId>;
    /// All frameworks that can be offered to or use something, in ascending order.
    fn framework_ids(&self) -> Vec<FrameworkId>;
    /// One agent.
    fn agent(&self, id: AgentId) -> Option<AgentView<'_>>;
    /// One framework; absent once it is removed and its tasks have ended.
    fn framework(&self, id: &FrameworkId) -> Option<FrameworkView<'_>>;
    /// How much more than others a role may have, in thousandths; 1000 where nobody said.
    fn weight(&self, role: &Role) -> u32;
}
