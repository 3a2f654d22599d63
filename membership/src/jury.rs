//! Opinions: before a member is suspected, and while it is, a few others are asked whether they can
//! reach it.
//!
//! ```text
//! accuser: doubt ─► juror: call ─► the doubted
//!                   juror ◄─ here ─ the doubted          the accuser is told: here
//!                   juror: nothing, three times           the accuser is told: confirmed
//! ```
//!
//! A call of a suspect says that it is suspected, and at which incarnation, so the suspect is the
//! first to hear of it, and its answer is its refutation. A round has a number that only its
//! accuser knows, so an answer that is late or that somebody recorded counts for nothing.
//!
//! Who was asked to ping a member for another (SWIM's indirect probe) says so, too, when there is
//! no answer: then the asker knows that it was heard. *Source*: Lifeguard (nack, buddy).

use std::net::SocketAddr;

use foca::{Member, State};
use shoal_api::{Instant, NodeId};

use crate::identity::Identity;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::{kind, wire};
use crate::schedule::Timer;
use crate::streams::Via;

/// Members that are asked in one round.
const JURORS: usize = 5;
/// Calls of one juror before it says that there is no answer.
const CALLS: u32 = 3;
/// A juror of a worse health score keeps its opinion to itself.
const FIT: u32 = 3;

/// What another member asked this one to find out.
#[derive(Clone, Debug)]
enum Errand {
    /// Whether the doubted can be reached.
    Juror {
        accuser: SocketAddr,
        doubted: Identity,
        incarnation: u16,
        suspected: bool,
        round: u32,
        calls: u32,
    },
    /// An indirect ping.
    Relay {
        asker: Identity,
        target: NodeId,
        number: u8,
    },
}

/// Errands that are not done, in the order in which they came. At most [`limits::ERRANDS`]; more
/// are not taken, which others see as a lost datagram.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    open: Vec<(Instant, Errand)>,
}

impl Errands {
    fn add(&mut self, due: Instant, errand: Errand) -> bool {
        let fits = self.open.len() < limits::ERRANDS;
        if fits {
            self.open.push((due, errand));
        }
        fits
    }

    pub fn clear(&mut self) {
        self.open.clear();
    }
}

impl Membership {
    /// Asks a few members about one, and says by which number their answers are known.
    pub(crate) fn ask_jury(&mut self, doubted: Identity, incarnation: u16, suspected: bool) -> u32 {
        let round = (self.dice.next_u64() as u32).max(1);
        let doubt = wire::Doubt {
            identity: doubted.to_bytes(),
            incarnation: u32::from(incarnation),
            suspected,
            round,
        };
        let mut jurors = self.choose_up(JURORS + 1);
        jurors.retain(|juror| juror.node != doubted.node);
        jurors.truncate(JURORS);
        for juror in jurors {
            self.send_message(juror.address, kind::DOUBT, &doubt);
        }
        round
    }

    /// Another member doubts that one lives.
    pub(crate) fn take_doubt(
        &mut self,
        via: Via,
        doubted: Identity,
        incarnation: u16,
        suspected: bool,
        round: u32,
    ) {
        if doubted.node == self.config.id {
            self.answer_call(via, doubted, incarnation, suspected, round);
            return;
        }
        let errand = Errand::Juror {
            accuser: via.address(),
            doubted,
            incarnation,
            suspected,
            round,
            calls: 1,
        };
        let due = self.now + self.timing.jury / CALLS;
        if self.errands.add(due, errand) {
            self.call(doubted, incarnation, suspected, round);
            self.plan_errands();
        }
    }

    fn call(&mut self, doubted: Identity, incarnation: u16, suspected: bool, round: u32) {
        let call = wire::Doubt {
            identity: doubted.to_bytes(),
            incarnation: u32::from(incarnation),
            suspected,
            round,
        };
        self.send_message(doubted.address, kind::CALL, &call);
    }

    /// Somebody asks whether this node is there, and may say that it is suspected.
    pub(crate) fn answer_call(
        &mut self,
        via: Via,
        doubted: Identity,
        incarnation: u16,
        suspected: bool,
        round: u32,
    ) {
        if self.phase != Phase::Running || doubted.node != self.config.id {
            return;
        }
        if suspected {
            self.refute(doubted, incarnation);
        }
        let me = self.table.me();
        let here = wire::Here {
            identity: me.identity.to_bytes(),
            incarnation: u32::from(me.incarnation),
            round,
        };
        self.send_message(via, kind::HERE, &here);
    }

    /// A member says that it is there, itself or through a juror.
    pub(crate) fn take_here(&mut self, identity: Identity, incarnation: u16, round: u32) {
        if identity.node == self.config.id {
            return;
        }
        self.hear(Member::new(identity, incarnation, State::Alive), true);
        if round == 0 {
            return;
        }
        let mut accusers = Vec::new();
        self.errands.open.retain(|(_, errand)| match errand {
            Errand::Juror {
                accuser,
                doubted,
                round: asked,
                ..
            } if *asked == round && doubted.node == identity.node => {
                accusers.push(*accuser);
                false
            }
            Errand::Juror { .. } | Errand::Relay { .. } => true,
        });
        let here = wire::Here {
            identity: identity.to_bytes(),
            incarnation: u32::from(incarnation),
            round,
        };
        for accuser in accusers {
            self.send_message(accuser, kind::HERE, &here);
        }
        self.vouch(identity, incarnation, round);
    }

    /// A member is pinged for another.
    pub(crate) fn remember_relay(&mut self, asker: Identity, target: Identity, number: u8) {
        // Most of the time that the asker waits; the rest is for the way back.
        let due = self.now + self.timing.indirect * 4 / 5;
        let errand = Errand::Relay {
            asker,
            target: target.node,
            number,
        };
        if self.errands.add(due, errand) {
            self.plan_errands();
        }
    }

    /// It answered.
    pub(crate) fn forget_relay(&mut self, asking: NodeId, answered: NodeId, answer: u8) {
        self.errands.open.retain(|(_, errand)| match errand {
            Errand::Relay {
                asker,
                target,
                number,
            } => !(asker.node == asking && *target == answered && *number == answer),
            Errand::Juror { .. } => true,
        });
    }

    fn plan_errands(&mut self) {
        if let Some(next) = self.errands.open.iter().map(|(due, _)| *due).min() {
            self.schedule.replace(next, Timer::Errand);
        }
    }

    /// Calls again, or says that there was no answer.
    pub(crate) fn run_errands(&mut self) {
        let now = self.now;
        let all = std::mem::take(&mut self.errands.open);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(due, _)| *due <= now);
        self.errands.open = later;
        for (_, errand) in due {
            self.run_errand(errand);
        }
        self.plan_errands();
    }

    fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Relay { asker, number, .. } => self.send_nack(asker.address, number),
            Errand::Juror {
                accuser,
                doubted,
                incarnation,
                suspected,
                round,
                calls,
            } if calls < CALLS => {
                self.call(doubted, incarnation, suspected, round);
                let errand = Errand::Juror {
                    accuser,
                    doubted,
                    incarnation,
                    suspected,
                    round,
                    calls: calls + 1,
                };
                let _room = self
                    .errands
                    .add(self.now + self.timing.jury / CALLS, errand);
            }
            Errand::Juror {
                accuser,
                doubted,
                incarnation,
                round,
                ..
            } => {
                if self.health.score() <= FIT {
                    let confirmed = wire::Here {
                        identity: doubted.to_bytes(),
                        incarnation: u32::from(incarnation),
                        round,
                    };
                    self.send_message(accuser, kind::CONFIRM, &confirmed);
                }
            }
        }
    }
}
