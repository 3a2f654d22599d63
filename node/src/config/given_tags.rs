//! Tags in the configuration: `KEY=VALUE` each.

use std::sync::Arc;

use shoal_api::member::Tags;
use shoal_membership::NodeTags;

use super::key::{Setting, Shape};
use crate::tags::OWN;

/// Tags that an operator gives a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenTags(Tags);

impl GivenTags {
    /// The tags.
    pub fn get(&self) -> &Tags {
        &self.0
    }
}

impl Setting for GivenTags {
    const SHAPE: Shape = Shape::List;
    const RANGE: &'static str =
        "`KEY=VALUE`, at most 64 with 1024 bytes in all, those of the node's own included";
    const PLACEHOLDER: &'static str = "KEY=VALUE";

    fn read(texts: &[String]) -> Result<Self, String> {
        let mut tags = Tags::new();
        for text in texts {
            let Some((key, value)) = text.split_once('=') else {
                return Err(format!("'{text}' is no tag, expected KEY=VALUE"));
            };
            if OWN.contains(&key) {
                return Err(format!("tag '{key}' is the node's own: choose another key"));
            }
            tags.insert(Arc::from(key), Arc::from(value));
        }
        let tags = NodeTags::new(tags).map_err(|error| error.to_string())?;
        Ok(GivenTags(tags.into_tags()))
    }

    fn texts(&self) -> Vec<String> {
        let tags = self.0.iter();
        tags.map(|(key, value)| format!("{key}={value}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_pairs_and_not_the_nodes_own() {
        let read = |text: &str| GivenTags::read(&[text.to_owned()]);
        assert_eq!(read("a=b=c").expect("a tag").texts(), ["a=b=c"]);
        for bad in [
            "a",
            "=b",
            "roles=master",
            "a=\n",
            &format!("a={}", "x".repeat(600)),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
