//! An operator at the command line: creates one-off runs and ends some of them, at any master.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::{Amount, Dice, Resources, RunId, RunSpec};
use shoal_master::{Answer, Ask, Input, Request};

use super::processes::Script;
use super::{Cluster, Event, FRAMEWORKS, MASTERS, NODES, Packet};
use crate::invariants::Fact;
use crate::network::Host;

/// How often the operator does something, at most.
const PACE: Duration = Duration::from_secs(6);

/// What is typed.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Create(Box<RunSpec>),
    Kill(RunId),
}

/// The operator.
#[derive(Debug)]
pub(super) struct Operator {
    dice: Dice,
    orders: u64,
    asked: BTreeMap<Ask, Order>,
    calm: bool,
}

/// Where the operator sits.
const DESK: Host = Host(NODES + FRAMEWORKS);

impl Operator {
    pub(super) fn new(dice: Dice) -> Operator {
        Operator {
            dice,
            orders: 0,
            asked: BTreeMap::new(),
            calm: false,
        }
    }

    pub(super) fn calm_down(&mut self) {
        self.calm = true;
    }

    fn spec(&mut self) -> RunSpec {
        let script = Script {
            runs: Duration::from_millis(20 + self.dice.below(9_000)),
            code: self.dice.below(3) as u8,
            stubborn: self.dice.chance(100),
        };
        let mut resources = Resources::scalar_of("cpus", Amount(50 + self.dice.below(300) as i64));
        resources
            .add(&Resources::scalar_of("mem", Amount(32_000)))
            .expect("one of each kind adds up");
        RunSpec {
            name: Arc::from(format!("run-{}", self.orders)),
            command: script.command(),
            environment: Vec::new(),
            resources,
            user: None,
            kill_grace: Some(Duration::from_millis(500)),
            count: 1 + self.dice.below(4) as u32,
        }
    }
}

impl Cluster {
    /// The operator does the next thing.
    pub(super) fn operate(&mut self) {
        let open: Vec<RunId> = self
            .newest
            .1
            .runs
            .runs()
            .filter(|(_, row)| row.unfinished > 0 && !row.killed)
            .map(|(id, _)| *id)
            .collect();
        let operator = &mut self.operator;
        operator.orders += 1;
        let kills = operator.calm || operator.dice.chance(150);
        let order = match open.first() {
            Some(run) if kills => Some(Order::Kill(*run)),
            Some(_) | None if !operator.calm => Some(Order::Create(Box::new(operator.spec()))),
            Some(_) | None => None,
        };
        let to = Host(operator.dice.below(MASTERS as u64) as usize);
        let pace = if operator.calm { PACE / 6 } else { PACE };
        let wait = Duration::from_nanos(operator.dice.below(pace.as_nanos() as u64));
        if let Some(order) = order {
            self.send_datagram(DESK, to, Packet::Order(order));
        }
        self.queue.push(self.queue.now() + wait, Event::Operate);
    }

    pub(super) fn ordered(&mut self, host: Host, order: Order) {
        self.last_ask += 1;
        let ask = Ask(self.last_ask);
        let request = match &order {
            Order::Create(spec) => Request::CreateRun(spec.clone()),
            Order::Kill(run) => Request::KillRun(*run),
        };
        self.operator.asked.insert(ask, order);
        self.step_master(host, Input::Request { ask, request });
    }

    /// A master answers the operator: what it says must be in its ledger. False if it is not for him.
    pub(super) fn operator_answered(&mut self, host: Host, ask: Ask, answer: &Answer) -> bool {
        let Some(order) = self.operator.asked.remove(&ask) else {
            return false;
        };
        let Some(machine) = &self.masters[host.0].machine else {
            return true;
        };
        let runs = &machine.state().runs;
        let broken = match (&order, answer) {
            (Order::Create(spec), Answer::RunCreated(id)) => {
                runs.run(*id).is_none_or(|row| row.spec.name != spec.name)
            }
            (Order::Kill(id), Answer::Done) => runs
                .run(*id)
                .is_some_and(|row| row.unfinished > 0 && !row.killed),
            (Order::Create(_) | Order::Kill(_), _) => false,
        };
        if broken {
            let detail = format!("{order:?} is done, but the ledger does not have it");
            self.tell(&Fact::NotDone(detail));
        }
        true
    }
}
