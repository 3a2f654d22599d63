//! The tags of this node: its own, which tell others what it is and where, and those that an
//! operator gave it.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_api::member::Tags;
use shoal_membership::{NodeTags, TagsError};
use thiserror::Error;

use crate::tags::OWN;

/// A change of the tags that an operator gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChange {
    /// New ones, and new values.
    pub set: BTreeMap<Arc<str>, Arc<str>>,
    /// Those that go; one that is not there is no error.
    pub delete: Vec<Arc<str>>,
}

/// Why a change is refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TagRefusal {
    /// The node itself says what that tag is.
    #[error("tag '{0}' is the node's own: choose another key")]
    Own(Arc<str>),
    /// All tags together break a bound.
    #[error(transparent)]
    Bound(#[from] TagsError),
}

/// Both kinds.
#[derive(Debug)]
pub(super) struct TagBook {
    own: Tags,
    given: Tags,
}

impl TagBook {
    /// Those that the node starts with.
    pub fn new(all: &Tags) -> TagBook {
        let of = |own: bool| {
            let all = all
                .iter()
                .filter(move |(key, _)| OWN.contains(&&***key) == own);
            all.map(|(key, value)| (Arc::clone(key), Arc::clone(value)))
                .collect()
        };
        TagBook {
            own: of(true),
            given: of(false),
        }
    }

    /// Takes other own ones. What was given stays as far as it fits beside them.
    pub fn set_own(&mut self, own: NodeTags) -> NodeTags {
        let fallback = own.clone();
        self.own = own.get().clone();
        let all = self.given.iter().chain(&self.own);
        let all = all.map(|(key, value)| (Arc::clone(key), Arc::clone(value)));
        NodeTags::new(all.collect()).unwrap_or(fallback)
    }

    /// Changes those that were given.
    pub fn change(&mut self, change: TagChange) -> Result<NodeTags, TagRefusal> {
        let mut keys = change.set.keys().chain(&change.delete);
        if let Some(own) = keys.find(|key| OWN.contains(&&***key)) {
            return Err(TagRefusal::Own(Arc::clone(own)));
        }
        let mut given = self.given.clone();
        given.retain(|key, _| !change.delete.contains(key));
        given.extend(change.set);
        let mut all = given.clone();
        all.extend(
            self.own
                .iter()
                .map(|(key, value)| (Arc::clone(key), Arc::clone(value))),
        );
        let tags = NodeTags::new(all)?;
        self.given = given;
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| (Arc::from(*key), Arc::from(*value)))
            .collect()
    }

    #[test]
    fn own_and_given_tags_do_not_mix() {
        let mut book = TagBook::new(&tags(&[("roles", "agent"), ("db", "mongo")]));
        let change = TagChange {
            set: tags(&[("rack", "a")]),
            delete: vec!["db".into(), "none".into()],
        };
        let all = book.change(change).expect("it fits");
        assert_eq!(*all.get(), tags(&[("rack", "a"), ("roles", "agent")]));
        let own = NodeTags::new(tags(&[("roles", "master")])).expect("it fits");
        let all = book.set_own(own);
        assert_eq!(*all.get(), tags(&[("rack", "a"), ("roles", "master")]));
        let steal = TagChange {
            set: tags(&[("raft_id", "7")]),
            ..TagChange::default()
        };
        assert_eq!(book.change(steal), Err(TagRefusal::Own("raft_id".into())));
        let long = TagChange {
            set: tags(&[("a", &"x".repeat(600))]),
            ..TagChange::default()
        };
        assert!(matches!(book.change(long), Err(TagRefusal::Bound(_))));
        let control = TagChange {
            set: tags(&[("a", "x\u{1b}[31m")]),
            ..TagChange::default()
        };
        assert!(matches!(book.change(control), Err(TagRefusal::Bound(_))));
    }
}
