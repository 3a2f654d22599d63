//! Sums of scalars by name: what shares are made of. Ranges and sets do not count.

use std::sync::Arc;

use shoal_api::{Amount, Resource, Resources, Value};

/// Amounts by name, sorted by name, none of them zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities(Vec<(Arc<str>, Amount)>);

impl Quantities {
    /// Nothing.
    pub const fn new() -> Quantities {
        Quantities(Vec::new())
    }

    /// The amount of a name; zero if absent.
    pub fn get(&self, name: &str) -> Amount {
        match self.0.binary_search_by(|(own, _)| (**own).cmp(name)) {
            Ok(at) => self.0[at].1,
            Err(_) => Amount::ZERO,
        }
    }

    /// All of them, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Amount)> {
        self.0.iter().map(|(name, amount)| (name, *amount))
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As resources.
    pub fn to_resources(&self) -> Resources {
        let list = self.0.iter().map(|(name, amount)| Resource {
            name: Arc::clone(name),
            value: Value::Scalar(*amount),
            terms: None,
        });
        Resources::from_list(list).expect("sums of valid amounts are valid")
    }

    /// Adds the scalars among the resources.
    pub fn add(&mut self, resources: &Resources) {
        for resource in resources {
            let Value::Scalar(amount) = resource.value else {
                continue;
            };
            match self.0.binary_search_by(|(own, _)| own.cmp(&resource.name)) {
                Ok(at) => {
                    let sum = &mut self.0[at].1.0;
                    *sum = sum.checked_add(amount.0).expect("sums fit 64 bits");
                }
                Err(at) => self.0.insert(at, (Arc::clone(&resource.name), amount)),
            }
        }
    }

    /// Takes the scalars among the resources away, all of which must be in here.
    pub fn subtract(&mut self, resources: &Resources) {
        for resource in resources {
            let Value::Scalar(amount) = resource.value else {
                continue;
            };
            let at = self
                .0
                .binary_search_by(|(own, _)| own.cmp(&resource.name))
                .expect("what is taken away was added");
            let sum = &mut self.0[at].1.0;
            *sum -= amount.0;
            assert!(*sum >= 0, "more {} taken away than added", resource.name);
            if *sum == 0 {
                self.0.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_scalars_come_and_go() {
        let a = Resources::parse("cpus:1.5;mem:10;ports:[1-5]").unwrap();
        let b = Resources::parse("cpus:1;gpus:2").unwrap();
        let mut sum = Quantities::new();
        sum.add(&a);
        sum.add(&b);
        assert_eq!(sum.get("cpus"), Amount(2500));
        assert_eq!(sum.to_resources().to_string(), "cpus:2.5; gpus:2; mem:10");
        sum.subtract(&a);
        sum.subtract(&b);
        assert!(sum.is_empty());
    }
}
