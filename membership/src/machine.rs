//! The machine: one node's view of the gossip, its inputs, its deadlines and what it says.
//!
//! How datagrams are read, how it joins and leaves, how it pulls and synchronises stand in files of
//! their own, each with its part of [`Membership`].

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use foca::State;
use shoal_api::member::{Member, MemberEvent, MemberStatus};
use shoal_api::{Dice, Generation, Instant, NodeId};

use crate::config::{Config, ConfigError, NodeTags};
use crate::coordinate::Vivaldi;
use crate::envelope::Seal;
use crate::health::Health;
use crate::identity::Identity;
use crate::io::{Input, Output};
use crate::jury::Errands;
use crate::news::{News, Topic};
use crate::probe::Probe;
use crate::replay::Heard;
use crate::schedule::{Schedule, Timer};
use crate::stats::{DropReason, Stats};
use crate::streams::{Streams, Via};
use crate::suspicion::Suspicions;
use crate::swim::{Swim, Wanted};
use crate::table::Table;
use crate::talk::{Clocks, Talk};
use crate::timing::{self, Timing};

/// Where the node stands itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Joining or joined.
    Running,
    /// It tells everyone that it is about to leave.
    Leaving,
    /// It has left, and tells everyone so.
    Lingering,
    /// It left or was superseded, and is silent.
    Ended,
}

/// One node's view of the gossip.
///
/// Everything it does follows from its inputs, their times and its seed. It must be woken at
/// [`Membership::next_deadline`], and all outputs must be taken after each step: they are bounded
/// by what one step may produce.
///
/// Invariants, checked after each step: the table agrees with itself (see `table`); this node's row
/// has SWIM's identity; an ended machine has no deadline.
#[derive(Debug)]
pub struct Membership {
    pub(crate) config: Config,
    pub(crate) timing: Timing,
    pub(crate) seal: Seal,
    pub(crate) heard: Heard,
    pub(crate) swim: Swim,
    pub(crate) table: Table,
    pub(crate) news: News,
    pub(crate) talk: Talk,
    pub(crate) schedule: Schedule,
    pub(crate) dice: Dice,
    pub(crate) now: Instant,
    pub(crate) phase: Phase,
    pub(crate) seeds: Vec<SocketAddr>,
    /// Of the last two rounds of asking seeds.
    pub(crate) challenges: [u64; 2],
    pub(crate) name_holder: Option<NodeId>,
    /// Nodes whose rows may have a wish.
    pub(crate) wishing: BTreeSet<NodeId>,
    /// When the first of their wishes is due, or earlier.
    pub(crate) pull_due: Instant,
    pub(crate) quick_syncs: u32,
    /// Rounds of asking seeds since one said who it is.
    pub(crate) asked_in_vain: u32,
    pub(crate) probe: Option<Probe>,
    pub(crate) health: Health,
    pub(crate) suspicions: Suspicions,
    pub(crate) errands: Errands,
    pub(crate) vivaldi: Vivaldi,
    /// Who just answered a ping, and how long it took.
    pub(crate) measured: Option<(NodeId, Duration)>,
    pub(crate) streams: Streams,
    /// Whose frame is being handled, and how it came.
    pub(crate) answering: Option<(NodeId, Via)>,
    /// Transmissions that SWIM is set to.
    transmissions: u8,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) stats: Stats,
    left: bool,
}

impl Membership {
    /// A machine that knows only itself. `now` is the first instant of its clock.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot work; nothing was made.
    pub fn new(config: Config, now: Instant) -> Result<Membership, ConfigError> {
        config.check()?;
        let timing = Timing::new(&config);
        let identity = Identity {
            node: config.id,
            generation: config.generation,
            renewal: 0,
            address: config.gossip,
        };
        let dice = Dice::new(config.seed);
        let swim = Swim::new(identity, timing.foca(1), dice.child("swim"), config.plants);
        let tags = config.tags.get().clone();
        let mut machine = Membership {
            seal: Seal::new(config.label.clone(), config.secrecy.clone(), config.entropy),
            heard: Heard::default(),
            swim,
            table: Table::new(now, identity, config.name.clone(), tags),
            news: News::default(),
            talk: Talk::new(config.clocks, config.replay_events),
            schedule: Schedule::default(),
            dice: dice.child("choices"),
            now,
            phase: Phase::Running,
            seeds: Vec::new(),
            challenges: [0; 2],
            name_holder: None,
            wishing: BTreeSet::new(),
            pull_due: now,
            quick_syncs: 0,
            asked_in_vain: 0,
            probe: None,
            health: Health::default(),
            suspicions: Suspicions::default(),
            errands: Errands::default(),
            vivaldi: Vivaldi::default(),
            measured: None,
            streams: Streams::default(),
            answering: None,
            transmissions: timing.transmissions(1),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            left: false,
            timing,
            config,
        };
        for (timer, time) in [
            (Timer::Reconnect, machine.timing.reconnect),
            (Timer::Sync, machine.timing.sync),
            (Timer::Reap, machine.timing.reap),
        ] {
            machine.set_timer(timer, time);
        }
        Ok(machine)
    }

