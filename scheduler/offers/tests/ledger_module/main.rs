//! The module from outside: random commands with promises, and transcripts.

mod operations;
mod properties;
mod transcripts;
mod volumes;
mod world;
