//! shoal-quorum
