//! The command line: every command and flag, with its default. What a command does is elsewhere.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shoal_api::Resources;
use shoal_api::agent::HostPort;

pub use super::members_flags::{
    EventFlags, ForceLeaveFlags, JoinFlags, MembersFlags, QueryFlags, RttFlags, TagsFlags,
    WaitFlags,
};
use crate::bench::flags::BenchFlags;
use crate::config::flags::NodeFlags;

/// Turn many machines into one.
#[derive(Debug, Parser)]
#[command(
    name = "shoal",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Flags {
    /// The API of a master: HOST:PORT, several by comma, tried in order.
    #[arg(
        long,
        global = true,
        env = "SHOAL_ADDR",
        value_name = "ADDR",
        default_value = "127.0.0.1:5050",
        hide_env_values = true
    )]
    pub addr: String,
    /// How to print.
    #[arg(
        short = 'o',
        long = "output",
        global = true,
        value_enum,
        default_value = "table"
    )]
    pub output: OutputForm,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// Columns for people.
    Table,
    /// One JSON document, as the API gave it.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one node of a cluster.
    Node(Box<NodeFlags>),
    /// Run a whole cluster on this machine, for development.
    Dev(DevFlags),
    /// Be the parent of an agent's tasks; started by the agent.
    #[command(hide = true)]
    Keeper(KeeperFlags),
    /// List the members of the gossip.
    Members(MembersFlags),
    /// Make a node join others.
    Join(JoinFlags),
    /// Make a node leave for good: it tells the others, and ends.
    Leave,
    /// Take a member that failed off the list.
    ForceLeave(ForceLeaveFlags),
    /// Show or change the tags that a node was given.
    Tags(TagsFlags),
    /// Tell all members an event.
    Event(EventFlags),
    /// Ask members, and print their answers.
    Query(QueryFlags),
    /// Ask all members for a sign of life.
    Reachability(WaitFlags),
    /// Say how long a round trip between two members takes, by their coordinates.
    Rtt(RttFlags),
    /// Print what happens among the members, as it happens.
    Monitor,
    /// Show a node as it sees itself.
    Info,
    /// Show the leading master.
    Leader,
    /// List tasks.
    #[command(visible_alias = "ps")]
    Tasks(TasksFlags),
    /// List the offers that are out.
    Offers(OffersFlags),
    /// List agents.
    Agents,
    /// List frameworks.
    Frameworks,
    /// Run a command somewhere in the cluster, with its output here.
    Run(RunFlags),
    /// Print what a task wrote.
    Logs(LogsFlags),
    /// End a task.
    Kill(KillFlags),
    /// Tell the life of a task: offered, launched, each state and why, who ended it.
    Explain(ExplainFlags),
    /// Remove a framework for ever, with all its tasks.
    Teardown(TeardownFlags),
    /// Print what the ledger did: tasks, offers, agents, frameworks, masters.
    Events(EventsFlags),
    /// Look after the quorum of masters.
    Quorum {
        /// What to do with it.
        #[command(subcommand)]
        command: QuorumCommand,
    },
    /// Look after the keys that seal the gossip.
    Keyring {
        /// What to do with them.
        #[command(subcommand)]
        command: KeyringCommand,
    },
    /// Store the whole ledger of a running cluster in a file.
    Backup(BackupFlags),
    /// Make a data directory out of a backup, when the cluster is lost.
    Restore(RestoreFlags),
    /// Look into a data directory, a log segment, a snapshot or a backup; changes nothing.
    Inspect(InspectFlags),
    /// Look at the configuration of a node.
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Write dashboards for Grafana, alert rules for Prometheus, and what to do about each alert.
    Dashboards(DashboardsFlags),
    /// Say what is wrong on this node, and what to do; takes the flags of `shoal node`.
    Doctor(Box<NodeFlags>),
    /// Print what makes a shell complete this program's words.
    Completions(CompletionsFlags),
    /// Write the manual pages, one per command.
    Man(ManFlags),
    /// Measure.
    Bench(BenchFlags),
}

/// `shoal dev`.
#[derive(Args, Clone, Debug)]
pub struct DevFlags {
    /// How many masters: 1, 3 or 5.
    #[arg(long, value_name = "N", default_value = "1", value_parser = quorum_size)]
    pub masters: u8,
    /// How many agents.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub agents: u8,
    /// Where the first master serves the API; the other ports and addresses follow it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5050")]
    pub http: SocketAddr,
    /// Where the nodes keep their data; `.shoal/dev-PORT` by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Remove the data of an earlier cluster first.
    #[arg(long)]
    pub clean: bool,
    /// What each agent offers; by default they share the machine.
    #[arg(long, value_parser = resources)]
    pub resources: Option<Resources>,
}

