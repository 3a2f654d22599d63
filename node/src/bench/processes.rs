//! What a process and its keeper use, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;

use super::guest::failed;
use crate::cli::Failure;

/// Of one process, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Its share of memory, in bytes: its own, and its part of what it shares.
    pub pss: u64,
    /// Its memory with all that it shares, in bytes: what it is on a machine of its own at most.
    pub rss: u64,
    /// Time on a core, in seconds.
    pub cpu: f64,
    /// Bytes that went to disk on its account.
    pub written: u64,
    /// Its threads.
    pub threads: u64,
}

/// A process together with all that descends from it.
///
/// # Errors
/// It is gone.
pub fn family(pid: i32) -> Result<Usage, Failure> {
    let parents = parents();
    let mut sum = of(pid).map_err(failed)?;
    for child in parents.keys() {
        let mut at = *child;
        while let Some(parent) = parents.get(&at).copied().filter(|_| at != pid) {
            at = parent;
        }
        if at == pid && *child != pid {
            // One that ended meanwhile uses nothing.
            let usage = of(*child).unwrap_or_default();
            sum.pss += usage.pss;
            sum.rss += usage.rss;
            sum.cpu += usage.cpu;
            sum.written += usage.written;
            sum.threads += usage.threads;
        }
    }
    Ok(sum)
}

fn parents() -> BTreeMap<i32, i32> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return BTreeMap::new();
    };
    let numbers = folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|pid: i32| Some((pid, stat(pid).ok()?.parent)))
        .collect()
}

struct Stat {
    parent: i32,
    ticks: u64,
    threads: u64,
}

fn stat(pid: i32) -> std::io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
    Ok(Stat {
        parent: number(1).unwrap_or(0) as i32,
        ticks: number(11).unwrap_or(0) + number(12).unwrap_or(0),
        threads: number(17).unwrap_or(0),
    })
}

fn of(pid: i32) -> std::io::Result<Usage> {
    let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let stat = stat(pid)?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Usage {
        pss: field(&memory, "Pss:") * 1024,
        rss: field(&memory, "Rss:") * 1024,
        cpu: stat.ticks as f64 / per_second as f64,
        written: field(&io, "write_bytes:"),
        threads: stat.threads,
    })
}

/// The number after a name at the start of a line.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_has_a_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usage = of(own).unwrap();
        assert!(usage.pss > 100_000 && usage.threads > 0);
        assert!(parents().contains_key(&own));
        assert_eq!(field("a: 1 kB\nbc: 2 kB\n", "bc:"), 2);
    }
}
