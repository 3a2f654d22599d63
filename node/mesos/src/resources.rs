//! Resources between Mesos' messages and our words.
//!
//! Names, values and whom they are allocated to; on what terms is [`crate::terms`]' part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shoal_api::resource::{Amount, Range, Resource, Resources, Value};
use shoal_api::{Role, Terms};

use crate::codec::Codec;
use crate::listing::{Allocations, Sum};
use crate::proto::v1;
use crate::proto::v1::value::Type;
use crate::terms::{self, Form};

/// How an audience wants resources written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// With `allocation_info`. Source: capability MULTI_ROLE.
    pub allocation_info: bool,
    /// With stacks of reservations; without, unreserved resources have the role `*`. Source:
    /// capability RESERVATION_REFINEMENT.
    pub reservations: bool,
}

/// Resources as messages, allocated to a role.
pub fn to_wire(resources: &Resources, role: &str, dialect: Dialect) -> Vec<v1::Resource> {
    let allocation_info = dialect
        .allocation_info
        .then(|| v1::resource::AllocationInfo {
            role: Some(role.to_owned()),
        });
    let form = if dialect.reservations {
        Form::Stack
    } else {
        Form::Old
    };
    resources
        .iter()
        .map(|resource| v1::Resource {
            allocation_info: allocation_info.clone(),
            ..whole(resource, form)
        })
        .collect()
}

fn whole(resource: &Resource, form: Form) -> v1::Resource {
    on_terms(
        &resource.name,
        &resource.value,
        resource.terms.as_deref(),
        form,
    )
}

fn on_terms(name: &str, value: &Value, terms: Option<&Terms>, form: Form) -> v1::Resource {
    let mut wire = valued(name, value);
    terms::put(terms, form, &mut wire);
    wire
}

/// What an agent was configured with: no operation shows in it.
pub fn of_agent(resources: &Resources) -> Vec<v1::Resource> {
    let configured = resources.as_configured();
    let list = configured.iter();
    list.map(|resource| whole(resource, Form::Stack)).collect()
}

/// Resources that are allocated to nobody, as listings show them.
pub fn of_nobody<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Vec<v1::Resource> {
    let list = resources.into_iter();
    list.map(|resource| whole(resource, Form::Both)).collect()
}

/// The role of each reserved resource, with all that are reserved for it.
pub fn reserved(resources: &Resources) -> BTreeMap<&Role, Vec<&Resource>> {
    let mut roles: BTreeMap<&Role, Vec<&Resource>> = BTreeMap::new();
    for resource in resources {
        if let Some(role) = resource.terms.as_ref().and_then(|terms| terms.role()) {
            roles.entry(role).or_default().push(resource);
        }
    }
    roles
}

/// Those that are reserved for nobody.
pub fn unreserved(resources: &Resources) -> impl Iterator<Item = &Resource> {
    let terms = |resource: &&Resource| resource.terms.clone();
    resources
        .iter()
        .filter(move |resource| terms(resource).is_none_or(|terms| terms.role().is_none()))
}

/// Resources by the role they are allocated to, as an operator sees them.
pub fn of_roles(allocations: &Allocations) -> Vec<v1::Resource> {
    let mut list = Vec::new();
    for (role, sum) in allocations.iter() {
        let allocation = v1::resource::AllocationInfo {
            role: Some(role.as_str().to_owned()),
        };
        list.extend(of_sum(sum).into_iter().map(|wire| v1::Resource {
            allocation_info: Some(allocation.clone()),
            ..wire
        }));
    }
    list
}

/// A sum as listings show it.
fn of_sum(sum: &Sum) -> Vec<v1::Resource> {
    let all = sum.on_terms();
    all.map(|(name, terms, value)| on_terms(name, value, terms, Form::Both))
        .collect()
}

