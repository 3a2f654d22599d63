//! The kernel: what it has of what an agent needs, and of what it will want to isolate tasks.

use std::fs;
use std::path::Path;

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::{Finding, note, ok, wrong};

/// Kinds of namespaces that isolate a task.
const NAMESPACES: [&str; 6] = ["mnt", "pid", "net", "ipc", "uts", "user"];

/// Looks at the kernel.
pub fn look(findings: &mut Vec<Finding>) {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    findings.push(match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => ok("kernel pidfd", format!("works (Linux {release})")),
        Err(error) => wrong(
            "kernel pidfd",
            format!("pidfd_open fails: {error} (Linux {release})"),
            "an agent needs Linux 5.3 or newer, and no filter that forbids the call",
        ),
    });
    findings.push(namespaces());
    findings.push(feature(
        "kernel seccomp",
        Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        "CONFIG_SECCOMP_FILTER",
    ));
    findings.push(landlock());
    let systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    findings.push(feature(
        "kernel overlayfs",
        systems.split_whitespace().any(|word| word == "overlay"),
        "CONFIG_OVERLAY_FS",
    ));
}

fn feature(check: &str, there: bool, option: &str) -> Finding {
    match there {
        true => ok(check, "there"),
        false => note(
            check,
            "not there",
            format!("isolation of tasks will want a kernel with {option}"),
        ),
    }
}

fn namespaces() -> Finding {
    let missing: Vec<&str> = NAMESPACES
        .into_iter()
        .filter(|kind| !Path::new("/proc/self/ns").join(kind).exists())
        .collect();
    let forbidden = [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ];
    let closed = forbidden.into_iter().find(|(file, bad)| {
        let value = fs::read_to_string(file);
        value.is_ok_and(|value| value.trim() == *bad)
    });
    match (missing.is_empty(), closed) {
        (false, _) => note(
            "kernel namespaces",
            format!("missing: {}", missing.join(", ")),
            "isolation of tasks will want them",
        ),
        (true, Some((file, _))) => note(
            "kernel namespaces",
            format!(
                "{}; user namespaces are switched off by {file}",
                NAMESPACES.join(", ")
            ),
            "an agent that is not root will want them",
        ),
        (true, None) => ok("kernel namespaces", NAMESPACES.join(", ")),
    }
}

/// The list of active modules says it for sure, where it is mounted; a symbol says what is built in.
fn landlock() -> Finding {
    if let Ok(active) = fs::read_to_string("/sys/kernel/security/lsm") {
        let there = active.trim().split(',').any(|name| name == "landlock");
        return feature(
            "kernel landlock",
            there,
            "CONFIG_SECURITY_LANDLOCK, in lsm=",
        );
    }
    let symbols = fs::read("/proc/kallsyms").unwrap_or_default();
    let wanted = b"sys_landlock_create_ruleset";
    match symbols.windows(wanted.len()).any(|window| window == wanted) {
        true => ok(
            "kernel landlock",
            "built in; whether it is active is not told",
        ),
        false => feature("kernel landlock", false, "CONFIG_SECURITY_LANDLOCK"),
    }
}
