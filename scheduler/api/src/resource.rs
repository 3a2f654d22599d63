//! Resources: named scalars in thousandths, ranges and sets, with exact arithmetic.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;

/// A scalar amount in thousandths: 1.5 cpus is 1500. Never negative in a valid [`Resources`].
///
/// Source: Mesos compares, adds and subtracts scalars as fixed point with three decimals.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Amount(pub i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// Rounds to three decimals; `None` for NaN, infinities and what does not fit.
    pub fn from_f64(value: f64) -> Option<Amount> {
        let milli = (value * 1000.0).round();
        (milli.is_finite() && milli.abs() < 9.0e15).then_some(Amount(milli as i64))
    }

    /// The value with its decimals.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_f64(), f)
    }
}

/// Both ends are inside; `begin <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Range {
    /// The first number.
    pub begin: u64,
    /// The last number.
    pub end: u64,
}

/// How much of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Value {
    /// An amount that can be cut anywhere.
    Scalar(Amount),
    /// Numbers: sorted, not overlapping, not adjacent.
    Ranges(Vec<Range>),
    /// Words: sorted, each once.
    Set(Vec<Arc<str>>),
}

/// One named resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// `cpus`, `mem` (MB), `disk` (MB), `gpus`, `ports`, or any other word.
    #[serde(deserialize_with = "crate::text::resource")]
    pub name: Arc<str>,
    /// How much of it.
    pub value: Value,
}

/// Why resources cannot be combined. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResourceError {
    /// More was to be taken than there is.
    #[error("resource '{name}' has less than what is to be taken")]
    NotContained { name: Arc<str> },
    /// One name is used with two types.
    #[error("resource '{name}' is used with two types")]
    TypeMismatch { name: Arc<str> },
    /// The value itself is not valid.
    #[error("resource '{name}' is invalid: {why}")]
    Invalid { name: Arc<str>, why: &'static str },
    /// The text is not a list of resources.
    #[error("resources '{text}' cannot be read: {why}")]
    Malformed { text: String, why: &'static str },
}

/// A set of resources, at most one per name, sorted by name, none of them empty.
///
/// # Invariants
/// - names strictly ascend;
/// - scalars are positive, ranges are sorted, disjoint and not adjacent, set items strictly ascend;
/// - no value is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources(Vec<Resource>);

impl Resources {
    /// No resources.
    pub const fn new() -> Resources {
        Resources(Vec::new())
    }

    /// Combines what is listed; the order does not matter and zero amounts vanish.
    ///
    /// # Errors
    /// A negative scalar, a reversed or overlapping range, a word twice, or one name with two types.
    pub fn from_list(list: impl IntoIterator<Item = Resource>) -> Result<Resources, ResourceError> {
        let mut all = Resources::new();
        for resource in list {
            let one = normalise(resource)?;
            if let Some(one) = one {
                all.add_one(&one)?;
            }
        }
        Ok(all)
    }

    /// One scalar, in thousandths.
    pub fn scalar_of(name: &str, amount: Amount) -> Resources {
        assert!(amount.0 >= 0, "resource {name} is negative");
        if amount.0 == 0 {
            return Resources::new();
        }
        Resources(vec![Resource {
            name: Arc::from(name),
            value: Value::Scalar(amount),
        }])
    }

    /// All of them, in order of name.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The resource of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self.0.binary_search_by(|r| (*r.name).cmp(name)).ok()?;
        Some(&self.0[at].value)
    }

    /// The scalar of that name; zero if absent or of another type.
    pub fn scalar(&self, name: &str) -> Amount {
        match self.get(name) {
            Some(Value::Scalar(amount)) => *amount,
            Some(Value::Ranges(_) | Value::Set(_)) | None => Amount::ZERO,
        }
    }

    /// Whether all of `other` is in here.
    pub fn contains(&self, other: &Resources) -> bool {
        other.iter().all(|r| {
            self.get(&r.name)
                .is_some_and(|have| value_contains(have, &r.value))
        })
    }

    /// Adds `other`.
    ///
    /// # Errors
    /// [`ResourceError::TypeMismatch`], or an overlap of ranges or sets; `self` is then unchanged.
    pub fn add(&mut self, other: &Resources) -> Result<(), ResourceError> {
        let before = if other.0.len() > 1 {
            Some(self.0.clone())
        } else {
            None
        };
        for resource in other.iter() {
            if let Err(error) = self.add_one(resource) {
                if let Some(before) = before {
                    self.0 = before;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes `other` away.
    ///
    /// # Errors
    /// [`ResourceError::NotContained`]; `self` is then unchanged.
    pub fn subtract(&mut self, other: &Resources) -> Result<(), ResourceError> {
        if let Some(missing) = other.iter().find(|r| {
            !self
                .get(&r.name)
                .is_some_and(|have| value_contains(have, &r.value))
        }) {
            return Err(ResourceError::NotContained {
                name: Arc::clone(&missing.name),
            });
        }
        for resource in other.iter() {
            let at = self
                .0
                .binary_search_by(|r| r.name.cmp(&resource.name))
                .expect("a contained resource is present");
            if value_subtract(&mut self.0[at].value, &resource.value) {
                self.0.remove(at);
            }
        }
        Ok(())
    }

    fn add_one(&mut self, resource: &Resource) -> Result<(), ResourceError> {
        match self.0.binary_search_by(|r| r.name.cmp(&resource.name)) {
            Ok(at) => value_add(&resource.name, &mut self.0[at].value, &resource.value),
            Err(at) => {
                self.0.insert(at, resource.clone());
                Ok(())
            }
        }
    }

    /// Reads the text form: `cpus:4;mem:1024;ports:[31000-32000,33000-33001];names:{a,b}`.
    ///
    /// # Errors
    /// [`ResourceError::Malformed`] or [`ResourceError::Invalid`], naming what is wrong.
    /// Source: Mesos' `--resources`, without roles.
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
            let name = name.trim();
            if name.contains('(') {
                return Err(malformed(
                    "reserved resources, NAME(ROLE), are not supported yet",
                ));
            }
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(malformed("a resource needs a name without spaces"));
            }
            let value = parse_value(value.trim()).map_err(malformed)?;
            list.push(Resource {
                name: Arc::from(name),
                value,
            });
        }
        Resources::from_list(list)
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, resource) in self.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}:{}", resource.name, resource.value)?;
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

/// Brings one resource into the form of the invariants; `None` if it is empty.
fn normalise(resource: Resource) -> Result<Option<Resource>, ResourceError> {
    let name = resource.name;
    let invalid = |why| ResourceError::Invalid {
        name: Arc::clone(&name),
        why,
    };
    let value = match resource.value {
        Value::Scalar(amount) if amount.0 < 0 => return Err(invalid("it is negative")),
        Value::Scalar(amount) if amount.0 == 0 => return Ok(None),
        Value::Scalar(amount) => Value::Scalar(amount),
        Value::Ranges(mut ranges) => {
            if ranges.len() > limits::RANGES_PER_RESOURCE {
                return Err(invalid("it has too many ranges"));
            }
            if ranges.iter().any(|r| r.begin > r.end) {
                return Err(invalid("a range ends before it begins"));
            }
            ranges.sort_unstable();
            if ranges.windows(2).any(|w| w[1].begin <= w[0].end) {
                return Err(invalid("its ranges overlap"));
            }
            coalesce(&mut ranges);
            if ranges.is_empty() {
                return Ok(None);
            }
            Value::Ranges(ranges)
        }
        Value::Set(mut items) => {
            items.sort_unstable();
            if items.windows(2).any(|w| w[0] == w[1]) {
                return Err(invalid("an item stands twice"));
            }
            if items.is_empty() {
                return Ok(None);
            }
            Value::Set(items)
        }
    };
    Ok(Some(Resource { name, value }))
}

/// Joins adjacent ranges of a sorted, disjoint list.
fn coalesce(ranges: &mut Vec<Range>) {
    ranges.dedup_by(|next, last| {
        let joins = last.end.checked_add(1) == Some(next.begin);
        if joins {
            last.end = next.end;
        }
        joins
    });
}

fn value_contains(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Scalar(have), Value::Scalar(want)) => have >= want,
        (Value::Ranges(have), Value::Ranges(want)) => want.iter().all(|w| {
            let at = have.partition_point(|h| h.end < w.begin);
            have.get(at)
                .is_some_and(|h| h.begin <= w.begin && w.end <= h.end)
        }),
        (Value::Set(have), Value::Set(want)) => {
            want.iter().all(|item| have.binary_search(item).is_ok())
        }
        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_), _) => false,
    }
}

