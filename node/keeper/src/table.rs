//! All tasks the keeper knows, and the journal that keeps it so.
//!
//! # Invariants
//! - what is said to a client is in the journal first;
//! - a key has at most one process in the life of its entry.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, waitpid,
};
use shoal_failpoint::{Point, pass};

use crate::journal::{Journal, Record};
use crate::limits;
use crate::process::{self, BootId};
use crate::protocol::{End, Failure, Spec, State, Task};
use crate::spawn::{self, Prepared, SpawnError, Step};

/// How a task is, as far as its keeper needs to know.
#[derive(Debug)]
struct Entry {
    state: State,
    /// Absent where no process runs.
    process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    started: u64,
    /// For a process that an earlier keeper started: readable once it has ended.
    adopted: Option<OwnedFd>,
}

/// The tasks.
#[derive(Debug)]
pub(crate) struct Table {
    journal: Journal,
    boot: BootId,
    /// What tasks read from.
    nothing: OwnedFd,
    entries: BTreeMap<String, Entry>,
    /// Keys of our own children.
    children: BTreeMap<i32, String>,
    /// Bytes of the journal that its shortest form had when it was last written anew.
    compact: u64,
}

/// Why a signal was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotRunning;

impl Table {
    /// The table of a journal; what an earlier keeper started is found again.
    pub fn recover(journal: Journal, records: Vec<Record>) -> io::Result<Table> {
        let nothing =
            rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut table = Table {
            journal,
            boot: BootId::current()?,
            nothing,
            entries: BTreeMap::new(),
            children: BTreeMap::new(),
            compact: 0,
        };
        let mut open: BTreeMap<String, Option<(u32, u64, BootId, i64)>> = BTreeMap::new();
        for record in records {
            table.replay(record, &mut open);
        }
        for (key, started) in open {
            table.find_again(key, started)?;
        }
        table.shorten()?;
        Ok(table)
    }

    fn replay(
        &mut self,
        record: Record,
        open: &mut BTreeMap<String, Option<(u32, u64, BootId, i64)>>,
    ) {
        match record {
            Record::Intended { key } => {
                open.insert(key, None);
            }
            Record::Started {
                key,
                pid,
                started,
                boot,
                at,
            } => {
                open.insert(key, Some((pid, started, boot, at)));
            }
            Record::NotStarted { key, failure, at } => {
                open.remove(&key);
                self.set(key, State::NotStarted { failure, at }, None);
            }
            Record::Ended { key, end, at } => {
                open.remove(&key);
                self.set(key, State::Ended { end, at }, None);
            }
            Record::Forgotten { key } => {
                open.remove(&key);
                self.entries.remove(&key);
            }
        }
    }

    /// A task whose end is not in the journal: it runs, or it ended while no keeper watched.
    fn find_again(
        &mut self,
        key: String,
        started: Option<(u32, u64, BootId, i64)>,
    ) -> io::Result<()> {
        let found = match started {
            Some((number, started, boot, since)) if boot == self.boot => process::stat(number)
                .filter(|stat| stat.started == started && !stat.zombie)
                .map(|stat| (number, stat, since)),
            Some(_) => None,
            None => process::marked(&key).map(|(number, stat)| (number, stat, now())),
        };
        let adopted = found.and_then(|(number, stat, since)| {
            let pid = process::pid(number)?;
            let watch = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
            // Between the look and the watch the number may have passed to another process.
            let same = process::stat(number)
                .is_some_and(|again| again.started == stat.started && !again.zombie);
            same.then_some((pid, stat.started, since, watch))
        });
        match adopted {
            Some((pid, started, since, watch)) => {
                let state = State::Running {
                    pid: number(pid),
                    since,
                };
                let process = Process {
                    pid,
                    started,
                    adopted: Some(watch),
                };
                self.set(key, state, Some(process));
            }
            None => {
                let (end, at) = (End::Unknown, now());
                self.journal.append(&Record::Ended {
                    key: key.clone(),
                    end,
                    at,
                })?;
                self.set(key, State::Ended { end, at }, None);
            }
        }
        Ok(())
    }

