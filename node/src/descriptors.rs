//! How many files and sockets this process may have open.
//!
//! Systems start a process with a soft limit that is far below what they allow, for programs that
//! cannot count beyond 1024. Tasks may be such programs: what is raised here is not passed on.

use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limits that the process was started with.
static STARTED_WITH: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit to what the system allows.
pub fn raise() {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => {
            let _raised_before = STARTED_WITH.set(before);
        }
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    tracing::debug!(limit = limit(), "open files");
}

/// How many may be open.
pub fn limit() -> usize {
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Gives a child, and whatever it starts from then on, the limit that this process was started with.
pub fn restore(child: u32) {
    let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
    let (Some(pid), Some(before)) = (pid, STARTED_WITH.get()) else {
        return;
    };
    if let Err(error) = prlimit(Some(pid), Resource::Nofile, *before) {
        tracing::warn!(%error, "a child keeps a raised limit of open files");
    }
}
