//! Resources: named scalars in thousandths, ranges and sets, with exact arithmetic.
//!
//! What can be used by anybody has a name and a value only. On what [`Terms`] the rest is used
//! (reserved, a volume, shared, revocable) is part of its identity: amounts of one name combine only on
//! equal terms. Texts are read and written in `resource_text`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;
use crate::terms::Terms;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// `cpus`, `mem` (MB), `disk` (MB), `gpus`, `ports`, or any other word.
    pub name: Arc<str>,
    /// How much of it.
    pub value: Value,
    /// On what terms it is used; absent where anybody may use it for anything. Never plain terms.
    pub terms: Option<Arc<Terms>>,
}

impl Resource {
    /// One that anybody may use.
    pub fn plain(name: &str, value: Value) -> Resource {
        Resource {
            name: Arc::from(name),
            value,
            terms: None,
        }
    }

    /// One on terms; those that say nothing are none.
    pub fn on(name: Arc<str>, value: Value, terms: Terms) -> Resource {
        Resource {
            name,
            value,
            terms: (terms != Terms::default()).then(|| Arc::new(terms)),
        }
    }

    /// Whether it is used up by who takes it: all but shared volumes.
    pub fn is_used_up(&self) -> bool {
        !self.terms.as_ref().is_some_and(|terms| terms.shared)
    }

    /// Whether it is taken as a whole or not at all.
    fn is_whole(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.is_whole())
    }

    fn order(&self, other: &Resource) -> Ordering {
        let names = self.name.cmp(&other.name);
        names.then_with(|| self.terms.cmp(&other.terms))
    }

    fn contains(&self, other: &Resource) -> bool {
        if other.is_whole() {
            return self.value == other.value;
        }
        value_contains(&self.value, &other.value)
    }
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

/// How a resource is encoded: what is on terms is one more kind of value, so that the rest has the
/// bytes that it had before there were terms.
#[derive(Serialize)]
enum Encoded<'a> {
    Scalar(&'a Amount),
    Ranges(&'a [Range]),
    Set(&'a [Arc<str>]),
    On(&'a Value, &'a Terms),
}

#[derive(Deserialize)]
enum Decoded {
    Scalar(Amount),
    Ranges(Vec<Range>),
    Set(Vec<Arc<str>>),
    On(Value, Arc<Terms>),
}

#[derive(Serialize)]
#[serde(rename = "Resource")]
struct EncodedResource<'a> {
    name: &'a str,
    value: Encoded<'a>,
}

#[derive(Deserialize)]
#[serde(rename = "Resource")]
struct DecodedResource {
    #[serde(deserialize_with = "crate::text::resource")]
    name: Arc<str>,
    value: Decoded,
}

impl Serialize for Resource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = match (&self.terms, &self.value) {
            (Some(terms), value) => Encoded::On(value, terms),
            (None, Value::Scalar(amount)) => Encoded::Scalar(amount),
            (None, Value::Ranges(ranges)) => Encoded::Ranges(ranges),
            (None, Value::Set(items)) => Encoded::Set(items),
        };
        let name = &*self.name;
        EncodedResource { name, value }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Resource, D::Error> {
        let DecodedResource { name, value } = DecodedResource::deserialize(deserializer)?;
        let (value, terms) = match value {
            Decoded::Scalar(amount) => (Value::Scalar(amount), None),
            Decoded::Ranges(ranges) => (Value::Ranges(ranges), None),
            Decoded::Set(items) => (Value::Set(items), None),
            Decoded::On(value, terms) => (value, Some(terms)),
        };
        Ok(Resource { name, value, terms })
    }
}

