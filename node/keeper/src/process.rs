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
/// A process that is about to become its program has no environment for a moment, though whoever
/// started it goes on already: such a one is looked at again.
pub(crate) fn marked(key: &str) -> Option<(u32, Stat)> {
    let mark = format!("{MARKER}={key}");
    for _ in 0..limits::BECOMING_TRIES {
        let mut becoming = false;
        for pid in all() {
            let Some(stat) = stat(pid).filter(|s| s.group == pid && !s.zombie) else {
                continue;
            };
            match environment(pid) {
                Environment::Of(bytes) => {
                    if bytes.split(|&byte| byte == 0).any(|v| v == mark.as_bytes()) {
                        return Some((pid, stat));
                    }
                }
                Environment::Becoming => becoming = true,
                Environment::None => {}
            }
        }
        if !becoming {
            return None;
        }
        std::thread::sleep(limits::BECOMING_PAUSE);
    }
    None
}

/// What is known of a process' environment.
#[derive(Debug)]
enum Environment {
    /// Its variables, each ended by a zero; none perhaps.
    Of(Vec<u8>),
    /// The kernel is loading its program.
    Becoming,
    /// It has ended, is no program, or is not ours to look at.
    None,
}

fn environment(pid: u32) -> Environment {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}"));
    let Ok(bytes) = read("environ") else {
        return Environment::None;
    };
    if !bytes.is_empty() {
        return Environment::Of(bytes);
    }
    // Arguments and environment appear together; threads of the kernel have neither, and no program.
    match (read("cmdline"), fs::read_link(format!("/proc/{pid}/exe"))) {
        (Ok(arguments), Ok(_)) if arguments.is_empty() => Environment::Becoming,
        (Ok(_), Ok(_)) => Environment::Of(read("environ").unwrap_or_default()),
        (Err(_), _) | (_, Err(_)) => Environment::None,
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
