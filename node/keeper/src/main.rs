//! A keeper on its own, for tests; `shoal keeper` is the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = shoal_keeper::Options::parse(std::env::args().skip(1))
        .and_then(|options| shoal_keeper::run(&options));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shoal-keeper: {error}");
            ExitCode::FAILURE
        }
    }
}
