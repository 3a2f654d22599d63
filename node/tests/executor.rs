//! An agent with real processes, a real disk and a real connection; the master is played by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use shoal_api::session::{AgentMessage, FilePiece, FileRead, Hello, MasterMessage};
use shoal_api::task::{Assignment, Command, Exit};
use shoal_api::{
    AgentId, AgentInfo, ClusterId, Epoch, Fence, FrameworkId, Generation, HostPort, Incarnation,
    Index, LaunchIndex, Name, NodeId, Origin, Reason, Resources, Role, StatusUpdate, TaskId,
    TaskKey, TaskSpec, TaskState,
};
use shoal_node::authorize::Policy;
use shoal_node::executor::{Executor, ExecutorConfig, ExecutorError, KeeperProgram};
use shoal_node::peer::{self, Connection, Identity};
use shoal_node::roles::NodeRoles;
use shoal_node::stop::{self, Stopper};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

const PATIENCE: Duration = Duration::from_secs(30);
const AGENT: AgentId = AgentId {
    origin: Origin(0xa),
    number: 3,
};

/// Where an agent lives, through all its lives.
struct Home {
    dir: tempfile::TempDir,
    /// Keeper and tasks end when this is dropped.
    _line: UnixStream,
    far: OwnedFd,
}

impl Home {
    fn new() -> Home {
        let (line, far) = UnixStream::pair().unwrap();
        Home {
            dir: tempfile::tempdir().unwrap(),
            _line: line,
            far: far.into(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    fn runs(&self, task: &str) -> PathBuf {
        self.data()
            .join(format!("slaves/{AGENT}/frameworks/f/executors/{task}/runs"))
    }
}

/// One life of an agent, and the master that it talks to.
struct Life {
    runtime: Runtime,
    executor: Executor,
    _stop: Stopper,
    accepted: mpsc::Receiver<Connection>,
    _serving: Stopper,
    epoch: u64,
}

/// An open session, as the master sees it.
struct Session {
    connection: Connection,
    hello: Hello,
    fence: Fence,
    pieces: Vec<FilePiece>,
}

fn identity(node: u128, roles: u32) -> Identity {
    let cluster = Arc::new(OnceLock::new());
    cluster.set(ClusterId(9)).unwrap();
    Identity {
        node: NodeId(node),
        generation: Generation(1),
        raft: None,
        roles: NodeRoles::from_bits(roles),
        name: Name::new(&format!("n{node}")).unwrap(),
        cluster,
    }
}

impl Life {
    fn start(home: &Home, number: u64) -> Life {
        Life::with(home, number, "cpus:4;mem:1024").unwrap()
    }

    fn with(home: &Home, number: u64, resources: &str) -> Result<Life, ExecutorError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (executor, stop, accepted, serving) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (send, accepted) = mpsc::channel(8);
            let (serving, served) = stop::pair();
            let me = identity(1, 1);
            tokio::spawn(peer::serve(listener, me, Policy::Loopback, send, served));
            // The first master listed is not there: the second is dialled.
            let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let dead = nobody.local_addr().unwrap().port();
            drop(nobody);
            let masters = [dead, port].map(|port| HostPort::new("127.0.0.1", port));
            let (_, masters) = watch::channel(masters.to_vec());
            let (stop, stopped) = stop::pair();
            let executor = Executor::start(config(home, number, resources), masters, stopped)?;
            Ok::<_, ExecutorError>((executor, stop, accepted, serving))
        })?;
        Ok(Life {
            runtime,
            executor,
            _stop: stop,
            accepted,
            _serving: serving,
            epoch: number * 100,
        })
    }