/// `shoal keeper`.
#[derive(Args, Clone, Debug)]
pub struct KeeperFlags {
    /// The keeper's folder.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// End, with all tasks, as soon as standard input is closed.
    #[arg(long)]
    pub lifeline: bool,
}

/// `shoal dashboards`.
#[derive(Args, Clone, Debug)]
pub struct DashboardsFlags {
    /// The folder to write into; it is made, and files of an earlier version are replaced.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the alerts link to; the page is served by every node.
    #[arg(long, value_name = "URL", default_value = shoal_dashboards::RUNBOOKS)]
    pub runbooks: String,
}

/// `shoal tasks`, which is `shoal ps` too.
#[derive(Args, Clone, Debug)]
pub struct TasksFlags {
    /// Ended tasks too.
    #[arg(short, long)]
    pub all: bool,
    /// Only those of this framework, by id or name.
    #[arg(long, value_name = "FRAMEWORK")]
    pub framework: Option<String>,
    /// Only those on this agent, by id or name.
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Only those in this state: TASK_RUNNING or running, and so on; WAITING have no agent so far.
    /// With the name of an end, ended tasks.
    #[arg(long, value_name = "STATE")]
    pub state: Option<String>,
}

/// `shoal offers`.
#[derive(Args, Clone, Debug)]
pub struct OffersFlags {
    /// Only those to this framework, by id or name.
    #[arg(long, value_name = "FRAMEWORK")]
    pub framework: Option<String>,
    /// Only those of this agent, by id or name.
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
}

/// `shoal explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainFlags {
    /// The task's id, or FRAMEWORK/TASK.
    pub task: String,
}

/// `shoal teardown`.
#[derive(Args, Clone, Debug)]
pub struct TeardownFlags {
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// The framework's id, or its name if no other has it.
    pub framework: String,
}

/// `shoal run`.
#[derive(Args, Clone, Debug)]
pub struct RunFlags {
    /// How much of a processor each task gets.
    #[arg(long, value_name = "N", default_value = "0.1")]
    pub cpus: f64,
    /// How much memory each task gets, in MB.
    #[arg(long, value_name = "MB", default_value = "32")]
    pub mem: f64,
    /// A name for people; the command's own by default.
    #[arg(long)]
    pub name: Option<String>,
    /// A variable of the environment; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", value_parser = environment)]
    pub env: Vec<(String, String)>,
    /// How many tasks to run.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
    /// Print the tasks' ids and do not wait for them.
    #[arg(long)]
    pub detach: bool,
    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `shoal logs`.
#[derive(Args, Clone, Debug)]
pub struct LogsFlags {
    /// Go on until the task has ended.
    #[arg(short, long)]
    pub follow: bool,
    /// What it wrote to standard error; printed to standard output all the same.
    #[arg(long)]
    pub stderr: bool,
    /// The task's id.
    pub task: String,
}

/// `shoal kill`.
#[derive(Args, Clone, Debug)]
pub struct KillFlags {
    /// How long to wait between TERM and KILL; the task's own by default.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub grace: Option<Duration>,
    /// The task's id.
    pub task: String,
}

/// `shoal events`.
#[derive(Args, Clone, Debug)]
pub struct EventsFlags {
    /// Go on for ever with what happens; comes back by itself when a master dies.
    #[arg(short, long)]
    pub follow: bool,
    /// Where to begin: INDEX or INDEX.NUMBER of an event, `oldest`, or `now`; `oldest` by default,
    /// `now` with --follow.
    #[arg(long, value_name = "POSITION")]
    pub from: Option<String>,
    /// Only these types, by comma, such as task_status.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Only what is about this task: TASK or FRAMEWORK/TASK.
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Only what is about this agent, by id or name.
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Only what is about this framework, its tasks and offers; by id or name.
    #[arg(long, value_name = "FRAMEWORK")]
    pub framework: Option<String>,
}

/// `shoal backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupFlags {
    /// Where to; there must be no such file.
    pub file: PathBuf,
}

/// `shoal restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreFlags {
    /// What `shoal backup` stored.
    pub file: PathBuf,
    /// The data directory of the first master; it must be empty or not there.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
}

/// `shoal inspect`.
#[derive(Args, Clone, Debug)]
pub struct InspectFlags {
    /// Print these entries of the log, decoded: `A..B`, both included, or one index.
    #[arg(long, value_name = "A..B", value_parser = index_range)]
    pub entries: Option<std::ops::RangeInclusive<u64>>,
    /// What to look at; its node may run.
    pub path: PathBuf,
}

