//! The hash of a state, kept row by row, and heavy parts of rows that are hashed once.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// The hash of rows, tables, modules or a whole state: a wrapping sum of row hashes, so that a
/// change costs the changed row only and the order of changes leaves no trace.
///
/// It finds replicas that differ by a fault; it does not withstand somebody who chooses rows.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateHash(pub u128);

impl StateHash {
    /// The hash of no rows.
    pub const EMPTY: StateHash = StateHash(0);

    /// The hash of one row's bytes in the table of that number.
    pub fn of_row(table: u64, bytes: &[u8]) -> StateHash {
        StateHash(xxh3_128_with_seed(bytes, table))
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: StateHash) -> StateHash {
        StateHash(self.0.wrapping_add(other.0))
    }

    /// Without a part that is in it.
    #[must_use]
    pub fn without(self, other: StateHash) -> StateHash {
        StateHash(self.0.wrapping_sub(other.0))
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({:032x})", self.0)
    }
}

/// A heavy part of a row that never changes: shared, and hashed once at its creation, so that a
/// change of the row beside it costs the light part only. Its encoding is that of the content.
pub struct Sealed<T> {
    digest: u128,
    content: Arc<T>,
}

impl<T: Serialize> Sealed<T> {
    /// Seals the content.
    pub fn new(content: Arc<T>) -> Sealed<T> {
        let mut bytes = Vec::with_capacity(256);
        append_postcard(&*content, &mut bytes);
        Sealed {
            digest: xxh3_128(&bytes),
            content,
        }
    }
}

impl<T> Sealed<T> {
    /// The hash of the content's encoding.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The content.
    pub fn content(&self) -> &Arc<T> {
        &self.content
    }
}

impl<T> Deref for Sealed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Sealed<T> {
        Sealed {
            digest: self.digest,
            content: Arc::clone(&self.content),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Sealed<T> {
    fn eq(&self, other: &Sealed<T>) -> bool {
        self.digest == other.digest && self.content == other.content
    }
}

impl<T: Eq> Eq for Sealed<T> {}

impl<T: Serialize> Serialize for Sealed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.content.serialize(serializer)
    }
}

impl<'de, T: Serialize + Deserialize<'de>> Deserialize<'de> for Sealed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sealed<T>, D::Error> {
        Ok(Sealed::new(Arc::new(T::deserialize(deserializer)?)))
    }
}

/// Appends the postcard form of a value.
///
/// Rows and headers are plain data; one that cannot be encoded is a bug of its type.
pub fn append_postcard<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(value, Append(out)).expect("plain data has an encoding");
}

struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_forget_order_and_undo() {
        let (a, b) = (StateHash::of_row(1, b"a"), StateHash::of_row(1, b"b"));
        assert_eq!(a.with(b), b.with(a));
        assert_eq!(a.with(b).without(a), b);
        assert_ne!(StateHash::of_row(2, b"a"), a);
    }

    #[test]
    fn a_sealed_part_is_encoded_as_its_content() {
        let sealed = Sealed::new(Arc::new((7_u32, "x".to_owned())));
        let mut bytes = Vec::new();
        append_postcard(&sealed, &mut bytes);
        let mut plain = Vec::new();
        append_postcard(&(7_u32, "x"), &mut plain);
        assert_eq!(bytes, plain);
        let back: Sealed<(u32, String)> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(back, sealed);
    }
}
