//! Which encoding a request has, and which one its answer gets.

use crate::codec::Codec;
use crate::refusal::Refusal;

/// The encodings, in the order in which an answer prefers them.
const CODECS: [Codec; 2] = [Codec::Json, Codec::Protobuf];

/// The encoding of a body, from its `Content-Type`. Parameters and case are ignored, where Mesos
/// refuses what is not its own text to the byte.
///
/// # Errors
/// No type, or one that is not served.
pub fn of_body(content_type: Option<&str>) -> Result<Codec, Refusal> {
    let value = content_type.ok_or(Refusal::NoContentType)?;
    let name = value.split(';').next().unwrap_or(value).trim();
    CODECS
        .into_iter()
        .find(|codec| name.eq_ignore_ascii_case(codec.media_type()))
        .ok_or(Refusal::ContentType)
}

/// The encoding of an answer, from `Accept`: JSON if it is allowed at all.
///
/// # Errors
/// Nothing that is served is allowed.
pub fn of_answer(accept: Option<&str>) -> Result<Codec, Refusal> {
    CODECS
        .into_iter()
        .find(|codec| allows(accept, codec.media_type()))
        .ok_or(Refusal::Accept)
}

/// Whether an `Accept` header allows a type: of the entries that name it most exactly the first one
/// decides, and one whose `q` is no number above 0 forbids. Source: `acceptsMediaType` of libprocess.
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
        if best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, wanted(parts)));
        }
    }
    best.is_some_and(|(_, allowed)| allowed)
}

/// Whether the parameters of an entry leave it wanted.
fn wanted<'a>(parameters: impl Iterator<Item = &'a str>) -> bool {
    let mut qualities = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    match (qualities.next(), qualities.next()) {
        (Some(quality), None) => quality.parse::<f64>().is_ok_and(|quality| quality > 0.0),
        // Two of them say as little as none.
        (None, _) | (Some(_), Some(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_body_is_told_from_its_header() {
        for (header, codec) in [
            ("application/json", Codec::Json),
            ("application/json; charset=utf-8", Codec::Json),
            ("Application/JSON", Codec::Json),
            ("application/x-protobuf", Codec::Protobuf),
            (" application/x-protobuf;v=1", Codec::Protobuf),
        ] {
            assert_eq!(of_body(Some(header)), Ok(codec), "{header}");
        }
        assert_eq!(of_body(None).unwrap_err().status(), 400);
        for header in [
            "",
            "text/plain",
            "application/jsonx",
            "application/protobuf",
            "application/recordio",
            "application/json, application/x-protobuf",
        ] {
            assert_eq!(of_body(Some(header)), Err(Refusal::ContentType), "{header}");
        }
        assert_eq!(Refusal::ContentType.status(), 415);
    }

    #[test]
    fn json_is_answered_where_it_is_allowed() {
        for accept in [
            None,
            Some("*/*"),
            Some("application/*"),
            Some("application/json"),
            Some("application/x-protobuf, application/json;q=0.1"),
            Some("application/json;q=1;q=0"),
        ] {
            assert_eq!(of_answer(accept), Ok(Codec::Json), "{accept:?}");
        }
        for accept in [
            "application/x-protobuf",
            "*/*, application/json;q=0",
            "application/json;q=low, application/x-protobuf;q=0.1",
            "application/*, application/json ; Q = 0",
        ] {
            assert_eq!(of_answer(Some(accept)), Ok(Codec::Protobuf), "{accept}");
        }
        for accept in [
            "",
            "text/html",
            "*/*;q=0",
            "text/*, application/json;q=0.0",
            "application/*;q=-1",
        ] {
            assert_eq!(of_answer(Some(accept)), Err(Refusal::Accept), "{accept}");
        }
        assert_eq!(Refusal::Accept.status(), 406);
    }
}
