//! shoal-offers
