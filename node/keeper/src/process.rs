//! What `/proc` says of processes.

use std::fs;
use std::io;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::limits;

/// The environment variable that marks a task's processes with its key, so that a process which was
/// started just before the keeper died is found again.
pub(crate) const MARKER: &str = "SHOAL_TASK_KEY";

/// One life of the machine's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootId(pub u128);

impl BootId {
    /// Of the running kernel.
    ///
    /// # Errors
    /// `/proc` is not there, or is not Linux'.
    pub fn current() -> io::Result<BootId> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16)
            .map(BootId)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the boot id is not a UUID"))
    }
}

/// What a process' `stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub parent: u32,
    pub group: u32,
    /// In ticks since boot.
    pub started: u64,
    /// Whether it has ended and waits for its parent.
    pub zombie: bool,
}

/// Of a process, if there is one of that number.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold anything, parentheses too.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let started = fields.nth(16)?.parse().ok()?;
    Some(Stat {
        parent,
        group,
        started,
        zombie: matches!(state, "Z" | "X"),
    })
}

/// All processes.
fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The children of a process that have not ended.
pub(crate) fn living_children(parent: u32) -> Vec<u32> {
    all()
        .filter(|&pid| stat(pid).is_some_and(|s| s.parent == parent && !s.zombie))
        .collect()
}

/// The leader of the process group that carries a task's mark, if it lives.
///
/// A process that is about to become its program does not carry the mark yet: it is what the keeper
/// before this one was, and then, for a moment, has no environment at all, though whoever started it
/// goes on already. Such a one is looked at again.
pub(crate) fn marked(key: &str) -> Option<(u32, Stat)> {
    let mark = format!("{MARKER}={key}");
    for _ in 0..limits::BECOMING_TRIES {
        let mut becoming = false;
        for pid in all() {
            match program(pid) {
                Program::With(environment) => {
                    let Some(stat) = stat(pid).filter(|s| s.group == pid && !s.zombie) else {
                        continue;
                    };
                    let mut variables = environment.split(|&byte| byte == 0);
                    if variables.any(|variable| variable == mark.as_bytes()) {
                        return Some((pid, stat));
                    }
                }
                Program::Becoming => becoming = true,
                Program::None => {}
            }
        }
        if !becoming {
            return None;
        }
        std::thread::sleep(limits::BECOMING_PAUSE);
    }
    None
}

/// What a process runs.
#[derive(Debug)]
enum Program {
    /// A program with these variables, each ended by a zero; none perhaps.
    With(Vec<u8>),
    /// None yet: it was cloned by a keeper of this folder, or the kernel is loading its program.
    Becoming,
    /// It has ended, is a thread of the kernel, or is not ours to look at.
    None,
}

fn program(pid: u32) -> Program {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}"));
    // Arguments and environment appear together.
    let Ok(arguments) = read("cmdline") else {
        return Program::None;
    };
    let is_keeper = || fs::read("/proc/self/cmdline").is_ok_and(|own| own == arguments);
    if arguments.is_empty() {
        // Threads of the kernel stay without arguments, and have no program.
        match fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(_) => Program::Becoming,
            Err(_) => Program::None,
        }
    } else if pid != std::process::id() && is_keeper() {
        Program::Becoming
    } else {
        read("environ").map_or(Program::None, Program::With)
    }
}

/// A number as the kernel's process id; no process has 0 or a number too large.
pub(crate) fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_confuse_the_fields() {
        let text = "12 (a) b (c) S 3 12 12 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                parent: 3,
                group: 12,
                started: 4242,
                zombie: false
            })
        );
        assert_eq!(parse_stat("12 (x"), None);
    }

    #[test]
    fn finds_itself() {
        let own = stat(std::process::id()).unwrap();
        assert!(own.started > 0 && !own.zombie);
        assert!(BootId::current().unwrap().0 != 0);
    }
}
