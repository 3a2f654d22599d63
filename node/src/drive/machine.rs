//! The thread of the master's machine: takes what waits, steps it, does what comes out, sleeps.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram};
use shoal_api::Instant;
use shoal_api::notice::Notice;
use shoal_api::session::MasterMessage;
use shoal_failpoint::{Point, pass};
use shoal_master::{Answer, Ask, Conn, Input, Leadership, Master, Output, Refused};
use shoal_quorum::Membership;
use tokio::sync::{mpsc, oneshot};

use super::addresses::Addresses;
use super::disk::Disk;
use super::export::Export;
use super::mailbox::{Mail, Opened, Outbound, Reply, Waiting};
use crate::api::board::Board;
use crate::metrics::{catalogue, counter, gauge, histogram};
use crate::{clock, limits};

/// How the thread ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Stopped,
    /// This replica is wrong, or its disk is: it must not go on.
    Halted(Arc<str>),
}

/// Everything that the thread owns.
pub struct Machine {
    master: Master,
    waiting: Waiting,
    disk: Disk,
    replies: mpsc::UnboundedSender<Reply>,
    addresses: Addresses,
    board: Arc<Board>,
    sessions: BTreeMap<Conn, Outbound<MasterMessage>>,
    subscribing: BTreeMap<Conn, oneshot::Sender<Result<Opened, Refused>>>,
    streams: BTreeMap<Conn, Outbound<Notice>>,
    asks: BTreeMap<Ask, oneshot::Sender<Answer>>,
    next_ask: u64,
    /// What doing an output led to; stepped with the next batch.
    again: VecDeque<Input>,
    counts: Counts,
    export: Export,
    export_at: Instant,
    end: Option<End>,
}

struct Counts {
    inputs: Counter,
    batch: Histogram,
    busy: Histogram,
    term: Gauge,
    leading: Gauge,
    slow_streams: Counter,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            inputs: counter(&catalogue::MACHINE_INPUTS, &["master"]),
            batch: histogram(&catalogue::MACHINE_BATCH, &["master"]),
            busy: histogram(&catalogue::MACHINE_BUSY, &["master"]),
            term: gauge(&catalogue::RAFT_TERM, &[]),
            leading: gauge(&catalogue::RAFT_LEADING, &[]),
            slow_streams: counter(&catalogue::STREAMS_SLOW, &[]),
        }
    }
}

/// What a machine is made of.
pub struct Parts {
    /// The machine.
    pub master: Master,
    /// What waits for it.
    pub waiting: Waiting,
    /// Where it persists.
    pub disk: Disk,
    /// The way in for what is done aside.
    pub replies: mpsc::UnboundedSender<Reply>,
    /// The other masters.
    pub addresses: Addresses,
    /// Where it shows itself.
    pub board: Arc<Board>,
}

/// Starts the thread; what it ends with arrives on the receiver.
///
/// # Errors
/// The kernel has no thread left.
pub fn start(parts: Parts) -> io::Result<oneshot::Receiver<End>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let (tell, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("shoal-master".to_owned())
        .spawn(move || {
            let end = runtime.block_on(Machine::new(parts).run());
            // Whoever does not wait for the end does not miss it.
            drop(tell.send(end));
        })?;
    Ok(ended)
}

impl Machine {
    fn new(parts: Parts) -> Machine {
        Machine {
            master: parts.master,
            waiting: parts.waiting,
            disk: parts.disk,
            replies: parts.replies,
            addresses: parts.addresses,
            board: parts.board,
            sessions: BTreeMap::new(),
            subscribing: BTreeMap::new(),
            streams: BTreeMap::new(),
            asks: BTreeMap::new(),
            next_ask: 1,
            again: VecDeque::new(),
            counts: Counts::new(),
            export: Export::new(),
            export_at: Instant::ZERO,
            end: None,
        }
    }

    async fn run(mut self) -> End {
        self.perform();
        loop {
            if let Some(end) = self.end.take() {
                return end;
            }
            let first = self.wait().await;
            let started = clock::now();
            self.master
                .step(started, Input::Calendar(clock::calendar()));
            let applied = self.master.applied();
            let count = self.take_all(first, started);
            if self.master.applied() > applied {
                pass(Point::MasterApplied);
            }
            self.perform();
            self.counts.inputs.increment(count);
            self.counts.batch.record(count as f64);
            self.counts
                .busy
                .record(clock::now().since(started).as_secs_f64());
            if started >= self.export_at {
                self.export_at = started + limits::EXPORT;
                self.export.show(&self.master);
            }
        }
    }