    /// Opens the session that the agent asks for next.
    fn session(&mut self) -> Session {
        self.epoch += 1;
        let fence = Fence {
            incarnation: Incarnation(1),
            epoch: Epoch(self.epoch),
            index: Index(self.epoch),
        };
        let open = async {
            let mut connection = self.accepted.recv().await.unwrap();
            let AgentMessage::Hello(hello) = read(&mut connection).await else {
                panic!("no hello");
            };
            let mut session = Session {
                connection,
                hello: *hello,
                fence,
                pieces: Vec::new(),
            };
            let welcome = MasterMessage::Welcome {
                cluster: ClusterId(9),
                agent: AGENT,
                fence,
            };
            session.say(welcome).await;
            for report in session.hello.tasks.clone() {
                if let Some(last) = report.updates.last() {
                    session.durable(last).await;
                }
            }
            session
        };
        let patient = async { tokio::time::timeout(PATIENCE, open).await };
        self.runtime.block_on(patient).unwrap()
    }

    fn say(&self, session: &mut Session, message: MasterMessage) {
        self.runtime.block_on(session.say(message));
    }

    fn launch(&self, session: &mut Session, key: &TaskKey, command: Command) {
        let assignment = Arc::new(assignment(key, command));
        let fence = session.fence;
        self.say(session, MasterMessage::Launch { fence, assignment });
    }

    /// The next updates, so many; each is made durable.
    fn updates(&self, session: &mut Session, count: usize) -> Vec<StatusUpdate> {
        let all = async {
            let mut updates = Vec::new();
            while updates.len() < count {
                updates.push(session.update().await);
            }
            updates
        };
        let patient = async { tokio::time::timeout(PATIENCE, all).await };
        self.runtime
            .block_on(patient)
            .expect("the updates come in time")
    }

    fn read(&self, session: &mut Session, key: &TaskKey, file: &str) -> FilePiece {
        let request = FileRead {
            request: 1,
            task: key.clone(),
            file: Arc::from(file),
            offset: 0,
            length: 10_000,
        };
        self.say(session, MasterMessage::ReadFile(request));
        let piece = async {
            while session.pieces.is_empty() {
                session.next().await;
            }
            session.pieces.remove(0)
        };
        let patient = async { tokio::time::timeout(PATIENCE, piece).await };
        self.runtime.block_on(patient).unwrap()
    }

    /// Ends this life without a word, as a SIGKILL does.
    fn crash(self) {
        self.runtime.shutdown_background();
    }
}

impl Session {
    async fn say(&mut self, message: MasterMessage) {
        let bytes = Bytes::from(postcard::to_allocvec(&message).unwrap());
        self.connection
            .writer
            .write(&mut vec![bytes])
            .await
            .unwrap();
    }

    /// Takes the next message in; an update comes back.
    async fn next(&mut self) -> Option<StatusUpdate> {
        match read(&mut self.connection).await {
            AgentMessage::Update(update) => Some(update),
            AgentMessage::FilePiece { piece, .. } => {
                self.pieces.push(piece.unwrap());
                None
            }
            AgentMessage::Pong => None,
            other => panic!("unexpected: {other:?}"),
        }
    }

    async fn update(&mut self) -> StatusUpdate {
        loop {
            if let Some(update) = self.next().await {
                self.durable(&update).await;
                return update;
            }
        }
    }

    async fn durable(&mut self, update: &StatusUpdate) {
        let durable = MasterMessage::UpdateDurable {
            task: update.task.clone(),
            sequence: update.sequence,
        };
        self.say(durable).await;
    }
}

async fn read(connection: &mut Connection) -> AgentMessage {
    let bytes = connection.reader.next().await.unwrap();
    postcard::from_bytes(&bytes.expect("the agent closed")).unwrap()
}

fn config(home: &Home, number: u64, resources: &str) -> ExecutorConfig {
    ExecutorConfig {
        data: home.data(),
        info: AgentInfo {
            node: NodeId(2),
            name: Name::new("n2").unwrap(),
            http: HostPort::new("127.0.0.1", 5051),
            resources: Resources::parse(resources).unwrap(),
            attributes: Vec::new(),
            version: Arc::from("0.1.0"),
        },
        generation: Generation(number),
        seed: number,
        identity: identity(2, 2),
        keeper: KeeperProgram {
            program: PathBuf::from(env!("CARGO_BIN_EXE_shoal")),
            arguments: vec!["keeper".into()],
            lifeline: Some(home.far.try_clone().unwrap()),
        },
    }
}

