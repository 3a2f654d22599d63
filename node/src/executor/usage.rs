//! What the processes of tasks use, out of `/proc`. Each task has a process group of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use shoal_api::TaskKey;
use shoal_mesos::agent::Usage;

use crate::clock;

/// What of a process' `stat` counts here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stat {
    group: u32,
    user_ticks: u64,
    system_ticks: u64,
    pages: u64,
}

/// Measures the groups that these processes lead; what has ended meanwhile is left out. One look at all
/// processes of the machine.
pub fn measure(pids: &BTreeMap<TaskKey, u32>) -> BTreeMap<TaskKey, Usage> {
    let mut groups: BTreeMap<u32, Stat> = BTreeMap::new();
    let leads: BTreeSet<u32> = pids.values().copied().collect();
    let entries = if pids.is_empty() {
        None
    } else {
        fs::read_dir("/proc").ok()
    };
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some(stat) = parse(&text).filter(|stat| leads.contains(&stat.group)) else {
            continue;
        };
        let sum = groups.entry(stat.group).or_default();
        sum.user_ticks += stat.user_ticks;
        sum.system_ticks += stat.system_ticks;
        sum.pages += stat.pages;
    }
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as u64;
    let at = clock::calendar();
    let measured = pids.iter().filter_map(|(task, pid)| {
        let sum = groups.get(pid)?;
        let usage = Usage {
            pid: *pid,
            at,
            user_seconds: sum.user_ticks as f64 / ticks,
            system_seconds: sum.system_ticks as f64 / ticks,
            resident_bytes: sum.pages * page,
        };
        Some((task.clone(), usage))
    });
    measured.collect()
}

fn parse(text: &str) -> Option<Stat> {
    // The name stands in parentheses and may hold anything, parentheses too.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbered from 1 in the manual, where the name is the second.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        group: u32::try_from(number(5)?).ok()?,
        user_ticks: number(14)?,
        system_ticks: number(15)?,
        pages: number(24)?,
    })
}

#[cfg(test)]
mod tests {
    use shoal_api::{FrameworkId, LaunchIndex, TaskId};

    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text =
            "7 (a) S 1 (b) S 1 42 42 0 -1 4194304 100 0 0 0 11 4 0 0 20 0 1 0 900 1000 27 0\n";
        let stat = Stat {
            group: 42,
            user_ticks: 11,
            system_ticks: 4,
            pages: 27,
        };
        assert_eq!(parse(text), Some(stat));
        assert_eq!(parse(""), None);
        assert_eq!(parse("1 (x) S 1 2"), None);
    }

    #[test]
    fn a_living_group_is_measured_and_a_dead_one_left_out() {
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        let group = parse(&own).unwrap().group;
        let key = |task: &str| TaskKey {
            framework: FrameworkId::new("f").unwrap(),
            task: TaskId::new(task).unwrap(),
            launch: LaunchIndex(1),
        };
        let pids = BTreeMap::from([(key("own"), group), (key("dead"), u32::MAX)]);
        let measured = measure(&pids);
        assert_eq!(measured.len(), 1);
        assert!(measured[&key("own")].resident_bytes > 0);
        assert!(measure(&BTreeMap::new()).is_empty());
    }
}
