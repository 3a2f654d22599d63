//! Control groups: which versions, which controllers, and whether this process may make groups.

use std::fs;
use std::path::{Path, PathBuf};

use super::data::Running;
use super::{Finding, note, ok, some};

/// What an agent wants to limit tasks by.
const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

/// A hierarchy of groups as it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    place: PathBuf,
    /// Version 2 has one hierarchy for all controllers.
    unified: bool,
    /// The words of its mount options: controllers, and others.
    words: Vec<String>,
}

/// Looks at the groups of the running node, or of this process.
pub fn look(running: Option<Running>, findings: &mut Vec<Finding>) {
    let of = running.map_or_else(|| "self".to_owned(), |running| running.pid.to_string());
    let read = |name: &str| fs::read_to_string(format!("/proc/{of}/{name}")).unwrap_or_default();
    let (mounts, groups) = (hierarchies(&read("mountinfo")), read("cgroup"));
    let version = match (
        mounts.iter().any(|mount| mount.unified),
        mounts.iter().any(|mount| !mount.unified),
    ) {
        (true, true) => "versions 1 and 2 side by side",
        (true, false) => "version 2",
        (false, true) => "version 1",
        (false, false) => {
            findings.push(note(
                "cgroups",
                "none are mounted",
                "mount cgroup2 at /sys/fs/cgroup: without it nothing can hold a task to its limits",
            ));
            return;
        }
    };
    let (mut writable, mut closed) = (Vec::new(), Vec::new());
    for mount in &mounts {
        let own = mount
            .place
            .join(group(&groups, mount).trim_start_matches('/'));
        let own = if own.is_dir() {
            own
        } else {
            mount.place.clone()
        };
        let controllers = controllers(mount, &own);
        match rustix::fs::access(&own, rustix::fs::Access::WRITE_OK) {
            Ok(()) => writable.extend(controllers),
            Err(_) => closed.extend(controllers),
        }
    }
    writable.sort();
    closed.sort();
    let missing: Vec<&str> = WANTED
        .into_iter()
        .filter(|wanted| !writable.iter().any(|have| have == wanted))
        .collect();
    let what = format!(
        "{version}; writable: {}; not: {}",
        list(&writable),
        list(&closed)
    );
    findings.push(match missing.is_empty() {
        true => ok("cgroups", what),
        false => note(
            "cgroups",
            what,
            format!(
                "an agent will want {}: run it as root, or delegate them (Delegate=yes in a unit)",
                missing.join(", ")
            ),
        ),
    });
}

fn list(words: &[String]) -> String {
    match words.is_empty() {
        true => "none".to_owned(),
        false => some(words),
    }
}

fn hierarchies(table: &str) -> Vec<Hierarchy> {
    let mounts = table.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let unified = match right.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let words = right.nth(1)?.split(',').map(str::to_owned).collect();
        Some(Hierarchy {
            place: PathBuf::from(left.split(' ').nth(4)?),
            unified,
            words,
        })
    });
    mounts.collect()
}

/// The group of the process in a hierarchy.
fn group<'a>(groups: &'a str, mount: &Hierarchy) -> &'a str {
    let found = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let same = match mount.unified {
            true => number == "0",
            false => names
                .split(',')
                .any(|name| mount.words.iter().any(|word| word == name)),
        };
        same.then_some(path)
    });
    found.unwrap_or("/")
}

/// The controllers that a group of this hierarchy can use.
fn controllers(mount: &Hierarchy, own: &Path) -> Vec<String> {
    match mount.unified {
        true => {
            let list = fs::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
            list.split_whitespace().map(str::to_owned).collect()
        }
        false => {
            let known = |word: &&String| {
                !["rw", "ro", "xattr", "noprefix", "clone_children"].contains(&word.as_str())
                    && !word.contains('=')
            };
            mount.words.iter().filter(known).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let table = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                     32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                     40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                     41 31 0:38 / /sys/fs/cgroup/unified rw shared:3 - cgroup2 cgroup2 rw\n";
        let mounts = hierarchies(table);
        assert_eq!(mounts.len(), 3);
        assert_eq!(
            controllers(&mounts[0], Path::new("/nowhere")),
            ["cpu", "cpuacct"]
        );
        assert!(controllers(&mounts[1], Path::new("/nowhere")).is_empty());
        let groups = "4:cpuacct,cpu:/a/b\n1:name=systemd:/s\n0::/u\n";
        assert_eq!(group(groups, &mounts[0]), "/a/b");
        assert_eq!(group(groups, &mounts[1]), "/s");
        assert_eq!(group(groups, &mounts[2]), "/u");
    }
}
