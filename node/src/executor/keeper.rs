//! The agent's side of the keeper's socket: starts a keeper where none runs, and never loses one that
//! does.
//!
//! Each connection is a *life*. Orders carry the life in which they were given, and those of an
//! earlier one are dropped: after each connection the keeper lists what it knows, and the agent
//! machine orders again what is missing.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Instant;

use shoal_agent::{End, Failure, KeeperEvent, KeeperTask, Process};
use shoal_api::task::Exit;
use shoal_api::{FrameworkId, LaunchIndex, TaskId, TaskKey, Timestamp};
use shoal_keeper::protocol::{self, Answer, Body, Frames, Request, VERSION, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::limits;

/// How a keeper is started.
#[derive(Debug)]
pub struct KeeperProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments before `--dir DIR`.
    pub arguments: Vec<OsString>,
    /// What becomes its standard input: it ends when that does.
    pub lifeline: Option<OwnedFd>,
}

/// One connection to the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(u64);

/// What is told of the keeper.
#[derive(Debug)]
pub struct KeeperNews {
    /// In which life; orders that follow from it carry this.
    pub life: Life,
    /// What.
    pub event: KeeperEvent,
    /// The tasks of the event that run, each with its first process.
    pub running: Vec<(TaskKey, u32)>,
}

/// What the keeper is asked for.
#[derive(Debug)]
pub struct Order {
    /// The life in which it was decided.
    pub life: Life,
    /// About which task.
    pub task: TaskKey,
    /// What to do with it.
    pub request: Request,
}

/// A task's key as the keeper knows it.
pub fn key_text(task: &TaskKey) -> String {
    task.to_string()
}

/// The reverse of [`key_text`].
fn key_of(text: &str) -> Option<TaskKey> {
    // Neither id has a slash, and the last `@` is ours.
    let (framework, rest) = text.split_once('/')?;
    let (task, launch) = rest.rsplit_once('@')?;
    Some(TaskKey {
        framework: FrameworkId::from_str(framework).ok()?,
        task: TaskId::from_str(task).ok()?,
        launch: LaunchIndex(launch.parse().ok()?),
    })
}

/// Keeps a connection to the keeper of a folder for as long as somebody gives orders.
pub async fn run(
    dir: PathBuf,
    program: KeeperProgram,
    mut orders: mpsc::Receiver<Order>,
    news: mpsc::Sender<KeeperNews>,
) {
    let mut starter = Starter {
        dir,
        program,
        process: None,
    };
    let mut life = Life(0);
    loop {
        let connected = tokio::select! {
            connected = starter.connect() => connected,
            () = drop_orders(&mut orders) => return,
        };
        life = Life(life.0 + 1);
        let mut link = Link::new(connected, life, &news);
        match link.serve(&mut orders).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the connection to the keeper broke"),
        }
        let event = KeeperEvent::Lost;
        let lost = KeeperNews {
            life,
            event,
            running: Vec::new(),
        };
        if news.send(lost).await.is_err() {
            return;
        }
    }
}

/// Orders that come while there is no keeper are of an earlier life. Returns when no more can come.
async fn drop_orders(orders: &mut mpsc::Receiver<Order>) {
    while orders.recv().await.is_some() {}
}

/// Finds or starts a keeper.
struct Starter {
    dir: PathBuf,
    program: KeeperProgram,
    /// One that this agent started, as long as it is not known to have ended.
    process: Option<Child>,
}

