//! Processes whose parent ended before them: they become children of this one, and end with it.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};

/// How often what is left over is looked at. Each look ends one more generation.
const LOOKS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(20);

/// Makes this process the parent of every descendant whose own parent ends.
///
/// # Errors
/// The kernel does not know how.
pub fn adopt() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Ends all children that are left and takes in their exit codes. Only once nobody else in this
/// process waits for a child.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] if some do not end.
pub async fn end() -> io::Result<()> {
    for _ in 0..LOOKS {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for pid in children()? {
            // One that is gone meanwhile stays a zombie until the next look.
            let _gone = rustix::process::kill_process(pid, Signal::KILL);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn children() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        // A thread may end between the two readings.
        let Ok(text) = fs::read_to_string(thread?.path().join("children")) else {
            continue;
        };
        let numbers = text.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.extend(numbers.filter_map(Pid::from_raw));
    }
    Ok(pids)
}
