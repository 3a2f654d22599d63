//! shoal-mesos
