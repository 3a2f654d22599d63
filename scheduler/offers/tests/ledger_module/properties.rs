//! Random commands: what never happens, and what eventually does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::world::{self, World};
use crate::{operations, volumes};
use shoal_api::call::{AgentName, Filters, Launch};
use shoal_api::notice::Notice;
use shoal_api::operation::{Change, Operation, Step};
use shoal_api::{
    AgentId, Capability, Dice, FrameworkId, Generation, NodeId, OfferId, Resources, Role, StreamId,
    TaskKey, TaskState, UpdateId,
};
use shoal_ledger::{Module, Snapshot, Writer};
use shoal_offers::allocator::NewOffer;
use shoal_offers::{
    Connection, DisconnectCause, Effect, Offers, OffersCommand, Outcome, Presence, RemovalCause,
    RescindCause,
};

const AGENTS: [&str; 4] = ["a", "b", "c", "d"];
const STATES: [TaskState; 7] = [
    TaskState::Starting,
    TaskState::Running,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Finished,
    TaskState::Failed,
    TaskState::Killed,
];

/// A world with dice, and what its frameworks were told.
struct Run {
    dice: Dice,
    world: World,
    streams: u128,
    /// Terminal updates that a framework acknowledged.
    ended: BTreeMap<TaskKey, TaskState>,
    /// Volumes that were made and not destroyed.
    volumes: BTreeSet<(AgentId, u64)>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut world = World::new();
        for (node, name) in AGENTS.iter().enumerate() {
            let node = node as u128 + 1;
            world.add_agent(name, node, "cpus:4;mem:4096;disk:40;ports:[31000-31009]");
        }
        Run {
            dice: Dice::new(seed),
            world,
            streams: 0,
            ended: BTreeMap::new(),
            volumes: BTreeSet::new(),
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        let at = self.dice.below(from.len() as u64) as usize;
        Some(from[at].clone())
    }

