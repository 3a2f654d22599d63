//! The fuzzer finds decoders that are broken on purpose, says so, and keeps the input that shows it.

use std::path::Path;
use std::process::{Command, Output};

/// Mutated inputs in which each must be found; the same ones each time.
const INPUTS: &str = "20000";

fn fuzz(words: &[&str], found: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .args(words)
        .arg("--found")
        .arg(found)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the fuzzer runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_kind_of_break_is_found_and_can_be_replayed() {
    let found = tempfile::tempdir().expect("a folder");
    for target in [
        "planted-panic",
        "planted-abort",
        "planted-stack",
        "planted-memory",
    ] {
        let words = ["run", target, "--seconds", "600", "--inputs", INPUTS];
        let output = fuzz(&words, found.path());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{target}: {said}");
        assert!(said.contains("0 of 1 targets held, 1 broke"), "{said}");
        let (_, again) = said
            .split_once("again: fuzz ")
            .expect("how to see it again");
        let again: Vec<&str> = again
            .lines()
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let replayed = fuzz(&again, found.path());
        assert!(
            !replayed.status.success(),
            "{target} breaks again by {again:?}"
        );
    }
}

#[test]
fn a_corpus_that_is_not_accepted_is_no_corpus() {
    let found = tempfile::tempdir().expect("a folder");
    let output = fuzz(&["run", "planted-deaf", "--inputs", "1"], found.path());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("accepts no input of its corpus"), "{error}");
}

#[test]
fn the_same_seed_draws_the_same_inputs() {
    let found = tempfile::tempdir().expect("a folder");
    let run = || {
        let words = [
            "run",
            "resources-text",
            "--seconds",
            "600",
            "--inputs",
            "500",
        ];
        let output = fuzz(&words, found.path());
        assert!(output.status.success());
        let said = said(&output);
        let accepted = said.split(", ").find(|part| part.ends_with("accepted"));
        accepted.map(str::to_owned).expect("how many were accepted")
    };
    assert_eq!(run(), run());
}

#[test]
fn what_makes_no_sense_is_refused_with_the_usage() {
    let found = tempfile::tempdir().expect("a folder");
    for words in [
        &["run", "no-such-target"][..],
        &["walk"],
        &["run", "--seed", "x"],
        &[],
    ] {
        let output = fuzz(words, found.path());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(error.contains("usage: fuzz run"), "{error}");
    }
}
