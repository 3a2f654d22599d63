//! The kinds of values, and what JSON each of them is made from.

use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, MapAccess};

use super::read::{self, Element, Number, Place};
use super::{Message, Names};
use crate::room;

/// `true`, `false`, or one of them as a text.
#[derive(Debug)]
pub struct Boolean;

impl Element for Boolean {
    type Out = bool;

    fn boolean<E: Error>(_place: Place, value: bool) -> Result<Option<bool>, E> {
        Ok(Some(value))
    }

    fn text<E: Error>(place: Place, value: &str) -> Result<Option<bool>, E> {
        match value {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(unreadable(place, value, "boolean")),
        }
    }
}

/// A number that fits the width, or one as a text; decimals are cut off.
#[derive(Debug)]
pub struct Integer<T>(PhantomData<T>);

impl<T: TryFrom<i128>> Element for Integer<T> {
    type Out = T;

    fn number<E: Error>(place: Place, value: Number) -> Result<Option<T>, E> {
        let wide = match value {
            Number::Unsigned(value) => Some(i128::from(value)),
            Number::Signed(value) => Some(i128::from(value)),
            Number::Double(value) => (value.abs() < 1e30).then_some(value as i128),
        };
        match wide.and_then(|wide| T::try_from(wide).ok()) {
            Some(value) => Ok(Some(value)),
            None => Err(E::custom(format_args!(
                "The number is out of range for field '{}'",
                place.field
            ))),
        }
    }

    fn text<E: Error>(place: Place, value: &str) -> Result<Option<T>, E> {
        Self::number(place, number(place, value)?)
    }
}

/// A finite number, one as a text, or `"Infinity"` and `"-Infinity"`.
#[derive(Debug)]
pub struct Double;

impl Element for Double {
    type Out = f64;

    fn number<E: Error>(_place: Place, value: Number) -> Result<Option<f64>, E> {
        Ok(Some(match value {
            Number::Unsigned(value) => value as f64,
            Number::Signed(value) => value as f64,
            Number::Double(value) => value,
        }))
    }

    fn text<E: Error>(place: Place, value: &str) -> Result<Option<f64>, E> {
        match value {
            "Infinity" => Ok(Some(f64::INFINITY)),
            "-Infinity" => Ok(Some(f64::NEG_INFINITY)),
            _ => Self::number(place, number(place, value)?),
        }
    }
}

/// A text.
#[derive(Debug)]
pub struct Text;

impl Element for Text {
    type Out = String;

    fn text<E: Error>(_place: Place, value: &str) -> Result<Option<String>, E> {
        Ok(Some(value.to_owned()))
    }
}

/// Bytes, as a text in standard base64.
#[derive(Debug)]
pub struct Base64;

impl Element for Base64 {
    type Out = Vec<u8>;

    fn text<E: Error>(place: Place, value: &str) -> Result<Option<Vec<u8>>, E> {
        use base64::DecodeError;

        let why = match STANDARD.decode(value) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(DecodeError::InvalidByte(at, byte)) => {
                let found = value.get(at..).and_then(|rest| rest.chars().next());
                format!("Invalid character '{}'", found.unwrap_or(char::from(byte)))
            }
            Err(error) => error.to_string(),
        };
        Err(E::custom(format_args!(
            "Failed to base64 decode bytes field '{}': {why}",
            place.field
        )))
    }
}

/// The value of an enum by its name or its number; where the field is optional, one that does not
/// exist is "unset".
#[derive(Debug)]
pub struct Named<N>(PhantomData<N>);

impl<N: Names> Element for Named<N> {
    type Out = i32;

    fn number<E: Error>(place: Place, value: Number) -> Result<Option<i32>, E> {
        let number = Integer::<i32>::number::<E>(place, value)?;
        known(place, number.filter(|n| N::name(*n).is_some()))
    }

    fn text<E: Error>(place: Place, value: &str) -> Result<Option<i32>, E> {
        known(place, N::number(value))
    }
}

/// A message.
#[derive(Debug)]
pub struct Object<M>(PhantomData<M>);

impl<M: Message> Element for Object<M> {
    type Out = M;

    fn object<'de, A: MapAccess<'de>>(_place: Place, map: A) -> Result<Option<M>, A::Error> {
        room::take::<A::Error>(size_of::<M>())?;
        read::fields(map).map(Some)
    }
}

fn known<E: Error>(place: Place, value: Option<i32>) -> Result<Option<i32>, E> {
    if value.is_none() && place.required {
        return Err(E::custom(format_args!(
            "Failed to find enum value for required field '{}'",
            place.field
        )));
    }
    Ok(value)
}

fn number<E: Error>(place: Place, text: &str) -> Result<Number, E> {
    let parsed = if let Ok(value) = text.parse::<u64>() {
        Some(Number::Unsigned(value))
    } else if let Ok(value) = text.parse::<i64>() {
        Some(Number::Signed(value))
    } else {
        text.parse::<f64>()
            .ok()
            .filter(|v| v.is_finite())
            .map(Number::Double)
    };
    parsed.ok_or_else(|| unreadable(place, text, "number"))
}

fn unreadable<E: Error>(place: Place, text: &str, kind: &str) -> E {
    let shown: String = text.chars().take(64).collect();
    E::custom(format_args!(
        "Failed to parse '{shown}' as a JSON {kind} for field '{}'",
        place.field
    ))
}
