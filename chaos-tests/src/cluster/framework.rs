//! A framework as a good client behaves: it launches, kills, acknowledges, reconciles, loses its
//! stream and comes back. What it wants done are [`Deed`]s; what it is told are [`Word`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::call::{AgentName, Call, Filters, FrameworkCall, Launch, ReconcileTask};
use shoal_api::notice::{Notice, TaskStatus};
use shoal_api::offer::Offer;
use shoal_api::{
    AgentId, Amount, Capability, Dice, FrameworkId, FrameworkInfo, Instant, OfferId, Range,
    Resource, Resources, Role, StreamId, TaskId, TaskSpec, TaskState, UpdateId, Value,
};

use super::processes::Script;

/// How often a framework looks around.
pub const LOOK: Duration = Duration::from_millis(200);
/// Silence after which its stream is given up. Source: Mesos, five heartbeats.
const SILENCE: Duration = Duration::from_secs(75);
/// How long a call may take before its outcome counts as unknown.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// Calls that wait for their answers.
const CALLS: usize = 64;

/// What a framework wants done.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Open a subscription at that master.
    Dial(usize),
    /// Give the subscription's connection up.
    Hangup,
    /// Call any master.
    Call {
        /// Its number.
        number: u64,
        /// At which master.
        master: usize,
        /// What.
        call: Box<FrameworkCall>,
    },
}

/// What a framework is told.
#[derive(Clone, Debug)]
pub enum Word {
    /// The connection is there.
    Connected,
    /// The subscription was accepted.
    Opened(FrameworkId, StreamId),
    /// It was not.
    Refused {
        /// It is told so by an ERROR event.
        event: bool,
    },
    /// An event of the stream.
    Notice(Box<Notice>),
    /// The connection is gone, or could not be made.
    Closed,
    /// A call was answered.
    Answered {
        /// Of the call.
        number: u64,
        /// Committed, or refused.
        done: bool,
    },
}

/// A task as its framework knows it.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// Its latest state; none before the first word of it.
    pub state: Option<TaskState>,
    /// Where it was launched.
    pub agent: AgentId,
    /// It should end.
    killed: Option<Instant>,
    /// When it was last asked about.
    asked: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    None { retry: Instant },
    Dialling { since: Instant },
    Open { heard: Instant },
}

#[derive(Debug)]
struct Acknowledgement {
    due: Instant,
    agent: AgentName,
    task: Arc<str>,
    update: UpdateId,
}

/// How a framework behaves, drawn once.
#[derive(Clone, Copy, Debug)]
struct Manners {
    /// Tasks at a time.
    target: usize,
    /// Offers held for a while, per mille.
    holds: u16,
    /// Acknowledgements forgotten once, per mille.
    forgets: u16,
    /// Kills a task of its own per look, per mille.
    kills: u16,
    /// Drops its own stream per look, per mille.
    drops: u16,
    /// Tears itself down per look, per mille.
    tears: u16,
    /// Asks what became of a task per look, per mille.
    asks: u16,
}

/// One framework.
#[derive(Debug)]
pub struct Framework {
    /// Its number among the frameworks.
    pub number: usize,
    /// As it subscribes.
    pub info: FrameworkInfo,
    /// Its tasks that it has not seen end.
    pub tasks: BTreeMap<Arc<str>, Tracked>,
    /// Tasks that it saw end, by state.
    pub ended: BTreeMap<TaskState, u64>,
    /// Tasks that it launched.
    pub launched: u64,
    stream: Option<StreamId>,
    connection: Connection,
    masters: usize,
    held: Vec<(Instant, Offer)>,
    calls: BTreeMap<u64, (Instant, Vec<Arc<str>>)>,
    last_call: u64,
    acknowledgements: Vec<Acknowledgement>,
    manners: Manners,
    reconcile_at: Instant,
    calm: bool,
    /// Tasks to be launched although it is calm.
    pub wanted: usize,
    dice: Dice,
    deeds: Vec<Deed>,
}