    fn agent(&mut self) -> &'static str {
        AGENTS[self.dice.below(AGENTS.len() as u64) as usize]
    }

    fn framework(&mut self) -> Option<(FrameworkId, StreamId)> {
        let all: Vec<_> = self
            .world
            .offers
            .frameworks()
            .filter_map(|(id, row)| Some((id.clone(), row.stream()?.0)))
            .collect();
        self.pick(&all)
    }

    fn apply(&mut self, command: OffersCommand) -> Result<Outcome, shoal_offers::Refusal> {
        let (result, effects) = self.world.apply(command);
        self.see(&effects);
        result
    }

    /// A volume is there until it is destroyed, whatever becomes of agents and frameworks.
    fn see_volumes(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::VolumeDestroyed { agent, terms } = effect {
                let number = terms.volume().expect("it is one").created;
                self.volumes.remove(&(*agent, number));
            }
        }
        let mut found = BTreeSet::new();
        for (id, row) in self.world.offers.agents() {
            let terms = row.info.resources.iter().filter_map(|r| r.terms.as_ref());
            let volumes = terms.filter_map(|terms| Some(terms.volume()?.created));
            found.extend(volumes.map(|number| (id, number)));
        }
        let lost: Vec<_> = self.volumes.difference(&found).collect();
        assert!(lost.is_empty(), "volumes are lost: {lost:?}");
        self.volumes = found;
    }

    /// What no framework may ever be told.
    fn see(&mut self, effects: &[Effect]) {
        self.see_volumes(effects);
        let mut live = BTreeSet::new();
        for (_, notice) in world::notices(effects) {
            if let Notice::Offers(offers) = notice {
                for (offer, _) in offers {
                    assert!(live.insert(offer.id), "an offer is made once");
                }
            }
        }
        for effect in effects {
            if let Effect::TaskChanged { task, state, .. } = effect {
                assert!(
                    !self.ended.contains_key(task),
                    "{task} is {state} after its acknowledged end"
                );
            }
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=7 => self.open(),
            8..=10 => self.close(),
            11..=12 => self.end_lease(),
            13..=16 => self.subscribe(),
            17..=18 => self.disconnect(),
            19 => self.remove(),
            20..=34 => self.offer(),
            35..=46 => self.accept(),
            47..=52 => self.operate(),
            53..=55 => self.give_back(),
            56 => self.suppress(),
            57 => self.operate_agent(),
            58..=62 => self.kill(),
            63..=80 => self.report(),
            81..=96 => self.acknowledge(),
            97..=98 => self.crash(),
            99.. => {
                let seconds = self.dice.below(40);
                self.world.wait(Duration::from_secs(seconds));
            }
        }
    }

    fn open(&mut self) {
        let (name, master) = (self.agent(), NodeId(u128::from(self.dice.below(3))));
        let (result, effects) = self.world.open(name, master);
        self.see(&effects);
        result.expect("an honest hello is accepted");
    }

    fn session(&mut self) -> Option<(AgentId, shoal_api::Epoch)> {
        let name = self.agent();
        let agent = &self.world.agents[name];
        Some((agent.id?, agent.epoch))
    }

    fn close(&mut self) {
        let Some((agent, epoch)) = self.session() else {
            return;
        };
        let restarting = self.dice.chance(500).then_some(Duration::from_secs(600));
        let command = OffersCommand::SessionClosed {
            agent,
            epoch,
            restarting,
        };
        if self.apply(command).is_ok() {
            let world = &mut self.world;
            let own = |a: &&mut world::Agent| a.id == Some(agent);
            world.agents.values_mut().find(own).unwrap().connected = false;
        }
    }

    fn end_lease(&mut self) {
        if let Some((agent, epoch)) = self.session() {
            let _ = self.apply(OffersCommand::LeaseEnded { agent, epoch });
        }
    }

    /// An agent's machine dies, perhaps with tasks that it had not begun to start, and with some
    /// that the ledger knows to have run; what it started it never forgets before that.
    fn crash(&mut self) {
        let name = self.agent();
        let lose = self.dice.chance(300);
        let agent = self.world.agents.get_mut(name).unwrap();
        agent.connected = false;
        agent.generation = Generation(agent.generation.0 + 1);
        if lose {
            let offers = &self.world.offers;
            let ran = |key: &TaskKey| offers.task(key).is_some_and(|row| row.sequence > 0);
            agent
                .tasks
                .retain(|key, known| known.sequence > 0 && !ran(key));
        }
    }

    fn subscribe(&mut self) {
        let known: Vec<FrameworkId> = self
            .world
            .offers
            .frameworks()
            .map(|(id, _)| id.clone())
            .chain(
                self.world
                    .offers
                    .completed_frameworks()
                    .map(|(id, _)| id.clone()),
            )
            .collect();
        let id = if self.dice.chance(600) || known.len() > 12 {
            self.pick(&known)
        } else {
            None
        };
        self.streams += 1;
        let capabilities = if self.dice.chance(500) {
            vec![Capability::PartitionAware, Capability::MultiRole]
        } else {
            vec![Capability::MultiRole, Capability::TaskKillingState]
        };
        let roles: &[&str] = if self.dice.chance(500) {
            &["x", "y"]
        } else {
            &["x"]
        };
        let timeout = Duration::from_secs(self.dice.below(60));
        let subscribe = world::subscription(id, "f", roles, &capabilities, timeout, self.streams);
        let _ = self.apply(OffersCommand::Subscribed {
            subscribe: Box::new(subscribe),
            holder: NodeId(1),
        });
    }

    fn disconnect(&mut self) {
        let Some((framework, stream)) = self.framework() else {
            return;
        };
        let cause = if self.dice.chance(500) {
            DisconnectCause::HolderDied
        } else {
            DisconnectCause::StreamClosed
        };
        self.apply(OffersCommand::Disconnected {
            framework,
            stream,
            cause,
        })
        .expect("a connected framework can lose its stream");
    }

    fn remove(&mut self) {
        let first = self.world.offers.failover_deadlines().next();
        if let Some((deadline, framework)) = first.map(|(d, f)| (d, f.clone())) {
            let cause = RemovalCause::FailoverTimeout { deadline };
            let _ = self.apply(OffersCommand::FrameworkRemoved { framework, cause });
        } else if let Some((framework, stream)) = self.framework() {
            let cause = RemovalCause::Teardown { stream };
            self.apply(OffersCommand::FrameworkRemoved { framework, cause })
                .expect("a connected framework can leave");
        }
    }

    /// A plan that may be of an older state.
    fn offer(&mut self) {
        let mut offers = Vec::new();
        for _ in 0..3 {
            let (Some((framework, _)), Some((agent, _))) = (self.framework(), self.session())
            else {
                return;
            };
            let row = self.world.offers.agent(agent).expect("it had a session");
            let mut resources = row.free.clone();
            if self.dice.chance(300) {
                resources = Resources::parse("cpus:1;mem:512").unwrap();
            }
            let role = Role::new(if self.dice.chance(800) { "x" } else { "y" }).unwrap();
            offers.push(NewOffer {
                framework,
                role,
                agent,
                resources,
            });
        }
        self.apply(OffersCommand::OffersMade { offers })
            .expect("a plan is never refused");
    }

    fn accept(&mut self) {
        let Some((framework, stream)) = self.framework() else {
            return;
        };
        let own: Vec<(OfferId, AgentId)> = self
            .world
            .offers
            .offers_of(&framework)
            .map(|row| (row.offer.id, row.offer.agent))
            .collect();
        let Some((first, agent)) = self.pick(&own) else {
            return;
        };
        let mut offers = vec![Ok(first)];
        if self.dice.chance(300) {
            offers.extend(self.pick(&own).map(|(id, _)| Ok(id)));
        }
        let launches = (0..self.dice.below(4))
            .map(|_| {
                let id = format!("t{}", self.dice.below(25));
                let resources = if self.dice.chance(300) {
                    let port = 31_000 + self.dice.below(10);
                    format!("cpus:0.5;ports:[{port}-{port}]")
                } else {
                    "cpus:0.3;mem:64".to_owned()
                };
                world::launch(agent, &id, &resources)
            })
            .collect();
        self.apply(OffersCommand::Accepted {
            framework,
            stream,
            offers,
            launches,
            filters: Filters::default(),
            claim: None,
        })
        .expect("a connected framework may accept");
    }

    /// A change of disk: reserved in pieces that are the sizes of volumes.
    fn change_disk(&mut self, role: &str) -> Change {
        let size = format!("disk:{}", 4 * (1 + self.dice.below(2)));
        let id = format!("v{}", self.dice.below(3));
        let volume = volumes::volume_of(&size, role, &id, self.dice.chance(300));
        match self.dice.below(5) {
            0 => Change::Destroy(volume),
            1 => Change::Grow {
                volume,
                addition: operations::reserved("disk:4", role),
            },
            2 => Change::Create(volume),
            _ => Change::Reserve(operations::reserved(&size, role)),
        }
    }

    fn change(&mut self, role: &str) -> Change {
        if self.dice.chance(500) {
            return self.change_disk(role);
        }
        let amount = self.dice.below(900) + 100;
        let resources = operations::reserved(&format!("cpus:0.{amount}"), role);
        if self.dice.chance(600) {
            Change::Reserve(resources)
        } else {
            Change::Unreserve(resources)
        }
    }

    /// An accept of which some operations and launches fail.
    fn operate(&mut self) {
        let all: Vec<_> = self
            .world
            .offers
            .offers()
            .map(|row| row.offer.clone())
            .collect();
        let Some(offer) = self.pick(&all) else {
            return;
        };
        let row = self.world.offers.framework(&offer.framework).unwrap();
        let (stream, _) = row
            .stream()
            .expect("offers are out to connected frameworks");
        let mut steps = Vec::new();
        for _ in 0..self.dice.below(5) {
            if self.dice.chance(300) {
                let id = format!("t{}", self.dice.below(25));
                let mut spec = (*world::spec(&id, "cpus:0.2")).clone();
                let role = offer.role.as_str();
                spec.resources = operations::reserved("cpus:0.2", role);
                if self.dice.chance(400) {
                    let shared = self.dice.chance(500);
                    let volume = volumes::volume_of("disk:4", role, "v0", shared);
                    spec.resources.add(&volume).expect("it has no disk yet");
                }
                steps.push(Step::Launch(Box::new(Launch::Task {
                    agent: AgentName::Id(offer.agent),
                    spec: Arc::new(spec),
                })));
                continue;
            }
            let id = self.dice.below(6);
            steps.push(Step::Operation(Operation {
                id: (id > 0).then(|| Arc::from(format!("o{id}"))),
                change: Ok(self.change(offer.role.as_str())),
                allocated: None,
            }));
        }
        self.apply(OffersCommand::Operated {
            framework: offer.framework.clone(),
            stream,
            offers: vec![Ok(offer.id)],
            steps,
            filters: Filters::default(),
        })
        .expect("a connected framework may accept");
        let pending = self.world.offers.pending_operations(&offer.framework);
        let pending: Vec<_> = pending.collect();
        if let Some(status) = self.pick(&pending) {
            self.apply(OffersCommand::OperationAcknowledged {
                framework: offer.framework,
                stream,
                operation: status.operation,
                update: status.update.expect("what is done is acknowledged"),
            })
            .expect("a connected framework may acknowledge");
        }
    }

    fn operate_agent(&mut self) {
        if let Some((agent, _)) = self.session() {
            let change = self.change("x");
            // What is not there is refused.
            let _ = self.apply(OffersCommand::AgentOperated {
                agent,
                change,
                principal: None,
            });
        }
    }

    fn give_back(&mut self) {
        let all: Vec<(FrameworkId, OfferId)> = self
            .world
            .offers
            .offers()
            .map(|row| (row.offer.framework.clone(), row.offer.id))
            .collect();
        let Some((framework, offer)) = self.pick(&all) else {
            return;
        };
        let stream = self.world.offers.framework(&framework).unwrap().stream();
        let (stream, _) = stream.expect("offers are out to connected frameworks");
        let offers = vec![offer];
        let command = if self.dice.chance(500) {
            OffersCommand::Declined {
                framework,
                stream,
                offers,
                filters: Filters::default(),
            }
        } else {
            let cause = RescindCause::Timeout;
            OffersCommand::Rescinded { offers, cause }
        };
        self.apply(command).expect("offers can go back");
        assert!(self.world.offers.offer(offer).is_none());
    }

    fn suppress(&mut self) {
        let Some((framework, stream)) = self.framework() else {
            return;
        };
        let roles: BTreeSet<Role> = [Role::new("x").unwrap()].into();
        let command = if self.dice.chance(500) {
            OffersCommand::Suppressed {
                framework,
                stream,
                roles,
            }
        } else {
            OffersCommand::Revived {
                framework,
                stream,
                roles: BTreeSet::new(),
            }
        };
        self.apply(command).expect("a connected framework may ask");
    }

    fn kill(&mut self) {
        let Some((framework, stream)) = self.framework() else {
            return;
        };
        let task = format!("t{}", self.dice.below(25));
        self.apply(OffersCommand::Kill {
            framework,
            stream: Some(stream),
            task: task.into(),
            agent: None,
            grace: None,
        })
        .expect("a connected framework may kill");
    }

    fn report(&mut self) {
        let name = self.agent();
        let tasks: Vec<(TaskKey, bool)> = self.world.agents[name]
            .tasks
            .iter()
            .filter(|(_, known)| !known.state.is_terminal())
            .map(|(key, known)| (key.clone(), known.told_to_end))
            .collect();
        if let Some((key, told_to_end)) = self.pick(&tasks) {
            let state = if told_to_end && self.dice.chance(700) {
                TaskState::Killed
            } else {
                self.pick(&STATES).unwrap()
            };
            self.world.progress(name, &key, state);
        }
        if self.world.agents[name].connected {
            let (result, effects) = self.world.send(name);
            self.see(&effects);
            result.expect("a connected agent may report");
        }
    }

    fn acknowledge(&mut self) {
        let Some((framework, stream)) = self.framework() else {
            return;
        };
        let out: Vec<(TaskKey, UpdateId, Option<AgentName>)> = self
            .world
            .offers
            .pending_updates(&framework)
            .map(|(key, status)| (key.clone(), status.update.unwrap(), status.agent))
            .collect();
        let Some((key, update, agent)) = self.pick(&out) else {
            return;
        };
        let head = self.world.offers.task(&key).unwrap().pending[0].state;
        let outcome = self.apply(OffersCommand::Acknowledged {
            framework,
            stream,
            agent: agent.expect("updates name their agent"),
            task: key.task.as_str().into(),
            update,
        });
        assert_eq!(outcome, Ok(Outcome::Done));
        if head.is_terminal() {
            assert!(self.world.offers.task(&key).is_none());
            assert!(self.ended.insert(key, head).is_none(), "a task ends once");
        }
    }

    /// All faults stop: agents are back, tasks end, updates are acknowledged.
    fn settle(&mut self) {
        for name in AGENTS {
            let (result, _) = self.world.open(name, NodeId(1));
            result.expect("an honest hello is accepted");
        }
        let away: Vec<FrameworkId> = self
            .world
            .offers
            .frameworks()
            .filter(|(_, row)| matches!(row.connection, Connection::Disconnected { .. }))
            .map(|(id, _)| id.clone())
            .collect();
        for id in away {
            self.streams += 1;
            let timeout = Duration::ZERO;
            let subscribe = world::subscription(Some(id), "f", &["x"], &[], timeout, self.streams);
            self.apply(OffersCommand::Subscribed {
                subscribe: Box::new(subscribe),
                holder: NodeId(1),
            })
            .expect("a framework may come back");
        }
        for name in AGENTS {
            let running: Vec<TaskKey> = self.world.agents[name]
                .tasks
                .iter()
                .filter(|(_, known)| !known.state.is_terminal())
                .map(|(key, _)| key.clone())
                .collect();
            for key in running {
                self.world.progress(name, &key, TaskState::Finished);
            }
            self.world
                .send(name)
                .0
                .expect("a connected agent may report");
        }
        for _ in 0..20_000 {
            let waits = self
                .world
                .offers
                .frameworks()
                .any(|(id, _)| self.world.offers.pending_updates(id).next().is_some());
            if !waits {
                return;
            }
            self.acknowledge();
        }
    }
}

