//! The `shoal` binary: everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    shoal_node::cli::main()
}
