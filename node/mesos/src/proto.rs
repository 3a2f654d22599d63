//! The messages of Mesos, as prost generates them from the files in `proto/`.
//!
//! Every singular field is an `Option`, the required ones too: see [`crate::codec::Codec::decode`]. What
//! the fields mean is in Mesos' documentation and deliberately not repeated here.

/// Package `mesos.v1`.
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/mesos.v1.rs"));

    /// Package `mesos.v1.scheduler`.
    pub mod scheduler {
        include!(concat!(env!("OUT_DIR"), "/mesos.v1.scheduler.rs"));
    }
}