    /// Sleeps until something waits or the machine's deadline passes.
    async fn wait(&mut self) -> (Option<Reply>, Option<Mail>) {
        if !self.again.is_empty() {
            return (None, None);
        }
        let deadline = self.master.next_deadline().unwrap_or(Instant::NEVER);
        let pause = deadline.since(clock::now()).min(limits::MACHINE_SLEEP);
        tokio::select! {
            biased;
            Some(reply) = self.waiting.replies.recv() => (Some(reply), None),
            Some(mail) = self.waiting.mail.recv() => (None, Some(mail)),
            () = tokio::time::sleep(pause) => (None, None),
        }
    }

    /// Steps everything that waits, within a bound, and the deadline if it has passed.
    fn take_all(&mut self, first: (Option<Reply>, Option<Mail>), now: Instant) -> u64 {
        let mut count = 0;
        if let Some(reply) = first.0 {
            self.reply(now, reply);
        }
        if let Some(mail) = first.1 {
            self.mail(now, mail);
        }
        while let Some(input) = self.again.pop_front() {
            self.master.step(now, input);
            count += 1;
        }
        while let Ok(reply) = self.waiting.replies.try_recv() {
            self.reply(now, reply);
            count += 1;
        }
        for _ in 0..limits::MACHINE_BATCH {
            let Ok(mail) = self.waiting.mail.try_recv() else {
                break;
            };
            self.mail(now, mail);
            count += 1;
        }
        if self.master.next_deadline().is_some_and(|at| at <= now) {
            self.master.step(now, Input::Wake);
        }
        count + 1
    }

    fn reply(&mut self, now: Instant, reply: Reply) {
        let input = match reply {
            Reply::Persisted(ticket) => {
                pass(Point::MasterCommit);
                Input::Persisted(ticket)
            }
            Reply::SnapshotSaved(index) => Input::SnapshotSaved(index),
            Reply::SnapshotReady { index, chunks } => Input::SnapshotReady { index, chunks },
            Reply::DiskFull => Input::DiskFull,
            Reply::DiskHasRoom => Input::DiskHasRoom,
            Reply::DiskFailed(why) => {
                self.halt(Arc::from(why));
                return;
            }
        };
        self.master.step(now, input);
    }

    fn mail(&mut self, now: Instant, mail: Mail) {
        let input = match mail {
            Mail::Peer {
                from,
                node,
                message,
            } => Input::Peer {
                from,
                node,
                message,
            },
            Mail::PeerBroken(peer) => Input::PeerBroken(peer),
            Mail::Guest { from, out } => {
                self.addresses.guest(from, out);
                return;
            }
            Mail::SessionOpened { conn, out } => {
                self.sessions.insert(conn, out);
                return;
            }
            Mail::Session { conn, message } => Input::Session { conn, message },
            Mail::SessionClosed(conn) => {
                self.sessions.remove(&conn);
                Input::SessionClosed(conn)
            }
            Mail::Subscribe {
                conn,
                info,
                opened,
                out,
            } => {
                self.subscribing.insert(conn, opened);
                self.streams.insert(conn, out);
                Input::Subscribe { conn, info }
            }
            Mail::StreamClosed(conn) => {
                self.subscribing.remove(&conn);
                self.streams.remove(&conn);
                Input::StreamClosed(conn)
            }
            Mail::Request { request, reply } => {
                let ask = Ask(self.next_ask);
                self.next_ask += 1;
                self.asks.insert(ask, reply);
                Input::Request {
                    ask,
                    request: *request,
                }
            }
            Mail::Member(event) => {
                self.addresses.event(&event);
                Input::Member(event)
            }
            Mail::Shutdown => Input::Shutdown,
        };
        self.master.step(now, input);
    }

