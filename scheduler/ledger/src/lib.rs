//! shoal-ledger
