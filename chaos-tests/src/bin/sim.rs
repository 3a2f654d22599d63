//! `sim`: runs seeds of the simulator and says what they found.
//!
//! `sim --seeds N [--seed S] [--minutes M] [--world WORLD] [--plant BUG]`: N runs of each world from
//! seed S on (1 by default), each with M minutes of faults (5 by default), without or with a planted
//! bug. Exit code 0 if every promise held, 1 if one was broken, 2 if the arguments are wrong. A broken
//! promise comes with the command that replays it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chaos_tests::plant::Plant;
use chaos_tests::report::Report;
use chaos_tests::trace::Trace;
use chaos_tests::worlds::World;

#[derive(Debug)]
struct Arguments {
    seeds: u64,
    first: u64,
    minutes: u64,
    worlds: Vec<World>,
    plant: Option<Plant>,
}

const USAGE: &str =
    "usage: sim --seeds N [--seed S] [--minutes M] [--world replicas|cluster] [--plant BUG]";

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: 1,
        first: 1,
        minutes: 5,
        worlds: World::ALL.to_vec(),
        plant: None,
    };
    while let Some(word) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{word} {value} is no number"))
        };
        match word.as_str() {
            "--seeds" => arguments.seeds = number()?,
            "--seed" => arguments.first = number()?,
            "--minutes" => arguments.minutes = number()?,
            "--world" => {
                let world =
                    World::named(&value).ok_or_else(|| format!("there is no world {value}"))?;
                arguments.worlds = vec![world];
            }
            "--plant" => {
                let plant =
                    Plant::named(&value).ok_or_else(|| format!("there is no bug {value}"))?;
                arguments.plant = Some(plant);
            }
            other => return Err(format!("{other} is not known")),
        }
    }
    Ok(arguments)
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn say(world: World, report: &Report, took: Duration, arguments: &Arguments) {
    let counts: Vec<String> = report
        .counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let pace = report.simulated.as_secs_f64() / took.as_secs_f64().max(1e-9);
    println!(
        "world {} seed {}: {}; {pace:.0} times real time; trace {}",
        world.name(),
        report.seed,
        counts.join(", "),
        report.trace
    );
    if let Some(violation) = &report.violation {
        println!("VIOLATION of {violation}");
        let plant = arguments.plant.map(|plant| format!(" --plant {plant:?}"));
        println!(
            "replay: sim --world {} --seeds 1 --seed {} --minutes {}{}",
            world.name(),
            report.seed,
            arguments.minutes,
            plant.unwrap_or_default()
        );
    }
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn run(arguments: &Arguments) -> ExitCode {
    let (mut all, mut violations) = (Trace::default(), 0_u64);
    let (mut simulated, began) = (Duration::ZERO, Instant::now());
    for world in &arguments.worlds {
        for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
            let start = Instant::now();
            let faulty = Duration::from_secs(arguments.minutes * 60);
            let report = world.run(seed, faulty, arguments.plant);
            say(*world, &report, start.elapsed(), arguments);
            all.content(report.trace.to_string().as_bytes());
            simulated += report.simulated;
            violations += u64::from(report.violation.is_some());
        }
    }
    let took = began.elapsed().as_secs_f64();
    let hours = simulated.as_secs_f64() / 3600.0;
    println!("trace hash: {all}");
    println!(
        "cluster-hours simulated: {hours:.3} in {took:.1} s, {:.0} times real time",
        simulated.as_secs_f64() / took.max(1e-9)
    );
    println!("violations: {violations}");
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::print_stderr, reason = "usage errors go to standard error")]
fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(arguments) => run(&arguments),
        Err(error) => {
            eprintln!("sim: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
