//! shoal-keeper
