//! A task as a process: its command, its environment, its user.

use std::path::Path;

use shoal_api::HostPort;
use shoal_api::task::{Assignment, Command};
use shoal_keeper::protocol::{Identity, Spec};

use super::user;

/// Where programs are looked for, unless the task says otherwise. Source: the recorded environment of
/// a Mesos executor.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The user under whom a task runs; `None` is the agent's own.
///
/// # Errors
/// For people: there is no such user, or the machine does not say.
pub fn identity(assignment: &Assignment, root: bool) -> Result<Option<Identity>, String> {
    let name: &str = match &assignment.spec.user {
        Some(user) => user,
        None => &assignment.framework_user,
    };
    // Only root can become somebody else; for everybody else all tasks are their own.
    if !root || name.is_empty() || name == "root" {
        return Ok(None);
    }
    match user::find(name) {
        Ok(Some(identity)) => Ok(Some(identity)),
        Ok(None) => Err(format!("this machine has no user '{name}'")),
        Err(error) => Err(format!("the users of this machine cannot be read: {error}")),
    }
}

/// What the keeper is to start.
///
/// # Panics
/// The task has no command; the agent machine never asks for such a one.
pub fn spec(
    assignment: &Assignment,
    sandbox: &Path,
    agent: &HostPort,
    identity: Option<Identity>,
) -> Spec {
    let command = assignment.spec.command.as_ref().expect("it has a command");
    let (program, arguments) = match command {
        Command::Shell(line) => {
            let arguments = vec!["sh".to_owned(), "-c".to_owned(), line.to_string()];
            ("/bin/sh".to_owned(), arguments)
        }
        Command::Exec { program, arguments } if arguments.is_empty() => {
            (program.to_string(), vec![program.to_string()])
        }
        Command::Exec { program, arguments } => (
            program.to_string(),
            arguments.iter().map(ToString::to_string).collect(),
        ),
    };
    let directory = text(sandbox);
    Spec {
        program,
        arguments,
        environment: environment(assignment, &directory, agent),
        stdout: text(&sandbox.join("stdout")),
        stderr: text(&sandbox.join("stderr")),
        directory,
        identity,
        umask: 0o022,
    }
}

fn text(path: &Path) -> String {
    path.to_str()
        .expect("the agent's folder is checked to be text")
        .to_owned()
}

/// What Mesos gives a command task; the task's own variables come last and win.
fn environment(assignment: &Assignment, sandbox: &str, agent: &HostPort) -> Vec<(String, String)> {
    let key = &assignment.key;
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| all.push((name.to_owned(), value));
    if let Some(ip) = agent.ip() {
        add("LIBPROCESS_IP", ip.to_string());
    }
    add("LIBPROCESS_PORT", "0".to_owned());
    add("MESOS_AGENT_ENDPOINT", agent.to_string());
    add("MESOS_ALLOCATION_ROLE", assignment.role.to_string());
    add("MESOS_CHECKPOINT", "1".to_owned());
    add("MESOS_DIRECTORY", sandbox.to_owned());
    add("MESOS_EXECUTOR_ID", key.task.to_string());
    add("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs".to_owned());
    add("MESOS_FRAMEWORK_ID", key.framework.to_string());
    add("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned());
    add("MESOS_RECOVERY_TIMEOUT", "15mins".to_owned());
    add("MESOS_SANDBOX", sandbox.to_owned());
    add("MESOS_SLAVE_ID", assignment.agent.to_string());
    add("MESOS_SLAVE_PID", format!("slave(1)@{agent}"));
    add("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs".to_owned());
    add("PATH", PATH.to_owned());
    for (name, value) in &assignment.spec.environment {
        all.retain(|(other, _)| **other != **name);
        all.push((name.to_string(), value.to_string()));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use shoal_api::{
        AgentId, FrameworkId, LaunchIndex, Origin, Resources, Role, TaskId, TaskKey, TaskSpec,
    };

    use super::*;

    fn assignment(command: Command, environment: &[(&str, &str)]) -> Assignment {
        let task = TaskId::new("t1").unwrap();
        Assignment {
            key: TaskKey {
                framework: FrameworkId::new("f1").unwrap(),
                task: task.clone(),
                launch: LaunchIndex(1),
            },
            agent: AgentId {
                origin: Origin(1),
                number: 2,
            },
            role: Role::any(),
            spec: Arc::new(TaskSpec {
                id: task,
                name: Arc::from("t"),
                resources: Resources::parse("cpus:1").unwrap(),
                command: Some(command),
                environment: environment
                    .iter()
                    .map(|(name, value)| (Arc::from(*name), Arc::from(*value)))
                    .collect(),
                user: None,
                kill_grace: None,
                unsupported: None,
                raw: Bytes::new(),
                digest: None,
            }),
            framework_user: Arc::from("no-such-user"),
            framework_name: Arc::from("f"),
        }
    }

    #[test]
    fn a_task_sees_what_mesos_shows_and_its_own_wins() {
        let own = [("PATH", "/mine"), ("A", "1"), ("A", "2")];
        let assignment = assignment(Command::Shell(Arc::from("true")), &own);
        let agent = HostPort::new("127.0.0.2", 5051);
        let spec = spec(&assignment, Path::new("/s"), &agent, None);
        let get = |name: &str| {
            let mut all = spec.environment.iter().filter(|(n, _)| n == name);
            let value = all.next().map(|(_, value)| value.as_str());
            assert!(all.next().is_none(), "{name} stands twice");
            value
        };
        assert_eq!(get("PATH"), Some("/mine"));
        assert_eq!(get("A"), Some("2"));
        assert_eq!(get("MESOS_SANDBOX"), Some("/s"));
        assert_eq!(get("MESOS_SLAVE_PID"), Some("slave(1)@127.0.0.2:5051"));
        assert_eq!(get("MESOS_EXECUTOR_ID"), Some("t1"));
        assert_eq!(get("LIBPROCESS_IP"), Some("127.0.0.2"));
        assert_eq!(spec.arguments, ["sh", "-c", "true"]);
    }

    #[test]
    fn programs_keep_their_arguments() {
        let exec = |arguments: &[&str]| {
            let command = Command::Exec {
                program: Arc::from("/bin/echo"),
                arguments: arguments.iter().map(|a| Arc::from(*a)).collect(),
            };
            let agent = HostPort::new("a", 1);
            spec(&assignment(command, &[]), Path::new("/s"), &agent, None)
        };
        assert_eq!(exec(&[]).arguments, ["/bin/echo"]);
        assert_eq!(exec(&["echo", "x y"]).arguments, ["echo", "x y"]);
        assert_eq!(exec(&[]).program, "/bin/echo");
    }

    #[test]
    fn only_root_looks_for_users() {
        let assignment = assignment(Command::Shell(Arc::from("true")), &[]);
        assert_eq!(identity(&assignment, false), Ok(None));
        assert!(
            identity(&assignment, true)
                .unwrap_err()
                .contains("no-such-user")
        );
    }
}