    fn set(&mut self, key: String, state: State, process: Option<Process>) {
        self.entries.insert(key, Entry { state, process });
    }

    /// Starts a task, unless its key is known; says how it is.
    ///
    /// # Errors
    /// A text for people: the task is not known afterwards, and may be asked for again.
    pub fn spawn(&mut self, key: &str, spec: &Spec) -> Result<Task, String> {
        if let Some(task) = self.get(key) {
            return Ok(task);
        }
        if self.entries.len() >= limits::TASKS {
            return Err(format!("the keeper knows {} tasks already", limits::TASKS));
        }
        let journal = |error: io::Error| format!("the keeper's journal cannot be written: {error}");
        let intended = Record::Intended { key: key.into() };
        self.journal.append(&intended).map_err(journal)?;
        pass(Point::KeeperIntended);
        let record = match self.start(key, spec) {
            Ok((pid, started)) => {
                let since = now();
                let record = Record::Started {
                    key: key.to_owned(),
                    pid: number(pid),
                    started,
                    boot: self.boot,
                    at: since,
                };
                let state = State::Running {
                    pid: number(pid),
                    since,
                };
                let process = Process {
                    pid,
                    started,
                    adopted: None,
                };
                self.children.insert(pid.as_raw_nonzero().get(), key.into());
                self.set(key.to_owned(), state, Some(process));
                record
            }
            Err(failure) => {
                let at = now();
                let state = State::NotStarted {
                    failure: failure.clone(),
                    at,
                };
                self.set(key.to_owned(), state, None);
                Record::NotStarted {
                    key: key.to_owned(),
                    failure,
                    at,
                }
            }
        };
        pass(Point::KeeperSpawned);
        if let Err(error) = self.journal.append(&record) {
            // The intention is written; a later keeper finds the process by its mark.
            eprintln!("the journal lacks the start of task {key}: {error}");
        }
        pass(Point::KeeperStarted);
        Ok(self.get(key).expect("it was just set"))
    }

    fn start(&mut self, key: &str, spec: &Spec) -> Result<(Pid, u64), Failure> {
        let size: usize = spec.arguments.iter().map(String::len).sum::<usize>()
            + spec
                .environment
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if size > limits::SPEC_BYTES {
            return Err(Failure::Setup(format!(
                "the command and its environment have {size} bytes, at most {} are allowed",
                limits::SPEC_BYTES
            )));
        }
        let prepared = Prepared::new(key, spec)
            .map_err(|_| Failure::Setup("the command or its environment has a NUL byte".into()))?;
        let output = open_output(&spec.stdout, spec)?;
        let errors = open_output(&spec.stderr, spec)?;
        let pid = spawn::spawn(&prepared, &self.nothing, &output, &errors)
            .map_err(|error| describe(spec, &error, &errors))?;
        let started = process::stat(number(pid)).map_or(0, |stat| stat.started);
        Ok((pid, started))
    }

    /// Sends a signal to a task's whole group.
    ///
    /// # Errors
    /// [`NotRunning`] if no process of that task runs.
    pub fn signal(&self, key: &str, signal: Signal) -> Result<(), NotRunning> {
        let process = self
            .entries
            .get(key)
            .and_then(|entry| entry.process.as_ref())
            .ok_or(NotRunning)?;
        if process.adopted.is_some() {
            // Not our child, so its number is not ours to keep.
            let same = process::stat(number(process.pid))
                .is_some_and(|stat| stat.started == process.started);
            if !same {
                return Err(NotRunning);
            }
        }
        kill_process_group(process.pid, signal).map_err(|_| NotRunning)
    }

    /// Sends a signal to all that runs.
    pub fn signal_all(&self, signal: Signal) {
        for key in self.entries.keys() {
            // Those that do not run need none.
            let _ = self.signal(key, signal);
        }
    }

