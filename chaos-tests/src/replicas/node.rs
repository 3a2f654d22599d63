//! One replica: its machine, its disk, its ledger, and who waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use shoal_api::{Dice, Generation, Index, RaftId, RequestId};
use shoal_ledger::Entry;
use shoal_quorum::{Applied, Config, Input, Output, Quorum, RaftRole, ReadId, Recovered, found};

use super::client::{Client, Question, Reply};
use super::register::Register;
use super::{Event, Packet, REPLICAS, Replicas};
use crate::disk::{Disk, Loss};
use crate::invariants::Fact;
use crate::log::{LogImage, LogWrite, after_crash, honesty};
use crate::network::{Death, Host, Out, Side, StreamNumber};
use crate::plant::{Defect, Plant};

/// Entries between two snapshots that a replica takes by itself.
const SNAPSHOT_ENTRIES: u64 = 300;

/// Who reads which counter.
#[derive(Clone, Copy, Debug)]
struct Reading {
    client: u64,
    attempt: u64,
    key: u64,
}

/// One replica and what belongs to its host.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: RaftId,
    pub(super) links: [Option<(StreamNumber, Side)>; REPLICAS],
    pub(super) register: Register,
    pub(super) machine: Option<Quorum>,
    disk: Disk<LogImage>,
    generation: Generation,
    waiting: BTreeMap<RequestId, (u64, u64)>,
    reading: BTreeMap<ReadId, Reading>,
    last_read: u64,
    snapshot_at: Index,
    /// A planted bug: the content of the next snapshot, which is one entry behind.
    earlier: Option<Arc<[Bytes]>>,
    wake: Option<shoal_api::Instant>,
}

impl Node {
    pub(super) fn founder(id: RaftId, all: &[RaftId], plant: Option<Plant>) -> Node {
        Node::with(id, LogImage::of(found(all)), plant)
    }

    fn with(id: RaftId, image: LogImage, plant: Option<Plant>) -> Node {
        Node {
            id,
            links: [None; REPLICAS],
            register: Register::new(Plant::machine(plant)),
            machine: None,
            disk: Disk::new(image, honesty(plant)),
            generation: Generation(0),
            waiting: BTreeMap::new(),
            reading: BTreeMap::new(),
            last_read: 0,
            snapshot_at: Index(0),
            earlier: None,
            wake: None,
        }
    }

    /// The process dies; true if its disk must not be used any more.
    pub(super) fn crash(&mut self, plant: Option<Plant>, loss: Loss, dice: &mut Dice) -> bool {
        self.machine = None;
        let lost = self.disk.lose(loss, dice).is_err();
        after_crash(plant, self.disk.image_mut());
        self.waiting.clear();
        self.reading.clear();
        self.wake = None;
        lost
    }

    /// The disk is new: so is the voter id.
    pub(super) fn wipe(&mut self, plant: Option<Plant>) {
        let id = if plant == Some(Plant::WipedKeepsId) {
            self.id
        } else {
            RaftId(self.id.0 + 100)
        };
        *self = Node::with(id, LogImage::of(Recovered::default()), plant);
    }
}

impl Replicas {
    pub(super) fn start(&mut self, host: Host) {
        if self.hosts.get(host).up {
            return;
        }
        self.hosts.start(host);
        let now = self.hosts.clock(host, self.queue.now());
        let seed = self
            .dice
            .child(&format!("node {}", self.trace.events()))
            .next_u64();
        let plants = Plant::machine(self.plant);
        let node = &mut self.nodes[host.0];
        node.generation = node.generation.next();
        let config = Config::new(node.id, node.generation, seed);
        let recovered = node.disk.image().recover();
        node.register = match &recovered.snapshot {
            Some(snapshot) => Register::read(snapshot.index, &snapshot.chunks, plants),
            None => Register::new(plants),
        };
        node.snapshot_at = node.register.index();
        match Quorum::new(config, now, recovered) {
            Ok(machine) => node.machine = Some(machine),
            Err(error) => {
                let fact = Fact::Unsettled(format!("replica {} does not start: {error}", node.id));
                self.tell(&fact);
                return;
            }
        }
        self.pump(host);
    }

    pub(super) fn wake(&mut self, host: Host) {
        let now = self.queue.now();
        if self.nodes[host.0].wake.is_none_or(|at| at > now) {
            return;
        }
        self.nodes[host.0].wake = None;
        self.step(host, Input::Wake);
    }

