//! shoal-builtin