    /// Whether any task's process runs.
    pub fn is_running(&self) -> bool {
        self.entries.values().any(|entry| entry.process.is_some())
    }

    /// Takes all ended children in, and all orphans of ours; says whose task ended.
    pub fn reap(&mut self) -> Vec<Task> {
        let mut ended = Vec::new();
        while let Some(pid) = spawn::ended_child() {
            let key = self.children.remove(&pid.as_raw_nonzero().get());
            if key.is_some() {
                // What the task left behind in its group ends with it. Its number is still its own.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let status = match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(Some((_, status))) => status,
                Ok(None) | Err(_) => break,
            };
            if let Some(key) = key {
                ended.extend(self.end(&key, end_of(status)));
            }
        }
        ended
    }

    /// A process that an earlier keeper started has ended.
    pub fn adopted_ended(&mut self, key: &str) -> Option<Task> {
        if let Some(process) = self.entries.get(key).and_then(|e| e.process.as_ref()) {
            // The leader is gone, but its group may live, and then the number is still the group's.
            let _ = kill_process_group(process.pid, Signal::KILL);
        }
        self.end(key, End::Unknown)
    }

    fn end(&mut self, key: &str, end: End) -> Option<Task> {
        let entry = self.entries.get_mut(key)?;
        let at = now();
        entry.state = State::Ended { end, at };
        entry.process = None;
        let key = key.to_owned();
        pass(Point::KeeperReaped);
        if let Err(error) = self.journal.append(&Record::Ended {
            key: key.clone(),
            end,
            at,
        }) {
            eprintln!("the journal lacks the end of task {key}: {error}");
        }
        pass(Point::KeeperEnded);
        self.get(&key)
    }

    /// What is to be watched: the processes that are not our children.
    pub fn adopted(&self) -> impl Iterator<Item = (&str, &OwnedFd)> {
        self.entries.iter().filter_map(|(key, entry)| {
            let watch = entry.process.as_ref()?.adopted.as_ref()?;
            Some((key.as_str(), watch))
        })
    }

    /// Forgets a task that does not run; true if it did not run.
    pub fn forget(&mut self, key: &str) -> bool {
        match self.entries.get(key) {
            Some(entry) if entry.process.is_some() => return false,
            Some(_) => {}
            None => return true,
        }
        self.entries.remove(key);
        let record = Record::Forgotten { key: key.into() };
        let written = self.journal.append(&record);
        let shortened = written.and_then(|()| {
            let long = self.journal.length() > limits::JOURNAL_BYTES.max(4 * self.compact);
            if long { self.shorten() } else { Ok(()) }
        });
        if let Err(error) = shortened {
            eprintln!("the journal lacks that task {key} is forgotten: {error}");
        }
        pass(Point::KeeperForgotten);
        true
    }

    /// Writes the journal anew, with what is still known only.
    fn shorten(&mut self) -> io::Result<()> {
        let mut records = Vec::with_capacity(self.entries.len());
        for (key, entry) in &self.entries {
            let key = key.clone();
            records.push(match (&entry.state, &entry.process) {
                (State::Running { pid, since }, Some(process)) => Record::Started {
                    key,
                    pid: *pid,
                    started: process.started,
                    boot: self.boot,
                    at: *since,
                },
                (State::Running { .. }, None) => unreachable!("what runs has a process"),
                (State::Ended { end, at }, _) => Record::Ended {
                    key,
                    end: *end,
                    at: *at,
                },
                (State::NotStarted { failure, at }, _) => Record::NotStarted {
                    key,
                    failure: failure.clone(),
                    at: *at,
                },
            });
        }
        self.journal.replace(&records)?;
        self.compact = self.journal.length();
        Ok(())
    }

