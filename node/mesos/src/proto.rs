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

    /// Package `mesos.v1.master`: the operator API of a master.
    pub mod master {
        include!(concat!(env!("OUT_DIR"), "/mesos.v1.master.rs"));
    }

    /// Package `mesos.v1.agent`: the operator API of an agent.
    pub mod agent {
        include!(concat!(env!("OUT_DIR"), "/mesos.v1.agent.rs"));
    }

    /// Package `mesos.v1.maintenance`.
    pub mod maintenance {
        include!(concat!(env!("OUT_DIR"), "/mesos.v1.maintenance.rs"));
    }

    /// Package `mesos.v1.quota`.
    pub mod quota {
        include!(concat!(env!("OUT_DIR"), "/mesos.v1.quota.rs"));
    }

    /// Package `mesos.v1.allocator`.
    pub mod allocator {
        include!(concat!(env!("OUT_DIR"), "/mesos.v1.allocator.rs"));
    }
}
