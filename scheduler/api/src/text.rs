//! Texts inside words, read with one allocation, or with none where everybody says the same.
//!
//! For `#[serde(deserialize_with)]`: an `Arc<str>` by itself is read by way of a `String`, which
//! costs a second allocation and a copy on a path where most of the work is allocation. Ids are not
//! here: they keep short texts in place.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::de::{Deserializer, Error, Visitor};

/// Names of resources that nearly every task uses, each allocated once.
static RESOURCES: LazyLock<[Arc<str>; 5]> =
    LazyLock::new(|| ["cpus", "mem", "disk", "gpus", "ports"].map(Arc::from));

/// Reads a text into memory of its own.
///
/// # Errors
/// Those of the format: what is there is no text.
pub fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    deserializer.deserialize_str(Text(|text: &str| Arc::from(text)))
}

/// Reads the name of a resource; the usual ones share their memory.
///
/// # Errors
/// Those of the format: what is there is no text.
pub fn resource<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    deserializer.deserialize_str(Text(|text: &str| {
        let known = RESOURCES.iter().find(|name| ***name == *text);
        known.map_or_else(|| Arc::from(text), Arc::clone)
    }))
}

struct Text<F>(F);

impl<F: Fn(&str) -> Arc<str>> Visitor<'_> for Text<F> {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
        Ok((self.0)(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::{Error as ValueError, StrDeserializer};

    fn read(text: &str) -> StrDeserializer<'_, ValueError> {
        StrDeserializer::new(text)
    }

    #[test]
    fn usual_names_share_their_memory() {
        let (a, b) = (
            resource(read("mem")).unwrap(),
            resource(read("mem")).unwrap(),
        );
        assert!(Arc::ptr_eq(&a, &b) && &*a == "mem");
        let (a, b) = (resource(read("x")).unwrap(), resource(read("x")).unwrap());
        assert!(!Arc::ptr_eq(&a, &b) && a == b);
        assert_eq!(&*shared(read("")).unwrap(), "");
    }
}
