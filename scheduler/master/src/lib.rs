//! shoal-master
