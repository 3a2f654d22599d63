//! One master: its machine, its disk, its streams to the other masters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::notice::Notice;
use shoal_api::session::{AgentMessage, MasterMessage};
use shoal_api::{Generation, HostPort, Index, NodeId, RaftId};
use shoal_master::{
    Config, Conn, Input, LedgerMessage, Master, Output, PeerMessage, State, Tuning,
};
use shoal_quorum::{Message, Recovered, found};

use super::echo::fence_of;
use super::framework::Word;
use super::gossip::peer;
use super::{CLUSTER, Cluster, Event, MASTERS, Packet};
use crate::disk::{Disk, Loss};
use crate::invariants::Fact;
use crate::log::{LogImage, LogWrite, after_crash, honesty};
use crate::network::{Host, Side, StreamNumber};
use crate::plant::Plant;

/// Entries between two snapshots: few, so that they happen.
const SNAPSHOT_ENTRIES: u64 = 400;

/// What a master may say to one input; more is a loop.
const OUTPUTS_AT_ONCE: u64 = 100_000;

/// One master and what belongs to its host.
#[derive(Debug)]
pub(super) struct MasterNode {
    pub(super) node: NodeId,
    pub(super) raft: RaftId,
    pub(super) machine: Option<Master>,
    links: [Option<(StreamNumber, Side)>; MASTERS],
    disk: Disk<LogImage>,
    generation: Generation,
    applied: Index,
    wake: Option<shoal_api::Instant>,
}

/// A planted bug: a command says which session it is of, and not where in it.
fn forget_index(message: &mut MasterMessage) {
    if let Some(fence) = fence_of(message) {
        fence.index = Index(0);
    }
}

impl MasterNode {
    pub(super) fn founder(at: usize, all: &[RaftId], plant: Option<Plant>) -> MasterNode {
        let node = NodeId(0x1000_0000 + at as u128);
        MasterNode::with(node, all[at], LogImage::of(found(all)), plant)
    }

    fn with(node: NodeId, raft: RaftId, image: LogImage, plant: Option<Plant>) -> MasterNode {
        MasterNode {
            node,
            raft,
            machine: None,
            links: [None; MASTERS],
            disk: Disk::new(image, honesty(plant)),
            generation: Generation(0),
            applied: Index(0),
            wake: None,
        }
    }

    pub(super) fn raise_generation(&mut self) -> Generation {
        self.generation = self.generation.next();
        self.generation
    }
}

impl Cluster {
    pub(super) fn start_master(&mut self, host: Host) {
        let (name, node) = self.identity(host);
        let now = self.hosts.clock(host, self.queue.now());
        let seed = self.dice.next_u64();
        let master = &mut self.masters[host.0];
        let config = Config {
            node,
            generation: if self.plant == Some(Plant::GenerationNotRaised) {
                Generation(1)
            } else {
                master.generation
            },
            raft: master.raft,
            name,
            cluster: CLUSTER,
            http: HostPort::new(&format!("10.0.0.{}", host.0 + 1), 5050),
            peer: peer(host),
            pid: 1,
            seed,
            tuning: Tuning {
                offer_timeout: Some(Duration::from_secs(40)),
                snapshot_entries: SNAPSHOT_ENTRIES,
                ..Tuning::default()
            },
            plants: Plant::machine(self.plant),
        };
        match Master::new(config, now, master.disk.image().recover()) {
            Ok(machine) => master.machine = Some(machine),
            Err(error) => {
                let detail = format!("master {} does not start: {error}", host.0);
                self.tell(&Fact::Unsettled(detail));
                return;
            }
        }
        let calendar = self.hosts.calendar(host, self.queue.now());
        self.step_master(host, Input::Calendar(calendar));
    }

    /// The process dies. Who may lose its disk: one at a time, until it is replaced.
    pub(super) fn crash_master(&mut self, host: Host, loss: Loss) {
        let loss = loss.of_one_at_a_time(self.may_wipe());
        self.handed.died(host);
        let master = &mut self.masters[host.0];
        master.machine = None;
        master.wake = None;
        let lost = master.disk.lose(loss, &mut self.crash_dice).is_err();
        after_crash(self.plant, master.disk.image_mut());
        for other in 0..MASTERS {
            let link = self.masters[host.0].links[other].take();
            if link.is_some_and(|(_, side)| side == Side::Dialler) {
                self.redial_peer(host, Host(other));
            }
        }
        if lost {
            let old = &self.masters[host.0];
            self.wiped = Some(old.raft);
            let (node, raft) = (NodeId(old.node.0 + 0x100), RaftId(old.raft.0 + 100));
            let image = LogImage::of(Recovered::default());
            self.masters[host.0] = MasterNode::with(node, raft, image, self.plant);
        }
    }

