//! The machine in virtual time, many of them in one seeded network.

mod chaos;
mod cluster;
mod garbage;
mod network;
mod secrecy;
mod talk;
