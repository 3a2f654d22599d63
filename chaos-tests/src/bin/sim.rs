//! `sim`: runs seeds of the simulator and says what they found.
//!
//! `sim --seeds N [--seed S] [--minutes M] [--world WORLD] [--plant BUG]`: N runs of each world from
//! seed S on (1 by default), each with M minutes of faults (5 by default), without or with a planted
//! bug. Exit code 0 if every promise held, 1 if one was broken, 2 if the arguments are wrong. A broken
//! promise comes with the command that replays it.
//!
//! `sim --plants [--seeds N] [--seed S] [--minutes M] [--world WORLD] [--plant BUG]`: looks for every
//! planted bug, or for one, in at most N seeds (400 by default) of M minutes (1 by default) each, and
//! prints a table of what found it and after how many seeds and simulated minutes. Exit code 0 if each
//! was found as what it is, 1 if one was not.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chaos_tests::plant::{PLANTED, Plant, Planted};
use chaos_tests::report::{Report, Violation};
use chaos_tests::trace::Trace;
use chaos_tests::worlds::World;

#[derive(Debug)]
struct Arguments {
    seeds: Option<u64>,
    first: u64,
    minutes: Option<u64>,
    plants: bool,
    worlds: Vec<World>,
    plant: Option<Plant>,
}

/// Minutes of faults of a run, unless it is told.
const MINUTES: u64 = 5;
/// Seeds in which a planted bug is looked for, unless it is told.
const PATIENCE: u64 = 400;

const USAGE: &str = "usage: sim [--plants] [--seeds N] [--seed S] [--minutes M] \
     [--world replicas|cluster] [--plant BUG]";

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: None,
        first: 1,
        minutes: None,
        plants: false,
        worlds: World::ALL.to_vec(),
        plant: None,
    };
    while let Some(word) = words.next() {
        if word == "--plants" {
            arguments.plants = true;
            continue;
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{word} {value} is no number"))
        };
        match word.as_str() {
            "--seeds" => arguments.seeds = Some(number()?),
            "--seed" => arguments.first = number()?,
            "--minutes" => arguments.minutes = Some(number()?),
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
        let plant = arguments
            .plant
            .map(|plant| format!(" --plant {}", plant.name()));
        println!(
            "replay: sim --world {} --seeds 1 --seed {} --minutes {}{}",
            world.name(),
            report.seed,
            arguments.minutes.unwrap_or(MINUTES),
            plant.unwrap_or_default()
        );
    }
}

/// The search for one planted bug.
#[derive(Debug)]
struct Search {
    seeds: u64,
    simulated: Duration,
    found: Option<Violation>,
}

fn search(planted: &Planted, arguments: &Arguments) -> Search {
    let faulty = Duration::from_secs(arguments.minutes.unwrap_or(1) * 60);
    let mut search = Search {
        seeds: 0,
        simulated: Duration::ZERO,
        found: None,
    };
    let last = arguments
        .first
        .saturating_add(arguments.seeds.unwrap_or(PATIENCE));
    for seed in arguments.first..last {
        let report = planted.world.run(seed, faulty, Some(planted.plant));
        search.seeds += 1;
        search.simulated += report.simulated;
        if report.violation.is_some() {
            search.found = report.violation;
            break;
        }
    }
    search
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn find_plants(arguments: &Arguments) -> ExitCode {
    // A bug may well be found by an assertion; the table says so, without a backtrace.
    std::panic::set_hook(Box::new(|_| {}));
    let wanted = PLANTED.iter().filter(|planted| {
        arguments.worlds.contains(&planted.world)
            && arguments.plant.is_none_or(|plant| plant == planted.plant)
    });
    let (mut all, mut missed) = (0, 0);
    println!(
        "{:<26} {:<9} {:>5} {:>8}  invariant",
        "plant", "world", "seeds", "minutes"
    );
    for planted in wanted {
        let Search {
            seeds,
            simulated,
            found,
        } = search(planted, arguments);
        let name = found.as_ref().map(|violation| violation.invariant);
        let expected = name.is_some_and(|name| planted.breaks.contains(&name));
        let says = match name {
            Some(name) if expected => name.to_owned(),
            Some(name) => format!("UNEXPECTED: {name}"),
            None => "NOT FOUND".to_owned(),
        };
        let minutes = simulated.as_secs_f64() / 60.0;
        let (plant, world) = (planted.plant.name(), planted.world.name());
        println!("{plant:<26} {world:<9} {seeds:>5} {minutes:>8.1}  {says}");
        if let (Some(violation), true) = (&found, arguments.plant.is_some()) {
            println!("{violation}");
        }
        all += 1;
        missed += u64::from(!expected);
    }
    println!(
        "{} of {all} planted bugs were found as what they are",
        all - missed
    );
    if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn run(arguments: &Arguments) -> ExitCode {
    let (mut all, mut violations) = (Trace::default(), 0_u64);
    let (mut simulated, began) = (Duration::ZERO, Instant::now());
    for world in &arguments.worlds {
        let last = arguments.first.saturating_add(arguments.seeds.unwrap_or(1));
        for seed in arguments.first..last {
            let start = Instant::now();
            let faulty = Duration::from_secs(arguments.minutes.unwrap_or(MINUTES) * 60);
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
        Ok(arguments) if arguments.plants => find_plants(&arguments),
        Ok(arguments) => run(&arguments),
        Err(error) => {
            eprintln!("sim: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