impl Framework {
    /// A framework that has never subscribed.
    pub fn new(number: usize, masters: usize, mut dice: Dice) -> Framework {
        let timeouts = [0, 2, 20, 600, 100_000];
        let timeout = timeouts[dice.below(timeouts.len() as u64) as usize];
        let mut capabilities = BTreeSet::from([Capability::MultiRole]);
        if dice.chance(600) {
            capabilities.insert(Capability::PartitionAware);
        }
        let roles = ["x", "y", "*"];
        let role = |at: u64| Role::new(roles[at as usize]).expect("the names are roles");
        let mut own = BTreeSet::from([role(dice.below(3))]);
        if dice.chance(300) {
            own.insert(role(dice.below(3)));
        }
        let manners = Manners {
            target: 1 + dice.below(8) as usize,
            holds: dice.below(200) as u16,
            forgets: dice.below(80) as u16,
            kills: dice.below(40) as u16,
            drops: dice.below(6) as u16,
            tears: u16::from(dice.chance(250)),
            asks: dice.child("curiosity").below(120) as u16,
        };
        Framework {
            number,
            info: FrameworkInfo {
                id: None,
                name: Arc::from(format!("framework {number}")),
                user: Arc::from("nobody"),
                principal: None,
                roles: own,
                suppressed: BTreeSet::new(),
                capabilities,
                failover_timeout: Duration::from_secs(timeout),
                raw: Bytes::new(),
            },
            tasks: BTreeMap::new(),
            ended: BTreeMap::new(),
            launched: 0,
            stream: None,
            connection: Connection::None {
                retry: Instant::ZERO,
            },
            masters,
            held: Vec::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            acknowledgements: Vec::new(),
            manners,
            reconcile_at: Instant::ZERO,
            calm: false,
            wanted: 0,
            dice,
            deeds: Vec::new(),
        }
    }

    /// No more faults follow: bring everything to an end.
    pub fn calm_down(&mut self) {
        self.calm = true;
    }

    /// Tears itself down, comes back as a new one, and runs one more task.
    pub fn play_again(&mut self, now: Instant) {
        self.call(now, Call::Teardown, Vec::new());
        self.wanted = 1;
    }

    /// How many tasks it may have.
    fn target(&self) -> usize {
        if self.calm {
            self.tasks.len() + self.wanted
        } else {
            self.manners.target
        }
    }

    /// Whether it has a subscription.
    pub fn is_subscribed(&self) -> bool {
        self.stream.is_some()
    }

