//! The module from outside: random commands with promises, and transcripts.

mod properties;
mod transcripts;
mod world;
