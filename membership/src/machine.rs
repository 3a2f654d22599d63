//! The machine: one node's view of the gossip.

use std::collections::{BTreeMap, VecDeque};

use shoal_api::member::{Member, MemberEvent, MemberStatus};
use shoal_api::{Instant, NodeId};

use crate::config::{Config, ConfigError};
use crate::io::{Input, Output};
use crate::stats::{DropReason, Stats};

/// One node's view of the gossip.
#[derive(Debug)]
pub struct Membership {
    config: Config,
    members: BTreeMap<NodeId, Member>,
    outputs: VecDeque<Output>,
    stats: Stats,
    left: bool,
}

impl Membership {
    /// A machine that knows only itself. `now` is the first instant of its clock.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot work; nothing was made.
    pub fn new(config: Config, _now: Instant) -> Result<Membership, ConfigError> {
        config.check()?;
        let me = Member {
            id: config.id,
            generation: config.generation,
            name: Some(config.name.clone()),
            gossip: config.gossip,
            status: MemberStatus::Alive,
            tags: config.tags.get().clone(),
        };
        Ok(Membership {
            members: BTreeMap::from([(config.id, me)]),
            config,
            outputs: VecDeque::new(),
            stats: Stats::default(),
            left: false,
        })
    }

    /// Takes one input at its time. Outputs wait in [`Membership::poll_output`].
    pub fn step(&mut self, _now: Instant, input: Input) {
        match input {
            Input::Datagram { .. } => self.stats.count_drop(DropReason::Version),
            Input::Wake | Input::Join { .. } => {}
            Input::Leave => {
                self.left = true;
                self.outputs.push_back(Output::Left);
            }
            Input::SetTags(tags) => {
                let id = self.config.id;
                let me = self.members.get_mut(&id).expect("the node knows itself");
                me.tags = tags.into_tags();
                let event = MemberEvent::Updated(me.clone());
                self.outputs.push_back(Output::Event(event));
            }
        }
    }

    /// The next thing to do, in order; poll until there is none before the next step.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to wake the machine, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// All members by node id, this node and the gone ones too.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// One member.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// This node, as it sees itself.
    pub fn me(&self) -> &Member {
        self.members
            .get(&self.config.id)
            .expect("the node knows itself")
    }

    /// Whether another living member is known.
    pub fn is_joined(&self) -> bool {
        false
    }

    /// Whether leaving is complete.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// The living node that holds this node's name, if one is known.
    pub fn name_holder(&self) -> Option<NodeId> {
        None
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
