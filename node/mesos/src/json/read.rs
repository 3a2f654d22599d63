//! The reading half: one visitor for all values; what the field holds decides, in [`super::element`].
//!
//! Depth is bounded by the parser (128 levels), size by whoever hands the body in.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Message;
use crate::room;

pub use super::element::{Base64, Boolean, Double, Integer, Named, Object, Text};

/// Where a value stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The name of the field.
    pub field: &'static str,
    /// Whether a message without it is refused.
    pub required: bool,
}

/// How the value of a field is made from each kind of JSON value. What a kind does not provide is
/// refused in Mesos' words. `None` is "as if unset".
pub trait Element {
    /// The value of the field.
    type Out;

    /// From `true` or `false`.
    fn boolean<E: Error>(place: Place, _value: bool) -> Result<Option<Self::Out>, E> {
        Err(unexpected(place, "boolean"))
    }

    /// From a number.
    fn number<E: Error>(place: Place, _value: Number) -> Result<Option<Self::Out>, E> {
        Err(unexpected(place, "number"))
    }

    /// From a text.
    fn text<E: Error>(place: Place, _value: &str) -> Result<Option<Self::Out>, E> {
        Err(unexpected(place, "string"))
    }

    /// From an object.
    fn object<'de, A: MapAccess<'de>>(
        place: Place,
        _map: A,
    ) -> Result<Option<Self::Out>, A::Error> {
        Err(unexpected(place, "object"))
    }
}

/// A number as it stood in JSON.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// Not negative.
    Unsigned(u64),
    /// Negative.
    Signed(i64),
    /// With a point, an exponent, or too large for the others.
    Double(f64),
}

fn unexpected<E: Error>(place: Place, kind: &str) -> E {
    let field = place.field;
    E::custom(format_args!(
        "Not expecting a JSON {kind} for field '{field}'"
    ))
}

/// Takes one value and forgets it.
///
/// # Errors
/// It is not JSON.
pub fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Takes the value of a field that may be absent; an unknown enum name makes it so.
///
/// # Errors
/// The value does not fit.
pub fn optional<'de, T: Element, A: MapAccess<'de>>(
    map: &mut A,
    field: &'static str,
) -> Result<Option<T::Out>, A::Error> {
    map.next_value_seed(One::<T>::new(field, false))
}

/// Takes the value of a field that must be there; an unknown enum name is refused.
///
/// # Errors
/// The value does not fit.
pub fn required<'de, T: Element, A: MapAccess<'de>>(
    map: &mut A,
    field: &'static str,
) -> Result<Option<T::Out>, A::Error> {
    map.next_value_seed(One::<T>::new(field, true))
}

/// Takes an array; items that are null are left out.
///
/// # Errors
/// It is no array, or an item does not fit.
pub fn list<'de, T: Element, A: MapAccess<'de>>(
    map: &mut A,
    field: &'static str,
) -> Result<Vec<T::Out>, A::Error> {
    map.next_value_seed(List::<T>(One::new(field, false)))
}

/// Takes an object as a map; entries that are null are left out.
///
/// # Errors
/// It is no object, or a value does not fit.
pub fn map<'de, T: Element, A: MapAccess<'de>>(
    map: &mut A,
    field: &'static str,
) -> Result<BTreeMap<String, T::Out>, A::Error> {
    map.next_value_seed(Entries::<T>(One::new(field, false)))
}

/// Takes a whole message; what is no object is refused.
///
/// # Errors
/// It is not JSON, or a value does not fit.
pub fn message<'de, M: Message, D: Deserializer<'de>>(from: D) -> Result<M, D::Error> {
    from.deserialize_any(Whole::<M>(PhantomData))
}

/// A value that may be null.
struct One<T> {
    place: Place,
    element: PhantomData<T>,
}

impl<T> One<T> {
    fn new(field: &'static str, required: bool) -> One<T> {
        One {
            place: Place { field, required },
            element: PhantomData,
        }
    }
}

impl<T> Clone for One<T> {
    fn clone(&self) -> One<T> {
        One::new(self.place.field, self.place.required)
    }
}

impl<'de, T: Element> DeserializeSeed<'de> for One<T> {
    type Value = Option<T::Out>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<T::Out>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for One<T> {
    type Value = Option<T::Out>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value for field '{}'", self.place.field)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T::Out>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<T::Out>, E> {
        T::boolean(self.place, value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<T::Out>, E> {
        T::number(self.place, Number::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<T::Out>, E> {
        T::number(self.place, Number::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<T::Out>, E> {
        T::number(self.place, Number::Double(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Option<T::Out>, E> {
        T::text(self.place, value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<Option<T::Out>, A::Error> {
        Err(unexpected(self.place, "array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T::Out>, A::Error> {
        T::object(self.place, map)
    }
}

/// An array of values, or null.
struct List<T>(One<T>);

impl<'de, T: Element> DeserializeSeed<'de> for List<T> {
    type Value = Vec<T::Out>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<T::Out>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for List<T> {
    type Value = Vec<T::Out>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a JSON array for field '{}'", self.0.place.field)
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<T::Out>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T::Out>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.0.clone())? {
            room::take::<A::Error>(size_of::<String>())?;
            items.extend(item);
        }
        Ok(items)
    }
}

/// An object whose keys are data, or null.
struct Entries<T>(One<T>);

impl<'de, T: Element> DeserializeSeed<'de> for Entries<T> {
    type Value = BTreeMap<String, T::Out>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Entries<T> {
    type Value = BTreeMap<String, T::Out>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a JSON object for field '{}'", self.0.place.field)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            room::take::<A::Error>(size_of::<String>())?;
            match map.next_value_seed(self.0.clone())? {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(entries)
    }
}

/// A whole body.
struct Whole<M>(PhantomData<M>);

impl<'de, M: Message> Visitor<'de> for Whole<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<M, A::Error> {
        fields(map)
    }
}

/// Takes the fields of an object.
///
/// # Errors
/// A value does not fit.
pub fn fields<'de, M: Message, A: MapAccess<'de>>(mut map: A) -> Result<M, A::Error> {
    let mut message = M::default();
    while let Some(field) = map.next_key_seed(Key::<M>(PhantomData))? {
        message.read(field, &mut map)?;
    }
    Ok(message)
}

/// A key, as the number of the field; no text is copied for it.
struct Key<M>(PhantomData<M>);

impl<'de, M: Message> DeserializeSeed<'de> for Key<M> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<u32, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl<M: Message> Visitor<'_> for Key<M> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<u32, E> {
        Ok(M::field(name))
    }
}
