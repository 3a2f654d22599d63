//! What the tests need from the machine: ports, the built binary, tools, and a turn.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// From one port of the API to the gossip port that follows it, as `shoal dev` counts.
const TO_GOSSIP: u16 = 7946 - 5050;
/// Where ports are looked for: below what the kernel gives to outgoing connections, so that nobody
/// takes one by accident; and narrow enough that no cluster's gossip port is another one's API.
const PORTS: std::ops::Range<u16> = 12_000..14_000;

const _: () = assert!(PORTS.end - PORTS.start < TO_GOSSIP);

/// The right to be the only cluster of the tests: two of them on few cores would starve each other.
/// Held across processes too, since a test runner may use one process per test.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until it is this test's turn.
    pub fn take() -> Turn {
        let path = std::env::temp_dir().join("shoal-tests-turn.lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path);
        let lock = lock.unwrap_or_else(|why| panic!("{} cannot be opened: {why}", path.display()));
        lock.lock().expect("a lock file can be locked");
        Turn { _lock: lock }
    }
}

/// A port for the API such that all that follow from it are free on the first addresses. Each call
/// goes on behind the one before, in whichever process that was: nobody is given what another is
/// about to take, nor looks whether it is free just then.
pub fn free_api_port(nodes: u8) -> u16 {
    let path = std::env::temp_dir().join("shoal-tests-ports");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = file.unwrap_or_else(|why| panic!("{} cannot be opened: {why}", path.display()));
    file.lock().expect("a file can be locked");
    let mut last = String::new();
    file.read_to_string(&mut last)
        .expect("the last port can be read");
    let last = last.trim().parse().unwrap_or(PORTS.end);
    let all_free =
        |port: u16| (1..=nodes).all(|last| is_free(Ipv4Addr::new(127, 0, 0, last), port));
    let behind = (last.saturating_add(2)..PORTS.end).step_by(2);
    let found = behind
        .chain(PORTS.step_by(2))
        .find(|port| all_free(*port))
        .expect("a free port exists");
    file.set_len(0).expect("the last port can be forgotten");
    file.rewind().expect("a file can be rewound");
    writeln!(file, "{found}").expect("the last port can be written");
    found
}

/// A free port of the loopback address, for another program than ours.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("a listener has a port").port()
}

fn is_free(address: Ipv4Addr, api: u16) -> bool {
    let gossip = api + TO_GOSSIP;
    let streams = [api, api + 1, gossip, gossip + 1];
    streams
        .iter()
        .all(|port| TcpListener::bind((address, *port)).is_ok())
        && UdpSocket::bind((address, gossip)).is_ok()
}

/// The folder in which cargo built this test, and the binaries beside it.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its executable");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("tests are built into PROFILE/deps");
    folder.to_path_buf()
}

/// The folder into which cargo builds.
pub fn target() -> PathBuf {
    let folder = profile_folder();
    let target = folder
        .parent()
        .expect("a profile's folder is in the target");
    target.to_path_buf()
}

/// The `shoal` binary, built with the profile of this test.
pub fn shoal() -> PathBuf {
    let binary = profile_folder().join("shoal");
    assert!(
        binary.exists(),
        "{} is not built: run .ci/test, or cargo build --bin shoal with this profile first",
        binary.display()
    );
    binary
}

/// A file that stands beside these tests in the repository.
pub fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("real")
        .join(name)
}

/// A test that the machine cannot run: it says so where the runner does not hide it, and passes.
/// In CI everything must be there, so it fails.
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test} cannot run: {why}");
    let line = format!("test {test} was skipped: {why}\n");
    io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr can be written");
}

/// The interpreter of an environment with unmodified pymesos, or why there is none.
pub fn pymesos() -> Result<PathBuf, String> {
    let folder = profile_folder().join("../pymesos");
    fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let output = Command::new(beside("pymesos-venv.sh"))
        .arg(&folder)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|why| format!("bash cannot be run: {why}"))?;
    match output.status.success() {
        true => Ok(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        )),
        false => Err(last_line(&output)),
    }
}

/// The last line on standard error.
pub fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.trim()
        .lines()
        .last()
        .unwrap_or("it said nothing")
        .to_string()
}

/// Whether a program is there to be run.
pub fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    found.is_ok_and(|output| output.status.success())
}
