//! The agents as the allocator remembers them, each in a slot of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_api::{AgentId, AgentInfo, Amount, Resources};

use super::limits::{MIN_CPUS, MIN_MEM};
use super::share::Scalars;
use super::view::AgentView;

/// One agent.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) id: AgentId,
    pub(super) info: Arc<AgentInfo>,
    pub(super) connected: bool,
    /// What it adds to the totals.
    pub(super) counted: Scalars,
    /// Empty while a plan has given it away.
    pub(super) free: Resources,
    pub(super) free_scalars: Scalars,
    pub(super) has_gpus: bool,
    /// Whether anybody may have all that is free.
    pub(super) is_plain: bool,
    /// The client and the amounts of a plan that is not settled.
    pub(super) promised: Option<(u32, Scalars)>,
}

/// Whether resources are worth an offer. Source: Mesos, `--min_allocatable_resources`.
pub(super) fn is_offerable(resources: &Resources) -> bool {
    resources.scalar("cpus") >= Amount(MIN_CPUS) || resources.scalar("mem") >= Amount(MIN_MEM)
}

/// All agents by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Agents {
    slots: Vec<Option<Agent>>,
    free: Vec<u32>,
    by_id: BTreeMap<AgentId, u32>,
}

impl Agents {
    pub(super) fn find(&self, id: AgentId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Agent> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// All slots in use.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_id.values().copied()
    }

    /// A slot for an agent that has none.
    pub(super) fn add(&mut self, id: AgentId, view: &AgentView<'_>) -> u32 {
        let agent = Agent {
            id,
            info: Arc::clone(view.info),
            connected: false,
            counted: Scalars::default(),
            free: Resources::new(),
            free_scalars: Scalars::default(),
            has_gpus: false,
            is_plain: true,
            promised: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(agent);
                slot
            }
            None => {
                self.slots.push(Some(agent));
                self.slots.len() as u32 - 1
            }
        };
        self.by_id.insert(id, slot);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Agent {
        let agent = self.slots[slot as usize]
            .take()
            .expect("a slot in use has an agent");
        self.by_id.remove(&agent.id);
        self.free.push(slot);
        agent
    }
}
