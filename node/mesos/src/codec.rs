//! From bytes to messages and back, in the two encodings of Mesos.

use bytes::Bytes;
use serde::Deserializer;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::json::missing::Missing;
use crate::json::{Message, read};
use crate::limits;
use crate::room;

/// An encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// One line of JSON.
    Json,
    /// Protocol buffers.
    Protobuf,
}

impl Codec {
    /// Its name in `Content-Type` and `Accept`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Codec::Json => "application/json",
            Codec::Protobuf => "application/x-protobuf",
        }
    }

    /// The bytes of a message.
    pub fn encode<M: Message>(self, message: &M) -> Bytes {
        match self {
            Codec::Json => {
                let mut out = Vec::with_capacity(256);
                message.put(&mut out);
                Bytes::from(out)
            }
            Codec::Protobuf => Bytes::from(message.encode_to_vec()),
        }
    }

    /// The message of a body, with every required field present.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the body.
    pub fn decode<M: Message>(self, body: &[u8]) -> Result<M, DecodeError> {
        if body.len() > limits::CALL_BYTES {
            return Err(DecodeError::TooLarge);
        }
        let message: M = match self {
            Codec::Json => from_json(body)?,
            Codec::Protobuf => {
                if body.len() > limits::UNWEIGHED_BYTES && !room::fits::<M>(body) {
                    return Err(DecodeError::TooMuch);
                }
                M::decode(body).map_err(|_| DecodeError::Protobuf {
                    message: short_name::<M>(),
                })?
            }
        };
        let mut missing = Missing::default();
        message.missing(&mut missing);
        let fields = missing.into_fields();
        if fields.is_empty() {
            return Ok(message);
        }
        match self {
            Codec::Json => Err(DecodeError::Fields {
                message: short_name::<M>(),
                why: format!("Missing required fields: {}", fields.join(", ")),
            }),
            Codec::Protobuf => Err(DecodeError::Protobuf {
                message: short_name::<M>(),
            }),
        }
    }
}

/// Why a body is not a message; the texts are those that Mesos answers with. Nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Longer than [`limits::CALL_BYTES`].
    #[error("The body is larger than {} bytes", limits::CALL_BYTES)]
    TooLarge,
    /// Short, but of so many parts that they take more memory than [`limits::MESSAGE_MEMORY`].
    #[error(
        "The body has more parts than fit into {} MiB of memory; send them in several calls",
        limits::MESSAGE_MEMORY >> 20
    )]
    TooMuch,
    /// Not JSON.
    #[error("Failed to parse body into JSON: syntax error at line {line} near: {near}")]
    Syntax {
        /// From 1.
        line: usize,
        /// The rest of that line, shortened.
        near: String,
    },
    /// JSON, and then something else.
    #[error(
        "Failed to parse body into JSON: Parsed JSON included non-whitespace trailing characters: \
         {near}"
    )]
    Trailing {
        /// What follows, shortened.
        near: String,
    },
    /// JSON, but not of this message.
    #[error("Failed to convert JSON into {message} protobuf: {why}")]
    Fields {
        /// Without its package.
        message: &'static str,
        /// Which field, and what is wrong with it.
        why: String,
    },
    /// Not the protobuf of this message, or required fields are missing.
    #[error("Failed to parse body into {message} protobuf")]
    Protobuf {
        /// Without its package.
        message: &'static str,
    },
}

fn short_name<M: Message>() -> &'static str {
    M::NAME.rsplit('.').next().unwrap_or(M::NAME)
}

fn from_json<M: Message>(body: &[u8]) -> Result<M, DecodeError> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    let (parsed, room) = room::limited(|| read::message::<M, _>(&mut parser));
    match parsed {
        Err(_) if room.is_none() => Err(DecodeError::TooMuch),
        Ok(message) => match parser.end() {
            Ok(()) => Ok(message),
            Err(error) => Err(DecodeError::Trailing {
                near: near(body, &error),
            }),
        },
        Err(error) if error.is_data() => Err(not_fitting::<M>(body, &error)),
        Err(error) => Err(syntax(body, &error)),
    }
}

/// A value that does not fit is reported only for a body that is JSON to its end, as by a parser
/// that reads it all before it looks at a field.
fn not_fitting<M: Message>(body: &[u8], error: &serde_json::Error) -> DecodeError {
    let mut parser = serde_json::Deserializer::from_slice(body);
    if let Err(error) = parser.deserialize_ignored_any(IgnoredAny) {
        return syntax(body, &error);
    }
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let why = text.strip_suffix(&position).unwrap_or(&text);
    let why = match why.split_once(", expected ") {
        Some((_, wanted)) if why.starts_with("invalid type") => format!("Expecting {wanted}"),
        Some(_) | None => why.to_owned(),
    };
    DecodeError::Fields {
        message: short_name::<M>(),
        why,
    }
}

fn syntax(body: &[u8], error: &serde_json::Error) -> DecodeError {
    DecodeError::Syntax {
        line: error.line().max(1),
        near: near(body, error),
    }
}

/// The rest of the line from where the parser stopped, without control characters.
fn near(body: &[u8], error: &serde_json::Error) -> String {
    let line = body
        .split(|b| *b == b'\n')
        .nth(error.line().saturating_sub(1));
    let line = line.unwrap_or_default();
    let rest = &line[error.column().saturating_sub(1).min(line.len())..];
    let rest = &rest[..rest.len().min(limits::QUOTED_BYTES)];
    String::from_utf8_lossy(rest)
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}
