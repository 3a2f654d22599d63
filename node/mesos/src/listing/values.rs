//! Resources and attributes in the form of version 0: an object from names to numbers and texts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_api::resource::{Amount, Range, Resources, Value};
use shoal_api::{AgentInfo, AttributeValue, Resource, Role, Terms};

use crate::json::{Message, write};
use crate::proto::v1;
use crate::resources;

/// The scalars that stand in every list, zero or not, in Mesos' order.
const ALWAYS: [(&str, &str); 4] = [
    ("disk", ",\"disk\":"),
    ("mem", ",\"mem\":"),
    ("gpus", ",\"gpus\":"),
    ("cpus", ",\"cpus\":"),
];

/// Resources of several agents added up: two agents may have the same ports, which then stand once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    plain: BTreeMap<Arc<str>, Value>,
    on_terms: BTreeMap<(Arc<str>, Arc<Terms>), Value>,
}

impl Sum {
    /// Adds some; a name that has another type so far is left as it is.
    pub fn add<'a>(&mut self, resources: impl IntoIterator<Item = &'a Resource>) {
        for resource in resources {
            let name = &resource.name;
            match &resource.terms {
                None => add_value(&mut self.plain, name, &resource.value),
                Some(terms) => {
                    let key = (Arc::clone(name), Arc::clone(terms));
                    add_value(&mut self.on_terms, &key, &resource.value);
                }
            }
        }
    }

    /// The name and the value of each, on whatever terms, in order of name. What can be taken back is
    /// apart, as `NAME_revocable`.
    pub fn named(&self) -> Cow<'_, BTreeMap<Arc<str>, Value>> {
        if self.on_terms.is_empty() {
            return Cow::Borrowed(&self.plain);
        }
        let mut all = self.plain.clone();
        for ((name, terms), value) in &self.on_terms {
            if terms.revocable {
                let name = Arc::from(format!("{name}_revocable"));
                add_value(&mut all, &name, value);
            } else {
                add_value(&mut all, name, value);
            }
        }
        Cow::Owned(all)
    }

    /// The name, the terms and the value of each: those without terms first, in order of name.
    pub fn on_terms(&self) -> impl Iterator<Item = (&str, Option<&Terms>, &Value)> {
        let plain = self
            .plain
            .iter()
            .map(|(name, value)| (&**name, None, value));
        let others = self.on_terms.iter();
        plain.chain(others.map(|((name, terms), value)| (&**name, Some(&**terms), value)))
    }

    /// Adds all of another sum.
    pub fn add_sum(&mut self, other: &Sum) {
        for (name, value) in &other.plain {
            add_value(&mut self.plain, name, value);
        }
        for (key, value) in &other.on_terms {
            add_value(&mut self.on_terms, key, value);
        }
    }
}

fn add_value<K: Ord + Clone>(sums: &mut BTreeMap<K, Value>, key: &K, value: &Value) {
    let Some(have) = sums.get_mut(key) else {
        sums.insert(key.clone(), value.clone());
        return;
    };
    match (have, value) {
        (Value::Scalar(have), Value::Scalar(more)) => have.0 = have.0.saturating_add(more.0),
        (Value::Ranges(have), Value::Ranges(more)) => unite(have, more),
        (Value::Set(have), Value::Set(more)) => {
            have.extend(more.iter().cloned());
            have.sort_unstable();
            have.dedup();
        }
        (Value::Scalar(_) | Value::Ranges(_) | Value::Set(_), _) => {}
    }
}

/// Resources by the role in whose name they are used or offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations(BTreeMap<Role, Sum>);

impl Allocations {
    /// Adds some to a role.
    pub fn add(&mut self, role: &Role, resources: &Resources) {
        match self.0.get_mut(role) {
            Some(sum) => sum.add(resources),
            None => {
                self.0.insert(role.clone(), Sum::from(resources));
            }
        }
    }

    /// Adds all of others.
    pub fn add_all(&mut self, others: &Allocations) {
        for (role, sum) in &others.0 {
            self.0.entry(role.clone()).or_default().add_sum(sum);
        }
    }

    /// All roles together.
    pub fn total(&self) -> Sum {
        let mut total = Sum::default();
        self.0.values().for_each(|sum| total.add_sum(sum));
        total
    }

    /// What one role has.
    pub fn of(&self, role: &Role) -> Option<&Sum> {
        self.0.get(role)
    }

    /// In order of role.
    pub fn iter(&self) -> impl Iterator<Item = (&Role, &Sum)> {
        self.0.iter()
    }
}

