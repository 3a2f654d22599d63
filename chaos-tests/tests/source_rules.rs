//! The rules of the source, as tests: each walks the repository and lists every place that breaks it.
//!
//! What lives here are rules that the compiler, rustfmt, clippy and cargo-deny cannot state: lengths,
//! names, words, layering, purity of dependency trees, links in the documents. What deliberately does
//! not: anything about behaviour.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a source file that are not tests.
const FILE_LINES: usize = 800;
/// Lines of a function, its signature included.
const FUNCTION_LINES: usize = 70;
/// What has no home has no name yet.
const DRAWERS: [&str; 9] = [
    "util", "utils", "common", "helper", "helpers", "misc", "shared", "stuff", "lib2",
];
/// Folders that hold what was built or run, never source.
const NOT_SOURCE: [&str; 6] = ["target", ".git", ".shoal", ".venv", "__pycache__", "vendor"];

/// A word that must not occur, where, and why.
struct Banned {
    word: &'static str,
    place: Place,
    why: &'static str,
}

/// Where a banned word is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Every text file.
    Anywhere,
    /// Rust files.
    Rust,
    /// Rust code that is a test, by its file or its module.
    RustTests,
    /// Comments of Rust files.
    RustComments,
}

const BANNED: [Banned; 19] = [
    banned(
        "todo!",
        Place::Rust,
        "what is not done is refused with a typed error",
    ),
    banned(
        "unimplemented!",
        Place::Rust,
        "what is not done is refused with a typed error",
    ),
    banned("dbg!", Place::Rust, "left over from debugging"),
    banned(
        "#[allow",
        Place::Rust,
        "use #[expect(.., reason = \"..\")]: it goes away with its cause",
    ),
    banned(
        "#![allow",
        Place::Rust,
        "use #![expect(.., reason = \"..\")]: it goes away with its cause",
    ),
    banned(
        "#[ignore",
        Place::Rust,
        "a test that does not run is not a test",
    ),
    banned(
        "thread::sleep",
        Place::RustTests,
        "wait for a condition, with a deadline",
    ),
    banned(
        "time::sleep(",
        Place::RustTests,
        "wait for a condition, with a deadline",
    ),
    banned(
        "no longer needed",
        Place::RustComments,
        "comments describe the code, not its history",
    ),
    banned(
        "no longer used",
        Place::RustComments,
        "comments describe the code, not its history",
    ),
    banned(
        "used to be",
        Place::RustComments,
        "comments describe the code, not its history",
    ),
    banned(
        "previously",
        Place::RustComments,
        "comments describe the code, not its history",
    ),
    banned(
        "moved here from",
        Place::RustComments,
        "comments describe the code, not its history",
    ),
    banned(
        "FIXME",
        Place::Anywhere,
        "an open end belongs into an issue",
    ),
    banned("TODO", Place::Anywhere, "an open end belongs into an issue"),
    banned("/work/", Place::Anywhere, "a path of one machine"),
    banned("/root/", Place::Anywhere, "a path of one machine"),
    banned("/home/", Place::Anywhere, "a path of one machine"),
    banned(
        "helper agent",
        Place::Anywhere,
        "an agent is a node that offers resources, nothing else",
    ),
];

const fn banned(word: &'static str, place: Place, why: &'static str) -> Banned {
    Banned { word, place, why }
}

/// Places where a banned word is right, each with its reason.
const EXEMPT: [(&str, &str, &str); 2] = [
    (
        "chaos-tests/tests/source_rules.rs",
        "",
        "it spells the words",
    ),
    (
        "chaos-tests/tests/real/wait.rs",
        "thread::sleep",
        "the pause between two looks at a condition, for all tests",
    ),
];

/// Which of our crates each crate may depend on; a crate that is not listed may use all.
const ARROWS: [(&str, &[&str]); 14] = [
    ("shoal-api", &[]),
    ("shoal-ledger", &["shoal-api"]),
    ("shoal-offers", &["shoal-api", "shoal-ledger"]),
    ("shoal-builtin", &["shoal-api", "shoal-ledger"]),
    ("shoal-quorum", &["shoal-api"]),
    (
        "shoal-master",
        &[
            "shoal-api",
            "shoal-ledger",
            "shoal-quorum",
            "shoal-offers",
            "shoal-builtin",
        ],
    ),
    ("shoal-membership", &["shoal-api"]),
    ("shoal-agent", &["shoal-api"]),
    ("shoal-failpoint", &[]),
    (
        "shoal-disk",
        &["shoal-api", "shoal-failpoint", "shoal-quorum"],
    ),
    ("shoal-keeper", &["shoal-failpoint"]),
    ("shoal-mesos", &["shoal-api"]),
    ("shoal-catalogue", &[]),
    ("shoal-dashboards", &["shoal-catalogue"]),
];

