//! What the machine itself can do, measured in the same run: the floor beside a figure.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::conditions::milliseconds;
use super::figure::median;
use super::guest::failed;
use crate::cli::Failure;

/// How many writes are timed.
const WRITES: u64 = 200;
/// A write as small as the disk takes it.
const PAGE: usize = 4096;

/// The median time, in milliseconds, of one durable write of so many bytes into a file whose room
/// was made before: what any durable answer costs at least.
///
/// # Errors
/// The folder cannot be written.
pub fn durable_write(folder: &Path, bytes: usize) -> Result<f64, Failure> {
    let path = folder.join(format!("shoal-bench-floor-{}", std::process::id()));
    let timed = time_writes(&path, bytes.next_multiple_of(PAGE));
    let removed = std::fs::remove_file(&path);
    let times = timed.map_err(failed)?;
    removed.map_err(failed)?;
    Ok(median(&times))
}

fn time_writes(path: &Path, bytes: usize) -> std::io::Result<Vec<f64>> {
    let file = File::create(path)?;
    let block = vec![7_u8; bytes];
    for at in 0..16 {
        file.write_all_at(&block, at * bytes as u64)?;
    }
    file.sync_all()?;
    let mut times = Vec::new();
    for at in 0..WRITES {
        let started = Instant::now();
        file.write_all_at(&block, (at % 16) * bytes as u64)?;
        file.sync_data()?;
        times.push(milliseconds(started.elapsed()));
    }
    Ok(times)
}

/// A process that does nothing, to be spawned.
pub fn nothing() -> Command {
    let mut command = Command::new("/bin/true");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The median time, in milliseconds, until the kernel has started a process.
///
/// # Errors
/// `/bin/true` cannot be run.
pub fn spawn() -> Result<f64, Failure> {
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        let mut child = nothing().spawn().map_err(failed)?;
        times.push(milliseconds(started.elapsed()));
        child.wait().map_err(failed)?;
    }
    Ok(median(&times))
}

/// How many processes a second two threads can spawn and wait for.
///
/// # Errors
/// `/bin/true` cannot be run.
pub fn spawn_and_wait_rate(during: Duration) -> Result<f64, Failure> {
    let started = Instant::now();
    let run = move || -> std::io::Result<u64> {
        let mut count = 0;
        while started.elapsed() < during {
            nothing().status()?;
            count += 1;
        }
        Ok(count)
    };
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(run)).collect();
    let mut count = 0;
    for thread in threads {
        let ran = thread.join().map_err(|_| failed("a thread panicked"))?;
        count += ran.map_err(failed)?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
