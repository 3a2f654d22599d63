//! `foca`, held at arm's length: its randomness, its outputs, and its suspicions.
//!
//! It is only given packets that were checked as a whole. A suspicion whose time is over is passed
//! on only while it stands: `foca` itself would tell a member that has refuted that it is dead, and
//! the member would take a new identity for nothing.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use foca::{AccumulatingRuntime, Foca, Member, NoCustomBroadcast, OwnedNotification, State};
use shoal_api::{Dice, NodeId, Plant, Plants};

use crate::codec::{SwimCodec, SwimPacket};
use crate::identity::Identity;

/// Our dice as `foca` wants them.
#[derive(Debug)]
struct Chance(Dice);

impl rand_core::TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.0.next_u64().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// What one call made `foca` want.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub sends: Vec<(Identity, Bytes)>,
    pub timers: Vec<(foca::Timer<Identity>, Duration)>,
    /// Nodes whose state may be another, with doubles.
    pub touched: Vec<NodeId>,
    /// This node took a new identity.
    pub renewed: bool,
    /// The first other member is known: periodic timers start.
    pub connected: bool,
}

/// What a timer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// A suspicion stood until its end.
    Declared,
    /// A suspicion had been refuted.
    Refuted,
    /// Anything else.
    Plain,
}

/// The SWIM member of this node.
pub(crate) struct Swim {
    foca: Foca<Identity, SwimCodec, Chance, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Identity>,
    /// The token of the timers that count, learned from those that `foca` sets.
    token: foca::TimerToken,
    plants: Plants,
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim")
            .field("identity", self.foca.identity())
            .field("members", &self.foca.num_members())
            .finish_non_exhaustive()
    }
}

impl Swim {
    pub fn new(identity: Identity, config: foca::Config, dice: Dice, plants: Plants) -> Swim {
        Swim {
            foca: Foca::new(identity, config, Chance(dice), SwimCodec),
            runtime: AccumulatingRuntime::new(),
            token: foca::TimerToken::default(),
            plants,
        }
    }

    pub fn identity(&self) -> Identity {
        *self.foca.identity()
    }

    /// Adapts to another size of the cluster.
    pub fn set_config(&mut self, config: foca::Config) {
        let outcome = self.foca.set_config(config);
        assert!(outcome.is_ok(), "only replaceable settings change");
    }

    /// What is known of these nodes, in `foca`'s order.
    pub fn states(&self, mut nodes: Vec<NodeId>) -> Vec<Member<Identity>> {
        nodes.sort_unstable();
        nodes.dedup();
        self.foca
            .iter_membership_state()
            .filter(|member| nodes.binary_search(&member.id().node).is_ok())
            .take(nodes.len())
            .cloned()
            .collect()
    }

    fn holds(&self, identity: &Identity, wanted: impl Fn(&Member<Identity>) -> bool) -> bool {
        self.foca
            .iter_membership_state()
            .find(|member| member.id().node == identity.node)
            .is_some_and(|member| member.id() == identity && wanted(member))
    }

    /// Whether that very identity is known as dead.
    pub fn holds_down(&self, identity: &Identity) -> bool {
        self.holds(identity, |member| member.state() == State::Down)
    }

    /// Takes a checked packet. False if it was refused.
    pub fn receive(&mut self, packet: &SwimPacket) -> (bool, Wanted) {
        let bytes = packet.encode();
        let outcome = self.foca.handle_data(&bytes, &mut self.runtime);
        let mut wanted = self.collect();
        wanted.touched.push(packet.header.src.node);
        wanted
            .touched
            .extend(packet.updates.iter().map(|member| member.id().node));
        (outcome.is_ok(), wanted)
    }

    /// Lets a timer of its own fire.
    pub fn fire(&mut self, timer: foca::Timer<Identity>) -> (Fired, Wanted) {
        let mut fired = Fired::Plain;
        if let foca::Timer::ChangeSuspectToDown {
            member_id,
            incarnation,
            ..
        } = &timer
        {
            let standing = |member: &Member<Identity>| {
                member.state() == State::Suspect && member.incarnation() == *incarnation
            };
            if self.holds(member_id, standing) {
                fired = Fired::Declared;
            } else if self.plants.has(Plant::IgnoreRefutations) {
                let down = Member::new(*member_id, u16::MAX, State::Down);
                return (Fired::Declared, self.apply(down, true));
            } else if self.holds_down(member_id) {
                return (Fired::Plain, Wanted::default());
            } else {
                return (Fired::Refuted, Wanted::default());
            }
        }
        // The only error is a probe cycle that a stall cut short, from which it recovers itself.
        let _recovered = self.foca.handle_timer(timer, &mut self.runtime);
        (fired, self.collect())
    }

    /// Applies what was heard outside of SWIM's packets.
    pub fn apply(&mut self, member: Member<Identity>, spread: bool) -> Wanted {
        let node = member.id().node;
        let outcome = self
            .foca
            .apply_many(std::iter::once(member), spread, &mut self.runtime);
        assert!(outcome.is_ok(), "identities always encode");
        let mut wanted = self.collect();
        wanted.touched.push(node);
        wanted
    }

    /// A timer that declares a suspect dead, for a suspicion that `foca` did not raise itself.
    pub fn doom(&self, identity: Identity, incarnation: u16) -> foca::Timer<Identity> {
        foca::Timer::ChangeSuspectToDown {
            member_id: identity,
            incarnation,
            token: self.token,
        }
    }

