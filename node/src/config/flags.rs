//! The flags of a node: one for each key, made of the table.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::key::{Key, Shape, Standard};
use super::layers::{DEFAULT_FILE, FILE_VARIABLE};
use super::settings::KEYS;

/// What was given on a command line; nothing of it is checked yet.
#[derive(Clone, Debug, Default)]
pub struct NodeFlags {
    /// The file to read; an empty path means none.
    pub config: Option<PathBuf>,
    /// The texts that were given for each key.
    pub given: BTreeMap<&'static str, Vec<String>>,
    /// Whether to end when standard input does.
    pub lifeline: bool,
}

/// The flag of each key, which clap wants to live as long as the program.
static FLAGS: LazyLock<Vec<String>> = LazyLock::new(|| KEYS.iter().map(Key::flag).collect());

impl Args for NodeFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(OsString))
            .help(format!(
                "The file to read, '' for none [env: {FILE_VARIABLE}] [default: {DEFAULT_FILE} if it is there]"
            ));
        let lifeline = Arg::new("lifeline")
            .long("lifeline")
            .action(ArgAction::SetTrue)
            .hide(true)
            .help("End, with tasks and keeper, as soon as standard input is closed");
        let keys = KEYS
            .iter()
            .zip(FLAGS.iter())
            .map(|(key, flag)| arg(key, flag));
        command.arg(config).args(keys).arg(lifeline)
    }

    fn augment_args_for_update(command: Command) -> Command {
        NodeFlags::augment_args(command)
    }
}

fn arg(key: &'static Key, flag: &'static str) -> Arg {
    let default = match key.default {
        Standard::Value(value) => value.to_owned(),
        Standard::Unset(meaning) => meaning.replace('`', ""),
    };
    let mut letters = key.help.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let help: String = first.chain(letters).collect();
    let arg = Arg::new(key.name)
        .long(flag)
        .value_name(key.placeholder)
        .allow_hyphen_values(false)
        .help(format!(
            "{help}: {} [env: {}] [default: {default}]",
            key.range.replace('`', ""),
            key.variable(),
        ));
    match key.shape {
        Shape::List => arg.num_args(1..).action(ArgAction::Append),
        Shape::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Shape::Text | Shape::Number => arg,
    }
}

impl FromArgMatches for NodeFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<NodeFlags, clap::Error> {
        let mut given = BTreeMap::new();
        for key in KEYS {
            if let Some(texts) = matches.get_many::<String>(key.name) {
                given.insert(key.name, texts.cloned().collect());
            }
        }
        Ok(NodeFlags {
            config: matches.get_one::<OsString>("config").map(PathBuf::from),
            given,
            lifeline: matches.get_flag("lifeline"),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = NodeFlags::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl NodeFlags {
    /// The flags of a command line.
    pub(crate) fn of(arguments: &[&str]) -> NodeFlags {
        use crate::cli::flags::{Command, Flags};
        let all = ["shoal", "node"].iter().chain(arguments);
        let flags = <Flags as clap::Parser>::try_parse_from(all).expect("flags that parse");
        let Command::Node(flags) = flags.command else {
            panic!("not a node");
        };
        *flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_switches_are_taken_in_every_form() {
        let flags = NodeFlags::of(&["--join", "a:1", "b:2", "--join=c:3,d:4", "--insecure"]);
        assert_eq!(flags.given["join"], ["a:1", "b:2", "c:3,d:4"]);
        assert_eq!(flags.given["insecure"], ["true"]);
        let flags = NodeFlags::of(&["--insecure=false", "--roles=master,agent", "--config="]);
        assert_eq!(flags.given["insecure"], ["false"]);
        assert_eq!(flags.given["roles"], ["master,agent"]);
        assert_eq!(flags.config, Some(PathBuf::new()));
        assert!(!flags.given.contains_key("name"));
    }
}
