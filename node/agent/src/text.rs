//! The words in which a status update says how a process ended, as Mesos' command executor says them.

use shoal_api::task::Exit;

/// The message of a terminal update.
pub(crate) fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("Command exited with status {code}"),
        Exit::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("Command terminated with signal {name}"),
            None => format!("Command terminated with signal Unknown signal {signal}"),
        },
    }
}

/// As the C library names signals on Linux. Source: signal(7), strsignal(3).
fn signal_name(signal: u8) -> Option<&'static str> {
    const NAMES: [&str; 31] = [
        "Hangup",
        "Interrupt",
        "Quit",
        "Illegal instruction",
        "Trace/breakpoint trap",
        "Aborted",
        "Bus error",
        "Floating point exception",
        "Killed",
        "User defined signal 1",
        "Segmentation fault",
        "User defined signal 2",
        "Broken pipe",
        "Alarm clock",
        "Terminated",
        "Stack fault",
        "Child exited",
        "Continued",
        "Stopped (signal)",
        "Stopped",
        "Stopped (tty input)",
        "Stopped (tty output)",
        "Urgent I/O condition",
        "CPU time limit exceeded",
        "File size limit exceeded",
        "Virtual timer expired",
        "Profiling timer expired",
        "Window changed",
        "I/O possible",
        "Power failure",
        "Bad system call",
    ];
    NAMES.get(usize::from(signal).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_mesos_says() {
        assert_eq!(describe(Exit::Code(3)), "Command exited with status 3");
        assert_eq!(
            describe(Exit::Signal(15)),
            "Command terminated with signal Terminated"
        );
        assert_eq!(
            describe(Exit::Signal(9)),
            "Command terminated with signal Killed"
        );
        assert_eq!(
            describe(Exit::Signal(64)),
            "Command terminated with signal Unknown signal 64"
        );
    }
}
