//! A subscription: from Mesos' `FrameworkInfo` to ours, and back to what we do not look into.
//!
//! What is wrong with it is told by an ERROR event, so the errors in here are plain texts. Offer
//! filters of the info (`min_allocatable_resources`) are kept and not obeyed yet: such a framework
//! may be offered less than it asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use shoal_api::{Capability, FrameworkId, FrameworkInfo, Principal, Role};

use crate::proto::v1;
use crate::proto::v1::framework_info::capability::Type;
use crate::proto::v1::scheduler as wire;

/// The framework that a subscription describes.
///
/// # Errors
/// The first thing that is wrong with it, in the words of Mesos where it has some.
pub fn subscriber(
    subscribe: wire::call::Subscribe,
    principal: Option<&Principal>,
) -> Result<FrameworkInfo, String> {
    let mut info = subscribe.framework_info.unwrap_or_default();
    if info.principal.is_none() {
        info.principal = principal.map(Principal::to_string);
    }
    let capabilities = capabilities(&info);
    let roles = roles(&info, capabilities.contains(&Capability::MultiRole))?;
    let id = id(&info)?;
    let failover_timeout = failover_timeout(info.failover_timeout())?;
    let suppressed = suppressed(&subscribe.suppressed_roles, &roles)?;
    let constrained = subscribe.offer_constraints.unwrap_or_default();
    if !constrained.role_constraints.is_empty() {
        return Err("Offer constraints are not supported yet".to_owned());
    }
    let principal = match info.principal.as_deref() {
        None | Some("") => None,
        Some(text) => Some(Principal::new(text).map_err(|error| error.to_string())?),
    };
    Ok(FrameworkInfo {
        id,
        name: Arc::from(info.name()),
        user: Arc::from(info.user()),
        principal,
        roles,
        suppressed,
        capabilities,
        failover_timeout,
        raw: Bytes::from(info.encode_to_vec()),
    })
}

fn capabilities(info: &v1::FrameworkInfo) -> BTreeSet<Capability> {
    info.capabilities
        .iter()
        .filter_map(|capability| match capability.r#type() {
            Type::Unknown => None,
            Type::RevocableResources => Some(Capability::RevocableResources),
            Type::TaskKillingState => Some(Capability::TaskKillingState),
            Type::GpuResources => Some(Capability::GpuResources),
            Type::SharedResources => Some(Capability::SharedResources),
            Type::PartitionAware => Some(Capability::PartitionAware),
            Type::MultiRole => Some(Capability::MultiRole),
            Type::ReservationRefinement => Some(Capability::ReservationRefinement),
            Type::RegionAware => Some(Capability::RegionAware),
        })
        .collect()
}

fn roles(info: &v1::FrameworkInfo, multi_role: bool) -> Result<BTreeSet<Role>, String> {
    if !multi_role {
        if !info.roles.is_empty() {
            return Err(
                "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE \
                 capable"
                    .to_owned(),
            );
        }
        return Ok(BTreeSet::from([role(info.role())?]));
    }
    if info.role.is_some() {
        return Err(
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
                .to_owned(),
        );
    }
    if info.roles.is_empty() {
        return Err("'FrameworkInfo.roles' must name at least one role".to_owned());
    }
    let limit = shoal_api::limits::ROLES_PER_FRAMEWORK;
    if info.roles.len() > limit {
        return Err(format!("'FrameworkInfo.roles' has more than {limit} roles"));
    }
    let mut roles = BTreeSet::new();
    for text in &info.roles {
        if !roles.insert(role(text)?) {
            return Err(format!(
                "'FrameworkInfo.roles' contains the duplicate role '{text}'"
            ));
        }
    }
    Ok(roles)
}

fn role(text: &str) -> Result<Role, String> {
    Role::new(text).map_err(|error| format!("Role is invalid: {error}"))
}

/// An empty id is as good as none.
fn id(info: &v1::FrameworkInfo) -> Result<Option<FrameworkId>, String> {
    match info.id.as_ref().map_or("", |id| id.value()) {
        "" => Ok(None),
        text => FrameworkId::new(text)
            .map(Some)
            .map_err(|error| format!("'FrameworkInfo.id' is invalid: {error}")),
    }
}

/// What Mesos can hold: nanoseconds in 63 bits. A negative timeout is over at once.
fn failover_timeout(seconds: f64) -> Result<Duration, String> {
    let nanoseconds = seconds * 1e9;
    if nanoseconds.is_nan() || nanoseconds.abs() >= i64::MAX as f64 {
        return Err(format!(
            "The framework failover_timeout ({seconds}) is invalid: Argument out of the range that \
             a Duration can represent due to int64_t's size limit"
        ));
    }
    Ok(Duration::from_nanos(nanoseconds.max(0.0) as u64))
}

fn suppressed(texts: &[String], roles: &BTreeSet<Role>) -> Result<BTreeSet<Role>, String> {
    let mut suppressed = BTreeSet::new();
    for text in texts {
        let role = role(text)?;
        if !roles.contains(&role) {
            return Err(format!(
                "Suppressed role '{text}' is not contained in the list of subscribed roles"
            ));
        }
        suppressed.insert(role);
    }
    Ok(suppressed)
}

/// What a framework says of itself that only its listings show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Where it runs; may be empty.
    pub hostname: String,
    /// Its own page; may be empty.
    pub webui_url: String,
    /// Whether it asked for checkpoints, which every task gets anyway.
    pub checkpoint: bool,
    /// In order.
    pub labels: Vec<(String, Option<String>)>,
}

/// Decodes what [`FrameworkInfo::raw`] holds; of a framework of ours it is empty.
pub fn details(info: &FrameworkInfo) -> Details {
    let raw = v1::FrameworkInfo::decode(&*info.raw).unwrap_or_default();
    let labels = raw.labels.unwrap_or_default().labels;
    Details {
        hostname: raw.hostname.unwrap_or_default(),
        webui_url: raw.webui_url.unwrap_or_default(),
        checkpoint: raw.checkpoint.unwrap_or_default(),
        labels: labels
            .into_iter()
            .map(|l| (l.key.unwrap_or_default(), l.value))
            .collect(),
    }
}