    /// How one task is.
    pub fn get(&self, key: &str) -> Option<Task> {
        let entry = self.entries.get(key)?;
        Some(Task {
            key: key.to_owned(),
            state: entry.state.clone(),
        })
    }

    /// How all tasks are, by key.
    pub fn list(&self) -> Vec<Task> {
        self.entries
            .iter()
            .map(|(key, entry)| Task {
                key: key.clone(),
                state: entry.state.clone(),
            })
            .collect()
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}

fn end_of(status: WaitStatus) -> End {
    let byte = |number: i32| u8::try_from(number & 0xff).expect("eight bits fit");
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Code(byte(code)),
        (None, Some(signal)) => End::Signal(byte(signal)),
        (None, None) => End::Unknown,
    }
}

/// Opens a file for a task to append to; it never follows a link that a task may have left.
fn open_output(path: &str, spec: &Spec) -> Result<OwnedFd, Failure> {
    let failed = |error: rustix::io::Errno| {
        Failure::Setup(format!("the file {path} cannot be opened: {error}"))
    };
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666 & !spec.umask);
    let file = rustix::fs::open(path, flags, mode).map_err(failed)?;
    // The keeper's own mask is stricter than the task's.
    rustix::fs::fchmod(&file, mode).map_err(failed)?;
    if let Some(identity) = &spec.identity {
        let user = rustix::fs::Uid::from_raw(identity.uid);
        let group = rustix::fs::Gid::from_raw(identity.gid);
        rustix::fs::fchown(&file, Some(user), Some(group)).map_err(failed)?;
    }
    // It was opened so that a FIFO in its place could not hold the keeper up.
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND).map_err(failed)?;
    Ok(file)
}

/// What went wrong, for people; what a shell would say of it goes to the task's own errors too.
fn describe(spec: &Spec, error: &SpawnError, errors: &OwnedFd) -> Failure {
    let cause = &error.error;
    match error.step {
        Step::Exec => {
            let text = format!("cannot execute '{}': {cause}", spec.program);
            // The exit status says the same; this is for whoever reads the file.
            let _ = rustix::io::write(errors, format!("{text}\n").as_bytes());
            Failure::Exec(text)
        }
        Step::Clone => Failure::Setup(format!("no process could be made: {cause}")),
        Step::Output => Failure::Setup(format!("the output could not be redirected: {cause}")),
        Step::Directory => Failure::Setup(format!(
            "the folder {} cannot be entered: {cause}",
            spec.directory
        )),
        Step::User => Failure::Setup(format!(
            "the user could not be changed to {}: {cause}",
            spec.identity.as_ref().map_or(0, |i| i.uid)
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process that does not outlive its test.
    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            // It may have been ended by the test.
            let (_, _) = (self.0.kill(), self.0.wait());
        }
    }

    #[test]
    fn a_process_whose_start_was_not_journaled_is_found_by_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        let key = format!("f/marked {}@1", std::process::id());
        let mut command = Command::new("sleep");
        command.arg("1000").env(process::MARKER, &key);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Sleeper(command.process_group(0).spawn().unwrap());
        let (mut journal, _) = Journal::open(&dir.path().join("journal")).unwrap();
        let intended = |key: &str| Record::Intended { key: key.into() };
        let records = vec![intended(&key), intended("f/never started@2")];
        for record in &records {
            journal.append(record).unwrap();
        }
        let table = Table::recover(journal, records).unwrap();
        let found = table.get(&key).unwrap();
        assert!(
            matches!(found.state, State::Running { pid, .. } if pid == process.0.id()),
            "{found:?}"
        );
        assert_eq!(table.adopted().count(), 1);
        let never = table.get("f/never started@2").unwrap();
        assert!(matches!(
            never.state,
            State::Ended {
                end: End::Unknown,
                ..
            }
        ));
        table.signal(&key, Signal::KILL).unwrap();
        process.0.wait().unwrap();
        assert_eq!(table.signal(&key, Signal::KILL), Err(NotRunning));
    }
}