/// A set of resources, at most one per name and terms, sorted by both, none of them empty.
///
/// A shared volume is not used up: adding it again changes nothing, and taking it away leaves it.
/// Volumes and whole disks are neither cut nor joined.
///
/// # Invariants
/// - names and terms strictly ascend, those without terms before others of the name;
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
        Resources(vec![Resource::plain(name, Value::Scalar(amount))])
    }

    /// All of them, in order of name.
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.0.iter()
    }

    /// How many there are, by name and terms.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The resource of that name that anybody may use.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let first = self.named(name).next()?;
        first.terms.is_none().then_some(&first.value)
    }

    /// All of that name, on whatever terms.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Resource> {
        let begin = self.0.partition_point(|r| *r.name < *name);
        self.0[begin..].iter().take_while(move |r| *r.name == *name)
    }

    /// The sum of the scalars of that name, on whatever terms; zero if absent or of another type.
    pub fn scalar(&self, name: &str) -> Amount {
        let sum = self.named(name).map(|r| match r.value {
            Value::Scalar(amount) => amount.0,
            Value::Ranges(_) | Value::Set(_) => 0,
        });
        Amount(sum.fold(0, i64::saturating_add))
    }

    /// Whether anybody may use all of it for anything.
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|r| r.terms.is_none())
    }

    /// Those that meet a condition.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Resources {
        Resources(self.0.iter().filter(|r| keep(r)).cloned().collect())
    }

    /// The same, each on the terms that `change` makes of its own; what meets on equal terms joins.
    ///
    /// # Errors
    /// Those of [`Resources::from_list`].
    pub fn on_terms(
        &self,
        change: impl Fn(&Resource) -> Terms,
    ) -> Result<Resources, ResourceError> {
        Resources::from_list(self.0.iter().map(|r| {
            let terms = change(r);
            Resource::on(Arc::clone(&r.name), r.value.clone(), terms)
        }))
    }

    /// The same, with each volume that is written without its number as the one among `others`.
    #[must_use]
    pub fn resolved(&self, others: &Resources) -> Resources {
        let list = self.0.iter().map(|resource| {
            let unresolved = |terms: &&Arc<Terms>| terms.volume().is_some_and(|v| v.created == 0);
            let Some(terms) = resource.terms.as_ref().filter(unresolved) else {
                return resource.clone();
            };
            let meant = others.named(&resource.name).find(|other| {
                let other = other.terms.as_ref();
                other.is_some_and(|other| other.as_written() == **terms)
            });
            Resource {
                terms: meant.map_or(resource.terms.clone(), |meant| meant.terms.clone()),
                ..resource.clone()
            }
        });
        let mut list: Vec<Resource> = list.collect();
        list.sort_unstable_by(Resource::order);
        Resources(list)
    }

    /// What is used up of it, as an agent's configuration says it.
    pub fn taken(&self) -> Cow<'_, Resources> {
        if self.0.iter().all(Resource::is_used_up) {
            return self.as_configured();
        }
        let used_up = self.filter(Resource::is_used_up);
        Cow::Owned(used_up.as_configured().into_owned())
    }

    /// The same as an agent's configuration said it, before any operation.
    pub fn as_configured(&self) -> Cow<'_, Resources> {
        let by_operations = |r: &Resource| {
            let terms = r.terms.as_ref();
            terms.is_some_and(|terms| **terms != terms.as_configured())
        };
        if !self.0.iter().any(by_operations) {
            return Cow::Borrowed(self);
        }
        let configured = self.on_terms(|r| {
            let terms = r.terms.as_ref();
            terms.map(|terms| terms.as_configured()).unwrap_or_default()
        });
        Cow::Owned(configured.expect("resources of one agent do not overlap on any terms"))
    }

    /// Whether all of `other` is in here.
    pub fn contains(&self, other: &Resources) -> bool {
        other.iter().all(|r| self.has(r))
    }

    fn has(&self, wanted: &Resource) -> bool {
        self.position(wanted)
            .is_ok_and(|at| self.0[at].contains(wanted))
    }

    fn position(&self, wanted: &Resource) -> Result<usize, usize> {
        self.0.binary_search_by(|r| r.order(wanted))
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
        self.check_contains(other)?;
        for resource in other.iter().filter(|r| r.is_used_up()) {
            self.take_one(resource);
        }
        Ok(())
    }

    /// Takes `other` away for good, shared volumes too.
    ///
    /// # Errors
    /// [`ResourceError::NotContained`]; `self` is then unchanged.
    pub fn remove(&mut self, other: &Resources) -> Result<(), ResourceError> {
        self.check_contains(other)?;
        for resource in other.iter() {
            self.take_one(resource);
        }
        Ok(())
    }

    fn check_contains(&self, other: &Resources) -> Result<(), ResourceError> {
        match other.iter().find(|r| !self.has(r)) {
            None => Ok(()),
            Some(missing) => Err(ResourceError::NotContained {
                name: Arc::clone(&missing.name),
            }),
        }
    }

    fn take_one(&mut self, resource: &Resource) {
        let at = self
            .position(resource)
            .expect("a contained resource is present");
        if value_subtract(&mut self.0[at].value, &resource.value) {
            self.0.remove(at);
        }
    }

    fn add_one(&mut self, resource: &Resource) -> Result<(), ResourceError> {
        let at = match self.position(resource) {
            Ok(at) => at,
            Err(at) => {
                let before = at.checked_sub(1).and_then(|before| self.0.get(before));
                let is_other = |r: &&Resource| {
                    r.name == resource.name && value_type(&r.value) != value_type(&resource.value)
                };
                if before
                    .into_iter()
                    .chain(self.0.get(at))
                    .any(|r| is_other(&r))
                {
                    return Err(ResourceError::TypeMismatch {
                        name: Arc::clone(&resource.name),
                    });
                }
                self.0.insert(at, resource.clone());
                return Ok(());
            }
        };
        let have = &mut self.0[at];
        if !resource.is_whole() {
            return value_add(&resource.name, &mut have.value, &resource.value);
        }
        if !resource.is_used_up() && have.value == resource.value {
            return Ok(());
        }
        Err(ResourceError::Invalid {
            name: Arc::clone(&resource.name),
            why: "one volume or disk stands twice",
        })
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Brings one resource into the form of the invariants; `None` if it is empty.
fn normalise(resource: Resource) -> Result<Option<Resource>, ResourceError> {
    let Resource { name, value, terms } = resource;
    let invalid = |why| ResourceError::Invalid {
        name: Arc::clone(&name),
        why,
    };
    let value = match value {
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
    Ok(Some(Resource { name, value, terms }))
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

fn value_type(value: &Value) -> u8 {
    match value {
        Value::Scalar(_) => 0,
        Value::Ranges(_) => 1,
        Value::Set(_) => 2,
    }
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
