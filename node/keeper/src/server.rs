//! The keeper's loop: one thread that waits for clients, for the end of children, and for its own.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Signal;

use crate::client::Client;
use crate::journal::Journal;
use crate::limits;
use crate::process;
use crate::protocol::{Body, Request, SOCKET, Task, VERSION};
use crate::spawn;
use crate::table::Table;
use crate::{KeeperError, Options};

/// A running keeper.
#[derive(Debug)]
pub(crate) struct Server {
    table: Table,
    signals: OwnedFd,
    listener: OwnedFd,
    /// Whether the end of standard input is the end of the keeper.
    lifeline: bool,
    clients: Vec<Client>,
    ending: Option<Ending>,
    /// Since when nobody needs it.
    idle_since: Option<Instant>,
    /// Held as long as the keeper lives.
    _lock: OwnedFd,
}

/// How far the keeper is with its own end.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// TERM was sent; KILL follows then.
    Asked(Instant),
    /// KILL was sent to everything; the keeper leaves then at the latest.
    Forced(Instant),
}

/// What the loop woke up for.
#[derive(Debug, Default)]
struct Ready {
    signals: bool,
    listener: bool,
    lifeline: bool,
    clients: Vec<(usize, PollFlags)>,
    adopted: Vec<String>,
}

impl Server {
    pub fn start(options: &Options) -> Result<Server, KeeperError> {
        let failed = |what: &'static str| {
            move |error: rustix::io::Errno| KeeperError::Environment(what, error.into())
        };
        let environment =
            |what: &'static str| move |error: io::Error| KeeperError::Environment(what, error);
        let lock = lock(&options.dir)?;
        if let Err(error) = spawn::keep_inherited_descriptors() {
            // Kernels before 5.11 cannot; what the agent starts it with is close-on-exec anyway.
            eprintln!("inherited descriptors stay open in tasks: {error}");
        }
        // A session of its own, unless it leads one already: no terminal's signals reach the tasks.
        let _ = rustix::process::setsid();
        rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(failed("becoming the parent of orphans"))?;
        let signals = spawn::signals().map_err(environment("taking signals"))?;
        let (journal, records) = Journal::open(&options.dir.join("journal"))
            .map_err(environment("opening the journal"))?;
        let table = Table::recover(journal, records).map_err(environment("reading the journal"))?;
        let listener = listen(&options.dir).map_err(failed("listening"))?;
        Ok(Server {
            table,
            signals,
            listener,
            lifeline: options.lifeline,
            clients: Vec::new(),
            ending: None,
            idle_since: None,
            _lock: lock,
        })
    }

    /// Runs until the keeper is to end and nothing of its tasks is left.
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            if ready.signals {
                self.take_signals();
            }
            if ready.lifeline && lifeline_is_cut() {
                self.lifeline = false;
                eprintln!("standard input was closed: ending all tasks");
                self.end(limits::ORPHANED_GRACE);
            }
            for key in ready.adopted {
                let ended = self.table.adopted_ended(&key);
                self.tell(ended);
            }
            if ready.listener {
                self.accept();
            }
            for (at, flags) in ready.clients {
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    self.clients[at].fill();
                    self.serve(at);
                }
            }
            for client in &mut self.clients {
                client.flush();
            }
            self.clients.retain(|client| !client.is_broken());
            if self.has_ended() || self.is_idle_for_long() {
                return Ok(());
            }
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let fixed = fds.len();
        for client in &self.clients {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, client.has_output());
            fds.push(PollFd::from_borrowed_fd(client.socket(), flags));
        }
        let adopted: Vec<(&str, &OwnedFd)> = self.table.adopted().collect();
        for (_, watch) in &adopted {
            fds.push(PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN));
        }
        let lifeline = fds.len();
        if self.lifeline {
            fds.push(PollFd::from_borrowed_fd(
                rustix::stdio::stdin(),
                PollFlags::IN,
            ));
        }
        match poll(&mut fds, self.timeout().as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        let clients = fixed..fixed + self.clients.len();
        Ok(Ready {
            signals: !events[0].is_empty(),
            listener: !events[1].is_empty(),
            lifeline: events.get(lifeline).is_some_and(|e| !e.is_empty()),
            adopted: adopted
                .iter()
                .zip(&events[clients.end..])
                .filter(|(_, events)| !events.is_empty())
                .map(|((key, _), _)| (*key).to_owned())
                .collect(),
            clients: events[clients]
                .iter()
                .copied()
                .enumerate()
                .filter(|(_, events)| !events.is_empty())
                .collect(),
        })
    }

    fn timeout(&self) -> Option<Timespec> {
        let idle_until = self.idle_since.map(|since| since + limits::IDLE);
        let until = match self.ending {
            Some(Ending::Asked(until) | Ending::Forced(until)) => until,
            None => idle_until?,
        };
        let wait = until.saturating_duration_since(Instant::now());
        Timespec::try_from(wait).ok()
    }

    fn take_signals(&mut self) {
        let mut bytes = [0; 4096];
        let mut end = false;
        while let Ok(length) = rustix::io::read(&self.signals, &mut bytes) {
            end |= spawn::asks_to_end(&bytes[..length]);
            if length < bytes.len() {
                break;
            }
        }
        for task in self.table.reap() {
            self.tell(Some(task));
        }
        if end {
            self.end(limits::SHUTDOWN_GRACE);
        }
    }

    /// Tells all who subscribed.
    fn tell(&mut self, task: Option<Task>) {
        let Some(task) = task else {
            return;
        };
        for client in self.clients.iter_mut().filter(|c| c.subscribed) {
            client.say(0, Body::Task(task.clone()));
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // A client that is gone again, or that finds no descriptor free, comes again or does not.
        if let Ok(socket) = rustix::net::accept_with(&self.listener, flags)
            && self.clients.len() < limits::CLIENTS
        {
            self.clients.push(Client::new(socket));
        }
    }

    fn serve(&mut self, at: usize) {
        while let Some((number, request)) = self.clients[at].next() {
            let body = self.answer(at, request);
            self.clients[at].say(number, body);
        }
    }

    fn answer(&mut self, at: usize, request: Request) -> Body {
        let client = &mut self.clients[at];
        if let Request::Hello { version } = request {
            client.greeted = true;
            return Body::Hello {
                version: version.min(VERSION),
                pid: std::process::id(),
                stopping: self.ending.is_some(),
            };
        }
        if !client.greeted {
            return Body::Refused("say hello first".into());
        }
        match request {
            Request::Hello { .. } => unreachable!("answered above"),
            Request::Spawn { .. } if self.ending.is_some() => Body::Ending,
            Request::Spawn { key, spec } => match self.table.spawn(&key, &spec) {
                Ok(task) => Body::Task(task),
                Err(why) => Body::Refused(why),
            },
            Request::Signal { key, signal } => match signal_of(signal) {
                Some(signal) => match self.table.signal(&key, signal) {
                    Ok(()) => Body::Done,
                    Err(_) => Body::NoSuchTask,
                },
                None => Body::Refused(format!("there is no signal {signal}")),
            },
            Request::List => Body::Tasks(self.table.list()),
            Request::Subscribe => {
                client.subscribed = true;
                Body::Tasks(self.table.list())
            }
            Request::Forget { key } => {
                if self.table.forget(&key) {
                    Body::Done
                } else {
                    Body::Refused(format!("task {key} runs"))
                }
            }
            Request::Shutdown { grace_ms } => {
                self.end(Duration::from_millis(grace_ms));
                Body::Done
            }
        }
    }

    /// Begins the end, or brings it nearer.
    fn end(&mut self, grace: Duration) {
        let until = Instant::now() + grace;
        match &mut self.ending {
            Some(Ending::Asked(earlier)) => *earlier = until.min(*earlier),
            Some(Ending::Forced(_)) => {}
            None => {
                self.table.signal_all(Signal::TERM);
                self.ending = Some(Ending::Asked(until));
            }
        }
    }

    /// Takes note of whether anybody needs it; true once nobody did for long.
    fn is_idle_for_long(&mut self) -> bool {
        if !self.clients.is_empty() || self.table.is_running() {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        since.elapsed() >= limits::IDLE
    }

    /// Drives the end on; true once nothing is left to wait for.
    fn has_ended(&mut self) -> bool {
        let Some(ending) = self.ending else {
            return false;
        };
        let now = Instant::now();
        match ending {
            Ending::Asked(until) if now < until && self.table.is_running() => false,
            Ending::Asked(_) => {
                self.ending = Some(Ending::Forced(now + limits::SHUTDOWN_LAST));
                self.force()
            }
            Ending::Forced(until) => self.force() || now >= until,
        }
    }

    /// KILL to everything that tasks started, their orphans too; true if nothing is left.
    fn force(&mut self) -> bool {
        self.table.signal_all(Signal::KILL);
        for task in self.table.reap() {
            self.tell(Some(task));
        }
        let orphans = process::living_children(std::process::id());
        for &number in &orphans {
            if let Some(pid) = process::pid(number) {
                // It is our child, so its number is its own until we reap it.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        orphans.is_empty() && !self.table.is_running()
    }
}

fn signal_of(number: u8) -> Option<Signal> {
    Signal::from_named_raw(i32::from(number))
}

/// One keeper per folder.
fn lock(dir: &Path) -> Result<OwnedFd, KeeperError> {
    let path = dir.join("keeper.lock");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))
        .map_err(|error| KeeperError::Environment("opening the lock", error.into()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => Err(KeeperError::AlreadyRuns(dir.to_owned())),
    }
}

/// Whether nobody holds the other end of standard input; what they say over it means nothing.
fn lifeline_is_cut() -> bool {
    let mut ignored = [0; 64];
    matches!(
        rustix::io::read(rustix::stdio::stdin(), &mut ignored),
        Ok(0) | Err(_)
    )
}

fn listen(dir: &Path) -> rustix::io::Result<OwnedFd> {
    // A socket's name has 107 bytes at most, a folder's path may have more: it is named by way of a
    // descriptor of the folder.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(dir, flags, Mode::empty())?;
    let name = crate::socket_path(&folder);
    match rustix::fs::unlinkat(&folder, SOCKET, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let listener = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::bind(&listener, &SocketAddrUnix::new(name.as_str())?)?;
    rustix::net::listen(&listener, 16)?;
    Ok(listener)
}
