//! Processes as the kernel shows them: signals, and who still lives in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId(pub i32);

impl ProcessId {
    /// Sends a signal; panics if there is no such process.
    pub fn signal(self, signal: Signal) {
        let pid = Pid::from_raw(self.0).expect("a pid is not zero");
        kill_process(pid, signal).unwrap_or_else(|why| panic!("pid {}: {why}", self.0));
    }

    /// Whether the kernel has a live process, no zombie, under this id.
    pub fn lives(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        let state = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        state.is_some_and(|state| !['Z', 'X'].contains(&state))
    }
}

/// Every live process that works in the folder or was started with its path: nodes, keepers, tasks.
pub fn in_folder(folder: &Path) -> Vec<(ProcessId, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end between two looks; then it has no command line, and is of no interest.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let place = fs::read_link(entry.path().join("cwd")).unwrap_or_else(|_| PathBuf::new());
        let named = line.contains(&*folder.to_string_lossy());
        if (place.starts_with(folder) || named) && ProcessId(pid).lives() {
            found.push((ProcessId(pid), line));
        }
    }
    found
}