    /// The timer that ends the probe under way.
    pub fn probe_end(&self) -> foca::Timer<Identity> {
        foca::Timer::ProbeRandomMember(self.token)
    }

    pub fn announce(&mut self, to: Identity) -> Wanted {
        let outcome = self.foca.announce(to, &mut self.runtime);
        assert!(outcome.is_ok(), "a header always fits a packet");
        self.collect()
    }

    /// Sends what is to be spread to a few members.
    pub fn gossip(&mut self) -> Wanted {
        let outcome = self.foca.gossip(&mut self.runtime);
        assert!(outcome.is_ok(), "a header always fits a packet");
        self.collect()
    }

    /// How many updates wait to be spread.
    pub fn backlog(&self) -> usize {
        self.foca.updates_backlog()
    }

    /// Declares this node dead, which is how SWIM leaves.
    pub fn leave(&mut self) -> Wanted {
        let outcome = self.foca.leave_cluster(&mut self.runtime);
        assert!(outcome.is_ok(), "a header always fits a packet");
        self.collect()
    }

    /// Forgets a dead member.
    pub fn forget(&mut self, identity: Identity) {
        let timer = foca::Timer::RemoveDown(identity);
        let outcome = self.foca.handle_timer(timer, &mut self.runtime);
        assert!(outcome.is_ok(), "forgetting cannot fail");
    }

    fn collect(&mut self) -> Wanted {
        let mut wanted = Wanted::default();
        while let Some(send) = self.runtime.to_send() {
            wanted.sends.push(send);
        }
        while let Some((delay, timer)) = self.runtime.to_schedule() {
            match &timer {
                foca::Timer::ChangeSuspectToDown { member_id, .. } => {
                    wanted.touched.push(member_id.node);
                }
                foca::Timer::ProbeRandomMember(token) => self.token = *token,
                foca::Timer::SendIndirectProbe { .. }
                | foca::Timer::PeriodicAnnounce(_)
                | foca::Timer::PeriodicAnnounceDown(_)
                | foca::Timer::PeriodicGossip(_)
                | foca::Timer::RemoveDown(_) => {}
            }
            wanted.timers.push((timer, delay));
        }
        while let Some(notification) = self.runtime.to_notify() {
            match notification {
                OwnedNotification::MemberUp(id) | OwnedNotification::MemberDown(id) => {
                    wanted.touched.push(id.node);
                }
                OwnedNotification::Rename(_, id) => wanted.touched.push(id.node),
                OwnedNotification::Rejoin(_) => wanted.renewed = true,
                OwnedNotification::Active => wanted.connected = true,
                OwnedNotification::Idle | OwnedNotification::Defunct => {}
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use foca::{Header, Message};

    use super::*;
    use crate::identity::tests::identity;
    use crate::timing::Timing;

    /// A node that pinged another in vain and suspects it.
    fn suspecting() -> (Swim, Identity, foca::Timer<Identity>) {
        let me = identity(1, 1, 0, "10.0.0.1:1");
        let two = identity(2, 1, 0, "10.0.0.2:1");
        let mut config = Timing::sample().foca(2);
        config.notify_down_members = true;
        let mut swim = Swim::new(me, config, Dice::new(1), Plants::NONE);
        let mut timers = swim.apply(Member::alive(two), true).timers;
        for _ in 0..8 {
            let suspicion = |(timer, _): &(foca::Timer<Identity>, Duration)| {
                matches!(timer, foca::Timer::ChangeSuspectToDown { .. })
            };
            if let Some(at) = timers.iter().position(suspicion) {
                return (swim, two, timers.swap_remove(at).0);
            }
            // The indirect stage first, as it comes first in time.
            timers.sort_by_key(|(_, delay)| *delay);
            let (timer, _) = timers.remove(0);
            let (_, wanted) = swim.fire(timer);
            timers.extend(wanted.timers);
        }
        panic!("nobody is suspected");
    }

    fn refute(swim: &mut Swim, suspect: Identity) {
        let packet = SwimPacket {
            header: Header {
                src: suspect,
                src_incarnation: 1,
                dst: swim.identity(),
                message: Message::Gossip,
            },
            updates: Vec::new(),
        };
        let (accepted, _) = swim.receive(&packet);
        assert!(accepted);
    }

    #[test]
    fn a_refuted_suspicion_tells_nobody_that_it_is_dead() {
        let (mut swim, two, timer) = suspecting();
        refute(&mut swim, two);
        let (fired, wanted) = swim.fire(timer);
        assert_eq!(fired, Fired::Refuted);
        assert!(wanted.sends.is_empty());
    }

    /// What the gate is for. When this fails, `foca` has been mended.
    #[test]
    fn foca_itself_would_tell_it_so() {
        let (mut swim, two, timer) = suspecting();
        refute(&mut swim, two);
        let outcome = swim.foca.handle_timer(timer, &mut swim.runtime);
        assert!(outcome.is_ok());
        let sends = swim.collect().sends;
        let told = sends.iter().any(|(to, bytes)| {
            let packet = SwimPacket::decode(bytes).expect("SWIM writes what can be read");
            *to == two && packet.header.message == Message::TurnUndead
        });
        assert!(told, "{sends:?}");
        assert!(!swim.holds_down(&two), "and it does not even think so");
    }

    #[test]
    fn a_suspicion_that_stands_is_declared() {
        let (mut swim, two, timer) = suspecting();
        let (fired, _) = swim.fire(timer);
        assert_eq!(fired, Fired::Declared);
        assert!(swim.holds_down(&two));
    }
}
