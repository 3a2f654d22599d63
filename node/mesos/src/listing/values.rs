//! Resources and attributes in the form of version 0: an object from names to numbers and texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_api::resource::{Amount, Range, Resources, Value};
use shoal_api::{AgentInfo, AttributeValue, Role};

use crate::json::write;

/// The scalars that stand in every list, zero or not, in Mesos' order.
const ALWAYS: [(&str, &str); 4] = [
    ("disk", ",\"disk\":"),
    ("mem", ",\"mem\":"),
    ("gpus", ",\"gpus\":"),
    ("cpus", ",\"cpus\":"),
];

/// Resources of several agents added up: two agents may have the same ports, which then stand once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum(BTreeMap<Arc<str>, Value>);

impl Sum {
    /// Adds some; a name that has another type so far is left as it is.
    pub fn add(&mut self, resources: &Resources) {
        for resource in resources {
            self.add_value(&resource.name, &resource.value);
        }
    }

    /// The name and the value of each, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.0.iter()
    }

    /// Adds all of another sum.
    pub fn add_sum(&mut self, other: &Sum) {
        for (name, value) in &other.0 {
            self.add_value(name, value);
        }
    }

    fn add_value(&mut self, name: &Arc<str>, value: &Value) {
        let Some(have) = self.0.get_mut(name) else {
            self.0.insert(Arc::clone(name), value.clone());
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
    for (name, key) in ALWAYS {
        let amount = match sum.0.get(name) {
            Some(Value::Scalar(amount)) => *amount,
            Some(Value::Ranges(_) | Value::Set(_)) | None => Amount::ZERO,
        };
        scalar(object.field(key), amount);
    }
    for (name, value) in &sum.0 {
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

/// How much there is of each, as an object of numbers: of ranges and sets how many items they have.
pub fn quantities(out: &mut Vec<u8>, sum: &Sum) {
    let mut object = write::Object::new(out);
    for (name, value) in &sum.0 {
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
