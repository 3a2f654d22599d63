//! The flags of the commands about members.

use std::time::Duration;

use clap::Args;

use super::flags::seconds;

/// `shoal members`.
#[derive(Args, Clone, Debug)]
pub struct MembersFlags {
    /// Only members of this status: alive, suspect, leaving, left or failed.
    #[arg(long, value_name = "S", value_parser = ["alive", "suspect", "leaving", "left", "failed"])]
    pub status: Option<String>,
    /// Only those whose tag matches: a regular expression for all of the value. May be given more
    /// than once; all must match.
    #[arg(long, value_name = "KEY=VALUE", value_parser = condition)]
    pub tag: Vec<String>,
    /// Only those that are master, agent, or neither (`member`).
    #[arg(long, value_name = "ROLE", value_parser = ["master", "agent", "member"])]
    pub role: Option<String>,
    /// Only those with this name; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub name: Vec<String>,
    /// Their tags too.
    #[arg(long)]
    pub detailed: bool,
}

/// `shoal join`.
#[derive(Args, Clone, Debug)]
pub struct JoinFlags {
    /// Gossip addresses of members; any living one will do.
    #[arg(required = true, value_name = "HOST:PORT")]
    pub addresses: Vec<String>,
}

/// `shoal force-leave`.
#[derive(Args, Clone, Debug)]
pub struct ForceLeaveFlags {
    /// Forget it at once, and do not list it as left for a day.
    #[arg(long)]
    pub prune: bool,
    /// Its name, or its id.
    pub member: String,
}

/// `shoal tags`.
#[derive(Args, Clone, Debug)]
pub struct TagsFlags {
    /// Give it this tag; may be given more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Take this tag from it; may be given more than once.
    #[arg(long, value_name = "KEY")]
    pub delete: Vec<String>,
}

/// `shoal event`.
#[derive(Args, Clone, Debug)]
pub struct EventFlags {
    /// Whoever acts on it may act on the newest of its name only.
    #[arg(long)]
    pub coalesce: bool,
    /// What it is called.
    pub name: String,
    /// What it says; with the name at most 1024 bytes.
    #[arg(default_value = "", hide_default_value = true)]
    pub payload: String,
}

/// `shoal query`.
#[derive(Args, Clone, Debug)]
pub struct QueryFlags {
    /// Ask only the member with this name; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub node: Vec<String>,
    /// Ask only those whose tag matches: a regular expression for all of the value.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub tag: Vec<(String, String)>,
    /// How long answers count, at most 20 s; by default what gossip needs in a cluster of that size.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Through how many other members each answer comes too, for networks that lose much.
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub relay: u8,
    /// What it is called.
    pub name: String,
    /// What it says.
    #[arg(default_value = "", hide_default_value = true)]
    pub payload: String,
}

/// `shoal rtt`.
#[derive(Args, Clone, Debug)]
pub struct RttFlags {
    /// A member, by name or id.
    pub from: String,
    /// Another one; the node that is asked by default.
    pub to: Option<String>,
}

/// `shoal reachability`.
#[derive(Args, Clone, Debug)]
pub struct WaitFlags {
    /// How long to wait, at most 20 s; by default what gossip needs in a cluster of that size.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE".to_owned()),
    }
}

fn condition(text: &str) -> Result<String, String> {
    pair(text).map(|_| text.to_owned())
}