impl Starter {
    /// A connection that has exchanged hellos; tries for as long as it takes.
    async fn connect(&mut self) -> UnixStream {
        let mut wait = limits::KEEPER_RETRY_MIN;
        let mut complaint = Instant::now() + limits::KEEPER_WORD;
        loop {
            let error = match self.try_connect().await {
                Ok(socket) => return socket,
                Err(error) => error,
            };
            let started = self.start_if_none();
            if Instant::now() >= complaint {
                complaint = Instant::now() + limits::KEEPER_WORD;
                let log = self.dir.join("keeper.log");
                match started {
                    Ok(()) => {
                        tracing::error!(%error, log = %log.display(), "the keeper cannot be reached");
                    }
                    Err(error) => tracing::error!(%error, "no keeper can be started"),
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(limits::KEEPER_RETRY_MAX);
        }
    }

    async fn try_connect(&self) -> io::Result<UnixStream> {
        let folder = File::open(&self.dir)?;
        let mut socket = UnixStream::connect(shoal_keeper::socket_path(&folder)).await?;
        socket
            .write_all(&encode(&Request::Hello { version: VERSION })?)
            .await?;
        let mut frames = Frames::default();
        let mut bytes = [0; 1024];
        loop {
            if let Some(answer) = frames.take::<Answer>().map_err(io::Error::other)? {
                return match answer.body {
                    Body::Hello { stopping: true, .. } => {
                        Err(io::Error::other("an earlier keeper is about to end"))
                    }
                    Body::Hello { version, pid, .. } => {
                        tracing::debug!(version, pid, "connected to the keeper");
                        Ok(socket)
                    }
                    other => Err(io::Error::other(format!("no hello but {other:?}"))),
                };
            }
            match socket.read(&mut bytes).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => frames.push(&bytes[..length]),
            }
        }
    }

    /// Starts a keeper unless the one that this agent started still runs, or is still starting. One
    /// that finds another keeper in its folder ends at once, so that starting too many does no harm.
    fn start_if_none(&mut self) -> io::Result<()> {
        if let Some(process) = &mut self.process {
            match process.try_wait()? {
                None => return Ok(()),
                Some(status) => tracing::debug!(%status, "a keeper that was started has ended"),
            }
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("keeper.log"))?;
        let mut command = Command::new(&self.program.program);
        command
            .args(&self.program.arguments)
            .arg("--dir")
            .arg(&self.dir);
        match &self.program.lifeline {
            Some(lifeline) => {
                command.arg("--lifeline");
                command.stdin(Stdio::from(lifeline.try_clone()?));
            }
            None => {
                command.stdin(Stdio::null());
            }
        }
        command.stdout(Stdio::null()).stderr(Stdio::from(log));
        // It outlives this process, which is its whole point.
        command.kill_on_drop(false).current_dir("/");
        let process = command.spawn()?;
        if let Some(pid) = process.id() {
            // Before it can be asked for a task.
            crate::descriptors::restore(pid);
        }
        self.process = Some(process);
        Ok(())
    }
}

/// One life.
struct Link<'a> {
    socket: UnixStream,
    life: Life,
    news: &'a mpsc::Sender<KeeperNews>,
    frames: Frames,
    /// Requests that are not answered, in order: the hello was the first.
    asked: u64,
    waiting: VecDeque<Option<TaskKey>>,
}