/// `shoal quorum`.
#[derive(Clone, Debug, Subcommand)]
pub enum QuorumCommand {
    /// List the voters and learners.
    List,
    /// Remove a master for ever.
    Remove {
        /// Its Raft id, or its name.
        master: String,
    },
    /// On a stopped node: go on from its disk alone, when most masters are lost for good. What only
    /// they had is lost.
    Recover {
        /// The data directory of the master that goes on: the one whose log reaches furthest.
        #[arg(value_name = "DIR")]
        data: PathBuf,
        /// Do not ask.
        #[arg(long)]
        yes_i_lose_data: bool,
    },
    /// On a stopped node: put its ledger aside and make it a new master, with the agent it had.
    Reset {
        /// The node's data directory.
        #[arg(value_name = "DIR")]
        data: PathBuf,
    },
    /// Give a caught-up spare a vote: one voter more.
    Promote {
        /// Its Raft id, or its name.
        master: String,
    },
    /// Hand leadership over.
    Transfer {
        /// To this Raft id or name; to any caught-up master by default.
        master: Option<String>,
    },
}

/// `shoal keyring`.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyringCommand {
    /// Print a new key, for every node of a cluster; it is stored nowhere.
    Generate,
    /// List the keys of all members by their ids: how many have each, how many seal with it.
    List,
    /// Give all members one more key to open with. The key is read from standard input.
    Install,
    /// Let all members seal with a key that all of them have.
    Use {
        /// The id of the key.
        id: String,
    },
    /// Let all members forget a key that none of them seals with.
    Remove {
        /// The id of the key.
        id: String,
    },
}

/// `shoal config`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with a file.
    Check {
        /// The file; that of `shoal node` by default.
        file: Option<PathBuf>,
    },
    /// Print every value and where it comes from; takes the flags of `shoal node`.
    Show(Box<NodeFlags>),
    /// Print the page of all keys.
    Reference,
}

/// `shoal completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsFlags {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `shoal man`.
#[derive(Args, Clone, Debug)]
pub struct ManFlags {
    /// The folder to write into; it is made, and pages of an earlier version are replaced.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// Reads `HOST:PORT`, `1.2.3.4:PORT` or `[v6]:PORT`.
///
/// # Errors
/// A text that says what is wrong.
pub fn parse_host_port(text: &str) -> Result<HostPort, String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("'{text}' has no port, expected HOST:PORT"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| format!("'{port}' is not a port, expected a number up to 65535"))?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match bare {
        Some(inner) => inner,
        None if host.contains(':') => {
            return Err(format!("'{host}' has colons, expected [{host}]:{port}"));
        }
        None => host,
    };
    if host.is_empty() || !host.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!(
            "'{text}' has no host, expected HOST:PORT with a name or an address in plain letters"
        ));
    }
    Ok(HostPort::new(host, port))
}

fn resources(text: &str) -> Result<Resources, String> {
    Resources::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn quorum_size(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err("a quorum has 1, 3 or 5 masters".to_owned()),
    }
}

fn index_range(text: &str) -> Result<std::ops::RangeInclusive<u64>, String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|_| format!("'{text}' is no index, expected A..B or one number"))
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("{first} is after {last}"));
    }
    Ok(first..=last)
}

fn environment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE".to_owned()),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| format!("'{text}' is not a number of seconds"))?;
    Duration::try_from_secs_f64(number).map_err(|_| format!("'{text}' is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn host_and_port_are_read_in_all_forms() {
        for (text, host, port) in [
            ("a.b:5", "a.b", 5),
            ("1.2.3.4:65535", "1.2.3.4", 65535),
            ("[::1]:7946", "::1", 7946),
        ] {
            assert_eq!(parse_host_port(text), Ok(HostPort::new(host, port)));
        }
        for bad in ["", "a", ":5", "a:", "a:65536", "::1:5", "a b:5"] {
            assert!(parse_host_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_quorum_is_odd_and_small() {
        assert!(Flags::try_parse_from(["shoal", "dev", "--masters", "2"]).is_err());
        assert!(Flags::try_parse_from(["shoal", "dev", "--masters", "3"]).is_ok());
    }

    #[test]
    fn a_range_of_entries_is_read() {
        assert_eq!(index_range("3..9"), Ok(3..=9));
        assert_eq!(index_range("7"), Ok(7..=7));
        for bad in ["", "..", "9..3", "a..b", "1..2..3", "-1..2"] {
            assert!(index_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_to_run_keeps_its_own_flags() {
        let flags =
            Flags::try_parse_from(["shoal", "run", "--cpus", "1", "--", "ls", "-o", "x"]).unwrap();
        let Command::Run(run) = flags.command else {
            panic!("not a run");
        };
        assert_eq!(run.command, ["ls", "-o", "x"]);
    }
}