    /// Whether the last one that lost its disk has been replaced, as the newest ledger's quorum sees it.
    pub(super) fn may_wipe(&self) -> bool {
        let Some(old) = self.wiped else {
            return true;
        };
        let replaced = |master: &&MasterNode| {
            master.machine.as_ref().is_some_and(|machine| {
                let status = machine.leadership();
                status.leading && !status.membership.contains(old) && !status.membership.is_joint()
            })
        };
        self.masters.iter().any(|master| replaced(&master))
    }

    pub(super) fn wake_master(&mut self, host: Host) {
        let now = self.queue.now();
        if self.masters[host.0].wake.is_some_and(|at| at <= now) {
            self.masters[host.0].wake = None;
            let calendar = self.hosts.calendar(host, now);
            self.give_master(host, Input::Calendar(calendar));
            self.step_master(host, Input::Wake);
        }
    }

    pub(super) fn master_disk_done(&mut self, host: Host, through: u64) {
        for write in self.masters[host.0].disk.complete(through) {
            match write {
                LogWrite::Batch { ticket, batch } => {
                    self.give_master(host, Input::Persisted(ticket));
                    let now = self.queue.now();
                    if let Some(at) = self.aimed.written(host, &batch, now) {
                        let life = self.hosts.get(host).life;
                        self.queue.push(at, Event::Strike { host, life });
                    }
                }
                LogWrite::Save(snapshot) => {
                    self.give_master(host, Input::SnapshotSaved(snapshot.index));
                }
                LogWrite::Compact(_) => {}
            }
        }
        self.pump_master(host);
    }

    pub(super) fn imaged(&mut self, host: Host, index: Index, image: &Arc<State>) {
        let chunks = image.write();
        let index = if self.plant == Some(Plant::SnapshotIndexWrong) {
            Index(index.0 + 1)
        } else {
            index
        };
        self.step_master(host, Input::SnapshotReady { index, chunks });
    }

    pub(super) fn raft_heard(&mut self, host: Host, from: (RaftId, NodeId), bytes: Bytes) {
        self.trace.content(&bytes);
        let message = Message::from_bytes(bytes).expect("a master sends well-formed messages");
        let message = PeerMessage::Raft(message);
        self.step_master(
            host,
            Input::Peer {
                from: from.0,
                node: from.1,
                message,
            },
        );
    }

    pub(super) fn ledger_heard(&mut self, host: Host, from: (RaftId, NodeId), bytes: &Bytes) {
        self.trace.content(bytes);
        let message: LedgerMessage =
            postcard::from_bytes(bytes).expect("a master sends well-formed messages");
        let message = PeerMessage::Ledger(message);
        self.step_master(
            host,
            Input::Peer {
                from: from.0,
                node: from.1,
                message,
            },
        );
    }

    pub(super) fn agent_said(&mut self, host: Host, stream: StreamNumber, bytes: &Bytes) {
        self.trace.content(bytes);
        let message: AgentMessage =
            postcard::from_bytes(bytes).expect("an agent sends well-formed messages");
        if self.plant == Some(Plant::ConfirmUpdatesEarly) {
            self.confirm_early(stream, &message);
        }
        self.step_master(
            host,
            Input::Session {
                conn: Conn(stream.0),
                message,
            },
        );
    }

    pub(super) fn session_lost(&mut self, host: Host, stream: StreamNumber) {
        self.step_master(host, Input::SessionClosed(Conn(stream.0)));
    }

    pub(super) fn subscription_lost(&mut self, host: Host, stream: StreamNumber) {
        self.handed.closed(Conn(stream.0));
        self.step_master(host, Input::StreamClosed(Conn(stream.0)));
    }

