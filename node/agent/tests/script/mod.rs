//! The language of the transcripts: one command is one input, or one thing that happens to the disk.

mod print;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_agent::{
    Agent, BootId, Config, ConnectionId, End, Failure, Input, KeeperEvent, KeeperTask, Output,
    Process, Record, Recovered, Ticket,
};
use shoal_api::session::{FilePiece, FileRead, MasterMessage, SessionRefusal};
use shoal_api::task::{Assignment, Command, Exit};
use shoal_api::{
    AgentId, AgentInfo, ClusterId, Epoch, Fence, FrameworkId, Generation, HostPort, Incarnation,
    Index, Instant, LaunchIndex, Name, NodeId, Origin, Resources, Role, TaskId, TaskKey, TaskSpec,
    Timestamp,
};

pub struct Script {
    agent: Option<Agent>,
    now: Instant,
    life: u64,
    /// What is on disk, and what is on its way there.
    disk: Vec<Record>,
    writing: Vec<(Ticket, Record)>,
}

/// The words of a command after its name: `name=value` pairs and the rest.
struct Words<'a> {
    named: BTreeMap<&'a str, &'a str>,
    plain: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(text: &[&'a str]) -> Words<'a> {
        let (mut named, mut plain) = (BTreeMap::new(), Vec::new());
        for word in text {
            match word.split_once('=') {
                Some((name, value)) if !word.contains('@') => {
                    named.insert(name, value);
                }
                Some(_) | None => plain.push(*word),
            }
        }
        Words { named, plain }
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.named.get(name).copied()
    }

    fn connection(&self) -> ConnectionId {
        ConnectionId(self.plain[0].parse().unwrap())
    }

    fn fence(&self) -> Fence {
        fence(self.get("fence").expect("fence=EPOCH.INDEX"))
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        self.get(name).map(duration)
    }
}

impl Script {
    pub fn new() -> Script {
        Script {
            agent: None,
            now: Instant::ZERO,
            life: 0,
            disk: Vec::new(),
            writing: Vec::new(),
        }
    }

    pub fn run(&mut self, line: &str, said: &mut String) {
        let all: Vec<&str> = line.split_ascii_whitespace().collect();
        let (command, words) = (all[0], Words::of(&all[1..]));
        match command {
            "start" => self.start(&words, said),
            "image" => {
                self.disk = self.agent.as_ref().unwrap().image();
                said.push_str(&format!("{} records\n", self.disk.len()));
            }
            "next" => {
                let next = self.agent.as_ref().unwrap().next_deadline();
                let text =
                    next.map_or("never".to_owned(), |at| format!("{:?}", at.since(self.now)));
                said.push_str(&format!("next in {text}\n"));
            }
            "wait" => {
                self.now = self.now + duration(words.plain[0]);
                self.step(Input::Wake, said);
            }
            "written" => {
                let last = self.writing.last().map(|(ticket, _)| *ticket);
                self.disk
                    .extend(self.writing.drain(..).map(|(_, record)| record));
                if let Some(ticket) = last {
                    self.step(Input::Checkpointed { ticket }, said);
                }
            }
            "count" => said.push_str(&format!("{:?}\n", self.agent.as_ref().unwrap().counters())),
            _ => self.step(input(command, &words), said),
        }
    }

    fn start(&mut self, words: &Words<'_>, said: &mut String) {
        self.life += 1;
        self.writing.clear();
        self.now = Instant::ZERO;
        let boot = words.get("boot").map_or(1, |boot| boot.parse().unwrap());
        let resources = words.get("resources").unwrap_or("cpus:4;mem:1024");
        let config = Config {
            info: AgentInfo {
                node: NodeId(5),
                name: Name::new("n5").unwrap(),
                http: HostPort::new("n5", 5051),
                resources: Resources::parse(resources).unwrap(),
                attributes: Vec::new(),
                version: Arc::from("0.1.0"),
            },
            generation: Generation(self.life),
            boot: BootId(boot),
            plants: shoal_api::Plants::NONE,
            seed: self.life,
        };
        let records = self.disk.clone();
        match Agent::new(self.now, config, &Recovered { records }) {
            Ok(agent) => self.agent = Some(agent),
            Err(error) => return said.push_str(&format!("refused: {error}\n")),
        }
        self.step(Input::Calendar(Timestamp::from_nanos(1_000_000_000)), said);
    }

    fn step(&mut self, input: Input, said: &mut String) {
        let agent = self.agent.as_mut().expect("start first");
        agent.step(self.now, input);
        while let Some(output) = agent.poll_output() {
            said.push_str(&print::output(&output));
            said.push('\n');
            if let Output::Checkpoint { ticket, record } = output {
                let bytes = record.encode();
                assert_eq!(Record::decode(&bytes).as_ref(), Ok(&record));
                self.writing.push((ticket, record));
            }
        }
    }
}

fn input(command: &str, words: &Words<'_>) -> Input {
    let message = |message| Input::Message {
        connection: words.connection(),
        message,
    };
    match command {
        "masters" => {
            let masters = words.plain.iter().map(|host| HostPort::new(host, 7947));
            Input::Masters(masters.collect())
        }
        "connected" => Input::Connected {
            connection: words.connection(),
        },
        "disconnected" => Input::Disconnected {
            connection: words.connection(),
            why: Arc::from("it broke"),
        },
        "lost" => Input::Keeper(KeeperEvent::Lost),
        "listed" => {
            let tasks = words.plain.iter().map(|word| keeper_task(word));
            Input::Keeper(KeeperEvent::Listed(tasks.collect()))
        }
        "process" => Input::Keeper(KeeperEvent::Task(keeper_task(words.plain[0]))),
        "shutdown" => Input::Shutdown {
            restarting: words.duration("restarting"),
        },
        "file" => Input::FileRead {
            connection: words.connection(),
            request: words.plain[1].parse().unwrap(),
            piece: Ok(FilePiece {
                bytes: Bytes::from_static(b"abc"),
                size: 3,
                complete: true,
            }),
        },
        _ => message(master_message(command, words)),
    }
}

fn master_message(command: &str, words: &Words<'_>) -> MasterMessage {
    let task = || key(words.plain[1]);
    match command {
        "welcome" => MasterMessage::Welcome {
            cluster: ClusterId(words.get("cluster").map_or(1, |c| c.parse().unwrap())),
            agent: AgentId {
                origin: Origin(1),
                number: 0,
            },
            fence: words.fence(),
        },
        "refused" => MasterMessage::Refused(match words.plain[1] {
            "unavailable" => SessionRefusal::Unavailable,
            "shrunk" => SessionRefusal::ResourcesShrunk(Arc::from("cpus")),
            other => panic!("{other}"),
        }),
        "launch" => MasterMessage::Launch {
            fence: words.fence(),
            assignment: Arc::new(assignment(task(), words)),
        },
        "kill" => MasterMessage::Kill {
            fence: words.fence(),
            task: task(),
            grace: words.duration("grace"),
        },
        "forget" => MasterMessage::Forget {
            fence: words.fence(),
            task: task(),
        },
        "durable" => MasterMessage::UpdateDurable {
            task: task(),
            sequence: words.plain[2].parse().unwrap(),
        },
        "ping" => MasterMessage::Ping,
        "move" => MasterMessage::Move {
            peer: HostPort::new(words.plain[1], 7947),
        },
        "read" => MasterMessage::ReadFile(FileRead {
            request: 8,
            task: task(),
            file: Arc::from(words.plain[2]),
            offset: 0,
            length: u32::MAX,
        }),
        other => panic!("there is no command '{other}'"),
    }
}

fn assignment(key: TaskKey, words: &Words<'_>) -> Assignment {
    let command = (words.get("command") != Some("none")).then(|| Command::Shell(Arc::from("true")));
    Assignment {
        agent: AgentId {
            origin: Origin(1),
            number: 0,
        },
        role: Role::any(),
        spec: Arc::new(TaskSpec {
            id: key.task.clone(),
            name: Arc::from(""),
            resources: Resources::parse(words.get("resources").unwrap_or("cpus:1")).unwrap(),
            command,
            environment: Vec::new(),
            user: None,
            kill_grace: words.duration("grace"),
            unsupported: words.get("unsupported").map(Arc::from),
            raw: Bytes::new(),
            digest: None,
        }),
        framework_user: Arc::from(""),
        framework_name: Arc::from(""),
        key,
    }
}

/// `TASK@LAUNCH`.
fn key(text: &str) -> TaskKey {
    let (task, launch) = text.split_once('@').unwrap();
    TaskKey {
        framework: FrameworkId::new("f").unwrap(),
        task: TaskId::new(task).unwrap(),
        launch: LaunchIndex(launch.parse().unwrap()),
    }
}

/// `TASK@LAUNCH=running|code:N|signal:N|unknown|exec|setup`.
fn keeper_task(text: &str) -> KeeperTask {
    let (task, state) = text.split_once('=').unwrap();
    let at = Timestamp::from_nanos(5_000_000_000);
    let end = |end| Process::Ended { end, at };
    let (word, number) = state.split_once(':').unwrap_or((state, "0"));
    let number: u8 = number.parse().unwrap();
    let process = match word {
        "running" => Process::Running { since: at },
        "code" => end(End::Exit(Exit::Code(number))),
        "signal" => end(End::Exit(Exit::Signal(number))),
        "unknown" => end(End::Unknown),
        "exec" => Process::NotStarted {
            failure: Failure::Exec(Arc::from("no such file")),
            at,
        },
        "setup" => Process::NotStarted {
            failure: Failure::Setup(Arc::from("no such user")),
            at,
        },
        other => panic!("{other}"),
    };
    KeeperTask {
        task: key(task),
        process,
    }
}

/// `[INCARNATION.]EPOCH.INDEX`.
fn fence(text: &str) -> Fence {
    let mut numbers: Vec<u64> = text.split('.').map(|n| n.parse().unwrap()).collect();
    if numbers.len() == 2 {
        numbers.insert(0, 1);
    }
    Fence {
        incarnation: Incarnation(numbers[0]),
        epoch: Epoch(numbers[1]),
        index: Index(numbers[2]),
    }
}

/// `5s` or `200ms`.
fn duration(text: &str) -> Duration {
    if let Some(millis) = text.strip_suffix("ms") {
        return Duration::from_millis(millis.parse().unwrap());
    }
    Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap())
}
