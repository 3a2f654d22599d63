//! The disk under the data: room, kind, and how long a sync takes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};

use super::{Finding, note, ok, wrong};
use crate::limits::{DOCTOR_ROOM_BYTES, DOCTOR_SYNC_BAD, DOCTOR_SYNC_SLOW};

/// How often a sync is timed.
const ROUNDS: usize = 16;
/// What is written each time.
const PIECE: [u8; 4096] = [0; 4096];
/// Share of room or of files, in percent, below which a disk counts as full.
const SHARE: u64 = 5;

/// Looks at the disk that holds the folder, or that will hold it.
pub fn look(folder: &Path, findings: &mut Vec<Finding>) {
    let there = folder.ancestors().find(|folder| folder.is_dir());
    let there = there.unwrap_or(Path::new("/"));
    findings.push(kind(there));
    findings.extend(room(there));
    findings.push(sync(there));
}

fn room(folder: &Path) -> Vec<Finding> {
    let about = match rustix::fs::statvfs(folder) {
        Ok(about) => about,
        Err(error) => return vec![wrong("disk space", error.to_string(), "")],
    };
    if about.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return vec![wrong(
            "disk space",
            format!("the file system of {} is read-only", folder.display()),
            "mount it for writing, or choose another folder by --data",
        )];
    }
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let total = about.f_blocks.saturating_mul(about.f_frsize);
    let mib = |bytes: u64| bytes >> 20;
    let left = format!("{} of {} MiB are free", mib(free), mib(total));
    let scarce = free < DOCTOR_ROOM_BYTES || free / SHARE < total / 100;
    let mut found = vec![match scarce {
        true => wrong(
            "disk space",
            left,
            "make room: a node on a full disk takes no new work",
        ),
        false => ok("disk space", left),
    }];
    if about.f_files > 0 && about.f_favail / SHARE < about.f_files / 100 {
        found.push(wrong(
            "disk files",
            format!(
                "{} of {} files can still be made",
                about.f_favail, about.f_files
            ),
            "remove files: the disk takes no new ones soon",
        ));
    }
    found
}

/// The kind of the file system, as the table of mounts has it.
fn kind(folder: &Path) -> Finding {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let Some((place, kind)) = mount_of(&table, &folder) else {
        return note("disk kind", "the kernel does not tell", "");
    };
    let what = format!("{kind} at {}", place.display());
    match kind.as_str() {
        "tmpfs" | "ramfs" => wrong(
            "disk kind",
            format!("{what} is lost when the machine restarts"),
            "keep the data on a disk: choose another folder by --data",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "fuse.sshfs" => note(
            "disk kind",
            format!("{what} is another machine's disk"),
            "a master's log belongs on a disk of its own machine: every commit waits for it",
        ),
        "overlay" => note(
            "disk kind",
            format!("{what} is the layer of a container, lost with it"),
            "mount a volume for the data",
        ),
        _ => ok("disk kind", what),
    }
}

/// The mount that holds a folder: of those whose place is above it, the deepest and latest.
fn mount_of(table: &str, folder: &Path) -> Option<(PathBuf, String)> {
    let mounts = table.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let place = left.split(' ').nth(4)?.replace("\\040", " ");
        let kind = right.split(' ').next()?.to_owned();
        Some((PathBuf::from(place), kind))
    });
    mounts
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.components().count())
}

fn sync(folder: &Path) -> Finding {
    let mut times = match time_syncs(folder) {
        Ok(times) => times,
        Err(error) => {
            return note(
                "disk sync",
                format!("not measured in {}: {error}", folder.display()),
                "run it as the user of the node",
            );
        }
    };
    times.sort();
    let (middle, worst) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let what = format!(
        "{:.2} ms in the middle, {:.2} ms at worst, of {ROUNDS}",
        millis(middle),
        millis(worst)
    );
    if middle >= DOCTOR_SYNC_BAD {
        wrong(
            "disk sync",
            what,
            "a master needs a faster disk: every commit waits for a sync",
        )
    } else if middle >= DOCTOR_SYNC_SLOW {
        note(
            "disk sync",
            what,
            "slow for a master: every commit waits for a sync",
        )
    } else {
        ok("disk sync", what)
    }
}

/// Writes and syncs a file that has no name and is gone when this returns.
fn time_syncs(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?);
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS as u64 {
        file.write_all_at(&PIECE, round * PIECE.len() as u64)?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts() {
        let table = "1 0 254:0 / / rw - ext4 /dev/vda rw\n\
                     2 1 0:5 / /var/lib rw,relatime shared:1 - xfs /dev/vdb rw\n\
                     3 1 0:6 / /var/lib\\040x rw - tmpfs tmpfs rw\n";
        let kind = |folder: &str| mount_of(table, Path::new(folder)).unwrap().1;
        assert_eq!(kind("/var/lib/shoal"), "xfs");
        assert_eq!(kind("/var/lib x/shoal"), "tmpfs");
        assert_eq!(kind("/var"), "ext4");
    }

    #[test]
    fn timing_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // A file system without nameless files is a reason, not a failure.
        if let Ok(times) = time_syncs(folder.path()) {
            assert_eq!(times.len(), ROUNDS);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut findings = Vec::new();
        look(&folder.path().join("not/there"), &mut findings);
        assert!(findings.len() >= 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
