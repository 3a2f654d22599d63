//! The one way in: a command, applied to the state.
//!
//! The rules are in the files of the commands: sessions, subscriptions, offering, accepting,
//! reports, kills and removals.

use shoal_api::{FrameworkId, Incarnation, Index, Instant, Origin, Plants, StreamId, Timestamp};
use shoal_ledger::Header;

use crate::command::OffersCommand;
use crate::effect::Effect;
use crate::outcome::{Outcome, Refusal};
use crate::state::Offers;

/// Where in the ledger a command stands.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Of its entry.
    pub index: Index,
    /// Its position in the entry.
    pub position: u32,
    /// Its header.
    pub header: &'a Header,
    /// The life of the cluster.
    pub incarnation: Incarnation,
    /// What ids are assigned under; one per incarnation.
    pub origin: Origin,
    /// Deliberate defects, for the simulator.
    pub plants: Plants,
}

impl Context<'_> {
    pub(crate) fn now(&self) -> Instant {
        self.header.time
    }

    /// A number for volumes: the same on every replica, never used again, not even after a restore.
    pub(crate) fn volume_number(&self) -> u64 {
        (self.incarnation.0 << 40) | (self.index.0 & ((1 << 40) - 1))
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.header.wall
    }
}

impl Offers {
    /// Applies a command. Deterministic: the same state and command give the same state, outcome
    /// and effects on every replica.
    ///
    /// # Errors
    /// A [`Refusal`]: nothing changed and no effect was added.
    pub fn apply(
        &mut self,
        context: &Context<'_>,
        command: OffersCommand,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        match command {
            OffersCommand::SessionOpened { hello, master } => {
                self.open_session(context, *hello, master, effects)
            }
            OffersCommand::SessionClosed {
                agent,
                epoch,
                restarting,
            } => self.close_session(context, agent, epoch, restarting, effects),
            OffersCommand::LeaseEnded { agent, epoch } => {
                self.end_lease(context, agent, epoch, effects)
            }
            OffersCommand::Subscribed { subscribe, holder } => {
                self.subscribe(context, *subscribe, holder, effects)
            }
            OffersCommand::Disconnected {
                framework,
                stream,
                cause,
            } => self.disconnect(context, &framework, stream, cause, effects),
            OffersCommand::FrameworkRemoved { framework, cause } => {
                self.end_framework(context, &framework, cause, effects)
            }
            OffersCommand::OffersMade { offers } => self.make_offers(context, offers, effects),
            OffersCommand::Rescinded { offers, cause: _ } => self.rescind(&offers, effects),
            OffersCommand::TaskStatus {
                agent,
                epoch,
                updates,
            } => self.report(context, agent, epoch, &updates, effects),
            OffersCommand::AgentOperated {
                agent,
                change,
                principal,
            } => self.operate_agent(context, agent, &change, principal.as_ref(), effects),
            OffersCommand::Operated { .. }
            | OffersCommand::OperationAcknowledged { .. }
            | OffersCommand::OperationsReconciled { .. } => {
                self.apply_operations(context, command, effects)
            }
            call @ (OffersCommand::Accepted { .. }
            | OffersCommand::Declined { .. }
            | OffersCommand::Suppressed { .. }
            | OffersCommand::Revived { .. }
            | OffersCommand::Kill { .. }
            | OffersCommand::Acknowledged { .. }) => self.apply_call(context, call, effects),
        }
    }

    /// What a subscribed framework asks for on its stream.
    fn apply_call(
        &mut self,
        context: &Context<'_>,
        call: OffersCommand,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        match call {
            OffersCommand::Accepted {
                framework,
                stream,
                offers,
                launches,
                filters,
                claim: _,
            } => {
                let info = self.check_stream(&framework, stream)?.info.clone();
                self.accept(context, &info, &offers, launches, filters, effects)
            }
            OffersCommand::Declined {
                framework,
                stream,
                offers,
                filters,
            } => self.decline(context, &framework, stream, &offers, filters, effects),
            OffersCommand::Suppressed {
                framework,
                stream,
                roles,
            } => self.suppress(&framework, stream, roles, effects),
            OffersCommand::Revived {
                framework,
                stream,
                roles,
            } => self.revive(&framework, stream, roles, effects),
            OffersCommand::Kill {
                framework,
                stream,
                task,
                agent,
                grace,
            } => {
                self.check_caller(&framework, stream)?;
                self.kill(context, &framework, &task, agent, grace, effects)
            }
            OffersCommand::Acknowledged {
                framework,
                stream,
                agent,
                task,
                update,
            } => {
                self.check_stream(&framework, stream)?;
                self.acknowledge(context, &framework, &agent, &task, update, effects)
            }
            OffersCommand::SessionOpened { .. }
            | OffersCommand::SessionClosed { .. }
            | OffersCommand::LeaseEnded { .. }
            | OffersCommand::Subscribed { .. }
            | OffersCommand::Disconnected { .. }
            | OffersCommand::FrameworkRemoved { .. }
            | OffersCommand::OffersMade { .. }
            | OffersCommand::Rescinded { .. }
            | OffersCommand::TaskStatus { .. }
            | OffersCommand::Operated { .. }
            | OffersCommand::OperationAcknowledged { .. }
            | OffersCommand::OperationsReconciled { .. }
            | OffersCommand::AgentOperated { .. } => unreachable!("not a call of a framework"),
        }
    }

    /// The framework itself calls on its stream, an operator for it on none.
    fn check_caller(
        &self,
        framework: &FrameworkId,
        stream: Option<StreamId>,
    ) -> Result<(), Refusal> {
        match stream {
            Some(stream) => self.check_stream(framework, stream).map(|_| ()),
            None if self.framework(framework).is_some() => Ok(()),
            None => Err(Refusal::UnknownFramework),
        }
    }
}
