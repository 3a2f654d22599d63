//! `gossip`: the gossip's figures, simulated, beside what they should be.
//!
//! `gossip [MEASURE…] [--members N]`: the measures of that name, or all that take minutes at most:
//! `crash`, `false`, `join`, `idle`, `calm`, `cold`, `halves`, `one-way`. `large` is on demand: 5 000
//! members, or as many as said; each pair of members takes about half a kilobyte of memory. Exit code 0
//! if each figure is what it should be, 1 if one is not, 2 if the arguments are wrong.

use std::process::ExitCode;
use std::time::Duration;

use chaos_tests::gossip::measures::{self, Quiet};

const USAGE: &str =
    "usage: gossip [crash|false|join|idle|calm|cold|halves|one-way|large]… [--members N]";

/// What prints itself, and remembers whether all was well.
#[derive(Debug, Default)]
struct Table {
    missed: bool,
}

impl Table {
    #[expect(clippy::print_stdout, reason = "this program prints a table")]
    fn line(&mut self, what: &str, figure: &str, goal: &str, reached: bool) {
        self.missed |= !reached;
        let mark = if reached { "yes" } else { "NO" };
        println!("{what:<52} {figure:<44} {goal:<16} {mark}");
    }

    fn time(&mut self, what: &str, time: Option<Duration>, most: f64) {
        let figure = seconds(time);
        let reached = time.is_some_and(|time| time.as_secs_f64() < most);
        self.line(what, &figure, &format!("below {most} s"), reached);
    }

    fn nobody(&mut self, what: &str, quiet: &Quiet) {
        let sums = &quiet.sums;
        let figure = format!(
            "{} of {} members, {} renewals",
            quiet.wronged, quiet.victims, sums.renewals
        );
        let reached = quiet.wronged == 0 && sums.renewals == 0;
        self.line(what, &figure, "none", reached);
        self.line(
            "  doubts vouched for, suspicions, refuted",
            &format!(
                "{}, {}, {}",
                sums.vouched, sums.suspicions, sums.refutations
            ),
            "",
            true,
        );
        self.line("  per member and second", &load(quiet), "", true);
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or("never".to_owned(), |time| {
        format!("{:.2} s", time.as_secs_f64())
    })
}

fn load(quiet: &Quiet) -> String {
    format!(
        "{:.0} B in {:.1} packets, {:.0} µs",
        quiet.bytes(),
        quiet.packets(),
        quiet.micros()
    )
}

fn measure(name: &str, members: u32, table: &mut Table) -> bool {
    let seconds_of = Duration::from_secs;
    match name {
        "crash" => {
            for (loss, most) in [(0, 4.0), (250, 8.0)] {
                let times = measures::crashes(50, loss, 10);
                let what = format!("crash seen by the last of 50, {} % loss, median", loss / 10);
                table.time(&what, times[times.len() / 2], most);
                let worst = seconds(times.last().copied().flatten());
                table.line("  the worst of 10", &worst, "", true);
            }
        }
        "false" => {
            for loss in [100, 250] {
                let mut world = measures::settled(1, 50, loss);
                let quiet = measures::quiet(&mut world, seconds_of(150));
                let what = format!("false failures of 50 in 150 s, {} % loss", loss / 10);
                table.nobody(&what, &quiet);
            }
        }
        "join" => joins(table),
        "idle" => {
            let mut world = measures::settled(1, 50, 0);
            let quiet = measures::quiet(&mut world, seconds_of(120));
            let most = 1.25 * 314.0;
            let goal = format!("at most {most:.0} B");
            let reached = quiet.bytes() <= most;
            table.line("idle, per member and second", &load(&quiet), &goal, reached);
        }
        "calm" => {
            for loss in [0, 50, 100] {
                let mut world = measures::settled(1, members, loss);
                let quiet = measures::quiet(&mut world, seconds_of(600));
                let what = format!("false failures of {members}, 10 min, {} % loss", loss / 10);
                table.nobody(&what, &quiet);
            }
        }
        "cold" => {
            let time = measures::cold_start(1, 2 * members);
            let what = format!("cold start of {}, every view complete", 2 * members);
            table.time(&what, time, 10.0);
        }
        "halves" => {
            let time = measures::halves(1, members, seconds_of(300));
            let what = format!("halves of {members} apart for 5 min whole after");
            table.time(&what, time, 60.0);
        }
        "one-way" => {
            for (deaf, how) in [(true, "hears nothing"), (false, "says nothing")] {
                let quiet = measures::one_way(1, members, deaf, seconds_of(120));
                let what = format!("1 % of {members} {how}: others removed");
                table.nobody(&what, &quiet);
            }
        }
        "large" => large(members, table),
        _ => return false,
    }
    true
}

fn joins(table: &mut Table) {
    let mut seen = Vec::new();
    let mut sees = Vec::new();
    for seed in 0..5 {
        let mut world = measures::settled(seed, 50, 0);
        let (by_all, all) = measures::join(&mut world);
        seen.push(by_all.unwrap_or(Duration::MAX));
        sees.push(all.unwrap_or(Duration::MAX));
    }
    seen.sort();
    sees.sort();
    table.time("join seen by all of 50, median", Some(seen[2]), 0.4);
    table.time("joiner sees all of 50, median", Some(sees[2]), 0.3);
}

fn large(members: u32, table: &mut Table) {
    let members = if members == MEMBERS { 5_000 } else { members };
    let mut small = measures::settled(1, MEMBERS, 0);
    let small = measures::quiet(&mut small, Duration::from_secs(60));
    table.line(
        "idle at 1000, per member and second",
        &load(&small),
        "",
        true,
    );
    for loss in [0, 50] {
        let mut world = measures::settled(1, members, loss);
        let quiet = measures::quiet(&mut world, Duration::from_secs(180));
        let what = format!("false failures of {members}, 3 min, {} % loss", loss / 10);
        table.nobody(&what, &quiet);
        if loss == 0 {
            let bytes = quiet.bytes() / small.bytes();
            let reached = bytes <= 1.3;
            let figure = format!("{bytes:.2} times");
            table.line("  bytes of 1000 members", &figure, "at most 1.3", reached);
            let micros = quiet.micros() / small.micros();
            let figure = format!("{micros:.2} times");
            table.line(
                "  time of 1000 members",
                &figure,
                "at most 3",
                micros <= 3.0,
            );
        }
        let victim = 1 + world.draw(members - 1);
        let time = measures::crash(&mut world, victim);
        let what = format!("crash seen by the last of {members}, {} % loss", loss / 10);
        table.time(&what, time, 10.0);
    }
}

const MEMBERS: u32 = 1_000;
const USUAL: [&str; 8] = [
    "crash", "false", "join", "idle", "calm", "cold", "halves", "one-way",
];

fn main() -> ExitCode {
    let mut names = Vec::new();
    let mut members = MEMBERS;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--members" {
            match words.next().and_then(|number| number.parse().ok()) {
                Some(number) if (3..=10_000).contains(&number) => members = number,
                Some(_) | None => return refuse("--members takes 3 to 10000"),
            }
        } else {
            names.push(word);
        }
    }
    if names.is_empty() {
        names = USUAL.map(str::to_owned).to_vec();
    }
    let mut table = Table::default();
    for name in &names {
        if !measure(name, members, &mut table) {
            return refuse(&format!("there is no measure {name}"));
        }
    }
    if table.missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}\n{USAGE}");
    ExitCode::from(2)
}
