//! The `shoal` binary: everything is in the library beside it.

use std::process::ExitCode;

/// A master allocates on one thread what other threads free, thousands of times a second: with the
/// system's allocator a quarter of its time goes there. The price is two to four MiB per process.
/// Its features keep it small: without `no_thp` each heap is rounded up to huge pages, and version 3
/// takes two MiB more for a master.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shoal_node::cli::main()
}