impl<'a> Link<'a> {
    fn new(socket: UnixStream, life: Life, news: &'a mpsc::Sender<KeeperNews>) -> Link<'a> {
        Link {
            socket,
            life,
            news,
            frames: Frames::default(),
            asked: 1,
            waiting: VecDeque::new(),
        }
    }

    /// Carries orders and answers until the connection breaks; `Ok` once no more orders can come.
    async fn serve(&mut self, orders: &mut mpsc::Receiver<Order>) -> io::Result<()> {
        let mut out = encode(&Request::Subscribe)?;
        self.waiting.push_back(None);
        let mut bytes = vec![0; 64 * 1024];
        loop {
            while let Some(answer) = self.frames.take::<Answer>().map_err(io::Error::other)? {
                self.answered(answer).await?;
            }
            let (mut reader, mut writer) = self.socket.split();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) if order.life == self.life => {
                        let task = Some(order.task);
                        out.extend(encode(&order.request)?);
                        self.waiting.push_back(task);
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
                written = writer.write(&out), if !out.is_empty() => {
                    out.drain(..written?);
                }
                read = reader.read(&mut bytes) => match read? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    length => self.frames.push(&bytes[..length]),
                },
            }
        }
    }

    async fn answered(&mut self, answer: Answer) -> io::Result<()> {
        let asked = if answer.request == 0 {
            None
        } else {
            self.asked += 1;
            if answer.request != self.asked {
                return Err(io::Error::other("the keeper answers out of order"));
            }
            let unasked = || io::Error::other("the keeper answers what was not asked");
            self.waiting.pop_front().ok_or_else(unasked)?
        };
        let mut running = Vec::new();
        let event = match answer.body {
            Body::Task(task) => {
                running.extend(process(&task));
                keeper_task(&task).map(KeeperEvent::Task)
            }
            Body::Tasks(tasks) => {
                running.extend(tasks.iter().filter_map(process));
                let tasks = tasks.iter().filter_map(keeper_task).collect();
                Some(KeeperEvent::Listed(tasks))
            }
            Body::Refused(why) => asked.map(|task| not_started(task, &why)),
            // It ends, and this connection with it; the next keeper is asked again.
            Body::Ending => None,
            Body::Hello { .. } | Body::Done | Body::NoSuchTask => None,
        };
        if let Some(event) = event {
            let news = KeeperNews {
                life: self.life,
                event,
                running,
            };
            let stopped = |_| io::Error::other("the agent has stopped");
            self.news.send(news).await.map_err(stopped)?;
        }
        Ok(())
    }
}

/// That a task could not be started, as far as this agent is concerned.
pub fn not_started(task: TaskKey, why: &str) -> KeeperEvent {
    KeeperEvent::Task(KeeperTask {
        task,
        process: Process::NotStarted {
            failure: Failure::Setup(Arc::from(why)),
            at: crate::clock::calendar(),
        },
    })
}

fn encode(request: &Request) -> io::Result<Vec<u8>> {
    frame(request).map_err(io::Error::other)
}

/// The first process of a task, while it runs.
fn process(task: &protocol::Task) -> Option<(TaskKey, u32)> {
    match task.state {
        protocol::State::Running { pid, .. } => Some((key_of(&task.key)?, pid)),
        protocol::State::Ended { .. } | protocol::State::NotStarted { .. } => None,
    }
}

fn keeper_task(task: &protocol::Task) -> Option<KeeperTask> {
    let Some(key) = key_of(&task.key) else {
        tracing::warn!(
            key = task.key,
            "the keeper knows a task that is none of ours"
        );
        return None;
    };
    let time = Timestamp::from_nanos;
    let process = match &task.state {
        protocol::State::Running { since, .. } => Process::Running {
            since: time(*since),
        },
        protocol::State::Ended { end, at } => Process::Ended {
            end: match end {
                protocol::End::Code(code) => End::Exit(Exit::Code(*code)),
                protocol::End::Signal(signal) => End::Exit(Exit::Signal(*signal)),
                protocol::End::Unknown => End::Unknown,
            },
            at: time(*at),
        },
        protocol::State::NotStarted { failure, at } => Process::NotStarted {
            failure: match failure {
                protocol::Failure::Exec(why) => Failure::Exec(Arc::from(why.as_str())),
                protocol::Failure::Setup(why) => Failure::Setup(Arc::from(why.as_str())),
            },
            at: time(*at),
        },
    };
    Some(KeeperTask { task: key, process })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_the_way() {
        for task in ["t", "a@b", "a@1", "x y", "…"] {
            let key = TaskKey {
                framework: FrameworkId::new("d57482ac-0001@x").unwrap(),
                task: TaskId::new(task).unwrap(),
                launch: LaunchIndex(u64::MAX),
            };
            assert_eq!(key_of(&key_text(&key)), Some(key));
        }
        assert_eq!(key_of("nothing"), None);
        assert_eq!(key_of("f/t@x"), None);
    }
}