    pub(super) fn peer_lost(&mut self, stream: StreamNumber, side: Side, me: Host, other: Host) {
        if self.masters[me.0].links[other.0] != Some((stream, side)) {
            return;
        }
        self.masters[me.0].links[other.0] = None;
        let peer = self.masters[other.0].raft;
        self.step_master(me, Input::PeerBroken(peer));
        if side == Side::Dialler {
            self.redial_peer(me, other);
        }
    }

    fn redial_peer(&mut self, from: Host, to: Host) {
        let wait = Duration::from_millis(50 + self.dice.below(400));
        self.queue
            .push(self.queue.now() + wait, Event::DialPeer { from, to });
    }

    pub(super) fn dial_peer(&mut self, from: Host, to: Host) {
        if self.masters[from.0].links[to.0].is_some() {
            return;
        }
        let both_up = self.hosts.get(from).up && self.hosts.get(to).up;
        if !both_up || !self.network.is_connected(from, to) {
            self.redial_peer(from, to);
            return;
        }
        let stream = self.network.open(self.queue.now(), from, to);
        self.masters[from.0].links[to.0] = Some((stream, Side::Dialler));
        self.masters[to.0].links[from.0] = Some((stream, Side::Listener));
    }

    /// One input, and all that comes of it.
    pub(super) fn step_master(&mut self, host: Host, input: Input) {
        self.give_master(host, input);
        self.pump_master(host);
    }

    fn give_master(&mut self, host: Host, input: Input) {
        let now = self.hosts.clock(host, self.queue.now());
        if let Some(machine) = &mut self.masters[host.0].machine {
            machine.step(now, input);
        }
    }

    fn pump_master(&mut self, host: Host) {
        let mut outputs = 0;
        while let Some(output) = self.masters[host.0]
            .machine
            .as_mut()
            .and_then(Master::poll_output)
        {
            self.observe(host);
            self.put_out(host, output);
            outputs += 1;
            if outputs == OUTPUTS_AT_ONCE {
                let detail = format!("master {} does not stop talking", host.0);
                self.tell(&Fact::Unsettled(detail));
                return;
            }
        }
        self.observe(host);
        self.check_handed(host);
        let life = self.hosts.get(host).life;
        let master = &mut self.masters[host.0];
        let Some(deadline) = master.machine.as_ref().and_then(Master::next_deadline) else {
            return;
        };
        let at = self.hosts.when(host, deadline).max(self.queue.now());
        if master.wake.is_none_or(|planned| at < planned) {
            master.wake = Some(at);
            self.queue.push(at, Event::WakeMaster { host, life });
        }
    }

    /// Looks at what a master has applied.
    fn observe(&mut self, host: Host) {
        let master = &mut self.masters[host.0];
        let Some(machine) = &master.machine else {
            return;
        };
        let index = machine.applied();
        if index == master.applied {
            return;
        }
        master.applied = index;
        let hash = machine.state().hash();
        self.trace
            .event(&[7, host.0 as u64, index.0, hash.0 as u64]);
        let fact = Fact::Applied {
            replica: master.raft,
            index,
            hash,
        };
        if index > self.newest.0 {
            self.newest = (index, machine.state().clone());
            self.watch.tell(
                self.queue.now(),
                &Fact::Ledger {
                    index,
                    state: &self.newest.1,
                },
            );
        }
        self.watch.tell(self.queue.now(), &fact);
    }

    fn write_log(&mut self, host: Host, write: LogWrite) {
        let through = self.masters[host.0].disk.write(write);
        if self.hosts.get(host).disk_full {
            self.give_master(host, Input::DiskFull);
        } else {
            self.sync_soon(host, through);
        }
    }

    /// There is room again: what waits is written.
    pub(super) fn master_has_room(&mut self, host: Host) {
        let last = self.masters[host.0].disk.last();
        self.sync_soon(host, last);
        self.step_master(host, Input::DiskHasRoom);
    }