/// Crates that do IO, run threads or draw entropy: not in the tree of a pure crate.
const IMPURE: [&str; 8] = [
    "tokio",
    "mio",
    "socket2",
    "getrandom",
    "rustix",
    "hyper",
    "nix",
    "async-std",
];
/// The one exemption: what `raft` brings into `shoal-quorum` and what depends on it.
const BROUGHT_BY_RAFT: [&str; 1] = ["getrandom"];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the workspace is above this crate")
        .to_path_buf()
}

/// All source files below the root as paths relative to it, sorted.
fn files() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be listed") {
            let entry = entry.expect("a folder can be listed");
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if NOT_SOURCE.contains(&name.as_ref()) || name.starts_with("target-") {
                continue;
            }
            if entry.file_type().expect("a file has a type").is_dir() {
                folders.push(entry.path());
            } else {
                found.push(
                    entry
                        .path()
                        .strip_prefix(&root)
                        .expect("below the root")
                        .to_path_buf(),
                );
            }
        }
    }
    found.sort();
    found
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("")
}

/// The files with this extension, with their text.
fn texts(wanted: &[&str]) -> Vec<(PathBuf, String)> {
    let root = root();
    files()
        .into_iter()
        .filter(|path| wanted.contains(&extension(path)))
        .filter_map(|path| {
            fs::read_to_string(root.join(&path))
                .ok()
                .map(|text| (path, text))
        })
        .collect()
}

/// This file, which must spell what it looks for.
fn spells_the_words(path: &Path) -> bool {
    path == Path::new("chaos-tests/tests/source_rules.rs")
}

fn is_test_file(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts
        .iter()
        .any(|part| part == "tests" || part == "benches")
        || parts.last().is_some_and(|name| name == "tests.rs")
}

/// For each line whether it belongs to a test: to a test file or to a `#[cfg(test)]` module.
fn test_lines(path: &Path, text: &str) -> Vec<bool> {
    let mut inside = is_test_file(path);
    let whole = inside;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line == "#[cfg(test)]" {
            inside = true;
        }
        lines.push(inside);
        // rustfmt ends an item of the outermost level with a brace or a semicolon on such a line.
        let outermost = !line.starts_with(' ');
        if inside && !whole && outermost && (line == "}" || line.ends_with(';')) {
            inside = false;
        }
    }
    lines
}

/// Each function with its first line, counted from 1, and how many lines it has.
fn functions(text: &str) -> Vec<(usize, usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(at) = code.find("fn ") else { continue };
        let modifiers = &code[..at];
        let known = [
            "pub",
            "pub(crate)",
            "pub(super)",
            "const",
            "async",
            "unsafe",
            "extern",
            "\"C\"",
        ];
        if !modifiers
            .split_whitespace()
            .all(|word| known.contains(&word))
        {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let closing = format!("{indent}}}");
        let declaration = format!("{indent})");
        for (end, line) in lines.iter().enumerate().skip(start) {
            let one_line = end == start && (line.ends_with('}') || line.ends_with(';'));
            if one_line || (line.starts_with(&declaration) && line.ends_with(';')) {
                break;
            }
            if *line == closing {
                found.push((start + 1, end - start + 1, code.to_string()));
                break;
            }
        }
    }
    found
}

/// Fails with all violations, one a line.
fn none(rule: &str, violations: Vec<String>) {
    assert!(
        violations.is_empty(),
        "{rule}: {} found\n  {}",
        violations.len(),
        violations.join("\n  ")
    );
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for (path, text) in texts(&["rs", "py", "sh"]) {
        let lines = test_lines(&path, &text)
            .iter()
            .filter(|test| !**test)
            .count();
        if lines > FILE_LINES {
            long.push(format!(
                "{}: {lines} lines that are not tests",
                path.display()
            ));
        }
    }
    none("a file has at most 800 lines", long);
}

#[test]
fn functions_are_short() {
    let mut long = Vec::new();
    for (path, text) in texts(&["rs"]) {
        for (line, length, name) in functions(&text) {
            if length > FUNCTION_LINES {
                long.push(format!("{}:{line}: {length} lines: {name}", path.display()));
            }
        }
    }
    none("a function has at most 70 lines", long);
}

#[test]
fn no_drawers() {
    let drawers = files()
        .into_iter()
        .filter(|path| {
            path.iter().any(|part| {
                let part = part.to_string_lossy();
                DRAWERS.contains(&part.split('.').next().unwrap_or(""))
            })
        })
        .map(|path| path.display().to_string())
        .collect();
    none("no file or folder is a drawer", drawers);
}