fn key(task: &str, launch: u64) -> TaskKey {
    TaskKey {
        framework: FrameworkId::new("f").unwrap(),
        task: TaskId::new(task).unwrap(),
        launch: LaunchIndex(launch),
    }
}

fn assignment(key: &TaskKey, command: Command) -> Assignment {
    Assignment {
        key: key.clone(),
        agent: AGENT,
        role: Role::any(),
        spec: Arc::new(TaskSpec {
            id: key.task.clone(),
            name: Arc::from("a task"),
            resources: Resources::parse("cpus:0.1;mem:8").unwrap(),
            command: Some(command),
            environment: vec![(Arc::from("WHO"), Arc::from("me"))],
            user: None,
            kill_grace: None,
            unsupported: None,
            raw: Bytes::new(),
            digest: None,
        }),
        framework_user: Arc::from(""),
        framework_name: Arc::from("framework"),
    }
}

fn shell(line: &str) -> Command {
    Command::Shell(Arc::from(line))
}

/// States and messages, the parts that a framework sees.
fn seen(updates: &[StatusUpdate]) -> Vec<(TaskState, &str)> {
    updates.iter().map(|u| (u.state, &*u.message)).collect()
}

/// A FIFO on which a task waits until the test lets it go on.
fn gate(home: &Home) -> PathBuf {
    let path = home.dir.path().join("gate");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    path
}

#[test]
fn a_task_runs_from_launch_to_forgetting() {
    let home = Home::new();
    let mut life = Life::start(&home, 1);
    let mut session = life.session();
    assert!(session.hello.tasks.is_empty() && session.hello.agent.is_none());
    let task = key("t 1", 7);
    let line = "echo \"$WHO $MESOS_EXECUTOR_ID\"; pwd; echo oops >&2; exit 3";
    life.launch(&mut session, &task, shell(line));
    let updates = life.updates(&mut session, 3);
    assert_eq!(
        seen(&updates),
        [
            (TaskState::Starting, ""),
            (TaskState::Running, ""),
            (TaskState::Failed, "Command exited with status 3"),
        ]
    );
    assert_eq!(updates[2].exit, Some(Exit::Code(3)));
    let latest = fs::canonicalize(home.runs("t 1").join("latest")).unwrap();
    let out = fs::read_to_string(latest.join("stdout")).unwrap();
    assert_eq!(out, format!("me t 1\n{}\n", latest.display()));
    let piece = life.read(&mut session, &task, "stderr");
    assert_eq!((&*piece.bytes, piece.complete), (&b"oops\n"[..], true));
    // Forgotten tasks still have their files.
    let fence = session.fence;
    let forget = MasterMessage::Forget {
        fence,
        task: task.clone(),
    };
    life.say(&mut session, forget);
    assert_eq!(
        life.read(&mut session, &task, "stdout").bytes,
        out.as_bytes()
    );
    assert_eq!(life.executor.status.borrow().tasks, 0);
}

