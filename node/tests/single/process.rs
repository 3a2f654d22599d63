//! Single nodes as real processes, each on a loopback address of its own, with the log at hand.
//!
//! What deliberately does not live here: whole clusters, which `dev.rs` starts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The binary under test.
pub const SHOAL: &str = env!("CARGO_BIN_EXE_shoal");
/// Far longer than anything takes, so that a slow machine is not a failure.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Of no cluster but those of these tests.
pub const KEY: &str = "c2hvYWwga2V5IG9mIGEgdGVzdCwgMzIgYnl0ZXMgISE=";

/// All of 127/8 is loopback: every node of every test process gets an address of its own.
pub fn address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 128 | (high & 0x3f), low, last)
}

/// A folder with the file of one node and room for its data.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
    /// Where the node listens.
    pub ip: Ipv4Addr,
}

impl Place {
    /// With a file that names the node and puts it on an address of its own; `more` follows.
    pub fn new(name: &str, more: &str) -> Place {
        let place = Place {
            folder: tempfile::tempdir().expect("a folder"),
            ip: address(),
        };
        place.write(&format!("{}{more}", place.standard(name)));
        place
    }

    /// The lines that every node here needs.
    pub fn standard(&self, name: &str) -> String {
        let ip = self.ip;
        let data = self.data();
        format!(
            "name = \"{name}\"\ndata = \"{}\"\ngossip = \"{ip}:7946\"\npeer = \"{ip}:7947\"\n\
             http = \"{ip}:5050\"\nagent_http = \"{ip}:5051\"\n",
            data.display()
        )
    }

    /// Writes the file.
    pub fn write(&self, text: &str) {
        std::fs::write(self.file(), text).expect("the file can be written");
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("shoal.toml")
    }

    /// The node's data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where the API is.
    pub fn http(&self) -> String {
        format!("{}:5050", self.ip)
    }

    /// A command line of this node's file, in an environment without other settings but the key.
    pub fn shoal(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.env("SHOAL_GOSSIP_KEY", KEY);
        command.env("SHOAL_CONFIG", self.file());
        command
    }

    /// Starts the node.
    pub fn start(&self) -> Node {
        Node::start(&mut self.shoal(&["node"]))
    }
}

/// A command line in an environment without settings.
pub fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(SHOAL);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SHOAL_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("shoal can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("shoal writes UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A running node; it is killed with the test.
#[derive(Debug)]
pub struct Node {
    process: Child,
    lines: Receiver<String>,
    /// Every line of its log so far.
    pub seen: Vec<String>,
}

impl Node {
    /// Starts a command whose standard error is the log.
    pub fn start(command: &mut Command) -> Node {
        let mut process = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("shoal can be run");
        let errors = BufReader::new(process.stderr.take().expect("it is piped"));
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                // The test may have ended.
                drop(say.send(line));
            }
        });
        Node {
            process,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line of the log with all of these words, among those that come from here on.
    pub fn until(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if words.iter().all(|word| line.contains(word)) {
                        return line;
                    }
                }
                Err(why) => panic!("{words:?}: {why}, seen {:#?}", self.seen),
            }
        }
    }

    /// Waits until it has started.
    pub fn started(mut self) -> Node {
        self.until(&["node started"]);
        self
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).expect("a pid is not zero");
        kill_process(pid, signal).expect("the node lives");
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has not ended.
    pub fn lives(&mut self) -> bool {
        self.process.try_wait().expect("it is a child").is_none()
    }

    /// Waits for its end and reads the rest of its log.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        // The log ends with the process.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => panic!("the node does not end: {why}, seen {:#?}", self.seen),
            }
        }
        self.process.wait().expect("it is a child")
    }

    /// Ends it in good order.
    pub fn end(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}: {:#?}", self.seen);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // What it started, if it is a script, ends first; it may have ended.
        let children = format!("/proc/{0}/task/{0}/children", self.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        drop(self.process.kill());
        for child in children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            if let Some(child) = Pid::from_raw(child).filter(|_| std::thread::panicking()) {
                let _gone = kill_process(child, Signal::KILL);
            }
        }
        drop(self.process.wait());
    }
}

/// The body of an answer with status 200.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    answer
}

/// The value of a metric, as it stands after its name and labels.
pub fn metric(address: &str, name: &str) -> String {
    let page = get(address, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not there: {page}"))
        .trim()
        .to_owned()
}

/// Whether a folder is there and holds something.
pub fn is_filled(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
