//! shoal-membership
