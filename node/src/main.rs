//! The `shoal` binary: everything is in the library beside it.

use std::process::ExitCode;

/// A master allocates on one thread what other threads free, thousands of times a second: with the
/// system's allocator a quarter of its time goes there. The price is one or two MiB per process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shoal_node::cli::main()
}