#[test]
fn tasks_survive_a_crash_of_the_agent() {
    let home = Home::new();
    let gate = gate(&home);
    let mut life = Life::start(&home, 1);
    let mut session = life.session();
    let (runs, ends) = (key("runs", 1), key("ends", 2));
    let line = format!("echo begin; read x < {}; echo end; exit 4", gate.display());
    life.launch(&mut session, &runs, shell(&line));
    assert_eq!(life.updates(&mut session, 2)[1].state, TaskState::Running);
    life.launch(&mut session, &ends, shell("echo once >> ../../../mark"));
    life.crash();

    let mut life = Life::start(&home, 2);
    let mut session = life.session();
    assert_eq!(session.hello.agent, Some(AGENT));
    assert_eq!(session.hello.fence.epoch, Epoch(101));
    let report = |session: &Session, key: &TaskKey| {
        let tasks = &session.hello.tasks;
        tasks.iter().find(|t| t.assignment.key == *key).cloned()
    };
    // What the ledger had of it may not have been written down.
    let of_runs = report(&session, &runs).unwrap();
    assert_eq!(of_runs.state, TaskState::Running);
    assert!(of_runs.updates.len() <= 2);
    // Nor the other launch.
    let of_ends = report(&session, &ends);
    if of_ends.is_none() {
        life.launch(&mut session, &ends, shell("echo once >> ../../../mark"));
    }
    if of_ends.is_none_or(|report| report.state != TaskState::Finished) {
        while life.updates(&mut session, 1)[0].state != TaskState::Finished {}
    }
    let marks = home
        .data()
        .join(format!("slaves/{AGENT}/frameworks/f/executors/mark"));
    assert_eq!(fs::read_to_string(marks).unwrap(), "once\n");
    fs::write(&gate, "go\n").unwrap();
    let last = life.updates(&mut session, 1).remove(0);
    assert_eq!((&last.task, last.state), (&runs, TaskState::Failed));
    assert_eq!(last.exit, Some(Exit::Code(4)));
    let piece = life.read(&mut session, &runs, "stdout");
    assert_eq!(piece.bytes, "begin\nend\n");
}

#[test]
fn each_task_runs_once_however_often_the_agent_dies() {
    const TASKS: u64 = 40;
    const LIVES: u64 = 8;
    let home = Home::new();
    let marks = home.dir.path().join("marks");
    let all: Vec<TaskKey> = (1..=TASKS).map(|n| key(&format!("t{n:02}"), n)).collect();
    let mut ended: BTreeMap<TaskKey, u64> = BTreeMap::new();
    for number in 1..=LIVES {
        let mut life = Life::with(&home, number, "cpus:100;mem:10240").unwrap();
        let mut session = life.session();
        let reports = session.hello.tasks.clone();
        // As a master does: what should run and is not reported is launched.
        let reported: BTreeSet<&TaskKey> = reports.iter().map(|r| &r.assignment.key).collect();
        for task in all.iter().filter(|task| !reported.contains(task)) {
            let line = format!("echo {} >> {}", task.task, marks.display());
            life.launch(&mut session, task, shell(&line));
        }
        let mut updates: Vec<StatusUpdate> =
            reports.iter().flat_map(|r| r.updates.clone()).collect();
        let mut left = if number < LIVES { 7 * number } else { u64::MAX };
        loop {
            for update in updates.drain(..).filter(|u| u.state.is_terminal()) {
                assert_eq!(update.state, TaskState::Finished, "{update:?}");
                let earlier = ended.insert(update.task, update.sequence);
                assert!(earlier.is_none_or(|sequence| sequence == update.sequence));
            }
            if left == 0 || ended.len() == all.len() {
                break;
            }
            left -= 1;
            updates.extend(life.updates(&mut session, 1));
        }
        life.crash();
    }
    assert_eq!(ended.len(), all.len());
    let text = fs::read_to_string(marks).unwrap();
    let mut seen: Vec<&str> = text.lines().collect();
    seen.sort_unstable();
    let expected: Vec<&str> = all.iter().map(|key| key.task.as_str()).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_dead_keeper_is_replaced() {
    let home = Home::new();
    let gate = gate(&home);
    let mut life = Life::start(&home, 1);
    let mut session = life.session();
    let task = key("t", 1);
    let line = format!("read x < {}", gate.display());
    life.launch(&mut session, &task, shell(&line));
    life.updates(&mut session, 2);
    let keeper = keeper_pid(&home);
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    // The next one starts tasks, and watches those of the dead one.
    life.launch(&mut session, &key("u", 2), shell("exit 0"));
    let updates = life.updates(&mut session, 3);
    assert_eq!(updates[2].state, TaskState::Finished);
    fs::write(&gate, "go\n").unwrap();
    let last = life.updates(&mut session, 1).remove(0);
    assert_eq!((&last.task, last.state), (&task, TaskState::Failed));
    assert_eq!(last.reason, Some(Reason::ExecutorTerminated));
    assert!(last.message.contains("unknown"), "{}", last.message);
}

fn keeper_pid(home: &Home) -> rustix::process::Pid {
    let dir = fs::canonicalize(home.data().join("keeper")).unwrap();
    let dir = dir.to_str().unwrap();
    let number = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split(|&b| b == 0).any(|word| word == dir.as_bytes()))
        })
        .expect("a keeper runs");
    rustix::process::Pid::from_raw(number).unwrap()
}

