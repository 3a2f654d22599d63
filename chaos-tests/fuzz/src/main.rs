//! `fuzz`: feeds every decoder with inputs that chance made of the kept ones, and says what broke.
//!
//! - `fuzz run [TARGET…] [--seconds N] [--inputs N] [--seed N] [--jobs N]`: all targets or these, each
//!   in a process of its own, for N seconds (3) and N inputs (no bound) at most. The same seed (1)
//!   draws the same inputs in the same order.
//! - `fuzz replay TARGET FILE…`: these inputs, in this process.
//! - `fuzz list`: every target and what it covers.
//! - `fuzz seeds TARGET FOLDER`: what the encoders of this build write, as files, for other engines.
//!
//! `--corpus FOLDER` reads the kept inputs from elsewhere, `--found FOLDER` says where the inputs go
//! that break something. Exit code 0 if every promise held, 1 if one broke, 2 if the arguments are wrong.

#![expect(
    clippy::print_stdout,
    reason = "a command-line program says what it found on its standard output"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use shoal_fuzz::run::{Budget, Current, run};
use shoal_fuzz::watch::{Plan, watch};
use shoal_fuzz::{PLANTED, TARGETS, Target, check, corpus, limits};

const USAGE: &str = "usage: fuzz run [TARGET...] [--seconds N] [--inputs N] [--seed N] [--jobs N] \
     [--corpus FOLDER] [--found FOLDER]
       fuzz replay TARGET FILE...
       fuzz list
       fuzz seeds TARGET FOLDER";

#[derive(Debug)]
struct Arguments {
    /// What is no option.
    words: Vec<String>,
    budget: Budget,
    jobs: usize,
    corpus: PathBuf,
    found: PathBuf,
    current: Option<PathBuf>,
}

fn parse(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let exe = std::env::current_exe().unwrap_or_default();
    let mut arguments = Arguments {
        words: Vec::new(),
        budget: Budget {
            time: Duration::from_secs(limits::SECONDS),
            inputs: u64::MAX,
            seed: 1,
        },
        jobs: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        corpus: corpus::folder(),
        found: exe.with_file_name("fuzz-found"),
        current: None,
    };
    while let Some(word) = given.next() {
        if !word.starts_with("--") {
            arguments.words.push(word);
            continue;
        }
        let value = given
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{word} {value} is no number"))
        };
        match word.as_str() {
            "--seconds" => arguments.budget.time = Duration::from_secs(number()?),
            "--inputs" => arguments.budget.inputs = number()?,
            "--seed" => arguments.budget.seed = number()?,
            "--jobs" => arguments.jobs = usize::try_from(number()?).unwrap_or(1),
            "--corpus" => arguments.corpus = PathBuf::from(value),
            "--found" => arguments.found = PathBuf::from(value),
            "--current" => arguments.current = Some(PathBuf::from(value)),
            other => return Err(format!("there is no option {other}")),
        }
    }
    Ok(arguments)
}

fn target(name: &str) -> Result<&'static Target, String> {
    let mut all = TARGETS.iter().chain(&PLANTED);
    all.find(|target| target.name == name)
        .ok_or_else(|| format!("there is no target '{name}'; `fuzz list` lists them"))
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|arguments| carry_out(&arguments)) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("fuzz: {why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn carry_out(arguments: &Arguments) -> Result<ExitCode, String> {
    let Some((verb, rest)) = arguments.words.split_first() else {
        return Err("it is not said what to do".to_owned());
    };
    match (verb.as_str(), rest) {
        ("run", names) => all(arguments, names),
        ("one", [name]) => one(arguments, target(name)?),
        ("replay", [name, files @ ..]) => replay(target(name)?, files),
        ("list", []) => {
            for target in &TARGETS {
                println!("{:24} {}", target.name, target.covers);
            }
            Ok(ExitCode::SUCCESS)
        }
        ("seeds", [name, folder]) => seeds(target(name)?, folder),
        _ => Err(format!("'{}' is nothing to do", arguments.words.join(" "))),
    }
}

fn all(arguments: &Arguments, names: &[String]) -> Result<ExitCode, String> {
    let targets = match names {
        [] => TARGETS.iter().collect(),
        names => names
            .iter()
            .map(|name| target(name))
            .collect::<Result<_, _>>()?,
    };
    let plan = Plan {
        targets,
        budget: arguments.budget,
        jobs: arguments.jobs,
        corpus: arguments.corpus.clone(),
        found: arguments.found.clone(),
    };
    let findings = watch(&plan).map_err(|error| format!("cannot run the targets: {error}"))?;
    for finding in &findings {
        let (target, input) = (finding.target, finding.input.display());
        println!(
            "{target}: {}; again: fuzz replay {target} {input}",
            finding.how
        );
    }
    let (broke, all) = (findings.len(), plan.targets.len());
    println!("fuzz: {} of {all} targets held, {broke} broke", all - broke);
    Ok(ExitCode::from(u8::from(broke > 0)))
}

fn one(arguments: &Arguments, target: &Target) -> Result<ExitCode, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", target.name);
    let roots = corpus::of(target, &arguments.corpus).map_err(failed)?;
    let current = Current::new(arguments.current.as_deref()).map_err(failed)?;
    let tally = run(target, roots, arguments.budget, &current).map_err(failed)?;
    println!("{:24} {tally}", target.name);
    Ok(ExitCode::SUCCESS)
}

fn replay(target: &Target, files: &[String]) -> Result<ExitCode, String> {
    for file in files {
        let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let (verdict, cost) = check(target, &input);
        println!(
            "{file}: {verdict:?}, {} KiB, {:.1} ms",
            cost.peak / 1024,
            cost.cpu.as_secs_f64() * 1e3
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn seeds(target: &Target, folder: &str) -> Result<ExitCode, String> {
    let failed = |error: std::io::Error| format!("{folder}: {error}");
    std::fs::create_dir_all(folder).map_err(failed)?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let path = PathBuf::from(folder).join(format!("seed-{number}"));
        std::fs::write(path, seed).map_err(failed)?;
    }
    Ok(ExitCode::SUCCESS)
}