    /// What it wants done.
    pub fn take_deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }

    fn call(&mut self, now: Instant, call: Call, launches: Vec<Arc<str>>) -> bool {
        let (Some(framework), Some(stream)) = (self.info.id.clone(), self.stream) else {
            return false;
        };
        if self.calls.len() >= CALLS {
            return false;
        }
        self.last_call += 1;
        self.calls.insert(self.last_call, (now, launches));
        let master = self.dice.below(self.masters as u64) as usize;
        let call = Box::new(FrameworkCall {
            framework,
            stream,
            call,
        });
        self.deeds.push(Deed::Call {
            number: self.last_call,
            master,
            call,
        });
        true
    }

    /// Something was said.
    pub fn hear(&mut self, now: Instant, word: Word) {
        match word {
            Word::Connected => self.connection = Connection::Open { heard: now },
            Word::Opened(id, stream) => {
                self.info.id = Some(id);
                self.stream = Some(stream);
                self.reconcile_at = now;
            }
            Word::Refused { event: true } => self.start_anew(now),
            Word::Refused { event: false } => self.lost(now),
            Word::Notice(notice) => {
                if let Connection::Open { heard } = &mut self.connection {
                    *heard = now;
                }
                self.notice(now, *notice);
            }
            Word::Closed => self.lost(now),
            Word::Answered { number, done } => {
                let waited = self.calls.remove(&number);
                if let (false, Some((_, launches))) = (done, waited) {
                    self.doubt(&launches);
                }
            }
        }
    }

    /// Whether these were launched is not known: ask soon.
    fn doubt(&mut self, launches: &[Arc<str>]) {
        for task in launches {
            if let Some(tracked) = self.tasks.get_mut(task) {
                tracked.asked = Instant::ZERO;
            }
        }
    }

    fn lost(&mut self, now: Instant) {
        let wait = Duration::from_millis(100 + self.dice.below(3_000));
        self.connection = Connection::None { retry: now + wait };
        self.stream = None;
        self.held.clear();
        self.acknowledgements.clear();
    }

    /// The id is gone for ever, and with it all its tasks.
    fn start_anew(&mut self, now: Instant) {
        self.lost(now);
        self.info.id = None;
        self.tasks.clear();
    }

    fn notice(&mut self, now: Instant, notice: Notice) {
        match notice {
            Notice::Subscribed { .. }
            | Notice::Heartbeat
            | Notice::Operation(_)
            | Notice::Failure { .. } => {}
            Notice::Offers(offers) => {
                for (offer, _) in offers {
                    let holds = !self.calm && self.dice.chance(self.manners.holds);
                    let wait = if holds { self.dice.below(20_000) } else { 0 };
                    self.held.push((now + Duration::from_millis(wait), offer));
                }
                self.use_offers(now);
            }
            Notice::Rescind(id) => self.held.retain(|(_, offer)| offer.id != id),
            Notice::Update(status) => self.status(now, &status),
            Notice::Error(_) => {
                self.deeds.push(Deed::Hangup);
                self.start_anew(now);
            }
        }
    }

    fn status(&mut self, now: Instant, status: &TaskStatus) {
        if let (Some(update), Some(agent)) = (status.update, status.agent.clone())
            && (self.calm || !self.dice.chance(self.manners.forgets))
        {
            let wait = if self.dice.chance(100) {
                self.dice.below(4_000)
            } else {
                self.dice.below(20)
            };
            let due = now + Duration::from_millis(wait);
            let task = Arc::clone(&status.task);
            self.acknowledgements.push(Acknowledgement {
                due,
                agent,
                task,
                update,
            });
        }
        if status.state.is_terminal() {
            if self.tasks.remove(&status.task).is_some() {
                *self.ended.entry(status.state).or_default() += 1;
            }
            return;
        }
        if status.state == TaskState::Unknown {
            self.tasks.remove(&status.task);
            return;
        }
        let Some(AgentName::Id(agent)) = status.agent else {
            return;
        };
        // A task that was given up, or launched by an earlier life, is adopted and ended.
        let unknown = Tracked {
            state: None,
            agent,
            killed: Some(Instant::ZERO),
            asked: now,
        };
        let tracked = self
            .tasks
            .entry(Arc::clone(&status.task))
            .or_insert(unknown);
        tracked.state = Some(status.state);
        tracked.asked = now;
    }

    /// Looks around.
    pub fn look(&mut self, now: Instant) {
        match self.connection {
            Connection::None { retry } if retry <= now => {
                self.connection = Connection::Dialling { since: now };
                let master = self.dice.below(self.masters as u64) as usize;
                self.deeds.push(Deed::Dial(master));
            }
            Connection::Dialling { since } if now.since(since) > CALL_TIMEOUT => self.hang_up(now),
            Connection::Open { heard } if now.since(heard) > SILENCE => self.hang_up(now),
            Connection::None { .. } | Connection::Dialling { .. } | Connection::Open { .. } => {}
        }
        let late: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, (since, _))| now.since(*since) > CALL_TIMEOUT)
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            let (_, launches) = self.calls.remove(&number).expect("it was listed");
            self.doubt(&launches);
        }
        if self.stream.is_none() {
            return;
        }
        self.acknowledge(now);
        self.use_offers(now);
        self.reconcile(now);
        self.kill(now);
        if !self.calm && self.dice.chance(self.manners.drops) {
            self.hang_up(now);
        } else if !self.calm && self.dice.chance(self.manners.tears) && self.dice.chance(10) {
            self.call(now, Call::Teardown, Vec::new());
        }
    }

    fn hang_up(&mut self, now: Instant) {
        self.deeds.push(Deed::Hangup);
        self.lost(now);
    }

    fn acknowledge(&mut self, now: Instant) {
        for at in (0..self.acknowledgements.len()).rev() {
            if self.acknowledgements[at].due <= now {
                let Acknowledgement {
                    agent,
                    task,
                    update,
                    ..
                } = self.acknowledgements.remove(at);
                self.call(
                    now,
                    Call::Acknowledge {
                        agent,
                        task,
                        update,
                    },
                    Vec::new(),
                );
            }
        }
    }

    fn reconcile(&mut self, now: Instant) {
        if now >= self.reconcile_at {
            let every = if self.calm {
                15
            } else {
                20 + self.dice.below(60)
            };
            self.reconcile_at = now + Duration::from_secs(every);
            self.call(now, Call::Reconcile(Vec::new()), Vec::new());
        }
        if !self.calm && !self.tasks.is_empty() && self.dice.chance(self.manners.asks) {
            let at = self.dice.below(self.tasks.len() as u64) as usize;
            let tracked = self.tasks.values_mut().nth(at);
            tracked.expect("it is within the count").asked = Instant::ZERO;
        }
        let doubtful: Vec<ReconcileTask> = self
            .tasks
            .iter_mut()
            .filter(|(_, tracked)| now.since(tracked.asked) > Duration::from_secs(15))
            .take(32)
            .map(|(task, tracked)| {
                tracked.asked = now;
                ReconcileTask {
                    task: Arc::clone(task),
                    agent: Some(AgentName::Id(tracked.agent)),
                }
            })
            .collect();
        if !doubtful.is_empty() {
            self.call(now, Call::Reconcile(doubtful), Vec::new());
        }
    }

    fn kill(&mut self, now: Instant) {
        if !self.tasks.is_empty() && self.dice.chance(self.manners.kills) {
            let at = self.dice.below(self.tasks.len() as u64) as usize;
            let tracked = self
                .tasks
                .values_mut()
                .nth(at)
                .expect("it is within the count");
            tracked.killed.get_or_insert(Instant::ZERO);
        }
        let again = Duration::from_secs(5);
        let mut due = Vec::new();
        for (task, tracked) in &mut self.tasks {
            if self.calm && tracked.state.is_some() {
                tracked.killed.get_or_insert(Instant::ZERO);
            }
            if let Some(last) = &mut tracked.killed
                && (*last == Instant::ZERO || now.since(*last) > again)
            {
                *last = now;
                due.push(Arc::clone(task));
            }
        }
        for task in due {
            let short = self.dice.chance(300).then(|| Duration::from_millis(200));
            self.call(
                now,
                Call::Kill {
                    task,
                    agent: None,
                    grace: short,
                },
                Vec::new(),
            );
        }
    }

    fn use_offers(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.held.retain(|(at, offer)| {
            if *at <= now {
                due.push(offer.clone());
            }
            *at > now
        });
        for offer in due {
            let launches = self.launches(&offer);
            let ids: Vec<OfferId> = vec![offer.id];
            let refuse = Duration::from_millis(self.dice.below(6_000));
            let filters = if self.calm {
                Filters {
                    refuse: Duration::from_secs(3_600),
                }
            } else {
                Filters { refuse }
            };
            if launches.is_empty() {
                self.call(
                    now,
                    Call::Decline {
                        offers: ids,
                        filters,
                    },
                    Vec::new(),
                );
                continue;
            }
            let names: Vec<Arc<str>> = launches.iter().map(name_of).collect();
            for name in &names {
                let tracked = Tracked {
                    state: None,
                    agent: offer.agent,
                    killed: None,
                    asked: now,
                };
                self.tasks.insert(Arc::clone(name), tracked);
                self.launched += 1;
            }
            self.wanted = 0;
            let offers = ids.into_iter().map(Ok).collect();
            let call = Call::Accept {
                offers,
                launches,
                filters,
            };
            if !self.call(now, call, names.clone()) {
                for name in names {
                    self.tasks.remove(&name);
                    self.launched -= 1;
                }
            }
        }
    }

    /// What to launch with an offer: as many small tasks as are wanted and fit.
    fn launches(&mut self, offer: &Offer) -> Vec<Launch> {
        let mut left = offer.resources.clone();
        let mut launches = Vec::new();
        while self.tasks.len() + launches.len() < self.target() {
            let wanted = self.wanted(&left);
            if left.subtract(&wanted).is_err() || launches.len() == 4 {
                break;
            }
            let number = self.launched + launches.len() as u64;
            let id = format!("t{}-{}-{number}", self.number, self.dice.below(1 << 40));
            let spec = TaskSpec {
                id: TaskId::new(&id).expect("letters and digits are an id"),
                name: Arc::from("simulated"),
                resources: wanted,
                command: Some(self.script().command()),
                environment: Vec::new(),
                user: None,
                kill_grace: None,
                unsupported: None,
                raw: Bytes::new(),
                digest: None,
            };
            launches.push(Launch::Task {
                agent: AgentName::Id(offer.agent),
                spec: Arc::new(spec),
            });
        }
        launches
    }

    fn script(&mut self) -> Script {
        let long = self.dice.chance(150);
        let millis = if long {
            1_000_000
        } else {
            50 + self.dice.below(15_000)
        };
        Script {
            runs: Duration::from_millis(millis),
            code: if self.dice.chance(200) {
                1 + self.dice.below(20) as u8
            } else {
                0
            },
            stubborn: self.dice.chance(150),
        }
    }

    fn wanted(&mut self, left: &Resources) -> Resources {
        let scalar =
            |name: &str, amount: u64| Resource::plain(name, Value::Scalar(Amount(amount as i64)));
        let mut list = vec![
            scalar("cpus", 100 + self.dice.below(900)),
            scalar("mem", 32_000 + self.dice.below(200_000)),
        ];
        if let (true, Some(Value::Ranges(ranges))) = (self.dice.chance(400), left.get("ports"))
            && let Some(range) = ranges.first()
        {
            let value = Value::Ranges(vec![Range {
                begin: range.begin,
                end: range.begin,
            }]);
            list.push(Resource::plain("ports", value));
        }
        Resources::from_list(list).expect("the list is well formed")
    }
}

fn name_of(launch: &Launch) -> Arc<str> {
    match launch {
        Launch::Task { spec, .. } | Launch::TaskIn { spec, .. } => Arc::from(spec.id.as_str()),
        Launch::Invalid { task, .. } => Arc::clone(task),
    }
}
