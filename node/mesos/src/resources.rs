//! Resources between Mesos' messages and our words.
//!
//! Only plain resources cross this border: reserved, revocable and shared ones and those of volumes
//! or resource providers are refused with a text, since no offer contains them.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_api::resource::{Amount, Range, Resource, Resources, Value};

use crate::listing::Allocations;
use crate::proto::v1;
use crate::proto::v1::value::Type;

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
    resources
        .iter()
        .map(|resource| v1::Resource {
            role: (!dialect.reservations).then(|| "*".to_owned()),
            allocation_info: allocation_info.clone(),
            ..valued(&resource.name, &resource.value)
        })
        .collect()
}

/// Resources that are allocated to nobody; `starred` says the role `*`, as listings do and infos do not.
pub fn of_nobody(resources: &Resources, starred: bool) -> Vec<v1::Resource> {
    resources
        .iter()
        .map(|resource| v1::Resource {
            role: starred.then(|| "*".to_owned()),
            ..valued(&resource.name, &resource.value)
        })
        .collect()
}

/// Resources by the role they are allocated to, as an operator sees them.
pub fn of_roles(allocations: &Allocations) -> Vec<v1::Resource> {
    let mut list = Vec::new();
    for (role, sum) in allocations.iter() {
        let allocation = v1::resource::AllocationInfo {
            role: Some(role.as_str().to_owned()),
        };
        list.extend(sum.iter().map(|(name, value)| v1::Resource {
            role: Some("*".to_owned()),
            allocation_info: Some(allocation.clone()),
            ..valued(name, value)
        }));
    }
    list
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
        let value = value(wire).map_err(|why| format!("Resource '{name}' is invalid: {why}"))?;
        if let Some(what) = beyond_plain(wire) {
            return Err(format!(
                "Resource '{name}' is {what}, which is not supported yet"
            ));
        }
        found.push(Resource {
            name: Arc::from(name),
            value,
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

/// What a resource is beyond an amount of something that anybody may use.
fn beyond_plain(wire: &v1::Resource) -> Option<&'static str> {
    let reserved = wire.reservation.is_some()
        || !wire.reservations.is_empty()
        || wire.role.as_deref().is_some_and(|role| role != "*");
    if reserved {
        Some("reserved")
    } else if wire.revocable.is_some() {
        Some("revocable")
    } else if wire.shared.is_some() {
        Some("shared")
    } else if wire.provider_id.is_some() {
        Some("of a resource provider")
    } else if wire
        .disk
        .as_ref()
        .is_some_and(|d| *d != v1::resource::DiskInfo::default())
    {
        Some("a volume or of a separate disk")
    } else {
        None
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
        assert!(one(&|r| r.role = Some("web".to_owned())).contains("is reserved"));
        assert!(one(&|r| r.revocable = Some(Default::default())).contains("is revocable"));
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
