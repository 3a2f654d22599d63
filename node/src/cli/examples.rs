//! Examples of every command: shown by `--help` and on the manual pages, and each one a test.

use clap::{Command, CommandFactory};

use super::flags::Flags;

/// A command, and what its help shows. `MASTER`, `TASK` and the like are for the reader to replace.
const EXAMPLES: &[(&[&str], &[&str])] = &[
    (
        &["node"],
        &[
            "shoal node --name a --roles master,agent --data /var/lib/shoal --bootstrap-expect 1 \
             --gossip-key-file /etc/shoal/gossip-key",
            "shoal node --name b --roles agent --join 10.0.0.1:7946 --insecure \
             --gossip-key-file /etc/shoal/gossip-key",
        ],
    ),
    (&["keyring", "generate"], &["shoal keyring generate"]),
    (&["keyring", "list"], &["shoal keyring list"]),
    (&["keyring", "install"], &["shoal keyring install"]),
    (&["keyring", "use"], &["shoal keyring use ID"]),
    (&["keyring", "remove"], &["shoal keyring remove ID"]),
    (&["dev"], &["shoal dev", "shoal dev --masters 3 --agents 3"]),
    (
        &["members"],
        &[
            "shoal members --status failed",
            "shoal members --tag db=mongo -o json",
            "shoal members --role member --detailed",
        ],
    ),
    (&["join"], &["shoal join 10.0.0.1:7946 10.0.0.2:7946"]),
    (&["leave"], &["shoal leave --addr 10.0.0.3:5050"]),
    (
        &["force-leave"],
        &["shoal force-leave NODE", "shoal force-leave --prune NODE"],
    ),
    (
        &["tags"],
        &["shoal tags", "shoal tags --set db=mongo --delete rack"],
    ),
    (
        &["event"],
        &["shoal event deploy 1.4.2", "shoal event --coalesce reload"],
    ),
    (
        &["query"],
        &[
            "shoal query uptime",
            "shoal query --tag db=mongo --timeout 5 -o json dump-status",
        ],
    ),
    (&["reachability"], &["shoal reachability --timeout 5"]),
    (
        &["rtt"],
        &["shoal rtt NODE", "shoal rtt NODE OTHER -o json"],
    ),
    (&["monitor"], &["shoal monitor", "shoal monitor -o json"]),
    (&["info"], &["shoal info --addr 10.0.0.3:5050"]),
    (&["leader"], &["shoal leader -o json"]),
    (
        &["tasks"],
        &[
            "shoal tasks",
            "shoal tasks --framework FRAMEWORK --state running",
            "shoal tasks --agent AGENT --all -o json",
        ],
    ),
    (&["offers"], &["shoal offers --agent AGENT"]),
    (&["agents"], &["shoal agents"]),
    (&["frameworks"], &["shoal frameworks"]),
    (
        &["run"],
        &[
            "shoal run -- echo hello",
            "shoal run --cpus 2 --mem 512 --count 10 --detach -- ./job --fast",
        ],
    ),
    (
        &["logs"],
        &["shoal logs -f TASK", "shoal logs --stderr TASK"],
    ),
    (
        &["kill"],
        &["shoal kill --grace 30 TASK", "shoal kill FRAMEWORK/TASK"],
    ),
    (
        &["explain"],
        &["shoal explain TASK", "shoal explain FRAMEWORK/TASK -o json"],
    ),
    (
        &["teardown"],
        &["shoal teardown FRAMEWORK", "shoal teardown --yes FRAMEWORK"],
    ),
    (
        &["events"],
        &[
            "shoal events",
            "shoal events -f --type task_status -o json",
            "shoal events --from 1042.3 --framework FRAMEWORK",
        ],
    ),
    (&["quorum", "list"], &["shoal quorum list"]),
    (&["quorum", "remove"], &["shoal quorum remove MASTER"]),
    (
        &["quorum", "recover"],
        &["shoal quorum recover /var/lib/shoal"],
    ),
    (&["backup"], &["shoal backup /backups/shoal-1"]),
    (
        &["restore"],
        &["shoal restore /backups/shoal-1 --data /var/lib/shoal"],
    ),
    (
        &["inspect"],
        &[
            "shoal inspect /var/lib/shoal",
            "shoal inspect --entries 100..120 -o json /var/lib/shoal/master",
            "shoal inspect /backups/shoal-1",
        ],
    ),
    (&["quorum", "reset"], &["shoal quorum reset /var/lib/shoal"]),
    (&["quorum", "promote"], &["shoal quorum promote MASTER"]),
    (
        &["quorum", "transfer"],
        &["shoal quorum transfer", "shoal quorum transfer MASTER"],
    ),
    (
        &["config", "check"],
        &["shoal config check /etc/shoal/node.toml"],
    ),
    (&["config", "show"], &["shoal config show --roles master"]),
    (&["config", "reference"], &["shoal config reference"]),
    (&["dashboards"], &["shoal dashboards --dir /tmp/dashboards"]),
    (&["doctor"], &["shoal doctor --data /var/lib/shoal"]),
    (
        &["completions"],
        &[
            "shoal completions bash > /etc/bash_completion.d/shoal",
            "shoal completions zsh > ~/.zfunc/_shoal",
            "shoal completions fish > ~/.config/fish/completions/shoal.fish",
        ],
    ),
    (&["man"], &["shoal man --dir /usr/local/share/man/man1"]),
    (&["bench", "ledger"], &["shoal bench ledger --duration 10"]),
    (&["bench", "launch"], &["shoal bench launch --tasks 50"]),
    (&["bench", "tasks"], &["shoal bench tasks -o json"]),
    (
        &["bench", "failover"],
        &["shoal bench failover --rounds 5 --stops 3"],
    ),
    (
        &["bench", "elections"],
        &["shoal bench elections --duration 60"],
    ),
    (&["bench", "idle"], &["shoal bench idle --duration 300"]),
    (
        &["bench", "allocator"],
        &["shoal bench allocator --agents 1000"],
    ),
];

