//! Fuzz targets: every decoder of bytes that somebody else wrote, fed with what nobody should write.
//!
//! What lives here is one function per decoder ([`TARGETS`]), what each input may cost ([`meter`]),
//! and two engines over the same functions: the program `fuzz` mutates blindly, the same way every
//! time, and is what CI runs; `guided` (the script beside the manifest) builds them with libFuzzer.
//! What deliberately does not: knowledge of a private format, beyond how a checksum is put right; a crate
//! that has one offers a module `fuzzing`, behind a feature of that name.
//!
//! A target asserts more than that nothing panics: what is accepted is written again and read back as
//! the same, and memory and time stay in proportion to the input.

pub mod corpus;
pub mod limits;
pub mod meter;
pub mod mutate;
pub mod run;
pub mod target;
pub mod targets;
pub mod watch;

pub use target::{Target, Verdict, check};
pub use targets::{PLANTED, TARGETS};

/// The heap of both programs, which counts what is allocated.
#[global_allocator]
pub static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