    /// Does everything that the machine wants done.
    fn perform(&mut self) {
        while let Some(output) = self.master.poll_output() {
            match output {
                Output::Send { to, message } => self.addresses.send(to, &message),
                Output::Persist { ticket, batch } => self.disk.persist(ticket, batch),
                Output::SaveSnapshot(snapshot) => self.disk.save_snapshot(snapshot),
                Output::Compact(through) => self.disk.compact(through),
                Output::TakeSnapshot { index, image } => self.serialise(index, image),
                Output::ToAgent { conn, message } => self.tell_agent(conn, message),
                Output::CloseSession(conn) => drop(self.sessions.remove(&conn)),
                Output::StreamOpened {
                    conn,
                    framework,
                    stream,
                } => self.subscribed(conn, Ok(Opened { framework, stream })),
                Output::StreamRefused { conn, refused } => {
                    self.streams.remove(&conn);
                    self.subscribed(conn, Err(refused));
                }
                Output::ToStream { conn, notice } => self.tell_stream(conn, notice),
                Output::CloseStream(conn) => drop(self.streams.remove(&conn)),
                Output::Answer { ask, answer } => {
                    if let Some(reply) = self.asks.remove(&ask) {
                        pass(Point::MasterAnswer);
                        // An asker that is gone has no use for its answer.
                        drop(reply.send(answer));
                        pass(Point::MasterAnswered);
                    }
                }
                Output::Status(leadership) => self.status(leadership),
                Output::Book(masters) => {
                    self.addresses.book(&masters);
                    self.board.set_masters(masters.into());
                }
                Output::Events(entry) => self.board.events().put(entry),
                Output::EventsSkipped(through) => self.board.events().skip(through),
                Output::Halt { why } => self.halt(why),
                Output::Stopped => self.end = self.end.take().or(Some(End::Stopped)),
            }
        }
    }

    fn halt(&mut self, why: Arc<str>) {
        tracing::error!(%why, "this master halts");
        self.end = Some(End::Halted(why));
    }

    fn status(&mut self, leadership: Leadership) {
        if let Some(before) = self.board.leadership() {
            tell_changes(&before.membership, &leadership.membership);
        }
        self.counts.term.set(leadership.term.0 as f64);
        self.counts
            .leading
            .set(f64::from(u8::from(leadership.leading)));
        tracing::info!(
            leader = leadership.leader.map(|raft| raft.0),
            term = leadership.term.0,
            leading = leadership.leading,
            voters = leadership.membership.voters.len(),
            "leadership"
        );
        self.board.set_leadership(Some(leadership));
    }

    fn tell_agent(&mut self, conn: Conn, message: MasterMessage) {
        let Some(out) = self.sessions.get(&conn) else {
            return;
        };
        if !out.send(message) {
            self.sessions.remove(&conn);
            self.again.push_back(Input::SessionClosed(conn));
        }
    }

    fn subscribed(&mut self, conn: Conn, outcome: Result<Opened, Refused>) {
        if let Some(opened) = self.subscribing.remove(&conn) {
            // A subscriber that is gone is noticed by its stream.
            drop(opened.send(outcome));
        }
    }

    fn tell_stream(&mut self, conn: Conn, notice: Notice) {
        let Some(out) = self.streams.get(&conn) else {
            return;
        };
        if !out.send(notice) {
            self.counts.slow_streams.increment(1);
            self.streams.remove(&conn);
            self.again.push_back(Input::StreamClosed(conn));
        }
    }

    /// Serialises an image on a thread of its own; the machine asks for one at a time.
    fn serialise(&mut self, index: shoal_api::Index, image: Arc<shoal_master::State>) {
        let replies = self.replies.clone();
        let spawned = std::thread::Builder::new()
            .name("shoal-snapshot".to_owned())
            .spawn(move || {
                let chunks = image.write();
                // An error means that the machine has ended.
                drop(replies.send(Reply::SnapshotReady { index, chunks }));
            });
        if let Err(error) = spawned {
            self.halt(Arc::from(format!("no thread for a snapshot: {error}")));
        }
    }
}

/// Logs who came into the quorum, got a vote, or left it.
fn tell_changes(before: &Membership, after: &Membership) {
    for raft in after.members() {
        let (voted, votes) = (before.votes(raft), after.votes(raft));
        match before.contains(raft) {
            false if votes => tracing::info!(%raft, "a master votes in the quorum"),
            false => tracing::info!(%raft, "a master is in the quorum as a learner"),
            true if votes && !voted => tracing::info!(%raft, "a learner of the quorum has a vote"),
            true => {}
        }
    }
    for raft in before.members() {
        if !after.contains(raft) {
            tracing::warn!(%raft, "a master is out of the quorum for ever");
        }
    }
}
