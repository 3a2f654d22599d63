//! One node of a development cluster as a child process, with the line that its life hangs on.
//!
//! The line is a socket pair: one end here, the other as standard input of the node and of its
//! keeper. Whatever ends this process, the other end sees the end of file and everything ends; and
//! once nobody holds the other end any more, this end sees that nobody is left.

use std::fs::OpenOptions;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::layout;
use crate::config::settings::{KEYS, Settings};

/// The two ends of the line.
#[derive(Debug)]
pub struct Lifeline {
    here: UnixStream,
    /// Kept for the next life of the node; gone once the cluster ends.
    there: Option<UnixStream>,
}

impl Lifeline {
    /// A new line.
    ///
    /// # Errors
    /// The kernel has no socket left.
    pub fn new() -> io::Result<Lifeline> {
        let (here, there) = UnixStream::pair()?;
        Ok(Lifeline {
            here,
            there: Some(there),
        })
    }

    /// One more copy of the far end, for a process that is to end with this one.
    ///
    /// # Errors
    /// The kernel has no descriptor left.
    pub fn far_end(&self) -> io::Result<OwnedFd> {
        let there = self
            .there
            .as_ref()
            .expect("no process starts after the end");
        Ok(there.try_clone()?.into())
    }

    /// Ends everything that holds the far end, and waits until nobody does.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if somebody still does.
    pub async fn cut(mut self, patience: Duration) -> io::Result<()> {
        self.there = None;
        self.here.shutdown(Shutdown::Write)?;
        self.here.set_nonblocking(true)?;
        let here = tokio::net::UnixStream::from_std(self.here)?;
        let mut byte = [0_u8; 64];
        let gone = async {
            loop {
                here.readable().await?;
                match here.try_read(&mut byte) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        match tokio::time::timeout(patience, gone).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// A node, alive or about to be started again.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    log: PathBuf,
    lifeline: Lifeline,
    process: Option<Child>,
}

impl Node {
    /// A node that was not started.
    ///
    /// # Errors
    /// The kernel has no socket left.
    pub fn new(settings: Settings) -> io::Result<Node> {
        let name = settings.name.as_ref().expect("a dev node has a name");
        let folder = settings
            .data
            .parent()
            .expect("a dev node has a folder in the cluster's");
        Ok(Node {
            log: folder.join(format!("{name}.log")),
            lifeline: Lifeline::new()?,
            process: None,
            settings,
        })
    }

    /// What it was planned to be.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where it writes its log.
    pub fn log(&self) -> &PathBuf {
        &self.log
    }

    /// Starts its process and gives its pid.
    ///
    /// # Errors
    /// The log or the program cannot be opened.
    pub fn start(&mut self) -> io::Result<u32> {
        assert!(self.process.is_none(), "a node is started while it runs");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut command = Command::new(std::env::current_exe()?);
        for key in KEYS.iter().filter(|key| !key.name.starts_with("log_")) {
            command.env_remove(key.variable());
        }
        let process = command
            .args(layout::arguments(&self.settings))
            .stdin(Stdio::from(self.lifeline.far_end()?))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .process_group(0)
            .spawn()?;
        let pid = process
            .id()
            .expect("a process that was not waited for has a pid");
        self.process = Some(process);
        Ok(pid)
    }

    /// Waits for its end; for ever if it does not run.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        match &mut self.process {
            Some(process) => {
                let status = process.wait().await;
                self.process = None;
                status
            }
            None => std::future::pending().await,
        }
    }

    /// Asks it to end in good order.
    pub fn terminate(&self) {
        let pid = self.process.as_ref().and_then(Child::id);
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // A process that is gone already needs no signal; it stays a zombie until waited for,
            // so the pid is nobody else's.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }

    /// Waits for its end, then ends it the hard way, with keeper and tasks.
    ///
    /// # Errors
    /// A process is left over.
    pub async fn end(mut self, patience: Duration) -> io::Result<()> {
        if let Some(process) = &mut self.process
            && tokio::time::timeout(patience, process.wait())
                .await
                .is_err()
        {
            process.start_kill()?;
            process.wait().await?;
        }
        self.lifeline.cut(patience).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_line_is_seen_on_both_ends() {
        let line = Lifeline::new().unwrap();
        let far = line.far_end().unwrap();
        let reader = std::thread::spawn(move || {
            let mut far = UnixStream::from(far);
            io::Read::read(&mut far, &mut [0_u8; 1])
        });
        line.cut(Duration::from_secs(20)).await.unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 0);
    }
}
