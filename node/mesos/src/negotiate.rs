//! Which encoding a request has, and which one its answer gets.

use crate::codec::Codec;
use crate::refusal::Refusal;

/// The encodings that an endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formats {
    /// JSON alone; protobuf is answered with 415 or 406.
    JsonOnly,
    /// JSON and protobuf.
    Both,
}

impl Formats {
    /// The encoding of a body, from its `Content-Type`. Parameters are ignored, where Mesos refuses
    /// them.
    ///
    /// # Errors
    /// No type, or one that is not served.
    pub fn of_body(self, content_type: Option<&str>) -> Result<Codec, Refusal> {
        let value = content_type.ok_or(Refusal::NoContentType)?;
        let name = value.split(';').next().unwrap_or(value).trim();
        [Codec::Json, Codec::Protobuf]
            .into_iter()
            .find(|codec| name == codec.media_type() && self.serves(*codec))
            .ok_or(Refusal::ContentType {
                // Mesos' own words, unless they would ask for what was just refused.
                expected: if name == Codec::Protobuf.media_type() {
                    "application/json; protobuf is not supported yet"
                } else {
                    "application/json or application/x-protobuf"
                },
            })
    }

    /// The encoding of an answer, from `Accept`: JSON if it is allowed at all.
    ///
    /// # Errors
    /// Nothing that is served is allowed.
    pub fn of_answer(self, accept: Option<&str>) -> Result<Codec, Refusal> {
        [Codec::Json, Codec::Protobuf]
            .into_iter()
            .find(|codec| self.serves(*codec) && allows(accept, codec.media_type()))
            .ok_or(Refusal::Accept {
                expected: if allows(accept, Codec::Protobuf.media_type()) {
                    "'application/json'; protobuf is not supported yet"
                } else {
                    "'application/x-protobuf' or 'application/json'"
                },
            })
    }

    fn serves(self, codec: Codec) -> bool {
        match self {
            Formats::JsonOnly => codec == Codec::Json,
            Formats::Both => true,
        }
    }
}

/// Whether an `Accept` header allows a type. The most exact entry decides; `q=0` forbids.
pub fn allows(accept: Option<&str>, media_type: &str) -> bool {
    let Some(accept) = accept else {
        return true;
    };
    let group = media_type.split('/').next().unwrap_or_default();
    let mut best: Option<(u8, bool)> = None;
    for entry in accept.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let rank = match parts.next().unwrap_or_default() {
            name if name.eq_ignore_ascii_case(media_type) => 3,
            name if name
                .strip_suffix("/*")
                .is_some_and(|g| g.eq_ignore_ascii_case(group)) =>
            {
                2
            }
            "*/*" => 1,
            _ => continue,
        };
        let forbidden = parts
            .filter_map(|p| p.strip_prefix("q="))
            .any(|q| q.trim().parse::<f64>().is_ok_and(|q| q == 0.0));
        if best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, !forbidden));
        }
    }
    best.is_some_and(|(_, allowed)| allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_body_is_told_from_its_header() {
        let both = Formats::Both;
        assert_eq!(both.of_body(Some("application/json")), Ok(Codec::Json));
        assert_eq!(
            both.of_body(Some("application/json; charset=utf-8")),
            Ok(Codec::Json)
        );
        assert_eq!(
            both.of_body(Some("application/x-protobuf")),
            Ok(Codec::Protobuf)
        );
        assert_eq!(both.of_body(None).unwrap_err().status(), 400);
        assert_eq!(both.of_body(Some("text/plain")).unwrap_err().status(), 415);
        let json = Formats::JsonOnly;
        assert_eq!(
            json.of_body(Some("application/x-protobuf"))
                .unwrap_err()
                .status(),
            415
        );
    }

    #[test]
    fn json_is_answered_where_it_is_allowed() {
        for accept in [
            None,
            Some("*/*"),
            Some("application/*"),
            Some("application/json"),
            Some("application/x-protobuf, application/json;q=0.1"),
        ] {
            assert_eq!(
                Formats::Both.of_answer(accept),
                Ok(Codec::Json),
                "{accept:?}"
            );
        }
        for accept in ["application/x-protobuf", "*/*, application/json;q=0"] {
            assert_eq!(
                Formats::Both.of_answer(Some(accept)),
                Ok(Codec::Protobuf),
                "{accept}"
            );
        }
        for accept in ["text/html", "*/*;q=0", "text/*, application/json;q=0.0"] {
            assert_eq!(
                Formats::Both.of_answer(Some(accept)).unwrap_err().status(),
                406,
                "{accept}"
            );
        }
    }
}
