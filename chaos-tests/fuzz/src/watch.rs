//! All targets, each in a process of its own, so that an abort, an overflown stack or an endless loop
//! is a finding like any other.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::limits;
use crate::run::{Budget, Current};
use crate::target::Target;

/// What to run, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// These.
    pub targets: Vec<&'static Target>,
    /// Each.
    pub budget: Budget,
    /// Processes at a time.
    pub jobs: usize,
    /// Where the kept inputs are.
    pub corpus: PathBuf,
    /// Where inputs go that break something.
    pub found: PathBuf,
}

/// A target whose promise broke.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which.
    pub target: &'static str,
    /// How its process ended.
    pub how: String,
    /// The input.
    pub input: PathBuf,
}

struct Running {
    target: &'static Target,
    child: Child,
    current: PathBuf,
    until: Instant,
}

/// Runs a plan to its end.
///
/// # Errors
/// A process cannot be started or watched.
pub fn watch(plan: &Plan) -> io::Result<Vec<Finding>> {
    std::fs::create_dir_all(&plan.found)?;
    let mut waiting: VecDeque<&'static Target> = plan.targets.iter().copied().collect();
    let mut running: Vec<Running> = Vec::new();
    let mut findings = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < plan.jobs.max(1)
            && let Some(target) = waiting.pop_front()
        {
            running.push(start(plan, target)?);
        }
        let mut at = 0;
        while at < running.len() {
            match ended(&mut running[at])? {
                Some(how) => {
                    let done = running.swap_remove(at);
                    findings.extend(judge(plan, &done, how)?);
                }
                None => at += 1,
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(findings)
}

fn start(plan: &Plan, target: &'static Target) -> io::Result<Running> {
    let current = plan
        .found
        .join(format!("{}.{}.current", target.name, std::process::id()));
    let child = Command::new(std::env::current_exe()?)
        .args(["one", target.name, "--corpus"])
        .arg(&plan.corpus)
        .arg("--current")
        .arg(&current)
        .args(["--seconds", &plan.budget.time.as_secs().to_string()])
        .args(["--inputs", &plan.budget.inputs.to_string()])
        .args(["--seed", &plan.budget.seed.to_string()])
        .spawn()?;
    Ok(Running {
        target,
        child,
        current,
        until: Instant::now() + plan.budget.time + limits::HANG,
    })
}

/// How a process ended, if it did; one that is late is ended.
fn ended(running: &mut Running) -> io::Result<Option<Result<ExitStatus, &'static str>>> {
    if let Some(status) = running.child.try_wait()? {
        return Ok(Some(Ok(status)));
    }
    if Instant::now() < running.until {
        return Ok(None);
    }
    running.child.kill()?;
    running.child.wait()?;
    Ok(Some(Err("it did not end by itself")))
}

fn judge(
    plan: &Plan,
    done: &Running,
    how: Result<ExitStatus, &'static str>,
) -> io::Result<Option<Finding>> {
    let how = match how {
        Ok(status) if status.success() => {
            std::fs::remove_file(&done.current)?;
            return Ok(None);
        }
        Ok(status) => status.to_string(),
        Err(why) => why.to_owned(),
    };
    // There is none if it broke before its first input.
    let input = Current::read(&done.current).unwrap_or_default();
    let _none = std::fs::remove_file(&done.current);
    let path = kept(&plan.found, done.target.name, &input)?;
    Ok(Some(Finding {
        target: done.target.name,
        how,
        input: path,
    }))
}

fn kept(folder: &Path, target: &str, input: &[u8]) -> io::Result<PathBuf> {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder)?;
    let sum = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let path = folder.join(format!("{sum:016x}"));
    std::fs::write(&path, input)?;
    Ok(path)
}