impl From<&Resources> for Sum {
    fn from(resources: &Resources) -> Sum {
        let mut sum = Sum::default();
        sum.add(resources);
        sum
    }
}

/// The union of two lists of ranges, sorted and joined where they touch.
fn unite(have: &mut Vec<Range>, more: &[Range]) {
    have.extend_from_slice(more);
    have.sort_unstable();
    have.dedup_by(|next, last| {
        let joins = next.begin <= last.end.saturating_add(1);
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
}

/// Resources as an object.
pub fn resources(out: &mut Vec<u8>, sum: &Sum) {
    let mut object = write::Object::new(out);
    let all = sum.named();
    for (name, key) in ALWAYS {
        let amount = match all.get(name) {
            Some(Value::Scalar(amount)) => *amount,
            Some(Value::Ranges(_) | Value::Set(_)) | None => Amount::ZERO,
        };
        scalar(object.field(key), amount);
    }
    for (name, value) in &*all {
        if ALWAYS.iter().any(|(always, _)| **always == **name) {
            continue;
        }
        let out = object.entry(name);
        match value {
            Value::Scalar(amount) => scalar(out, *amount),
            Value::Ranges(_) | Value::Set(_) => write::text(out, &value.to_string()),
        }
    }
    object.end();
}

/// What is reserved, as an object from roles to resources.
pub fn reserved(out: &mut Vec<u8>, resources: &Resources) {
    let mut object = write::Object::new(out);
    for (role, list) in resources::reserved(resources) {
        let mut sum = Sum::default();
        sum.add(list);
        self::resources(object.entry(role.as_str()), &sum);
    }
    object.end();
}

/// What is reserved in the form of version 1, as an object from roles to lists.
pub fn reserved_in_full(out: &mut Vec<u8>, resources: &Resources) {
    let mut object = write::Object::new(out);
    for (role, list) in resources::reserved(resources) {
        let list = resources::of_nobody(list);
        let put = |out: &mut Vec<u8>, resource: &v1::Resource| resource.put(out);
        write::list(object.entry(role.as_str()), &list, put);
    }
    object.end();
}

/// What is reserved for nobody.
pub fn unreserved(resources: &Resources) -> Sum {
    let mut sum = Sum::default();
    sum.add(resources::unreserved(resources));
    sum
}

/// How much there is of each, as an object of numbers: of ranges and sets how many items they have.
pub fn quantities(out: &mut Vec<u8>, sum: &Sum) {
    let mut object = write::Object::new(out);
    for (name, value) in &*sum.named() {
        let out = object.entry(name);
        match value {
            Value::Scalar(amount) => scalar(out, *amount),
            Value::Ranges(ranges) => {
                let items = ranges
                    .iter()
                    .map(|r| r.end.saturating_sub(r.begin) as f64 + 1.0);
                write::double(out, items.sum());
            }
            Value::Set(items) => write::double(out, items.len() as f64),
        }
    }
    object.end();
}

/// An agent's attributes as an object; of two with one name the last stays.
pub fn attributes(out: &mut Vec<u8>, agent: &AgentInfo) {
    let mut object = write::Object::new(out);
    for (i, attribute) in agent.attributes.iter().enumerate() {
        let later = &agent.attributes[i + 1..];
        if later.iter().any(|other| other.name == attribute.name) {
            continue;
        }
        let out = object.entry(&attribute.name);
        match &attribute.value {
            AttributeValue::Scalar(amount) => scalar(out, *amount),
            AttributeValue::Ranges(ranges) => {
                write::text(out, &Value::Ranges(ranges.clone()).to_string());
            }
            AttributeValue::Text(text) => write::text(out, text),
        }
    }
    object.end();
}

/// An array of words that need no escapes.
pub fn words<'a>(out: &mut Vec<u8>, words: impl IntoIterator<Item = &'a str>) {
    let words: Vec<&str> = words.into_iter().collect();
    write::list(out, &words, |out, word| write::word(out, word));
}

fn scalar(out: &mut Vec<u8>, amount: Amount) {
    write::double(out, amount.as_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ports_of_two_agents_stand_once() {
        let one = Resources::parse("cpus:1.5;ports:[10-20,30-40];names:{a,b}").unwrap();
        let two = Resources::parse("cpus:2;ports:[10-20,21-25];names:{b,c}").unwrap();
        let mut sum = Sum::from(&one);
        sum.add(&two);
        let mut out = Vec::new();
        resources(&mut out, &sum);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":3.5,"names":"{a, b, c}","ports":"[10-25, 30-40]"}"#
        );
    }
}
