//! Places at which a process can be made to die, for tests of real processes.
//!
//! A point is armed by a file of its name in the folder that [`VARIABLE`] names. The first process that
//! passes it takes the file away and dies on the spot, as by a signal: nothing is flushed or told. A
//! build without debug assertions, which every release is, has none of this.

/// The environment variable that names the folder; without it nothing can be armed.
pub const VARIABLE: &str = "SHOAL_FAILPOINTS";
/// What a point's file is called once a process has died there.
pub const HIT: &str = "hit";

macro_rules! points {
    ($($name:ident = $text:literal, $about:literal;)*) => {
        /// A place at which a process can be made to die.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point {
            $(#[doc = $about] $name,)*
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Point] = &[$(Point::$name,)*];

            /// The name of its file.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Point::$name => $text,)*
                }
            }
        }
    };
}

points! {
    LogAppend = "master-log-append", "A batch is about to be written to a master's log.";
    LogSync = "master-log-sync", "It is written there, and not synced.";
    LogSynced = "master-log-synced", "It is on disk, and nobody knows.";
    MasterCommit = "master-commit", "A master knows that it is on disk, and has not applied what this commits.";
    MasterApplied = "master-applied", "A master has applied entries, and has told nobody.";
    MasterAnswer = "master-answer", "A caller of a master is about to be answered.";
    MasterAnswered = "master-answered", "It was answered.";
    CommandSend = "master-command-send", "Commands are about to be sent to an agent.";
    CommandSent = "master-command-sent", "They were sent.";
    CheckpointAppend = "agent-checkpoint-append", "Records are about to be written to an agent's checkpoint log.";
    CheckpointSync = "agent-checkpoint-sync", "They are written there, and not synced.";
    CheckpointSynced = "agent-checkpoint-synced", "They are on disk, and the agent does not know.";
    AgentSpawn = "agent-spawn", "A launch is on disk, and nothing was done for it.";
    AgentOrder = "agent-order", "A task's sandbox is made, and its keeper was not asked for a process.";
    ReportSend = "agent-report-send", "Reports are about to be sent to a master.";
    ReportSent = "agent-report-sent", "They were sent.";
    KeeperIntended = "keeper-intended", "A keeper has noted that it will start a process, and has not.";
    KeeperSpawned = "keeper-spawned", "A process runs, and its keeper has not noted it.";
    KeeperStarted = "keeper-started", "It has noted it, and has told nobody.";
    KeeperReaped = "keeper-reaped", "A process has ended and is gone, and its keeper has not noted it.";
    KeeperEnded = "keeper-ended", "It has noted it, and has told nobody.";
    KeeperForgotten = "keeper-forgotten", "A keeper has noted that a task may be forgotten, and has told nobody.";
}

/// A process passes a point, and dies if it is armed.
#[inline]
pub fn pass(point: Point) {
    #[cfg(debug_assertions)]
    armed::pass(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;

    use super::{HIT, Point, VARIABLE};

    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();

    pub fn pass(point: Point) {
        let folder = FOLDER.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from));
        if let Some(folder) = folder
            && take(folder, point)
        {
            eprintln!("process {} dies at {}", std::process::id(), point.name());
            std::process::abort();
        }
    }

    /// Whether the point is armed: true for the first who asks.
    pub fn take(folder: &Path, point: Point) -> bool {
        let armed = folder.join(point.name());
        std::fs::rename(&armed, armed.with_extension(HIT)).is_ok()
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_point_takes_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let point = Point::LogSync;
        assert!(!armed::take(folder.path(), point));
        std::fs::write(folder.path().join(point.name()), "").unwrap();
        assert!(!armed::take(folder.path(), Point::LogSynced));
        assert!(armed::take(folder.path(), point));
        assert!(!armed::take(folder.path(), point));
        assert!(folder.path().join("master-log-sync.hit").exists());
        pass(point);
    }
}
