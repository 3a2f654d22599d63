//! shoal-dashboards
