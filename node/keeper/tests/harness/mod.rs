//! A keeper for one test: started, talked to, and gone with the test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shoal_keeper::Blocking;
use shoal_keeper::protocol::{Answer, Body, End, Frames, Request, Spec, State, Task, frame};

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Keeper {
    root: Option<tempfile::TempDir>,
    process: Child,
    watch: OwnedFd,
    outputs: std::cell::Cell<u32>,
}

/// A FIFO between the test and a task: either may wait for the other.
pub struct Gate {
    file: OwnedFd,
}

impl Keeper {
    pub fn start() -> Keeper {
        let root = root();
        let process = command(root.path()).spawn().unwrap();
        Keeper::of(root, process)
    }

    /// A keeper that ends when what is given back is dropped.
    pub fn start_on_a_line() -> (Keeper, std::process::ChildStdin) {
        let root = root();
        let mut command = command(root.path());
        let mut process = command
            .arg("--lifeline")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let line = process.stdin.take().unwrap();
        (Keeper::of(root, process), line)
    }

    fn of(root: tempfile::TempDir, process: Child) -> Keeper {
        let pid = Pid::from_raw(process.id().try_into().unwrap()).unwrap();
        let keeper = Keeper {
            root: Some(root),
            watch: pidfd_open(pid, PidfdFlags::empty()).unwrap(),
            process,
            outputs: std::cell::Cell::new(0),
        };
        keeper.until("the keeper listens", || {
            Blocking::connect(&keeper.home(), PATIENCE).is_ok()
        });
        keeper
    }

    /// Another keeper for the same folder.
    pub fn again(mut self) -> Keeper {
        let root = self.root.take().unwrap();
        let process = command(root.path()).spawn().unwrap();
        Keeper::of(root, process)
    }

    pub fn command(&self) -> Command {
        command(self.root())
    }

    fn root(&self) -> &Path {
        self.root.as_ref().unwrap().path()
    }

    pub fn home(&self) -> PathBuf {
        self.root().join("keeper")
    }

    pub fn dir(&self) -> PathBuf {
        self.root().join("work")
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir().join(name)).unwrap()
    }

    pub fn executable(&self, path: &Path) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn subscribe(&self) -> Blocking {
        let mut client = Blocking::connect(&self.home(), PATIENCE).unwrap();
        assert!(matches!(
            client.ask(&Request::Subscribe).unwrap(),
            Body::Tasks(_)
        ));
        client
    }

    pub fn spawn(&self, client: &mut Blocking, key: &str, spec: &Spec) -> State {
        let request = Request::Spawn {
            key: key.into(),
            spec: Box::new(spec.clone()),
        };
        match client.ask(&request).unwrap() {
            Body::Task(task) => {
                assert_eq!(task.key, key);
                task.state
            }
            other => panic!("spawn of {key}: {other:?}"),
        }
    }

    pub fn list(&self, client: &mut Blocking) -> Vec<Task> {
        match client.ask(&Request::List).unwrap() {
            Body::Tasks(tasks) => tasks,
            other => panic!("list: {other:?}"),
        }
    }

    pub fn signal(&self, client: &mut Blocking, key: &str, signal: u8) -> Body {
        let key = key.into();
        client.ask(&Request::Signal { key, signal }).unwrap()
    }

    /// Sends a signal to the keeper itself.
    pub fn kill(&self, signal: &str) {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.process.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub fn wait(&mut self) {
        self.process.wait().unwrap();
    }

    pub fn gate(&self, name: &str) -> Gate {
        let path = self.dir().join(name);
        let made = rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o666), 0);
        match made {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => panic!("{error}"),
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        Gate { file }
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id()))
            .unwrap()
            .count()
    }

    /// Living or not reaped.
    pub fn children(&self) -> usize {
        let own = self.process.id().to_string();
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
                let (_, rest) = stat.rsplit_once(')')?;
                (rest.split_ascii_whitespace().nth(1)? == own).then_some(())
            })
            .count()
    }

    pub fn send_raw(&self, bytes: &[u8]) {
        let mut socket = self.socket();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        // The keeper closes; it may do so with a reset.
        let _ = socket.read_to_end(&mut rest);
    }

    /// The answer to a first request.
    pub fn raw(&self, request: &Request) -> Body {
        let mut socket = self.socket();
        socket.write_all(&frame(request).unwrap()).unwrap();
        let mut frames = Frames::default();
        let mut bytes = [0; 4096];
        loop {
            let length = socket.read(&mut bytes).unwrap();
            assert!(length > 0, "the keeper closed without an answer");
            frames.push(&bytes[..length]);
            if let Some(answer) = frames.take::<Answer>().unwrap() {
                return answer.body;
            }
        }
    }

    fn socket(&self) -> UnixStream {
        let folder = fs::File::open(self.home()).unwrap();
        let socket = UnixStream::connect(shoal_keeper::socket_path(&folder)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Looks again and again, and between two looks waits for the keeper's death.
    pub fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            let mut watch = [PollFd::new(&self.watch, PollFlags::IN)];
            let pause = Timespec::try_from(Duration::from_millis(3)).unwrap();
            poll(&mut watch, Some(&pause)).unwrap();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.root.is_some() {
            let shutdown = Request::Shutdown { grace_ms: 0 };
            let asked = Blocking::connect(&self.home(), PATIENCE)
                .and_then(|mut client| client.ask(&shutdown));
            if asked.is_err() {
                let _ = self.process.kill();
            }
            let _ = self.process.wait();
        }
    }
}

impl Gate {
    /// Lets who reads go on.
    pub fn open(&self) {
        rustix::io::write(&self.file, b"go\n").unwrap();
    }

    /// Waits for who writes.
    pub fn wait(&self) {
        let mut file = [PollFd::new(&self.file, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let ready = poll(&mut file, Some(&patience)).unwrap();
        assert_eq!(ready, 1, "nobody came through the gate");
        let mut byte = [0];
        rustix::io::read(&self.file, &mut byte).unwrap();
    }
}

fn root() -> tempfile::TempDir {
    // Longer than a socket's name may be, and open to the other user of one test.
    let root = tempfile::Builder::new()
        .prefix(&"long-".repeat(30))
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    fs::create_dir(root.path().join("keeper")).unwrap();
    fs::create_dir(root.path().join("work")).unwrap();
    root
}

fn command(root: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-keeper"));
    command.arg("--dir").arg(root.join("keeper"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A spec for a program; each has output files of its own.
pub fn spec(keeper: &Keeper, program: &str, arguments: &[&str]) -> Spec {
    let n = keeper.outputs.get();
    keeper.outputs.set(n + 1);
    let path = |name: &str| keeper.dir().join(name).to_str().unwrap().to_owned();
    Spec {
        program: program.into(),
        arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        directory: path(""),
        stdout: path(&format!("stdout-{n}")),
        stderr: path(&format!("stderr-{n}")),
        identity: None,
        umask: 0o022,
    }
}

pub fn shell(keeper: &Keeper, script: &str) -> Spec {
    spec(keeper, "/bin/sh", &["sh", "-c", script])
}

/// Waits for the end of a task.
pub fn ended(client: &mut Blocking, key: &str) -> End {
    loop {
        let task = client.change().unwrap();
        if let State::Ended { end, .. } = task.state
            && task.key == key
        {
            return end;
        }
    }
}

/// Whether a process runs; one that only waits to be reaped does not.
pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_ascii_whitespace().next());
        state != Some("Z")
    })
}