#[test]
fn a_kill_asks_first_and_insists_later() {
    let home = Home::new();
    let mut life = Life::start(&home, 1);
    let mut session = life.session();
    let kill = |session: &mut Session, task: &TaskKey, grace: Option<Duration>| {
        let fence = session.fence;
        let task = task.clone();
        life.say(session, MasterMessage::Kill { fence, task, grace });
    };
    let polite = key("polite", 1);
    life.launch(&mut session, &polite, shell("exec sleep 1000"));
    life.updates(&mut session, 2);
    kill(&mut session, &polite, None);
    let last = life.updates(&mut session, 1).remove(0);
    assert_eq!(last.state, TaskState::Killed);
    assert_eq!(&*last.message, "Command terminated with signal Terminated");
    let stubborn = key("stubborn", 2);
    let line = "trap '' TERM; echo x > ready; while true; do sleep 1000; done";
    life.launch(&mut session, &stubborn, shell(line));
    life.updates(&mut session, 2);
    kill(&mut session, &stubborn, Some(Duration::from_secs(3600)));
    kill(&mut session, &stubborn, Some(Duration::from_millis(200)));
    let last = life.updates(&mut session, 1).remove(0);
    assert_eq!(last.state, TaskState::Killed);
    // A task that never came is answered too.
    kill(&mut session, &key("never", 9), None);
    let last = life.updates(&mut session, 1).remove(0);
    assert_eq!(last.state, TaskState::Killed);
    assert_eq!(last.reason, Some(Reason::TaskKilledDuringLaunch));
}

#[test]
fn a_missing_program_is_said_to_run_first() {
    let home = Home::new();
    let mut life = Life::start(&home, 1);
    let mut session = life.session();
    let task = key("t", 1);
    let command = Command::Exec {
        program: Arc::from("/no/such/binary"),
        arguments: Vec::new(),
    };
    life.launch(&mut session, &task, command);
    assert_eq!(
        seen(&life.updates(&mut session, 3)),
        [
            (TaskState::Starting, ""),
            (TaskState::Running, ""),
            (TaskState::Failed, "Command exited with status 1"),
        ]
    );
    let errors = life.read(&mut session, &task, "stderr");
    assert!(String::from_utf8_lossy(&errors.bytes).contains("/no/such/binary"));
}

#[test]
fn less_than_what_runs_is_refused() {
    let home = Home::new();
    let mut life = Life::start(&home, 1);
    let mut session = life.session();
    life.launch(&mut session, &key("t", 1), shell("exec sleep 1000"));
    life.updates(&mut session, 2);
    life.crash();
    let Err(error) = Life::with(&home, 2, "cpus:0.05;mem:1024") else {
        panic!("it started");
    };
    let text = error.to_string();
    assert!(
        text.contains("cpus:0.05") && text.contains("cpus:0.1"),
        "{text}"
    );
    assert!(Life::with(&home, 3, "cpus:0.1;mem:8").is_ok());
}

#[test]
fn a_planned_stop_says_so_and_leaves_the_tasks() {
    let home = Home::new();
    let mut life = Life::start(&home, 1);
    let mut session = life.session();
    life.launch(&mut session, &key("t", 1), shell("exec sleep 1000"));
    life.updates(&mut session, 2);
    life._stop.stop();
    let said = life.runtime.block_on(read(&mut session.connection));
    assert!(matches!(said, AgentMessage::Restarting { .. }), "{said:?}");
    life.runtime.block_on(life.executor.ended()).unwrap();
    let mut life = Life::start(&home, 2);
    let session = life.session();
    assert_eq!(session.hello.tasks[0].state, TaskState::Running);
}