    pub(super) fn disk_done(&mut self, host: Host, through: u64) {
        if self.hosts.get(host).disk_broken {
            // It halts, and its operator resets it.
            self.hosts.get_mut(host).disk_broken = false;
            self.crash(host, Death::Process, Loss::All);
            return;
        }
        for write in self.nodes[host.0].disk.complete(through) {
            match write {
                LogWrite::Batch { ticket, batch } => {
                    self.give(host, Input::Persisted { ticket });
                    let now = self.queue.now();
                    if let Some(at) = self.aimed.written(host, &batch, now) {
                        let life = self.hosts.get(host).life;
                        self.queue.push(at, Event::Strike { host, life });
                    }
                }
                LogWrite::Save(snapshot) => {
                    self.give(
                        host,
                        Input::SnapshotSaved {
                            index: snapshot.index,
                        },
                    );
                }
                LogWrite::Compact(_) => {}
            }
        }
        self.pump(host);
    }

    pub(super) fn asked(&mut self, host: Host, client: u64, attempt: u64, question: Question) {
        let node = &mut self.nodes[host.0];
        match question {
            Question::Write(data) => {
                for request in requests(&data) {
                    node.waiting.insert(request, (client, attempt));
                }
                let early = self.plant == Some(Plant::Machine(Defect::AcknowledgeEarly));
                let value = node.register.value(client) + 1;
                self.step(host, Input::Propose { data });
                if early
                    && self.nodes[host.0]
                        .machine
                        .as_ref()
                        .is_some_and(Quorum::is_leader)
                {
                    self.reply(host, client, attempt, Reply::Value(value));
                }
            }
            Question::Read(key) => {
                let leads = node.machine.as_ref().is_some_and(Quorum::is_leader);
                let local = self.plant == Some(Plant::ReadLocally) && leads;
                if local || self.plant == Some(Plant::ReadAnywhere) {
                    let value = node.register.value(key);
                    self.reply(host, client, attempt, Reply::Value(value));
                    return;
                }
                node.last_read += 1;
                let context = ReadId(node.last_read);
                node.reading.insert(
                    context,
                    Reading {
                        client,
                        attempt,
                        key,
                    },
                );
                self.step(host, Input::Read { context });
            }
        }
    }

    fn reply(&mut self, host: Host, client: u64, attempt: u64, reply: Reply) {
        let now = self.queue.now();
        let to = self.client_host();
        let mut out = Out::new();
        let packet = Packet::Answer {
            client,
            attempt,
            reply,
        };
        self.network.datagram(now, host, to, packet, &mut out);
        self.carry(out);
    }

    /// One input, and all that comes of it.
    pub(super) fn step(&mut self, host: Host, input: Input) {
        self.give(host, input);
        self.pump(host);
    }

    fn give(&mut self, host: Host, input: Input) {
        let now = self.hosts.clock(host, self.queue.now());
        if let Some(machine) = &mut self.nodes[host.0].machine {
            machine.step(now, input);
        }
    }

    fn pump(&mut self, host: Host) {
        while let Some(output) = self.nodes[host.0]
            .machine
            .as_mut()
            .and_then(Quorum::poll_output)
        {
            self.put_out(host, output);
        }
        self.schedule(host);
    }

    fn schedule(&mut self, host: Host) {
        let life = self.hosts.get(host).life;
        let node = &mut self.nodes[host.0];
        let Some(deadline) = node.machine.as_ref().and_then(Quorum::next_deadline) else {
            return;
        };
        let at = self.hosts.when(host, deadline).max(self.queue.now());
        if node.wake.is_none_or(|planned| at < planned) {
            node.wake = Some(at);
            self.queue.push(at, Event::Wake { host, life });
        }
    }

    fn write(&mut self, host: Host, write: LogWrite) {
        let through = self.nodes[host.0].disk.write(write);
        if self.hosts.get(host).disk_full {
            self.give(host, Input::DiskFull);
        } else {
            self.sync_soon(host, through);
        }
    }

    /// There is room again: what waits is written.
    pub(super) fn has_room(&mut self, host: Host) {
        self.sync_soon(host, self.nodes[host.0].disk.last());
        self.step(host, Input::DiskHasRoom);
    }

    fn sync_soon(&mut self, host: Host, through: u64) {
        let life = self.hosts.get(host).life;
        let at = self.hosts.disk_done(host, self.queue.now());
        self.queue.push(
            at,
            Event::Disk {
                host,
                life,
                through,
            },
        );
    }

