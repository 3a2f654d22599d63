//! Shares as whole numbers: amounts by kind, the totals, and the dominant share of a user.

use std::sync::Arc;

use shoal_api::{Resources, Value};

use super::limits::SCALAR_KINDS;

/// One whole cluster, as a share: shares are fixed point with 40 binary digits.
pub(super) const SHARE_UNIT: u64 = 1 << 40;
/// Binary digits of the reciprocals that stand for divisions.
const RECIPROCAL_BITS: u32 = 80;
/// Amounts are clamped to this for shares, so that a product fits 128 bits.
const AMOUNT_MAX: i64 = (1 << 47) - 1;

/// Scalar amounts in thousandths, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scalars([i64; SCALAR_KINDS]);

impl Scalars {
    pub(super) fn add(&mut self, other: &Scalars) {
        for (have, more) in self.0.iter_mut().zip(&other.0) {
            *have = have.saturating_add(*more);
        }
    }

    pub(super) fn subtract(&mut self, other: &Scalars) {
        for (have, less) in self.0.iter_mut().zip(&other.0) {
            *have = have.saturating_sub(*less);
        }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|amount| *amount == 0)
    }
}

/// The kinds of scalar seen so far, each with its total and the reciprocal of that.
///
/// # Invariants
/// - `names` has at most [`SCALAR_KINDS`] items and only ever grows;
/// - `reciprocals[i]` is 2^80 / `totals[i]`, or 0 where nothing is there to share.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    names: Vec<Arc<str>>,
    totals: Scalars,
    reciprocals: [u128; SCALAR_KINDS],
}

impl Totals {
    /// The scalars of some resources, and how many were of a kind beyond the bound.
    pub(super) fn scalars(&mut self, resources: &Resources) -> (Scalars, usize) {
        let mut scalars = Scalars::default();
        let mut beyond = 0;
        for resource in resources {
            let amount = match &resource.value {
                Value::Scalar(amount) => amount.0,
                Value::Ranges(_) | Value::Set(_) => continue,
            };
            match self.kind(&resource.name) {
                Some(kind) => scalars.0[kind] += amount,
                None => beyond += 1,
            }
        }
        (scalars, beyond)
    }

    fn kind(&mut self, name: &Arc<str>) -> Option<usize> {
        let known = self.names.iter().position(|known| known == name);
        known.or_else(|| {
            (self.names.len() < SCALAR_KINDS).then(|| {
                self.names.push(Arc::clone(name));
                self.names.len() - 1
            })
        })
    }

    /// Replaces what one agent adds to the totals.
    pub(super) fn replace(&mut self, old: &Scalars, new: &Scalars) {
        self.totals.subtract(old);
        self.totals.add(new);
        for (reciprocal, total) in self.reciprocals.iter_mut().zip(self.totals.0) {
            *reciprocal = match u128::try_from(total) {
                Ok(total) if total > 0 => (1 << RECIPROCAL_BITS) / total,
                Ok(_) | Err(_) => 0,
            };
        }
    }

    /// The largest part of any kind that is used, in [`SHARE_UNIT`]s, by weight in thousandths.
    pub(super) fn share(&self, used: &Scalars, weight: u32) -> u64 {
        let kinds = self.names.len();
        let dominant = self.reciprocals[..kinds]
            .iter()
            .zip(&used.0[..kinds])
            .map(|(reciprocal, used)| {
                u128::from(used.clamp(&0, &AMOUNT_MAX).unsigned_abs()) * reciprocal
            })
            .max()
            .unwrap_or(0);
        weigh(
            dominant >> (RECIPROCAL_BITS - SHARE_UNIT.trailing_zeros()),
            weight,
        )
    }
}

fn weigh(share: u128, weight: u32) -> u64 {
    if weight == 1_000 {
        return u64::try_from(share).unwrap_or(u64::MAX - 1);
    }
    let weighed = share.saturating_mul(1_000) / u128::from(weight.max(1));
    u64::try_from(weighed).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Resources {
        Resources::parse(text).expect(text)
    }

    #[test]
    fn the_dominant_kind_is_the_share_and_ranges_do_not_count() {
        let mut totals = Totals::default();
        let (all, _) = totals.scalars(&parse("cpus:10;mem:1000;ports:[1-100]"));
        totals.replace(&Scalars::default(), &all);
        let (used, beyond) = totals.scalars(&parse("cpus:1;mem:500;ports:[1-100]"));
        assert_eq!(beyond, 0);
        assert!(totals.share(&used, 1_000).abs_diff(SHARE_UNIT / 2) < 2);
        assert!(totals.share(&used, 2_000).abs_diff(SHARE_UNIT / 4) < 2);
        assert!(totals.share(&used, 500).abs_diff(SHARE_UNIT) < 4);
        assert_eq!(totals.share(&Scalars::default(), 1_000), 0);
    }

    #[test]
    fn kinds_beyond_the_bound_are_counted_and_do_not_matter() {
        let mut totals = Totals::default();
        let text: Vec<String> = (0..SCALAR_KINDS + 3).map(|i| format!("k{i}:1")).collect();
        let (all, beyond) = totals.scalars(&parse(&text.join(";")));
        assert_eq!(beyond, 3);
        totals.replace(&Scalars::default(), &all);
        totals.replace(&all, &Scalars::default());
        assert_eq!(totals.share(&all, 1_000), 0);
    }

    #[test]
    fn huge_amounts_do_not_overflow() {
        let mut totals = Totals::default();
        let (one, _) = totals.scalars(&parse("cpus:0.001"));
        totals.replace(&Scalars::default(), &one);
        let (huge, _) = totals.scalars(&parse("cpus:8000000000000"));
        assert!(totals.share(&huge, 1) < u64::MAX);
    }
}
