//! What the API sees of a running agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shoal_agent::{AgentView, TaskView};
use shoal_api::{AgentInfo, TaskKey};
use tokio::sync::{mpsc, oneshot, watch};

use super::files::Files;
use super::{Status, limits};

/// A handle to look at an agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Window {
    /// What the agent is and has.
    pub info: AgentInfo,
    /// The files of its tasks.
    pub files: Files,
    /// How it is.
    pub status: watch::Receiver<Status>,
    root: PathBuf,
    asks: mpsc::Sender<oneshot::Sender<Seen>>,
}

/// Where the agent's loop is asked.
pub type Asks = mpsc::Receiver<oneshot::Sender<Seen>>;

/// What is seen of an agent at one moment.
#[derive(Debug)]
pub struct Seen {
    /// What its machine shows.
    pub view: AgentView,
    /// The first process of each task that runs, as its keeper said last.
    pub pids: BTreeMap<TaskKey, u32>,
}

impl Window {
    /// A window to an agent with that folder, and the loop's side of it.
    pub fn new(info: AgentInfo, root: &Path, status: watch::Receiver<Status>) -> (Window, Asks) {
        let (asks, asked) = mpsc::channel(limits::VIEWS);
        let window = Window {
            info,
            files: Files::new(root),
            status,
            root: root.to_owned(),
            asks,
        };
        (window, asked)
    }

    /// What the agent shows of its tasks; `None` if it has ended.
    pub async fn view(&self) -> Option<AgentView> {
        self.look().await.map(|seen| seen.view)
    }

    /// The same, with the tasks' processes.
    pub async fn look(&self) -> Option<Seen> {
        let (reply, seen) = oneshot::channel();
        self.asks.send(reply).await.ok()?;
        seen.await.ok()
    }

    /// The sandbox of a task, as its path on this machine.
    pub fn directory(&self, task: &TaskView) -> String {
        let key = &task.assignment.key;
        let path = self.root.join(format!(
            "slaves/{}/frameworks/{}/executors/{}/runs/{}",
            task.assignment.agent, key.framework, key.task, task.container
        ));
        path.display().to_string()
    }
}