/// What the exit codes mean, below the examples.
const CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no master can be reached, \
                     4 not found.";
const RUN_CODES: &str = "Exit codes: the first task's code that is not 0; 128 and the signal's \
                         number if a signal ended it; 125 if Shoal failed; 2 wrong usage.";

/// The command line with its examples.
pub fn command() -> Command {
    let mut command = Flags::command();
    command = command.after_help(CODES);
    for (path, examples) in EXAMPLES {
        let codes = match path {
            ["run"] => RUN_CODES,
            _ => CODES,
        };
        let text = format!("Examples:\n  {}\n\n{codes}", examples.join("\n  "));
        command = with(command, path, &text);
    }
    command
}

fn with(command: Command, path: &[&str], text: &str) -> Command {
    match path {
        [] => command.after_help(text.to_owned()),
        [first, rest @ ..] => command.mut_subcommand(first, |inner| with(inner, rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `look` with the path of every command that a user sees.
    fn walk(command: &Command, path: &[String], look: &mut impl FnMut(&[String], &Command)) {
        look(path, command);
        for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            let path = [path, &[inner.get_name().to_owned()]].concat();
            walk(inner, &path, look);
        }
    }

    #[test]
    fn every_command_and_flag_says_what_it_is_for() {
        walk(&command(), &[], &mut |path, command| {
            assert!(command.get_about().is_some(), "{path:?} has no about text");
            for argument in command.get_arguments() {
                let help = argument.get_help().is_some();
                assert!(help, "{path:?} does not explain {}", argument.get_id());
            }
        });
    }

    #[test]
    fn every_command_has_an_example_that_is_accepted() {
        let mut missing = Vec::new();
        walk(&command(), &[], &mut |path, command| {
            let leaf = command.get_subcommands().next().is_none();
            if leaf && !EXAMPLES.iter().any(|(of, _)| *of == path) {
                missing.push(path.join(" "));
            }
        });
        assert!(missing.is_empty(), "no example in EXAMPLES: {missing:?}");
        for (path, examples) in EXAMPLES {
            for example in *examples {
                let words = example.split(" > ").next().unwrap_or_default();
                let words: Vec<&str> = words.split(' ').collect();
                assert_eq!(&words[1..=path.len()], *path, "{example}");
                let read = command().try_get_matches_from(&words);
                assert!(read.is_ok(), "{example}: {}", read.unwrap_err());
            }
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }
}