/// Reads the JSON form of an agent's resources: a list of `Resource` messages.
///
/// # Errors
/// What is wrong with the text. Source: Mesos' `--resources`.
pub fn parse(text: &str) -> Result<Resources, String> {
    // The message around it has nothing but a list of resources.
    let wrapped = format!("{{\"resources\":{text}}}");
    let list: v1::offer::operation::Unreserve = Codec::Json
        .decode(wrapped.as_bytes())
        .map_err(|error| error.to_string())?;
    let (resources, _role) = from_wire(&list.resources)?;
    let may_not = |resource: &&Resource| {
        let terms = resource.terms.as_ref();
        terms.is_some_and(|terms| **terms != terms.as_configured() || terms.revocable)
    };
    if let Some(bad) = resources.iter().find(may_not) {
        return Err(format!(
            "resource '{bad}' is dynamically reserved, a volume or revocable: only operations make \
             such resources, not an agent's configuration"
        ));
    }
    Ok(resources)
}

/// A resource that says its name and value only.
pub fn valued(name: &str, value: &Value) -> v1::Resource {
    let mut wire = v1::Resource {
        name: Some(name.to_owned()),
        ..v1::Resource::default()
    };
    match value {
        Value::Scalar(amount) => {
            wire.r#type = Some(Type::Scalar.into());
            wire.scalar = Some(scalar(*amount));
        }
        Value::Ranges(list) => {
            wire.r#type = Some(Type::Ranges.into());
            wire.ranges = Some(ranges(list));
        }
        Value::Set(items) => {
            wire.r#type = Some(Type::Set.into());
            wire.set = Some(v1::value::Set {
                item: items.iter().map(|item| item.to_string()).collect(),
            });
        }
    }
    wire
}

/// A scalar as a message.
pub fn scalar(amount: Amount) -> v1::value::Scalar {
    v1::value::Scalar {
        value: Some(amount.as_f64()),
    }
}

/// Ranges as a message.
pub fn ranges(ranges: &[Range]) -> v1::value::Ranges {
    let range = ranges.iter().map(|range| v1::value::Range {
        begin: Some(range.begin),
        end: Some(range.end),
    });
    v1::value::Ranges {
        range: range.collect(),
    }
}

/// Resources from messages, and the role that they are allocated to, if any says so.
///
/// # Errors
/// The first thing that is wrong with them, in the words of Mesos where it has some.
pub fn from_wire(list: &[v1::Resource]) -> Result<(Resources, Option<&str>), String> {
    let mut found = Vec::with_capacity(list.len());
    for wire in list {
        let name = wire.name.as_deref().unwrap_or_default();
        let invalid = |why| format!("Resource '{name}' is invalid: {why}");
        let value = value(wire).map_err(invalid)?;
        let terms = terms::read(wire).map_err(invalid)?;
        found.push(Resource {
            name: Arc::from(name),
            value,
            terms,
        });
    }
    let role = allocation_role(list)?;
    let resources = Resources::from_list(found).map_err(|error| error.to_string())?;
    Ok((resources, role))
}

fn allocation_role(list: &[v1::Resource]) -> Result<Option<&str>, String> {
    let roles: BTreeSet<&str> = list
        .iter()
        .filter_map(|wire| wire.allocation_info.as_ref()?.role.as_deref())
        .collect();
    let mut roles = roles.into_iter();
    match (roles.next(), roles.next()) {
        (first, None) => Ok(first),
        (first, Some(second)) => Err(format!(
            "The resources have multiple allocation roles ('{}' and '{second}') but only one \
             allocation role is allowed",
            first.unwrap_or_default()
        )),
    }
}

fn value(wire: &v1::Resource) -> Result<Value, String> {
    if wire.name.as_deref().unwrap_or_default().is_empty() {
        return Err("Empty resource name".to_owned());
    }
    let (scalar, ranges, set) = (&wire.scalar, &wire.ranges, &wire.set);
    match (wire.r#type(), scalar, ranges, set) {
        (Type::Scalar, Some(scalar), None, None) => scalar_value(scalar),
        (Type::Ranges, None, Some(ranges), None) => ranges_value(ranges),
        (Type::Set, None, None, Some(set)) => set_value(set),
        (Type::Scalar, ..) => Err("Invalid scalar resource".to_owned()),
        (Type::Ranges, ..) => Err("Invalid ranges resource".to_owned()),
        (Type::Set, ..) => Err("Invalid set resource".to_owned()),
        (Type::Text, ..) => Err("Unsupported resource type".to_owned()),
    }
}

