//! `/roles`: who uses which role, and how much.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use shoal_api::{FrameworkId, Role};

use super::stream::Stream;
use super::values::{self, Sum};
use super::{Source, push_empty_object};
use crate::json::write;

/// A role that somebody uses, or whose name begins the name of one.
#[derive(Clone, Debug, Default)]
pub struct RoleEntry<'a> {
    /// The frameworks that subscribed with it.
    pub frameworks: BTreeSet<&'a FrameworkId>,
    /// What tasks hold in its name.
    pub allocated: Sum,
    /// What is offered in its name.
    pub offered: Sum,
}

/// All roles, in order of name.
pub fn role_entries(source: &dyn Source) -> BTreeMap<Role, RoleEntry<'_>> {
    let mut roles: BTreeMap<Role, RoleEntry<'_>> = BTreeMap::new();
    for framework in source.frameworks() {
        for role in &framework.info.roles {
            let entry = roles.entry(role.clone()).or_default();
            entry.frameworks.insert(framework.id);
        }
        for (role, sum) in framework.used.iter() {
            roles
                .entry(role.clone())
                .or_default()
                .allocated
                .add_sum(sum);
        }
        for (role, sum) in framework.offered.iter() {
            roles.entry(role.clone()).or_default().offered.add_sum(sum);
        }
    }
    let named: Vec<Role> = roles.keys().cloned().collect();
    for role in named {
        let mut name = role.as_str();
        while let Some((parent, _)) = name.rsplit_once('/') {
            if let Ok(parent) = Role::new(parent) {
                roles.entry(parent).or_default();
            }
            name = parent;
        }
    }
    roles
}

/// The body of `/roles`, in pieces. No role has a weight or a quota of its own.
pub fn roles(source: &dyn Source, sink: &mut dyn FnMut(Bytes)) {
    let mut out = Stream::new(sink);
    out.open('{');
    out.key("roles");
    out.open('[');
    for (role, entry) in role_entries(source) {
        out.item();
        out.open('{');
        write::text(out.key("name"), role.as_str());
        write::double(out.key("weight"), 1.0);
        out.key("quota");
        out.open('{');
        write::text(out.key("role"), role.as_str());
        push_empty_object(&mut out, "guarantee");
        push_empty_object(&mut out, "limit");
        values::quantities(out.key("consumed"), &entry.allocated);
        out.close('}');
        let mut all = entry.allocated.clone();
        all.add_sum(&entry.offered);
        values::quantities(out.key("resources"), &all);
        values::quantities(out.key("allocated"), &entry.allocated);
        values::quantities(out.key("offered"), &entry.offered);
        push_empty_object(&mut out, "reserved");
        let ids: Vec<&FrameworkId> = entry.frameworks.into_iter().collect();
        write::list(out.key("frameworks"), &ids, |out, id| {
            write::text(out, id.as_str());
        });
        out.close('}');
    }
    out.close(']');
    out.close('}');
    out.finish();
}