fn value_add(name: &Arc<str>, have: &mut Value, more: &Value) -> Result<(), ResourceError> {
    let invalid = |why| ResourceError::Invalid {
        name: Arc::clone(name),
        why,
    };
    match (have, more) {
        (Value::Scalar(have), Value::Scalar(more)) => {
            have.0 = have
                .0
                .checked_add(more.0)
                .ok_or_else(|| invalid("the sum is too large"))?;
            Ok(())
        }
        (Value::Ranges(have), Value::Ranges(more)) => {
            let mut all: Vec<Range> = have.iter().chain(more).copied().collect();
            all.sort_unstable();
            if all.windows(2).any(|w| w[1].begin <= w[0].end) {
                return Err(invalid("its ranges overlap"));
            }
            coalesce(&mut all);
            *have = all;
            Ok(())
        }
        (Value::Set(have), Value::Set(more)) => {
            if more.iter().any(|item| have.binary_search(item).is_ok()) {
                return Err(invalid("an item stands twice"));
            }
            have.extend(more.iter().cloned());
            have.sort_unstable();
            Ok(())
        }
        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_), _) => {
            Err(ResourceError::TypeMismatch {
                name: Arc::clone(name),
            })
        }
    }
}

/// Takes a contained value away; true if nothing is left.
fn value_subtract(have: &mut Value, less: &Value) -> bool {
    match (have, less) {
        (Value::Scalar(have), Value::Scalar(less)) => {
            have.0 -= less.0;
            have.0 == 0
        }
        (Value::Ranges(have), Value::Ranges(less)) => {
            let mut left = Vec::with_capacity(have.len() + less.len());
            let mut cuts = less.iter().peekable();
            for range in have.iter() {
                let mut begin = range.begin;
                let mut open = true;
                while let Some(cut) = cuts.next_if(|cut| cut.end <= range.end) {
                    if cut.begin > begin {
                        left.push(Range {
                            begin,
                            end: cut.begin - 1,
                        });
                    }
                    match cut.end.checked_add(1) {
                        Some(next) if next <= range.end => begin = next,
                        Some(_) | None => open = false,
                    }
                }
                if open {
                    left.push(Range {
                        begin,
                        end: range.end,
                    });
                }
            }
            *have = left;
            have.is_empty()
        }
        (Value::Set(have), Value::Set(less)) => {
            have.retain(|item| less.binary_search(item).is_err());
            have.is_empty()
        }
        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_), _) => {
            unreachable!("types were compared before the subtraction")
        }
    }
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
            "cpus(role):1",
        ] {
            assert!(Resources::parse(bad).is_err(), "{bad}");
        }
    }
}
