//! `shoal bench` from outside: what it prints, that its page knows all of it, that nothing is left.
//! No figure is judged here.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SHOAL: &str = env!("CARGO_BIN_EXE_shoal");

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(SHOAL);
    command.arg("bench").args(arguments);
    command.output().unwrap()
}

fn document(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_page_knows_every_measurement() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bench.md");
    let page = std::fs::read_to_string(page).unwrap();
    let list = document(&bench(&["--list", "-o", "json"]));
    let benches = list["benches"].as_array().unwrap();
    assert!(benches.len() >= 7);
    for row in benches {
        let name = row["name"].as_str().unwrap();
        assert!(
            page.contains(&format!("| `{name}` |")),
            "{name} is not told"
        );
        assert!(!row["about"].as_str().unwrap().is_empty());
    }
    let nothing = bench(&[]);
    assert_eq!(nothing.status.code(), Some(2));
}

#[test]
fn a_figure_comes_with_its_conditions() {
    let small = ["--agents", "50", "--frameworks", "2", "--rounds", "2"];
    let arguments = [&["allocator", "-o", "json"], &small[..]].concat();
    let report = document(&bench(&arguments));
    assert_eq!(report["bench"], "allocator");
    let figure = &report["figures"][0];
    assert_eq!(
        (&figure["name"], &figure["unit"]),
        (&"allocator.cycle".into(), &"ms".into())
    );
    assert!(figure["value"].is_number() && figure["reference"]["what"].is_string());
    let conditions = report["conditions"].as_object().unwrap();
    for key in [
        "cores",
        "kernel",
        "load_before",
        "load_after",
        "build",
        "setup",
    ] {
        assert!(conditions.contains_key(key), "{key}");
    }
    let text = String::from_utf8(bench(&["allocator", "--rounds", "1", "--agents", "5"]).stdout);
    assert!(text.unwrap().contains("\nconditions: "));
}

#[test]
fn a_cluster_is_measured_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("cluster");
    // All of 127/8 is loopback: a network of this process's own.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let http = format!("{}:5050", Ipv4Addr::new(127, 128 | (high & 0x3f), low, 1));
    let data = data.to_str().unwrap();
    let own = ["--http", &http, "--data", data, "-o", "json"];
    let few = [
        "--masters",
        "1",
        "--agents",
        "3",
        "--in-flight",
        "4",
        "--duration",
        "0.2",
    ];
    let report = document(&bench(&[&["ledger"], &few[..], &own[..]].concat()));
    let names = report["figures"].as_array().unwrap().iter();
    let names: Vec<&str> = names.filter_map(|figure| figure["name"].as_str()).collect();
    assert!(names.contains(&"ledger.throughput") && names.contains(&"ledger.one_median"));
    let report = document(&bench(
        &[&["tasks", "--tasks", "20", "--floor", "0.1"], &own[..]].concat(),
    ));
    assert!(report["figures"][0]["value"].as_f64().unwrap() > 0.0);
    let mine = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(data).then_some(line)
    };
    let left: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(mine)
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
