//! `shoal inspect` reads what a node wrote, while it runs and after it was damaged, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::cluster::said;
use crate::nodes::Nodes;

/// All files of a folder with their contents.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder)
        .expect("the folder can be listed")
        .flatten();
    let paths = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file());
    paths
        .map(|path| (path.clone(), fs::read(&path).expect("the file can be read")))
        .collect()
}

#[test]
fn files_are_read_and_left_alone() {
    let mut nodes = Nodes::cluster(1, 1, &[]);
    assert_eq!(nodes.run("m1", &["run", "--", "echo", "hello"]), "hello\n");
    let data = nodes.data("m1");
    let text = |path: &Path| path.display().to_string();
    let running = nodes
        .json("m1", &["inspect", &text(&data), "--entries", "1..100000"])
        .expect("a document");
    assert_eq!(running["node"]["running"], true, "{running}");
    assert!(running["damage"].is_null(), "{running}");
    let entries = running["entries"].to_string();
    for command in [
        "Founded",
        "MasterSeen",
        "SessionOpened",
        "TaskStatus",
        "Create",
    ] {
        assert!(entries.contains(command), "{command} in {entries}");
    }
    let backup = nodes.path("backup");
    nodes.run("m1", &["backup", &text(&backup)]);
    let seen = nodes.run("m1", &["inspect", &text(&backup)]);
    assert!(
        seen.contains("(charter)") && seen.contains("m1 at "),
        "{seen}"
    );

    nodes.stop("m1", Signal::TERM);
    let master = data.join("master");
    let before = contents(&master);
    let stopped = nodes.run("m1", &["inspect", &text(&data)]);
    assert!(stopped.contains("running    false"), "{stopped}");
    assert!(before == contents(&master), "nothing was changed");

    // Nothing but a byte of the second record is another; every look names the file and the place.
    let (segment, good) = before
        .iter()
        .find(|(path, _)| path.to_string_lossy().contains("log-"))
        .expect("there is a segment");
    let mut bad = good.clone();
    bad[120] ^= 1;
    fs::write(segment, &bad).expect("the file can be written");
    for path in [data.as_path(), &master, segment] {
        let output = nodes.output("m1", &["inspect", &text(path)]);
        let why = said(&output);
        assert_eq!(output.status.code(), Some(1), "{why}");
        let named = why.contains(&text(segment)) && why.contains("damaged at byte");
        assert!(named, "{why}");
    }
    assert!(
        fs::read(segment).expect("it is there") == bad,
        "nothing was repaired"
    );
    let output = nodes.output("m1", &["quorum", "recover", &text(&data)]);
    assert!(
        said(&output).contains("damaged at byte"),
        "{}",
        said(&output)
    );
    let output = nodes.output("m1", &["inspect", "/proc/version"]);
    assert!(
        said(&output).contains("nothing of Shoal's"),
        "{}",
        said(&output)
    );
    let output = nodes.output("m1", &["inspect", &text(&nodes.path("nowhere"))]);
    assert!(said(&output).contains("cannot read"), "{}", said(&output));
    nodes.end();
}
