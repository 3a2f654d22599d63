//! The task: datagrams, requests and deadlines in, datagrams and changes out.

use std::sync::Arc;
use std::time::Duration;

use shoal_api::Instant;
use shoal_api::member::{Member, MemberEvent};
use shoal_membership::{Input, Membership, Output, Query, Secrecy};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use super::counts::Counts;
use super::net::Socket;
use super::seeds::Resolving;
use super::streams::{Happened, Streams};
use super::tags::TagBook;
use super::talk::Waiting;
use super::{Change, End, Happening, Picture, Removal, Request, Standing, limits};

/// The machine's clock: nanoseconds since the driver was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(tokio::time::Instant);

impl Clock {
    pub fn new() -> Clock {
        Clock(tokio::time::Instant::now())
    }

    pub fn now(self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    fn at(self, instant: Instant) -> tokio::time::Instant {
        self.0 + Duration::from_nanos(instant.as_nanos())
    }
}

/// Where others see what happens.
pub(super) struct Shown {
    pub changes: mpsc::Sender<Change>,
    pub members: watch::Sender<Arc<[Member]>>,
    pub standing: watch::Sender<Standing>,
    pub happenings: broadcast::Sender<Happening>,
    pub inner: mpsc::Sender<Query>,
}

pub(super) struct Drive {
    machine: Membership,
    clock: Clock,
    socket: Socket,
    requests: mpsc::Receiver<Request>,
    secrecy: watch::Receiver<Secrecy>,
    resolving: Resolving,
    waiting: Waiting,
    streams: Streams,
    tags: TagBook,
    shown: Shown,
    counts: Counts,
    counted: Instant,
    /// Said by the machine and not shown yet; emptied after each batch.
    events: Vec<MemberEvent>,
    /// Changes were dropped since the reader was last told so.
    missed: bool,
    end: Option<End>,
}

impl Drive {
    pub fn new(
        machine: Membership,
        clock: Clock,
        mut socket: Socket,
        requests: mpsc::Receiver<Request>,
        secrecy: watch::Receiver<Secrecy>,
        shown: Shown,
        tags: TagBook,
    ) -> Drive {
        let counts = Counts::new();
        counts.members(&shown.members.borrow());
        Drive {
            machine,
            clock,
            streams: Streams::new(socket.take_listener()),
            socket,
            requests,
            secrecy,
            resolving: Resolving::default(),
            waiting: Waiting::default(),
            tags,
            shown,
            counts,
            counted: Instant::ZERO,
            events: Vec::new(),
            missed: false,
            end: None,
        }
    }

