//! The agent machine as transcripts: what it was told, then what it wanted.
//!
//! Each file in `testscripts/` is a list of blocks: commands, a line `---`, and what came out, up to an
//! empty line. `UPDATE_TRANSCRIPTS=1` writes anew what comes out; read the difference before you keep
//! it.

mod script;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use script::Script;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "who runs the test says whether it writes"
)]
fn transcripts_are_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(paths.len() >= 8);
    let update = std::env::var_os("UPDATE_TRANSCRIPTS").is_some();
    let mut wrong = Vec::new();
    for path in paths {
        let expected = fs::read_to_string(&path).unwrap();
        let actual = run(&expected);
        if update {
            fs::write(&path, &actual).unwrap();
        } else if actual != expected {
            wrong.push(format!("{}:\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs all blocks; the file as it should be.
fn run(text: &str) -> String {
    let mut script = Script::new();
    let mut actual = String::new();
    for block in text.split("\n\n") {
        let commands = block.split("\n---").next().unwrap().trim_end();
        if !actual.is_empty() {
            actual.push_str("\n\n");
        }
        actual.push_str(commands);
        if commands
            .lines()
            .all(|line| line.starts_with('#') || line.is_empty())
        {
            continue;
        }
        actual.push_str("\n---");
        let mut said = String::new();
        for command in commands.lines().filter(|line| !line.starts_with('#')) {
            script.run(command, &mut said);
        }
        if said.is_empty() {
            said.push_str("nothing\n");
        }
        write!(actual, "\n{}", said.trim_end()).unwrap();
    }
    actual.push('\n');
    actual
}