fn scalar_value(scalar: &v1::value::Scalar) -> Result<Value, String> {
    let value = scalar.value();
    if value < 0.0 {
        return Err("Invalid scalar resource: value < 0".to_owned());
    }
    match Amount::from_f64(value) {
        None => Err("Invalid scalar resource: value is not a finite number".to_owned()),
        Some(Amount::ZERO) if value != 0.0 => {
            Err("Invalid scalar resource: value is rounded to zero".to_owned())
        }
        Some(amount) => Ok(Value::Scalar(amount)),
    }
}

fn ranges_value(ranges: &v1::value::Ranges) -> Result<Value, String> {
    let mut list: Vec<Range> = ranges
        .range
        .iter()
        .map(|range| Range {
            begin: range.begin(),
            end: range.end(),
        })
        .collect();
    if list.iter().any(|range| range.begin > range.end) {
        return Err("Invalid ranges resource: begin > end".to_owned());
    }
    list.sort_unstable();
    if list.windows(2).any(|pair| pair[1].begin <= pair[0].end) {
        return Err("Invalid ranges resource: overlapping ranges".to_owned());
    }
    Ok(Value::Ranges(list))
}

fn set_value(set: &v1::value::Set) -> Result<Value, String> {
    let mut items: Vec<Arc<str>> = set
        .item
        .iter()
        .map(|item| Arc::from(item.as_str()))
        .collect();
    items.sort_unstable();
    if items.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("Invalid set resource: duplicated elements".to_owned());
    }
    Ok(Value::Set(items))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect {
        allocation_info: true,
        reservations: true,
    };

    #[test]
    fn what_is_written_is_read_back() {
        let all = Resources::parse("cpus:1.5;mem:1024;ports:[31000-31005,31010-31010];x:{a,b}");
        let all = all.unwrap();
        let wire = to_wire(&all, "web", PLAIN);
        assert_eq!(from_wire(&wire), Ok((all.clone(), Some("web"))));
        let old = Dialect {
            allocation_info: false,
            reservations: false,
        };
        let wire = to_wire(&all, "web", old);
        assert!(wire.iter().all(|r| r.role() == "*" && r.role.is_some()));
        assert_eq!(from_wire(&wire), Ok((all, None)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        let one = |change: &dyn Fn(&mut v1::Resource)| {
            let resources = Resources::parse("cpus:1").unwrap();
            let mut wire = to_wire(&resources, "web", PLAIN);
            change(&mut wire[0]);
            from_wire(&wire).unwrap_err()
        };
        let number =
            |value: f64| one(&move |r| r.scalar = Some(v1::value::Scalar { value: Some(value) }));
        assert!(number(-1.0).ends_with("value < 0"));
        assert!(number(0.0001).ends_with("rounded to zero"));
        assert!(number(f64::NAN).ends_with("finite number"));
        assert!(number(f64::INFINITY).ends_with("finite number"));
        assert!(one(&|r| r.name = None).ends_with("Empty resource name"));
        assert!(
            one(&|r| r.r#type = Some(Type::Ranges.into())).ends_with("Invalid ranges resource")
        );
    }

    #[test]
    fn ranges_may_touch_but_not_overlap() {
        let ports = |list: &[(u64, u64)]| {
            let range = |&(begin, end): &(u64, u64)| v1::value::Range {
                begin: Some(begin),
                end: Some(end),
            };
            let wire = v1::Resource {
                name: Some("ports".to_owned()),
                r#type: Some(Type::Ranges.into()),
                ranges: Some(v1::value::Ranges {
                    range: list.iter().map(range).collect(),
                }),
                ..v1::Resource::default()
            };
            from_wire(&[wire]).map(|(resources, _)| resources.to_string())
        };
        assert_eq!(ports(&[(5, 6), (1, 4)]).unwrap(), "ports:[1-6]");
        assert!(
            ports(&[(1, 5), (5, 6)])
                .unwrap_err()
                .ends_with("overlapping ranges")
        );
        assert!(ports(&[(5, 1)]).unwrap_err().ends_with("begin > end"));
    }
}