fn round_trip(offers: &Offers) -> Offers {
    let mut writer = Writer::new();
    offers.write(&mut writer);
    let chunks = writer.finish(offers.hash());
    let mut snapshot = Snapshot::open(&chunks).expect("a written snapshot opens");
    let back = Offers::read(&mut snapshot).expect("a written snapshot is read");
    snapshot.finish(back.hash()).expect("nothing is left over");
    back
}

#[test]
fn never_and_eventually_under_random_commands() {
    let mut ended = 0;
    for seed in 0..20 {
        let mut run = Run::new(seed);
        let mut image = None;
        for step in 0..900 {
            run.step();
            if let Err(violation) = run.world.offers.check() {
                panic!("seed {seed} step {step}: {violation}");
            }
            if step == 450 {
                let now = run.world.offers.clone();
                image = Some((now.rehash(), now));
            }
        }
        let offers = &run.world.offers;
        assert_eq!(round_trip(offers), *offers, "seed {seed}");
        assert_eq!(run.world.replay(), *offers, "seed {seed}");
        assert_eq!(run.world.replay().hash(), offers.rehash(), "seed {seed}");
        let (hash, image) = image.expect("an image was taken");
        assert_eq!(image.rehash(), hash, "an image does not change");
        image.check().expect("an image is a whole state");

        run.settle();
        run.world.offers.check().expect("a settled state is sound");
        let left: Vec<_> = run
            .world
            .offers
            .tasks()
            .map(|task| (task.key.to_string(), task.row.state_seen()))
            .collect();
        assert!(left.is_empty(), "seed {seed}: {left:?}");
        for (id, row) in run.world.offers.agents() {
            assert!(matches!(row.presence, Presence::Connected { .. }), "{id}");
        }
        ended += run.ended.len();
    }
    assert!(ended > 500, "{ended} tasks ran and ended");
}