    /// Runs until the gossip ends. Datagrams go before deadlines, as they may refute what a
    /// deadline would decide; both get their turn under any load.
    pub async fn run(mut self) -> End {
        loop {
            self.receive();
            self.take_requests();
            self.wake();
            self.show();
            if let Some(end) = self.end {
                self.counts.machine(&self.machine);
                self.shown.standing.send_replace(Standing::Ended(end));
                return end;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        let deadline = self.machine.next_deadline();
        let wake = self
            .clock
            .at(deadline.unwrap_or(self.clock.now() + limits::COUNT));
        tokio::select! {
            biased;
            readable = self.socket.readable() => {
                if let Err(error) = readable {
                    warn!(%error, "cannot wait for gossip");
                }
            }
            request = self.requests.recv() => match request {
                Some(request) => self.take(request),
                None => self.end = Some(End::Abandoned),
            },
            happened = self.streams.next() => self.take_stream(happened),
            Ok(()) = self.secrecy.changed() => {
                let secrecy = self.secrecy.borrow_and_update().clone();
                self.step(Input::SetSecrecy(secrecy));
            }
            seeds = self.resolving.next() => self.step(Input::Join { seeds }),
            () = sleep_until(wake) => {}
        }
    }

    fn receive(&mut self) {
        for _ in 0..limits::BATCH {
            match self.socket.receive() {
                Ok(Some((from, bytes))) => self.step(Input::Datagram { from, bytes }),
                Ok(None) => return,
                Err(error) => {
                    debug!(%error, "cannot read a datagram");
                    return;
                }
            }
        }
    }

    fn take_stream(&mut self, happened: Happened) {
        self.step(match happened {
            Happened::Frame {
                stream,
                from,
                bytes,
            } => Input::Frame {
                stream,
                from,
                bytes,
            },
            Happened::Closed { stream } => Input::Closed { stream },
        });
    }

    fn take_requests(&mut self) {
        for _ in 0..limits::BATCH {
            match self.requests.try_recv() {
                Ok(request) => self.take(request),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Join(seeds) => {
                let seeds = self.resolving.take(seeds);
                self.step(Input::Join { seeds });
            }
            Request::Leave => self.step(Input::Leave),
            Request::SetTags(own) => {
                // What an operator gave fitted beside the old ones; if it does not beside these, it goes.
                let tags = self.tags.set_own(own);
                self.step(Input::SetTags(tags));
            }
            Request::ChangeTags(change, answer) => {
                let changed = self.tags.change(change);
                let told = changed.map(|tags| self.step(Input::SetTags(tags)));
                drop(answer.send(told));
            }
            Request::Picture(answer) => drop(answer.send(self.picture())),
            Request::Tell(event) => self.step(Input::TellEvent(event)),
            Request::Ask(request, asker) => {
                let token = self.waiting.add(asker);
                self.step(Input::Ask { token, request });
            }
            Request::Answer(query, body) => self.step(Input::Answer { query, body }),
            Request::Remove(node, how) => {
                let prune = how == Removal::Prune;
                self.step(Input::Remove { node, prune });
            }
            Request::Rtt(a, b, answer) => drop(answer.send(self.machine.rtt(a, b))),
            // An asker that is gone does not miss its answer.
            Request::Stats(answer) => drop(answer.send(self.machine.stats().clone())),
        }
    }

    fn picture(&self) -> Picture {
        Picture {
            me: self.machine.me().clone(),
            joined: self.machine.is_joined(),
            name_holder: self.machine.name_holder(),
            clocks: self.machine.clocks(),
            queued: self.machine.queued(),
            queries: self.machine.queries_open(),
        }
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        if self.machine.next_deadline().is_some_and(|at| at <= now) {
            self.step(Input::Wake);
        }
    }

    fn step(&mut self, input: Input) {
        self.machine.step(self.clock.now(), input);
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                if let Err(error) = self.socket.send(to, &bytes) {
                    self.counts.unsent();
                    debug!(%to, %error, "cannot send a datagram");
                }
            }
            Output::Open { stream, to } => self.streams.open(stream, to),
            Output::Frame { stream, bytes } => self.streams.send(stream, bytes),
            Output::Close { stream } => self.streams.close(stream),
            Output::Event(event) => self.events.push(event),
            Output::UserEvent(event) => self.happen(Happening::Event(event)),
            Output::Query(query) if query.name.is_internal() => {
                // Whoever asks sees that this node does not answer, and asks again.
                if let Err(error) = self.shown.inner.try_send(query) {
                    debug!(%error, "cannot answer what a node asks");
                }
            }
            Output::Query(query) => self.happen(Happening::Query(query)),
            Output::Reply { token, reply } => {
                if !self.waiting.reply(token, reply) {
                    self.counts.reply_missed();
                }
            }
            Output::QueryEnded { token, end } => self.waiting.end(token, end),
            Output::NameRefused { name, holder } => {
                warn!(%name, %holder, "another living node has this name");
                self.shown
                    .standing
                    .send_replace(Standing::NameRefused { name, holder });
            }
            Output::Superseded { by } => {
                warn!(%by, "another process runs as this node");
                self.end = Some(End::Superseded { by });
            }
            Output::Left => {
                info!("left the gossip");
                self.end = Some(End::Left);
            }
        }
    }

    /// Shows what changed: the list first, so that whoever hears of a change can read it there.
    fn show(&mut self) {
        if !self.events.is_empty() {
            let members: Arc<[Member]> = self.machine.members().cloned().collect();
            self.counts.members(&members);
            self.shown.members.send_replace(members);
            for event in std::mem::take(&mut self.events) {
                log(&event);
                self.happen(Happening::Member(event.clone()));
                self.pass(event);
            }
            if self.machine.name_holder().is_none() {
                self.shown.standing.send_if_modified(|standing| {
                    let refused = matches!(standing, Standing::NameRefused { .. });
                    if refused {
                        *standing = Standing::Running;
                    }
                    refused
                });
            }
        }
        let now = self.clock.now();
        if now.since(self.counted) >= limits::COUNT {
            self.counted = now;
            self.counts.machine(&self.machine);
        }
    }

    /// Tells whoever listens; nobody may.
    fn happen(&self, happening: Happening) {
        let _nobody = self.shown.happenings.send(happening);
    }

    fn pass(&mut self, event: MemberEvent) {
        if self.missed && self.shown.changes.try_send(Change::Missed).is_ok() {
            self.missed = false;
        }
        // A reader that is gone misses nothing.
        if let Err(mpsc::error::TrySendError::Full(_)) =
            self.shown.changes.try_send(Change::Member(event))
        {
            self.missed = true;
            self.counts.missed();
        }
    }
}

fn log(event: &MemberEvent) {
    match event {
        MemberEvent::Joined(member) => {
            info!(id = %member.id, addr = %member.gossip, generation = %member.generation, "member joined");
        }
        MemberEvent::StatusChanged(member) => {
            let name = member.name.as_ref().map_or("", |name| name.as_str());
            info!(id = %member.id, name, status = %member.status, "member status");
        }
        MemberEvent::Updated(member) => debug!(id = %member.id, "member updated"),
        MemberEvent::Reaped(id) => info!(%id, "member forgotten"),
    }
}
