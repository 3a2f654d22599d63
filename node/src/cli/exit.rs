//! How a command fails: an exit code, what went wrong, and what to do about it.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of every command but `run`, which gives the task's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and did not work.
    Failed,
    /// It makes no sense as asked.
    Usage,
    /// None of the addresses answers, or none of the masters knows a leader.
    NoMaster,
    /// What was named does not exist.
    NotFound,
    /// `run` could not run the task; its own code is not known.
    RunFailed,
}

impl Exit {
    /// The number for the shell.
    pub fn code(self) -> u8 {
        match self {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NoMaster => 3,
            Exit::NotFound => 4,
            Exit::RunFailed => 125,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For the shell.
    pub exit: Exit,
    /// What went wrong.
    pub error: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Failure {
    /// A failure with a hint.
    pub fn new(exit: Exit, error: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure {
            exit,
            error: error.into(),
            hint: hint.into(),
        }
    }

    /// Writes it to standard error and gives the code to exit with.
    pub fn report(&self) -> ExitCode {
        eprintln!("shoal: {self}");
        ExitCode::from(self.exit.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        if !self.hint.is_empty() {
            write!(f, "\nhint: {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