    /// Takes one input at its time; a time before the last one counts as the last one. Outputs wait
    /// in [`Membership::poll_output`].
    pub fn step(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Wake => self.wake(),
            Input::Datagram { from, bytes } => self.receive(Via::Datagram(from), &bytes),
            Input::Frame {
                stream,
                from,
                bytes,
            } => self.receive_frame(stream, from, &bytes),
            Input::Closed { stream } => self.stream_closed(stream),
            Input::Join { seeds } => self.join(seeds),
            Input::Leave => self.begin_leaving(),
            Input::SetTags(tags) => self.set_tags(tags),
            Input::SetSecrecy(secrecy) => self.seal.set_secrecy(secrecy),
            Input::TellEvent(body) => self.tell_event(body),
            Input::Ask { token, request } => self.ask(token, request),
            Input::Answer { query, body } => self.answer_query(query, body),
            Input::Remove { node, prune } => self.remove_member(node, prune),
        }
        if self.phase != Phase::Ended {
            self.settle();
        }
        self.assert_sound();
    }

    /// The next thing to do, in order; poll until there is none before the next step.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to wake the machine, if nothing happens before. None once it is silent.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// All members by node id, this node and the gone ones too.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.table.rows().map(|row| &row.member)
    }

    /// One member.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.table.get(id).map(|row| &row.member)
    }

    /// This node, as it sees itself.
    pub fn me(&self) -> &Member {
        &self.table.me().member
    }

    /// How many members this node holds for living, itself too.
    pub fn living(&self) -> usize {
        self.size()
    }

    /// Whether another living member is known.
    pub fn is_joined(&self) -> bool {
        self.table.others_up() > 0
    }

    /// Whether leaving is complete.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// The living node that holds this node's name, if one is known.
    pub fn name_holder(&self) -> Option<NodeId> {
        self.name_holder
    }

    /// How far this node has heard of events and queries.
    pub fn clocks(&self) -> Clocks {
        self.talk.clocks
    }

    /// Pieces of news and broadcasts that wait to be spread.
    pub fn queued(&self) -> (usize, usize) {
        (self.news.len(), self.talk.queue.len())
    }

    /// Updates of members that wait to be spread.
    pub fn updates_queued(&self) -> usize {
        self.swim.backlog()
    }

    /// Queries of this node's own that wait for answers, and queries that it may answer.
    pub fn queries_open(&self) -> (usize, usize) {
        self.talk.queries_open()
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn wake(&mut self) {
        let due = self.schedule.next().unwrap_or(self.now);
        let late = self.now.since(due);
        if late >= self.timing.probe_period / 2 {
            // This process stood still: what it waited for may have come and gone meanwhile, so
            // the others get that time on top before anyone is blamed.
            self.stats.stalls += 1;
            self.health.worsen(1);
            self.schedule.postpone_swim(late);
            self.suspicions.postpone(late);
        }
        while let Some(timer) = self.schedule.take_due(self.now) {
            match timer {
                Timer::Swim(timer) => self.fire_swim(timer),
                Timer::Join => self.ask_seeds(),
                Timer::Gossip => self.gossip(),
                Timer::Reconnect => self.reconnect(),
                Timer::Jury => self.third_stage(),
                Timer::Suspicion => self.look_at_suspicions(),
                Timer::Errand => self.run_errands(),
                Timer::Sync => self.sync(),
                Timer::Pull => {}
                Timer::Talk => self.tend_talk(),
                Timer::Reap => self.reap(),
                Timer::Leave => self.leave(),
                Timer::Ended => self.end_leaving(),
            }
        }
    }

    fn fire_swim(&mut self, timer: foca::Timer<Identity>) {
        let probed = match &timer {
            foca::Timer::SendIndirectProbe { probed_id, .. } => Some(*probed_id),
            foca::Timer::ProbeRandomMember(_)
            | foca::Timer::ChangeSuspectToDown { .. }
            | foca::Timer::PeriodicAnnounce(_)
            | foca::Timer::PeriodicAnnounceDown(_)
            | foca::Timer::PeriodicGossip(_)
            | foca::Timer::RemoveDown(_) => None,
        };
        let (_fired, wanted) = self.swim.fire(timer);
        self.absorb(wanted);
        if let Some(probed) = probed {
            self.second_stage(&probed);
        }
    }

    /// What is done once after each step: pulls that became due, and settings that follow the size.
    fn settle(&mut self) {
        self.pull();
        if self.table.others_up() == 0 {
            self.table.doubt_deaths();
            self.hasten_join();
        }
        if self.wants_gossip() && matches!(self.phase, Phase::Running | Phase::Leaving) {
            let time = timing::jittered(&mut self.dice, self.timing.gossip_first());
            self.schedule.ensure(self.now + time, Timer::Gossip);
        }
        let transmissions = self.timing.transmissions(self.size());
        if transmissions != self.transmissions {
            self.transmissions = transmissions;
            self.swim.set_config(self.timing.foca(self.size()));
        }
    }

    /// Living members, this node too.
    pub(crate) fn size(&self) -> usize {
        self.table.others_up() + 1
    }

    /// Sets a timer of the machine's own, with jitter.
    pub(crate) fn set_timer(&mut self, timer: Timer, time: Duration) {
        let time = timing::jittered(&mut self.dice, time);
        self.schedule.set(self.now + time, timer);
    }

    /// Takes over what a call made SWIM want: its news first, then its timers and datagrams.
    pub(crate) fn absorb(&mut self, wanted: Wanted) {
        if wanted.renewed {
            self.stats.renewals += 1;
            self.table.me_mut().identity = self.swim.identity();
            self.table.doubt_deaths();
        }
        self.reconcile(wanted.touched);
        for (timer, delay) in wanted.timers {
            self.plan_swim(timer, delay, wanted.connected);
        }
        for (to, bytes) in wanted.sends {
            self.send_swim(to, &bytes);
        }
    }

    /// Plans one of SWIM's own timers: this node's bad health makes all of its probes longer.
    fn plan_swim(&mut self, timer: foca::Timer<Identity>, delay: Duration, connected: bool) {
        let factor = self.health.factor();
        let delay = match timer {
            foca::Timer::SendIndirectProbe { .. } => delay * factor,
            foca::Timer::ChangeSuspectToDown {
                member_id,
                incarnation,
                ..
            } => {
                let confirmed = self.confirmations(&member_id);
                self.suspect(timer, member_id, incarnation, confirmed);
                return;
            }
            foca::Timer::ProbeRandomMember(_)
            | foca::Timer::PeriodicAnnounce(_)
            | foca::Timer::PeriodicAnnounceDown(_)
            | foca::Timer::PeriodicGossip(_)
            | foca::Timer::RemoveDown(_) => match connected {
                // Nodes that start as one shall not probe as one.
                true => delay.mul_f64(self.dice.below(1_000) as f64 / 1_000.0),
                false => timing::jittered(&mut self.dice, delay * factor),
            },
        };
        self.schedule.set(self.now + delay, Timer::Swim(timer));
    }

    fn reconcile(&mut self, touched: Vec<NodeId>) {
        if touched.is_empty() {
            return;
        }
        for member in self.swim.states(touched) {
            let identity = *member.id();
            if identity.node == self.config.id {
                continue;
            }
            let known = self.table.get(identity.node).is_some();
            if !known && member.state() == State::Down && self.table.was_pruned(&identity) {
                self.swim.forget(identity);
                continue;
            }
            let event =
                self.table
                    .observe(self.now, identity, member.incarnation(), member.state());
            if let Some(event) = event {
                self.say(event);
            }
        }
    }

    /// Says what changed, and does what follows from it.
    pub(crate) fn say(&mut self, event: MemberEvent) {
        match &event {
            MemberEvent::Joined(member) => {
                let node = member.id;
                self.wish(node, 1, None);
                self.check_name(node);
            }
            MemberEvent::StatusChanged(member) => {
                let gone = matches!(member.status, MemberStatus::Failed | MemberStatus::Left);
                if gone && self.name_holder == Some(member.id) {
                    self.name_holder = None;
                }
            }
            MemberEvent::Updated(member) => {
                let node = member.id;
                self.check_name(node);
            }
            MemberEvent::Reaped(_) => {}
        }
        self.outputs.push_back(Output::Event(event));
    }

    /// Two living nodes with one name: the lower node id keeps it. (A seed refuses a newcomer
    /// before it comes to that; this decides when both came at once, or a partition heals.)
    fn check_name(&mut self, node: NodeId) {
        let row = self.table.get(node).expect("it was just heard of");
        let same = row.is_up()
            && node != self.config.id
            && row.member.name.as_ref() == Some(&self.config.name);
        if !same {
            if self.name_holder == Some(node) {
                self.name_holder = None;
            }
            return;
        }
        self.stats.name_conflicts += 1;
        if node < self.config.id {
            self.refuse_name(node);
        }
    }

    pub(crate) fn refuse_name(&mut self, holder: NodeId) {
        if self.name_holder.replace(holder) != Some(holder) {
            self.outputs.push_back(Output::NameRefused {
                name: self.config.name.clone(),
                holder,
            });
        }
    }

    /// Whether that identity shows that this node's life is over: another process has a newer one,
    /// or the same one with an address that wins.
    pub(crate) fn supersedes(&self, other: &Identity) -> bool {
        let mine = self.swim.identity();
        let elsewhere = other.address != mine.address;
        other.node == mine.node
            && (other.generation > mine.generation
                || (other.generation == mine.generation
                    && elsewhere
                    && other.address > mine.address))
    }

    pub(crate) fn end_superseded(&mut self, by: Generation) {
        self.silence();
        self.outputs.push_back(Output::Superseded { by });
    }

    fn silence(&mut self) {
        self.phase = Phase::Ended;
        self.schedule.clear();
        self.suspicions.clear();
        self.errands.clear();
    }

    fn set_tags(&mut self, tags: NodeTags) {
        let tags = tags.into_tags();
        let me = self.table.me_mut();
        if me.member.tags == tags || self.phase == Phase::Ended {
            return;
        }
        me.member.tags = tags;
        me.version += 1;
        let (member, life) = (me.member.clone(), me.life());
        self.outputs
            .push_back(Output::Event(MemberEvent::Updated(member)));
        self.spread(Topic::Version, life);
    }

    fn begin_leaving(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Leaving;
        let now = self.now;
        let life = self.table.me().life();
        let event = self.table.set_leaving(now, life);
        self.outputs
            .push_back(Output::Event(event.expect("it was not leaving before")));
        self.spread(Topic::Leaving, life);
        self.gossip_once();
        let alone = self.table.others_up() == 0;
        let time = if alone {
            Duration::ZERO
        } else {
            self.timing.leave_spread
        };
        self.schedule.set(now + time, Timer::Leave);
    }

    fn leave(&mut self) {
        self.phase = Phase::Lingering;
        let me = self.table.me_mut();
        me.member.status = MemberStatus::Left;
        let member = me.member.clone();
        self.outputs
            .push_back(Output::Event(MemberEvent::StatusChanged(member)));
        let wanted = self.swim.leave();
        self.absorb(wanted);
        if self.table.others_up() == 0 {
            self.end_leaving();
        } else {
            self.schedule
                .set(self.now + self.timing.leave_linger, Timer::Ended);
            self.schedule
                .hasten(self.now + self.timing.gossip, Timer::Gossip);
        }
    }

    fn end_leaving(&mut self) {
        self.silence();
        self.left = true;
        self.outputs.push_back(Output::Left);
    }

    fn reap(&mut self) {
        let (failed, left) = (self.config.keep_failed, self.config.keep_left);
        let over: Vec<_> = self
            .table
            .others()
            .filter(|row| {
                let age = row.age(self.now);
                match row.member.status {
                    MemberStatus::Failed => age >= failed,
                    MemberStatus::Left => age >= left,
                    MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving => false,
                }
            })
            .map(|row| row.identity)
            .collect();
        for identity in over {
            self.table.remove(identity.node);
            self.swim.forget(identity);
            self.vivaldi.forget(identity.node);
            self.say(MemberEvent::Reaped(identity.node));
        }
        self.set_timer(Timer::Reap, self.timing.reap);
    }

    pub(crate) fn drop_datagram(&mut self, reason: DropReason) {
        self.stats.count_drop(reason);
    }

    fn assert_sound(&self) {
        if cfg!(debug_assertions) {
            self.table.assert_sound();
        }
        assert_eq!(self.table.me().identity, self.swim.identity());
        assert!(self.phase != Phase::Ended || self.schedule.next().is_none());
    }
}
