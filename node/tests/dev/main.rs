//! Real clusters of real processes, each on loopback addresses of its own.

mod events;
mod operators;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

const SHOAL: &str = env!("CARGO_BIN_EXE_shoal");
/// Far longer than anything takes, so that a slow machine is not a failure.
const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster under `shoal dev`; it ends with the test.
struct Dev {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
    nodes: Vec<Node>,
    api: SocketAddr,
    data: tempfile::TempDir,
    usable_after: Duration,
}

struct Node {
    name: String,
    pid: Pid,
}

impl Dev {
    fn start(arguments: &[&str]) -> Dev {
        let data = tempfile::tempdir().unwrap();
        Dev::start_in(data, arguments)
    }

    fn start_in(data: tempfile::TempDir, arguments: &[&str]) -> Dev {
        // All of 127/8 is loopback: every cluster of every test process gets a network of its own.
        static NETWORKS: AtomicU8 = AtomicU8::new(1);
        let pid = std::process::id();
        let network = NETWORKS.fetch_add(16, Ordering::Relaxed);
        let [_, _, high, low] = pid.to_be_bytes();
        let ip = Ipv4Addr::new(127, 64 | (high & 0x3f), low, network);
        let api = SocketAddr::new(IpAddr::V4(ip), 5050);
        let started = Instant::now();
        let mut process = Command::new(SHOAL)
            .args(["dev", "--http", &api.to_string(), "--data"])
            .arg(data.path().join("cluster"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        let mut dev = Dev {
            process,
            lines,
            nodes: Vec::new(),
            api,
            data,
            usable_after: Duration::ZERO,
        };
        while !dev.read_line().starts_with("api ") {}
        dev.usable_after = started.elapsed();
        dev
    }

    /// The next line of its output; node lines are remembered.
    fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(
            !line.is_empty(),
            "the cluster ended: {:?}",
            self.process.try_wait()
        );
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["node", name, "pid", pid, ..] = words.as_slice() {
            let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
            let name = (*name).to_owned();
            self.nodes.retain(|node| node.name != name);
            self.nodes.push(Node { name, pid });
        }
        line
    }

    fn pid_of(&self, name: &str) -> Pid {
        self.nodes
            .iter()
            .find(|node| node.name == name)
            .unwrap()
            .pid
    }

    /// The APIs of all masters.
    fn addresses(&self, masters: u8) -> String {
        let IpAddr::V4(first) = self.api.ip() else {
            panic!("not IPv4");
        };
        let all = (0..u32::from(masters)).map(|n| Ipv4Addr::from(u32::from(first) + n));
        let all = all.map(|ip| format!("{ip}:{}", self.api.port()));
        all.collect::<Vec<_>>().join(",")
    }

    fn shoal(&self, arguments: &[&str]) -> Output {
        shoal(&self.addresses(1), arguments)
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let out = self.shoal(&[arguments, &["-o", "json"]].concat());
        assert!(out.status.success(), "{arguments:?}: {}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// All processes that have the cluster's folder in their command line or environment.
    fn processes(&self) -> Vec<Pid> {
        let own = [std::process::id()];
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let folder = PathBuf::from(format!("/proc/{pid}"));
            let mentions = |file: &str| {
                let bytes = fs::read(folder.join(file)).unwrap_or_default();
                let wanted = self.data.path().as_os_str().as_encoded_bytes();
                bytes.windows(wanted.len()).any(|window| window == wanted)
            };
            let ours = mentions("cmdline") || mentions("environ");
            (ours && !own.contains(&pid)).then(|| Pid::from_raw(pid.cast_signed()))?
        });
        all.collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Whatever is left ends with it.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn shoal(addresses: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(SHOAL);
    command
        .env("SHOAL_ADDR", addresses)
        .args(arguments)
        .stdin(Stdio::null());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits for the end of processes that need not be children.
fn wait_for_end(processes: &[(Pid, rustix::fd::OwnedFd)]) {
    for (pid, process) in processes {
        let mut fds = [PollFd::new(process, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let ended = poll(&mut fds, Some(&patience)).unwrap();
        assert_eq!(ended, 1, "{pid:?} is still there");
    }
}

fn open(pids: &[Pid]) -> Vec<(Pid, rustix::fd::OwnedFd)> {
    let open = pids.iter().filter_map(|pid| {
        // One that has ended meanwhile needs no waiting for.
        Some((*pid, pidfd_open(*pid, PidfdFlags::empty()).ok()?))
    });
    open.collect()
}

#[test]
fn one_process_runs_commands() {
    let dev = Dev::start(&[]);
    assert!(dev.usable_after < PATIENCE);
    let out = dev.shoal(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(out.status.code(), Some(7), "{}", text(&out.stderr));
    assert_eq!(
        (text(&out.stdout), text(&out.stderr)),
        ("out\n".into(), "err\n".into())
    );
    let out = dev.shoal(&["run", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(out.status.code(), Some(128 + 9), "{}", text(&out.stderr));
    let out = dev.shoal(&[
        "run", "--env", "A=b c", "--count", "3", "--", "sh", "-c", "echo $A",
    ]);
    assert_eq!(text(&out.stdout), "b c\nb c\nb c\n");

    let out = dev.shoal(&["run", "--detach", "--name", "long", "--", "sleep", "1000"]);
    let task = text(&out.stdout).trim().to_owned();
    assert!(task.starts_with("long."), "{task}");
    while dev.json(&["ps"])["tasks"][0]["state"] != "TASK_RUNNING" {}
    assert!(dev.shoal(&["kill", &task]).status.success());
    let out = dev.shoal(&["logs", "-f", &task]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));

    let leader = dev.json(&["leader"]);
    assert_eq!(leader["http"], dev.api.to_string());
    assert_eq!(leader["pid"], dev.process.id());
    let members = dev.json(&["members", "--status", "alive"]);
    assert_eq!(members["members"][0]["name"], "dev");
    assert_eq!(members["members"][0]["tags"]["roles"], "master,agent");
    assert_eq!(
        dev.json(&["members", "--status", "failed"])["members"],
        serde_json::json!([])
    );
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let dev = Dev::start(&["--agents", "0"]);
    let code = |arguments: &[&str]| dev.shoal(arguments).status.code();
    assert_eq!(code(&["leader"]), Some(0));
    assert_eq!(code(&["kill", "nothing"]), Some(4));
    assert_eq!(code(&["logs", "nothing"]), Some(4));
    assert_eq!(code(&["quorum", "remove", "nobody"]), Some(4));
    assert_eq!(code(&["quorum", "transfer"]), Some(1));
    assert_eq!(code(&["dance"]), Some(2));
    assert_eq!(code(&["run", "--cpus", "-1", "--", "true"]), Some(2));
    let nobody = "127.0.0.1:1";
    assert_eq!(shoal(nobody, &["leader"]).status.code(), Some(3));
    assert_eq!(
        shoal(nobody, &["run", "--", "true"]).status.code(),
        Some(125)
    );
    assert_eq!(shoal("nonsense", &["leader"]).status.code(), Some(2));
    let second = format!("{nobody},{}", dev.api);
    assert_eq!(shoal(&second, &["leader"]).status.code(), Some(0));
    let out = dev.shoal(&["run", "--detach", "--", "true"]);
    let waiting = text(&out.stdout);
    assert_eq!(code(&["logs", waiting.trim()]), Some(0));
    assert_eq!(code(&["kill", waiting.trim()]), Some(0));
}

#[test]
fn a_killed_leader_is_replaced_and_tasks_go_on() {
    let mut dev = Dev::start(&[
        "--masters",
        "3",
        "--agents",
        "2",
        "--resources",
        "cpus:2;mem:512",
    ]);
    let all = dev.addresses(3);
    let run = shoal(
        &all,
        &["run", "--detach", "--count", "2", "--", "sleep", "1000"],
    );
    assert!(run.status.success(), "{}", text(&run.stderr));
    let leader = dev.json(&["leader"])["name"].as_str().unwrap().to_owned();
    let old = dev.pid_of(&leader);
    let killed = dev.json(&["leader"])["http"].as_str().unwrap().to_owned();
    kill_process(old, Signal::KILL).unwrap();
    let others: Vec<&str> = all
        .split(',')
        .filter(|address| *address != killed)
        .collect();
    let out = shoal(&others.join(","), &["run", "--", "echo", "still here"]);
    assert_eq!(text(&out.stdout), "still here\n", "{}", text(&out.stderr));
    while dev.pid_of(&leader) == old {
        dev.read_line();
    }
    let agent = dev.pid_of("agent1");
    kill_process(agent, Signal::KILL).unwrap();
    while dev.pid_of("agent1") == agent {
        dev.read_line();
    }
    let out = shoal(&all, &["run", "--count", "4", "--", "true"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let tasks = shoal(&all, &["ps", "-o", "json"]);
    let tasks: serde_json::Value = serde_json::from_slice(&tasks.stdout).unwrap();
    let running = tasks["tasks"].as_array().unwrap().iter();
    assert_eq!(
        running
            .filter(|task| task["state"] == "TASK_RUNNING")
            .count(),
        2,
        "{tasks}"
    );
    let left = open(&dev.processes());
    dev.signal(Signal::TERM);
    assert!(dev.process.wait().unwrap().success());
    wait_for_end(&left);
}

#[test]
fn nothing_outlives_a_killed_supervisor() {
    for arguments in [&[][..], &["--agents", "2"][..]] {
        let mut dev = Dev::start(arguments);
        let run = dev.shoal(&["run", "--detach", "--", "sleep", "1000"]);
        assert!(run.status.success(), "{}", text(&run.stderr));
        while dev.json(&["ps"])["tasks"][0]["state"] != "TASK_RUNNING" {}
        let all = open(&dev.processes());
        assert!(
            all.len() >= 3,
            "the task, its keeper and the node are there"
        );
        dev.signal(Signal::KILL);
        dev.process.wait().unwrap();
        wait_for_end(&all);
    }
}

#[test]
fn data_in_use_and_of_a_newer_version_is_refused() {
    let dev = Dev::start(&["--agents", "0"]);
    let folder = dev.data.path().join("cluster/master1");
    let locked = node(&folder, "127.0.0.1:0", &[]);
    assert_eq!(locked.status.code(), Some(1));
    assert!(
        text(&locked.stderr).contains("another process"),
        "{}",
        text(&locked.stderr)
    );
    let copy = tempfile::tempdir().unwrap();
    let newer = fs::read_to_string(folder.join("identity")).unwrap();
    let newer = newer.replace("format 1", "format 999");
    fs::write(copy.path().join("identity"), newer).unwrap();
    let refused = node(copy.path(), "127.0.0.1:0", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("newer version"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn data_of_another_cluster_is_refused() {
    let here = Dev::start(&["--agents", "0"]);
    let mut there = Dev::start(&["--agents", "0"]);
    there.signal(Signal::TERM);
    assert!(there.process.wait().unwrap().success());
    let seed = format!("{}:7946", here.api.ip());
    let folder = there.data.path().join("cluster/master1");
    // With the key of its own cluster it would not even be heard.
    fs::remove_file(folder.join("keyring.json")).unwrap();
    let key = here.data.path().join("cluster/gossip-key");
    let gossip = format!("{}:7946", there.api.ip());
    let join = [
        "--roles",
        "master",
        "--cluster",
        "dev-5050",
        "--join",
        &seed,
        "--gossip-key-file",
        key.to_str().unwrap(),
    ];
    let more = [&join[..], &["--gossip", &gossip]].concat();
    let refused = node(&folder, &format!("{}:0", there.api.ip()), &more);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("choose another --data"),
        "{}",
        text(&refused.stderr)
    );
}

fn node(data: &Path, anywhere: &str, more: &[&str]) -> Output {
    let listeners = ["--peer", "--http", "--agent-http"];
    let gossip = if more.contains(&"--gossip") {
        &[][..]
    } else {
        &["--gossip"][..]
    };
    let encryption = if more.contains(&"--gossip-key-file") {
        &[][..]
    } else {
        &["--gossip-encryption=off"][..]
    };
    let mut command = Command::new(SHOAL);
    command
        .args(["node", "--name", "n", "--data"])
        .arg(data)
        .args(encryption)
        .stdin(Stdio::null());
    command.args(
        listeners
            .iter()
            .chain(gossip)
            .flat_map(|flag| [*flag, anywhere]),
    );
    command.args(more).output().unwrap()
}

#[test]
fn strangers_need_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let refused = node(folder.path(), "0.0.0.0:0", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("--insecure"),
        "{}",
        text(&refused.stderr)
    );
}

/// Sends bytes, and gives the first line of the answer.
fn ask(api: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(api).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other side may answer and close before it has read everything.
    drop(stream.write_all(request));
    let mut line = String::new();
    drop(BufReader::new(stream).read_line(&mut line));
    line
}

/// Requests, and the status that each gets.
fn bad_requests() -> Vec<(Vec<u8>, &'static str)> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let post = |path: &str, rest: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{rest}").into_bytes()
    };
    let run = |body: &str| {
        post(
            "/shoal/v1/runs",
            &format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
    };
    let headers: String = (0..100)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    let long = format!("X: {}\r\n\r\n", "y".repeat(300_000));
    let scheduler = "/api/v1/scheduler";
    let large = "Content-Type: application/json\r\nContent-Length: 99999999\r\n\r\n";
    let two_lengths = "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    vec![
        (get("/health"), "200"),
        (get("/nothing"), "404"),
        (get("/redirect"), "307"),
        (get("/redirect/x"), "404"),
        (get("/master/state"), "200"),
        (get("/shoal/v1/members?status=odd"), "400"),
        (get("/shoal/v1/runs"), "405"),
        (get("/shoal/v1/runs/7"), "404"),
        (get("/shoal/v1/runs/x"), "400"),
        (get(scheduler), "405"),
        (post("/health", &format!("{headers}\r\n")), "431"),
        (post("/health", &long), "431"),
        (post(scheduler, large), "413"),
        (post(scheduler, two_lengths), "400"),
        (post(scheduler, "Content-Length: 0\r\n\r\n"), "400"),
        (post("/shoal/v1/runs", "Content-Length: 2\r\n\r\n{}"), "415"),
        (
            post(
                "/shoal/v1/tasks/x/kill",
                "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
            ),
            "403",
        ),
        (run("{"), "400"),
        (run(&"[".repeat(100_000)), "400"),
        (
            run(r#"{"name":"/","command":["x"],"resources":"cpus:1"}"#),
            "400",
        ),
    ]
}

#[test]
fn bad_requests_get_their_code_and_nothing_breaks() {
    let dev = Dev::start(&["--agents", "0"]);
    for (request, code) in bad_requests() {
        let line = ask(dev.api, &request);
        let shown = text(&request[..request.len().min(80)]);
        assert!(
            line.starts_with(&format!("HTTP/1.1 {code}")),
            "{shown}: {line}"
        );
    }
    for garbage in [&b"\x16\x03\x01\x02\x00"[..], &[0; 4096], b"\r\n\r\n"] {
        let mut stream = TcpStream::connect(dev.api).unwrap();
        drop(stream.write_all(garbage));
        stream.shutdown(Shutdown::Write).unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    }
    assert!(dev.shoal(&["leader"]).status.success());
}

#[test]
fn prometheus_finds_nothing_wrong() {
    let mut promtool = match Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(process) => process,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("left out, promtool cannot be started: {error}");
            return;
        }
        Err(error) => panic!("promtool cannot be started: {error}"),
    };
    let dev = Dev::start(&[]);
    assert!(dev.shoal(&["run", "--", "true"]).status.success());
    let mut stream = TcpStream::connect(dev.api).unwrap();
    stream
        .write_all(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = text(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let out = promtool.wait_with_output().unwrap();
    assert!(
        out.status.success() && out.stderr.is_empty(),
        "{}",
        text(&out.stderr)
    );
}
