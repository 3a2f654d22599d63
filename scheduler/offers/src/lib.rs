//! shoal-offers
pub mod allocator;