#[test]
fn banned_words_do_not_occur() {
    let mut found = Vec::new();
    for (path, text) in texts(&[
        "rs", "toml", "md", "sh", "py", "proto", "yml", "yaml", "js", "",
    ]) {
        let shown = path.display().to_string();
        let rust = extension(&path) == "rs";
        let tests = test_lines(&path, &text);
        for (number, line) in text.lines().enumerate() {
            for banned in &BANNED {
                let exempt = EXEMPT.iter().any(|(file, word, _)| {
                    *file == shown && (word.is_empty() || *word == banned.word)
                });
                let applies = match banned.place {
                    Place::Anywhere => true,
                    Place::Rust => rust,
                    Place::RustTests => rust && tests[number],
                    Place::RustComments => rust && line.trim_start().starts_with("//"),
                };
                if applies && !exempt && line.contains(banned.word) {
                    found.push(format!(
                        "{shown}:{}: {}: {}",
                        number + 1,
                        banned.word,
                        banned.why
                    ));
                }
            }
        }
    }
    none("banned words do not occur", found);
}

#[test]
fn every_file_says_what_lives_in_it() {
    let silent = texts(&["rs"])
        .into_iter()
        .filter(|(_, text)| {
            let first = text
                .lines()
                .find(|line| !line.is_empty() && !line.starts_with("#!["));
            !first.is_some_and(|line| line.starts_with("//!"))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    none("a file starts with //! and what lives in it", silent);
}

#[test]
fn unsafe_code_has_one_home() {
    let elsewhere = texts(&["rs"])
        .into_iter()
        .filter(|(path, _)| !path.starts_with("node/keeper/src") && !spells_the_words(path))
        .filter(|(_, text)| {
            text.contains("expect(unsafe_code") || text.contains("    unsafe_code,")
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    none("unsafe code lives in the keeper only", elsewhere);
}

#[test]
fn scripts_stop_at_the_first_error() {
    let root = root();
    let lax = files()
        .into_iter()
        .filter_map(|path| {
            fs::read_to_string(root.join(&path))
                .ok()
                .map(|text| (path, text))
        })
        .filter(|(_, text)| text.starts_with("#!") && text.lines().next().is_some_and(is_shell))
        .filter(|(_, text)| !text.lines().any(|line| line == "set -euo pipefail"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    none("a shell script says set -euo pipefail", lax);
}

fn is_shell(line: &str) -> bool {
    line.ends_with("bash") || line.ends_with("/sh")
}

/// Every crate of the workspace: its folder, its name and its manifest.
fn crates() -> Vec<(PathBuf, String, String)> {
    let mut found = Vec::new();
    for (path, text) in texts(&["toml"]) {
        if path.file_name().is_some_and(|name| name == "Cargo.toml") && text.contains("[package]") {
            let name = text.lines().find_map(|line| line.strip_prefix("name = \""));
            let name = name
                .and_then(|rest| rest.strip_suffix('"'))
                .expect("a crate has a name");
            let folder = path
                .parent()
                .expect("a manifest is in a folder")
                .to_path_buf();
            found.push((folder, name.to_string(), text));
        }
    }
    assert!(found.len() > 10, "the walk finds the crates");
    found
}

/// The lines of a manifest's table, without comments.
fn table<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let header = format!("[{name}]");
    let lines = manifest
        .lines()
        .skip_while(|line| **line != *header)
        .skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

fn is_pure(folder: &Path) -> bool {
    folder.starts_with("scheduler")
        || folder.starts_with("membership")
        || folder == Path::new("node/agent")
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let without = crates()
        .into_iter()
        .filter(|(_, _, manifest)| table(manifest, "lints") != ["workspace = true"])
        .map(|(_, name, _)| name)
        .collect();
    none("a crate has [lints] workspace = true", without);
}

#[test]
fn dependencies_are_named_in_one_place() {
    let mut own = Vec::new();
    for (_, name, manifest) in crates() {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for line in table(&manifest, section) {
                if !line.contains("workspace = true") {
                    own.push(format!("{name}: {line}"));
                }
            }
        }
    }
    none("versions and features stand in the root manifest", own);
}

/// A product has no planted bug: only the simulator takes the feature that lets one be made.
#[test]
fn only_the_simulator_plants_bugs() {
    let mut planted = Vec::new();
    let (mut takes, mut makes) = (0, 0);
    for (path, text) in texts(&["toml", "rs"]) {
        if path.starts_with("scheduler/api") || path.ends_with("source_rules.rs") {
            continue;
        }
        let feature = text.contains("\"plants\"");
        let made = text.contains("Plants::of(");
        takes += usize::from(feature);
        makes += usize::from(made);
        if (feature || made) && !path.starts_with("chaos-tests") {
            planted.push(path.display().to_string());
        }
    }
    assert!(
        takes == 1 && makes == 1,
        "the simulator plants bugs in one place"
    );
    none("only the simulator plants bugs", planted);
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    let names: BTreeSet<String> = crates().into_iter().map(|(_, name, _)| name).collect();
    for (_, name, manifest) in crates() {
        let used = table(&manifest, "dependencies");
        let used = used.iter().filter_map(|line| line.split(['.', ' ']).next());
        let allowed = ARROWS
            .iter()
            .find(|(from, _)| *from == name)
            .map(|(_, to)| *to);
        for dependency in used {
            let ours = names.contains(dependency);
            if ours && allowed.is_some_and(|allowed| !allowed.contains(&dependency)) {
                wrong.push(format!("{name} depends on {dependency}"));
            }
            if dependency == "raft" && name != "shoal-quorum" {
                wrong.push(format!(
                    "{name} depends on raft, which only shoal-quorum may see"
                ));
            }
        }
    }
    none("crates depend in one direction", wrong);
}

/// The names of all crates in the tree of a crate, as it is built by itself.
fn tree(name: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    let output = Command::new(cargo)
        .current_dir(root())
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .args(["--package", name])
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo tree of {name} fails: {error}"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_string)
        .collect()
}

#[test]
fn pure_crates_are_pure_by_their_trees() {
    let mut impure = Vec::new();
    let mut pure = 0;
    for (folder, name, _) in crates() {
        if !is_pure(&folder) {
            continue;
        }
        pure += 1;
        let tree = tree(&name);
        assert!(tree.contains(&name), "the tree of {name} holds {name}");
        let raft = tree.contains("shoal-quorum");
        for found in IMPURE.iter().filter(|found| tree.contains(**found)) {
            if !(raft && BROUGHT_BY_RAFT.contains(found)) {
                impure.push(format!("{name} has {found} in its tree"));
            }
        }
    }
    assert!(pure >= 8, "the pure crates are found");
    none("no IO and no entropy in the tree of a pure crate", impure);
}

#[test]
fn pure_crates_are_pure_by_their_lints() {
    let root = root();
    let mut lax = Vec::new();
    for (folder, name, _) in crates() {
        if !is_pure(&folder) {
            continue;
        }
        // clippy takes the first file on the way up from the crate's own folder.
        let config = folder
            .ancestors()
            .map(|up| root.join(up).join("clippy.toml"))
            .find(|p| p.exists());
        let text = config.map(|path| fs::read_to_string(path).expect("clippy.toml can be read"));
        let text = text.unwrap_or_default();
        for path in [
            "std::time::Instant::now",
            "std::time::SystemTime::now",
            "std::thread::spawn",
            "std::collections::HashMap",
            "std::collections::HashSet",
            "std::fs::File",
            "std::net::UdpSocket",
        ] {
            if !text.contains(&format!("\"{path}\", reason = ")) {
                lax.push(format!("{name}: clippy.toml does not refuse {path}"));
            }
        }
    }
    none(
        "clippy refuses clocks, threads, hashes and IO in pure crates",
        lax,
    );
}

/// The targets of a document's links with their lines; what is in code is no link.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
        for part in prose.split("](").skip(1) {
            if let Some(target) = part.split(')').next() {
                found.push((number + 1, target.to_string()));
            }
        }
    }
    found
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let root = root();
    let mut broken = Vec::new();
    for (path, text) in texts(&["md"]) {
        for (line, target) in links(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = path.parent().unwrap_or(Path::new(""));
            let file = if file.is_empty() {
                path.clone()
            } else {
                folder.join(file)
            };
            let exists = root.join(&file).exists();
            let leads = exists
                && (anchor.is_empty() || {
                    let text = fs::read_to_string(root.join(&file)).unwrap_or_default();
                    anchors(&text).contains(anchor)
                });
            if !leads {
                broken.push(format!("{}:{line}: {target}", path.display()));
            }
        }
    }
    none("links in documents lead somewhere", broken);
}

#[test]
fn the_rules_see_what_they_look_for() {
    let text =
        "fn long() {\n    x();\n}\n\n    pub(crate) const fn short() -> u8 { 1 }\nfn no();\n";
    assert_eq!(functions(text), [(1, 3, "fn long() {".to_string())]);
    let text = "//! a\nfn a() {}\n#[cfg(test)]\nmod tests {\n    x\n}\nfn b() {}\n";
    let tests = test_lines(Path::new("src/a.rs"), text);
    assert_eq!(tests, [false, false, true, true, true, true, false]);
    assert_eq!(links("[a](b.md#c) `[d](e)`"), [(1, "b.md#c".to_string())]);
    assert!(anchors("## What happens, when").contains("what-happens-when"));
    assert_eq!(table("[a]\nx = 1\n# y\n\n[b]\nz = 1\n", "a"), ["x = 1"]);
}
