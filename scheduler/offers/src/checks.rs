//! Whether an operation makes sense, whatever is free at the moment.
//!
//! Source: facts 3.29; the texts are those of Mesos where it has some.

use std::sync::Arc;

use shoal_api::operation::Change;
use shoal_api::{
    Amount, Capability, DiskKind, FrameworkInfo, Principal, Resource, Resources, Role, Terms,
};

/// Who asks for a change.
pub(crate) enum Asker<'a> {
    /// A framework, with resources allocated to a role.
    Framework {
        info: &'a FrameworkInfo,
        role: &'a Role,
    },
    /// An operator, by name if it said one.
    Operator(Option<&'a Principal>),
}

impl Asker<'_> {
    fn principal(&self) -> Option<&Principal> {
        match self {
            Asker::Framework { info, .. } => info.principal.as_ref(),
            Asker::Operator(principal) => *principal,
        }
    }
}

/// Checks a change of an agent that has these resources.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(change: &Change, asker: &Asker<'_>, total: &Resources) -> Result<(), String> {
    let (Change::Reserve(all)
    | Change::Unreserve(all)
    | Change::Create(all)
    | Change::Destroy(all)
    | Change::Grow { volume: all, .. }
    | Change::Shrink { volume: all, .. }) = change;
    if all.is_empty() {
        return Err("No resources specified".to_owned());
    }
    let provided = |r: &Resource| r.terms.as_ref().is_some_and(|t| t.provider.is_some());
    if all.iter().any(provided) {
        return Err("Resource providers are not supported".to_owned());
    }
    match change {
        Change::Reserve(all) => all
            .iter()
            .try_for_each(|r| check_reservation(reservable(r)?, asker)),
        Change::Unreserve(all) => all.iter().try_for_each(|r| reservable(r).map(|_| ())),
        Change::Create(all) => check_create(all, asker, total),
        Change::Destroy(all) => all.iter().try_for_each(|r| check_volume(r).map(|_| ())),
        Change::Grow { volume, addition } => check_grow(volume, addition),
        Change::Shrink { volume, subtract } => check_shrink(volume, *subtract),
    }
}

/// The terms of a resource that can be reserved or unreserved.
fn reservable(resource: &Resource) -> Result<&Terms, String> {
    let terms = resource.terms.as_deref().filter(|terms| terms.is_dynamic());
    let Some(terms) = terms else {
        return Err(format!("Resource {resource} is not dynamically reserved"));
    };
    if terms.volume().is_some() {
        return Err(format!(
            "A dynamically reserved persistent volume {resource} cannot be reserved or unreserved \
             directly"
        ));
    }
    Ok(terms)
}

/// Whether the asker may put this reservation on top.
fn check_reservation(terms: &Terms, asker: &Asker<'_>) -> Result<(), String> {
    let top = terms.reservations.last();
    let top = top.expect("a dynamic reservation is on top");
    if let Asker::Framework { info, role } = asker {
        if !info.roles.contains(role) {
            return Err(format!(
                "A reserve operation was attempted for a resource allocated to role '{role}', but \
                 the framework does not have it"
            ));
        }
        if top.role != **role {
            return Err(format!(
                "A reserve operation was attempted for a resource with role '{}', but the resource \
                 was allocated to role '{role}'",
                top.role
            ));
        }
    }
    let Some(principal) = asker.principal() else {
        return Ok(());
    };
    match &top.principal {
        Some(own) if own == principal => Ok(()),
        Some(own) => Err(format!(
            "A reserve operation was attempted by principal '{principal}', but there is a reserved \
             resource in the request with principal '{own}' set"
        )),
        None => Err(format!(
            "A reserve operation was attempted by principal '{principal}', but there is a reserved \
             resource in the request with no principal set"
        )),
    }
}

/// The terms of what is a volume on reserved disk.
fn check_volume(resource: &Resource) -> Result<&Terms, String> {
    let Some(terms) = resource.terms.as_deref().filter(|t| t.volume().is_some()) else {
        return Err(format!("Resource {resource} is not a persistent volume"));
    };
    if terms.reservations.is_empty() {
        return Err(format!("Persistent volume {resource} is not reserved"));
    }
    let source = terms.disk.as_ref().and_then(|disk| disk.source.as_ref());
    let usable = source.is_none_or(|source| match source.kind {
        DiskKind::Path | DiskKind::Mount => source.root.is_some(),
        DiskKind::Block | DiskKind::Raw => false,
    });
    if !usable {
        return Err(format!(
            "Persistent volume {resource} is on a disk without a root"
        ));
    }
    Ok(terms)
}

fn check_create(all: &Resources, asker: &Asker<'_>, total: &Resources) -> Result<(), String> {
    let named = |terms: &Terms| Some((terms.role()?.clone(), Arc::clone(&terms.volume()?.id)));
    let of = |r: &Resource| r.terms.as_deref().and_then(named);
    let mut known: Vec<_> = total.iter().filter_map(of).collect();
    for resource in all {
        let terms = check_volume(resource)?;
        let name = named(terms).expect("a volume has a role and an id");
        if known.contains(&name) {
            return Err(format!("Persistence ID '{}' is not unique", name.1));
        }
        let volume = terms.volume().expect("it was checked");
        if let Some(principal) = asker.principal()
            && volume.principal.as_ref() != Some(principal)
        {
            return Err(format!(
                "A create volume operation was attempted by principal '{principal}', but there is \
                 a volume in the operation with another principal, or none, in its persistence"
            ));
        }
        if let Asker::Framework { info, .. } = asker
            && terms.shared
            && !info.can(Capability::SharedResources)
        {
            return Err(
                "A create volume operation was attempted for a shared volume, but the framework \
                 does not have the SHARED_RESOURCES capability"
                    .to_owned(),
            );
        }
        known.push(name);
    }
    Ok(())
}

/// The one volume that changes its size.
fn check_resize<'a>(volume: &'a Resources, verb: &str) -> Result<&'a Terms, String> {
    let mut all = volume.iter();
    let (Some(one), None) = (all.next(), all.next()) else {
        return Err("Exactly one volume is expected".to_owned());
    };
    let terms = check_volume(one)?;
    if terms.shared {
        return Err(format!(
            "{verb} a shared persistent volume is not supported"
        ));
    }
    Ok(terms)
}

fn check_grow(volume: &Resources, addition: &Resources) -> Result<(), String> {
    let terms = check_resize(volume, "Growing")?;
    let bare = terms.without_volume();
    let fits = |r: &Resource| &*r.name == "disk" && r.terms.as_deref() == Some(&bare);
    if addition.is_empty() {
        return Err("The size of 'GrowVolume.addition' field must be greater than zero".to_owned());
    }
    if addition.len() != 1 || !addition.iter().all(fits) || bare.is_whole() {
        return Err(
            "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields"
                .to_owned(),
        );
    }
    Ok(())
}

fn check_shrink(volume: &Resources, subtract: Amount) -> Result<(), String> {
    let terms = check_resize(volume, "Shrinking")?;
    if terms.without_volume().is_whole() {
        return Err("Shrinking a persistent volume from a MOUNT disk is not supported".to_owned());
    }
    if subtract.0 <= 0 {
        return Err("Value of 'ShrinkVolume.subtract' must be greater than zero".to_owned());
    }
    if subtract >= volume.scalar("disk") {
        return Err(
            "Value of 'ShrinkVolume.subtract' must be smaller than the size of the volume"
                .to_owned(),
        );
    }
    Ok(())
}