#[test]
fn a_restored_state_goes_on_as_the_other_one() {
    for seed in 100..110 {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
        }
        run.world.offers = round_trip(&run.world.offers);
        for _ in 0..400 {
            run.step();
        }
        assert_eq!(run.world.replay(), run.world.offers, "seed {seed}");
    }
}

/// A backup is restored: what happened since is forgotten by the ledger, not by agents.
#[test]
fn a_restore_from_backup_starts_nothing_twice_and_settles() {
    for seed in 200..215 {
        let mut run = Run::new(seed);
        for _ in 0..300 {
            run.step();
        }
        let backup = round_trip(&run.world.offers);
        for _ in 0..300 {
            run.step();
        }
        run.world.offers = backup;
        run.world.incarnation += 1;
        // A volume that was made since is forgotten, and its folder stays.
        run.volumes.clear();
        run.ended.clear();
        for agent in run.world.agents.values_mut() {
            agent.connected = false;
        }
        for step in 0..300 {
            run.step();
            if let Err(violation) = run.world.offers.check() {
                panic!("seed {seed} step {step}: {violation}");
            }
        }
        run.settle();
        for task in run.world.offers.tasks() {
            let orphan = run.world.offers.framework(&task.key.framework).is_none();
            assert!(orphan, "seed {seed}: {} is left", task.key);
        }
    }
}