    fn put_out(&mut self, host: Host, output: Output) {
        match output {
            Output::Send { to, message } => {
                let replica = self.nodes[host.0].id;
                if let Some((term, vote)) = message.term_and_vote(replica) {
                    self.tell(&Fact::Says {
                        replica,
                        term,
                        vote,
                    });
                }
                self.send(host, to, message.to_bytes());
            }
            Output::Persist { ticket, batch } => {
                self.write(host, LogWrite::Batch { ticket, batch })
            }
            Output::SaveSnapshot(snapshot) => self.write(host, LogWrite::Save(snapshot)),
            Output::Compact { through } => self.write(host, LogWrite::Compact(through)),
            Output::Apply {
                index,
                term: _,
                kind,
            } => self.apply(host, index, kind),
            Output::Restore { index, chunks, .. } => {
                let plants = Plant::machine(self.plant);
                self.nodes[host.0].register = Register::read(index, &chunks, plants);
                self.nodes[host.0].snapshot_at = index;
                self.applied(host);
            }
            Output::Status(status) => {
                if status.role == RaftRole::Leader {
                    self.tell(&Fact::Leads {
                        replica: status.id,
                        term: status.term,
                    });
                }
            }
            Output::ReadReady { context, index } => self.read_ready(host, context, index),
            Output::ReadFailed { context } => {
                if let Some(reading) = self.nodes[host.0].reading.remove(&context) {
                    let Reading {
                        client, attempt, ..
                    } = reading;
                    self.reply(host, client, attempt, Reply::Elsewhere(None));
                }
            }
            Output::ProposalDropped { data, .. } => self.dropped(host, &data),
            Output::ChangeRefused { .. } | Output::TransferEnded(_) => {}
            Output::WantSnapshot { .. } => self.take_snapshot(host),
        }
    }

    fn send(&mut self, host: Host, to: RaftId, bytes: Bytes) {
        let Some(other) = self.nodes.iter().position(|node| node.id == to) else {
            return;
        };
        let Some((stream, side)) = self.nodes[host.0].links[other] else {
            return;
        };
        let mut out = Out::new();
        self.network.send(
            self.queue.now(),
            stream,
            side,
            Packet::Raft(bytes),
            &mut out,
        );
        self.carry(out);
    }

    fn apply(&mut self, host: Host, index: Index, kind: Applied) {
        let plant = self.plant;
        let Node {
            register, earlier, ..
        } = &mut self.nodes[host.0];
        *earlier = (plant == Some(Plant::SnapshotIndexWrong)).then(|| register.write());
        assert_eq!(
            index.0,
            register.index().0 + 1,
            "entries are handed out without gaps"
        );
        let values = match kind {
            Applied::Data(data) => register.apply(index, &data),
            Applied::Empty | Applied::Membership(_) => {
                register.pass(index);
                Vec::new()
            }
        };
        self.applied(host);
        for (request, value) in values {
            if let Some((client, attempt)) = self.nodes[host.0].waiting.remove(&request) {
                self.reply(host, client, attempt, Reply::Value(value));
            }
        }
        let node = &self.nodes[host.0];
        if index.0 >= node.snapshot_at.0 + SNAPSHOT_ENTRIES {
            self.take_snapshot(host);
        }
    }

    fn applied(&mut self, host: Host) {
        let node = &self.nodes[host.0];
        let (index, hash) = (node.register.index(), node.register.hash());
        let numbers = [7, host.0 as u64, index.0, hash.0 as u64];
        let fact = Fact::Applied {
            replica: node.id,
            index,
            hash,
        };
        self.trace.event(&numbers);
        self.tell(&fact);
    }

    fn take_snapshot(&mut self, host: Host) {
        let node = &mut self.nodes[host.0];
        node.snapshot_at = node.register.index();
        let chunks = node.earlier.take();
        let input = Input::SnapshotTaken {
            index: node.register.index(),
            chunks: chunks.unwrap_or_else(|| node.register.write()),
        };
        self.give(host, input);
    }

    fn read_ready(&mut self, host: Host, context: ReadId, index: Index) {
        let node = &mut self.nodes[host.0];
        assert!(
            node.register.index() >= index,
            "a read is ready once its index is applied"
        );
        if let Some(Reading {
            client,
            attempt,
            key,
        }) = node.reading.remove(&context)
        {
            let value = node.register.value(key);
            self.reply(host, client, attempt, Reply::Value(value));
        }
    }

    fn dropped(&mut self, host: Host, data: &Bytes) {
        let leader = self.nodes[host.0]
            .machine
            .as_ref()
            .and_then(|m| m.status().leader);
        let hint = leader.and_then(|leader| self.nodes.iter().position(|node| node.id == leader));
        for request in requests(data) {
            if let Some((client, attempt)) = self.nodes[host.0].waiting.remove(&request) {
                debug_assert_eq!(client, Client::of_request(request));
                self.reply(host, client, attempt, Reply::Elsewhere(hint));
            }
        }
    }
}

fn requests(data: &Bytes) -> Vec<RequestId> {
    let entry = Entry::decode(data).expect("proposals are entries");
    entry
        .commands
        .iter()
        .map(|command| command.header.request)
        .collect()
}
