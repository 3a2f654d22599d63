//! Resources as text: the form of flags, and the form of messages for people.

use std::fmt;
use std::sync::Arc;

use crate::id::Role;
use crate::resource::{Amount, Range, Resource, ResourceError, Resources, Value};
use crate::terms::{Reservation, Terms};

impl Resources {
    /// Reads the text form: `cpus:4;mem(web):1024;ports:[31000-32000,33000-33001];names:{a,b}`. A role
    /// in parentheses is a static reservation for it.
    ///
    /// # Errors
    /// [`ResourceError::Malformed`] or [`ResourceError::Invalid`], naming what is wrong.
    /// Source: Mesos' `--resources`.
    pub fn parse(text: &str) -> Result<Resources, ResourceError> {
        let malformed = |why| ResourceError::Malformed {
            text: text.to_owned(),
            why,
        };
        let mut list = Vec::new();
        for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = part
                .split_once(':')
                .ok_or_else(|| malformed("expected NAME:VALUE pairs separated by ';'"))?;
            let (name, role) = parse_name(name.trim()).map_err(malformed)?;
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(malformed("a resource needs a name without spaces"));
            }
            let value = parse_value(value.trim()).map_err(malformed)?;
            let terms = Terms {
                reservations: role.into_iter().map(Reservation::fixed).collect(),
                ..Terms::default()
            };
            list.push(Resource::on(Arc::from(name), value, terms));
        }
        Resources::from_list(list)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(terms) = &self.terms {
            write!(f, "{terms}")?;
        }
        write!(f, ":{}", self.value)
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, resource) in self.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{resource}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Scalar(amount) => write!(f, "{amount}"),
            Value::Ranges(ranges) => {
                f.write_str("[")?;
                for (i, range) in ranges.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{}-{}", range.begin, range.end)?;
                }
                f.write_str("]")
            }
            Value::Set(items) => write!(f, "{{{}}}", items.join(", ")),
        }
    }
}

/// A name, and the role that it is reserved for, `NAME(ROLE)`.
fn parse_name(text: &str) -> Result<(&str, Option<Role>), &'static str> {
    let Some((name, role)) = text.split_once('(') else {
        return Ok((text, None));
    };
    let role = role
        .strip_suffix(')')
        .ok_or("a role stands in parentheses, NAME(ROLE)")?;
    let role = Role::new(role.trim()).map_err(|_| "NAME(ROLE) needs a valid role")?;
    Ok((name.trim(), (role != Role::any()).then_some(role)))
}

fn parse_value(text: &str) -> Result<Value, &'static str> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner
            .strip_suffix(']')
            .ok_or("a range list ends with ']'")?;
        let mut ranges = Vec::new();
        for part in inner.split(',') {
            let (begin, end) = part.trim().split_once('-').ok_or("a range is BEGIN-END")?;
            let begin = begin
                .trim()
                .parse()
                .map_err(|_| "a range begins with a whole number")?;
            let end = end
                .trim()
                .parse()
                .map_err(|_| "a range ends with a whole number")?;
            ranges.push(Range { begin, end });
        }
        return Ok(Value::Ranges(ranges));
    }
    if let Some(inner) = text.strip_prefix('{') {
        let inner = inner.strip_suffix('}').ok_or("a set ends with '}'")?;
        return Ok(Value::Set(
            inner
                .split(',')
                .map(|item| Arc::from(item.trim()))
                .collect(),
        ));
    }
    let number: f64 = text.parse().map_err(|_| "a scalar is a decimal number")?;
    Amount::from_f64(number)
        .map(Value::Scalar)
        .ok_or("a scalar must be finite")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Resources {
        Resources::parse(text).expect(text)
    }

    #[test]
    fn text_round_trips_and_zero_vanishes() {
        let all = parse("cpus:4;mem:1024;disk:0;ports:[31000-31001, 31002-32000];names:{b,a}");
        assert_eq!(
            all.to_string(),
            "cpus:4; mem:1024; names:{a, b}; ports:[31000-32000]"
        );
        assert_eq!(all.scalar("cpus"), Amount(4000));
    }

    #[test]
    fn subtraction_then_addition_restores() {
        let total = parse("cpus:4;ports:[1-10,20-30];names:{a,b,c}");
        let part = parse("cpus:1.5;ports:[1-1,5-6,10-10,20-30];names:{b}");
        let mut rest = total.clone();
        rest.subtract(&part).unwrap();
        assert_eq!(rest.to_string(), "cpus:2.5; names:{a, c}; ports:[2-4, 7-9]");
        rest.add(&part).unwrap();
        assert_eq!(rest, total);
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let mut have = parse("cpus:1;mem:10;ports:[1-5]");
        let before = have.clone();
        assert!(have.subtract(&parse("cpus:0.5;mem:11")).is_err());
        assert!(have.add(&parse("cpus:1;ports:[5-6]")).is_err());
        assert_eq!(have, before);
    }

    #[test]
    fn a_role_in_parentheses_is_a_static_reservation() {
        let all = parse("cpus:1;cpus(web):2;cpus( web ):0.5;cpus(*):1;ports(web/a):[1-2]");
        assert_eq!(
            all.to_string(),
            "cpus:2; cpus(reservations: [(STATIC,web)]):2.5; \
             ports(reservations: [(STATIC,web/a)]):[1-2]"
        );
        assert_eq!(all.get("cpus"), Some(&Value::Scalar(Amount(2000))));
        assert_eq!(all.scalar("cpus"), Amount(4500));
        assert_eq!(all.get("ports"), None);
    }

    #[test]
    fn bad_values_are_refused() {
        for bad in [
            "cpus",
            "cpus:x",
            "cpus:-1",
            "cpus:inf",
            "ports:[5-1]",
            "ports:[1-3,3-4]",
            "n:{a,a}",
            "cpus:1;cpus:[1-2]",
            "cpus(ro le):1",
            "cpus(role:1",
            "cpus(a//b):1",
            "cpus(a):1;cpus(b):[1-2]",
        ] {
            assert!(Resources::parse(bad).is_err(), "{bad}");
        }
    }
}
