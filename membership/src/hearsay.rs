//! What is heard about a member's state, weighed before SWIM is told.
//!
//! `foca` holds a death for final: whoever was declared dead must take a new identity, even if it had
//! refuted long ago and only the news were slow. Here the incarnation decides, for deaths too:
//!
//! - a death at an older incarnation than the one known is stale, and ignored;
//! - whoever is alive at a newer incarnation than the one that died lives, and is taken back;
//! - who hears of its own death says that it lives, at the next incarnation.
//!
//! So a partition that heals, or a node that hears nothing for a while, costs nobody its identity. A
//! death by leaving is final for that life. *Source*: memberlist's rules for dead and alive messages.

use foca::{Member, State};

use crate::codec::SwimPacket;
use crate::identity::Identity;
use crate::machine::{Membership, Phase};
use crate::table::Row;

/// What to do with what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// It is known, or stale.
    Nothing,
    /// SWIM should hear it.
    News,
    /// The member died, and lives: SWIM must forget its death first.
    Back,
}

fn weigh(row: &Row, heard: &Member<Identity>) -> Weight {
    if row.identity != *heard.id() {
        return Weight::News;
    }
    let newer = heard.incarnation() > row.incarnation;
    let same = heard.incarnation() == row.incarnation;
    let news = match (row.state, heard.state()) {
        (State::Down, State::Down) => false,
        (State::Down, State::Alive | State::Suspect) => {
            return match newer && !row.leaving {
                true => Weight::Back,
                false => Weight::Nothing,
            };
        }
        (State::Alive | State::Suspect, State::Down) => newer || same || row.leaving,
        (State::Alive, State::Suspect) => newer || same,
        (State::Alive | State::Suspect, State::Alive) | (State::Suspect, State::Suspect) => newer,
    };
    if news { Weight::News } else { Weight::Nothing }
}

impl Membership {
    /// Whether SWIM should be told; a member that is back is made ready for it.
    fn admit_heard(&mut self, heard: &Member<Identity>) -> bool {
        let Some(row) = self.table.get(heard.id().node) else {
            return true;
        };
        match weigh(row, heard) {
            Weight::Nothing => false,
            Weight::News => true,
            Weight::Back => {
                let identity = row.identity;
                self.stats.revived += 1;
                self.swim.forget(identity);
                true
            }
        }
    }

    /// Takes what was heard about another member outside of SWIM's packets.
    pub(crate) fn hear(&mut self, heard: Member<Identity>, spread: bool) {
        if heard.id().node != self.config.id && self.admit_heard(&heard) {
            let wanted = self.swim.apply(heard, spread);
            self.absorb(wanted);
        }
    }

    /// Takes out of a packet what is no news. False if its sender is dead here, and does not know:
    /// then nothing of it counts.
    pub(crate) fn weigh_packet(&mut self, packet: &mut SwimPacket) -> bool {
        let src = packet.header.src;
        let alive = Member::new(src, packet.header.src_incarnation, State::Alive);
        let dead = (self.table.get(src.node))
            .is_some_and(|row| row.identity == src && row.state == State::Down);
        if dead && !self.admit_heard(&alive) {
            self.tell_dead(src);
            return false;
        }
        let updates = std::mem::take(&mut packet.updates);
        let mut own = None;
        for update in updates {
            if update.id().node == self.config.id {
                own = own.max(self.accusation(&update));
            } else if self.admit_heard(&update) {
                packet.updates.push(update);
            }
        }
        if let Some(incarnation) = own {
            self.refute(self.swim.identity(), incarnation);
        }
        true
    }

    /// The incarnation at which others suspect this node, or hold it for dead, if it matters.
    fn accusation(&self, update: &Member<Identity>) -> Option<u16> {
        let me = self.table.me();
        let mine = *update.id() == me.identity && update.incarnation() >= me.incarnation;
        match update.state() {
            State::Alive => None,
            State::Suspect | State::Down => mine.then_some(update.incarnation()),
        }
    }

    /// Others suspect this node, or hold it for dead: it says that it lives, if its incarnation
    /// does not say so already.
    pub(crate) fn refute(&mut self, accused: Identity, incarnation: u16) {
        let me = self.table.me();
        let news = accused == me.identity && incarnation >= me.incarnation;
        if !news || self.phase != Phase::Running {
            return;
        }
        self.stats.refutations += 1;
        self.health.worsen(1);
        let renews = incarnation == u16::MAX;
        if !renews {
            self.table.me_mut().incarnation = incarnation + 1;
        }
        let suspect = Member::new(accused, incarnation, State::Suspect);
        let wanted = self.swim.apply(suspect, true);
        self.absorb(wanted);
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::member::Tags;
    use shoal_api::{Instant, Name, NodeId};

    use super::*;
    use crate::identity::tests::identity;
    use crate::table::Table;

    const NOW: Instant = Instant::from_nanos(5);

    fn row(state: State, incarnation: u16) -> (Table, Identity) {
        let me = identity(1, 1, 0, "10.0.0.1:1");
        let two = identity(2, 1, 0, "10.0.0.2:1");
        let mut table = Table::new(NOW, me, Name::new("me").expect("a name"), Tags::new());
        table.observe(NOW, two, incarnation, state);
        (table, two)
    }

    #[test]
    fn the_incarnation_decides() {
        use State::{Alive, Down, Suspect};
        for (known, at, heard, of, weight) in [
            (Alive, 3, Down, 2, Weight::Nothing),
            (Alive, 3, Down, 3, Weight::News),
            (Suspect, 3, Down, 2, Weight::Nothing),
            (Down, 3, Alive, 3, Weight::Nothing),
            (Down, 3, Alive, 4, Weight::Back),
            (Down, 3, Suspect, 4, Weight::Back),
            (Down, 3, Down, 9, Weight::Nothing),
            (Alive, 3, Alive, 3, Weight::Nothing),
            (Alive, 3, Suspect, 3, Weight::News),
            (Suspect, 3, Suspect, 3, Weight::Nothing),
            (Suspect, 3, Alive, 4, Weight::News),
        ] {
            let (table, two) = row(known, at);
            let row = table.get(NodeId(2)).expect("known");
            let case = (known, at, heard, of);
            assert_eq!(weigh(row, &Member::new(two, of, heard)), weight, "{case:?}");
        }
    }

    #[test]
    fn another_identity_is_swims_to_judge() {
        let (table, _) = row(State::Down, 9);
        let newer = identity(2, 2, 0, "10.0.0.2:1");
        let row = table.get(NodeId(2)).expect("known");
        assert_eq!(weigh(row, &Member::alive(newer)), Weight::News);
    }
}