    fn put_out(&mut self, host: Host, output: Output) {
        match output {
            Output::Send { to, message } => self.send_peer(host, to, message),
            Output::Persist { ticket, batch } => {
                self.write_log(host, LogWrite::Batch { ticket, batch });
            }
            Output::SaveSnapshot(snapshot) => self.write_log(host, LogWrite::Save(snapshot)),
            Output::Compact(through) => self.write_log(host, LogWrite::Compact(through)),
            Output::TakeSnapshot { index, image } => {
                let life = self.hosts.get(host).life;
                let at = self.queue.now() + Duration::from_millis(1 + self.dice.below(20));
                self.queue.push(
                    at,
                    Event::Imaged {
                        host,
                        life,
                        index,
                        image,
                    },
                );
            }
            Output::ToAgent { conn, message } => self.tell_agent(host, conn, message),
            Output::CloseSession(conn) | Output::CloseStream(conn) => {
                self.handed.closed(conn);
                self.close_stream(StreamNumber(conn.0), Side::Listener);
            }
            Output::StreamOpened {
                conn,
                framework,
                stream,
            } => {
                self.tell_framework(conn, Word::Opened(framework, stream));
            }
            Output::StreamRefused { conn, refused } => {
                self.handed.closed(conn);
                self.tell_framework(
                    conn,
                    Word::Refused {
                        event: refused.is_event(),
                    },
                );
                self.close_stream(StreamNumber(conn.0), Side::Listener);
            }
            Output::ToStream { conn, notice } => self.tell_stream(host, conn, notice),
            Output::Answer { ask, answer } => self.answered(host, ask, &answer),
            Output::Status(status) => {
                if status.leading {
                    let replica = self.masters[host.0].raft;
                    self.tell(&Fact::Leads {
                        replica,
                        term: status.term,
                    });
                }
            }
            Output::Book(_) | Output::Events(_) | Output::EventsSkipped(_) | Output::Stopped => {}
            Output::Halt { why } => {
                let detail = format!("master {} halts: {why}", host.0);
                self.tell(&Fact::Unsettled(detail));
            }
        }
    }

    fn tell_agent(&mut self, host: Host, conn: Conn, mut message: MasterMessage) {
        if self.plant == Some(Plant::FencesLackIndex) {
            forget_index(&mut message);
        }
        self.commanded(host, conn, &message);
        let bytes = postcard::to_allocvec(&message).expect("messages are encodable");
        let packet = Packet::ToAgent(Bytes::from(bytes));
        self.send_stream(StreamNumber(conn.0), Side::Listener, packet);
    }

    fn tell_stream(&mut self, host: Host, conn: Conn, notice: Notice) {
        let rescinds = matches!(notice, Notice::Rescind(_));
        if rescinds && self.plant == Some(Plant::RescindLost) {
            return;
        }
        self.handed.told(host, conn, &notice);
        self.tell_framework(conn, Word::Notice(Box::new(notice)));
    }

    fn commanded(&mut self, host: Host, conn: Conn, message: &MasterMessage) {
        let (MasterMessage::Launch { fence, .. }
        | MasterMessage::Kill { fence, .. }
        | MasterMessage::Forget { fence, .. }) = message
        else {
            return;
        };
        if let Some(agent) = self.network.end(StreamNumber(conn.0), Side::Dialler) {
            let master = self.masters[host.0].node;
            let (_, node) = self.identity(agent);
            self.echoes.note(node, message);
            self.tell(&Fact::Commanded {
                master,
                node,
                fence: *fence,
            });
        }
    }

    fn tell_framework(&mut self, conn: Conn, word: Word) {
        self.send_stream(
            StreamNumber(conn.0),
            Side::Listener,
            Packet::ToFramework(word),
        );
    }

    fn send_peer(&mut self, host: Host, to: RaftId, message: PeerMessage) {
        let Some(other) = self.masters.iter().position(|master| master.raft == to) else {
            return;
        };
        let Some((stream, side)) = self.masters[host.0].links[other] else {
            return;
        };
        let from = (self.masters[host.0].raft, self.masters[host.0].node);
        let packet = match message {
            PeerMessage::Raft(message) => {
                if let Some((term, vote)) = message.term_and_vote(from.0) {
                    let replica = from.0;
                    self.tell(&Fact::Says {
                        replica,
                        term,
                        vote,
                    });
                }
                let bytes = message.to_bytes();
                Packet::Raft { from, bytes }
            }
            PeerMessage::Ledger(message) => {
                let bytes = postcard::to_allocvec(&message).expect("messages are encodable");
                Packet::Ledger {
                    from,
                    bytes: Bytes::from(bytes),
                }
            }
        };
        self.send_stream(stream, side, packet);
    }
}
