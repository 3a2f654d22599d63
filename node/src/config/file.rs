//! A configuration file: TOML with all keys at the top level.

use std::io::Read;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Key, Shape};
use super::problem::{Origin, Place, Problem, nearest};
use super::settings::KEYS;
use crate::limits::{CONFIG_FILE_BYTES, CONFIG_PROBLEMS};

/// A value as it stands in a file: one text, or the items of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of which key.
    pub key: &'static str,
    /// What is written.
    pub texts: Vec<String>,
    /// Where.
    pub place: Place,
}

/// Reads a file from disk: what it says, and everything that is wrong with it.
pub fn read(file: &Path) -> (Vec<Entry>, Vec<Problem>) {
    match text(file) {
        Ok(text) => parse(file, &text),
        Err(why) => {
            let problem = Problem {
                origin: Origin::Default,
                key: None,
                error: format!("cannot read {}: {why}", file.display()),
                hint: "name another file by --config, or none by --config=''".to_owned(),
            };
            (Vec::new(), vec![problem])
        }
    }
}

fn text(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(|error| error.to_string())?;
    opened
        .take(CONFIG_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > CONFIG_FILE_BYTES {
        return Err(format!("it has more than {CONFIG_FILE_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Reads a file's text: what it says, and what is wrong with it, in the order of the file, up to
/// [`CONFIG_PROBLEMS`]. What is no TOML says nothing.
pub fn parse(file: &Path, text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let place = |byte| Place::of(file, text, byte);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = errors.iter().take(CONFIG_PROBLEMS).map(|error| Problem {
            origin: Origin::File(place(error.span().map_or(0, |span| span.start))),
            key: None,
            error: format!("this is no TOML: {}", error.message().trim_end()),
            hint: "a line looks like http = \"127.0.0.1:5050\"".to_owned(),
        });
        return (Vec::new(), problems.collect());
    }
    let mut names: Vec<_> = table.get_ref().iter().collect();
    names.sort_by_key(|(name, _)| name.span().start);
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in names {
        if problems.len() == CONFIG_PROBLEMS {
            break;
        }
        match entry(name.get_ref(), value, place(name.span().start), &place) {
            Ok(entry) => entries.push(entry),
            Err(problem) => problems.push(problem),
        }
    }
    (entries, problems)
}

fn entry(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    at: Place,
    place: &dyn Fn(usize) -> Place,
) -> Result<Entry, Problem> {
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        return Err(unknown(name, value.get_ref(), at));
    };
    let texts = texts(key.shape, value.get_ref()).ok_or_else(|| Problem {
        origin: Origin::File(place(value.span().start)),
        key: Some(key.name),
        error: format!("{name} is {}, not {}", key.shape, kind(value.get_ref())),
        hint: example(key),
    })?;
    Ok(Entry {
        key: key.name,
        texts,
        place: at,
    })
}

fn unknown(name: &str, value: &DeValue<'_>, at: Place) -> Problem {
    let near = nearest(name, KEYS.iter().map(|key| key.name));
    let shown: String = name.chars().take(100).collect();
    let hint = match near {
        Some(near) => format!("did you mean {near}?"),
        None if value.is_table() => {
            "all keys stand at the top level, in no [table]; `shoal config reference` lists them"
                .to_owned()
        }
        None => "`shoal config reference` lists all keys".to_owned(),
    };
    Problem {
        origin: Origin::File(at),
        key: None,
        error: format!("'{shown}' is no key of the configuration"),
        hint,
    }
}

/// The texts of a value, if it has that shape.
fn texts(shape: Shape, value: &DeValue<'_>) -> Option<Vec<String>> {
    match shape {
        Shape::Text => value.as_str().map(|text| vec![text.to_owned()]),
        Shape::Number => value.as_integer().map(|number| vec![number.to_string()]),
        Shape::Switch => value.as_bool().map(|set| vec![set.to_string()]),
        Shape::List => match value.as_str() {
            Some(text) => Some(split(text)),
            None => {
                let items = value.as_array()?.iter();
                items
                    .map(|item| item.get_ref().as_str().map(str::to_owned))
                    .collect()
            }
        },
    }
}

/// The items of a list in one text.
pub fn split(text: &str) -> Vec<String> {
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list that holds more than texts",
        DeValue::Table(_) => "a table",
    }
}

/// A line that would be right.
fn example(key: &Key) -> String {
    let value = match key.shape {
        Shape::Text => "\"…\"",
        Shape::Number => "3",
        Shape::Switch => "true",
        Shape::List => "[\"…\", \"…\"]",
    };
    format!(
        "write {} = {value}, where a value is {}",
        key.name, key.range
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<Problem> {
        parse(Path::new("shoal.toml"), text).1
    }

    #[test]
    fn values_are_read_with_their_places() {
        let text = "# a node\nname = \"a\"\njoin = [\"b:1\", \"c:2\"]\nroles = \"master, agent\"\n\
                    insecure = true\nbootstrap_expect = 3\n";
        let (entries, problems) = parse(Path::new("shoal.toml"), text);
        assert_eq!(problems, []);
        let shown: Vec<(&str, String, usize)> = entries
            .iter()
            .map(|entry| (entry.key, entry.texts.join(" "), entry.place.line))
            .collect();
        let expected = [
            ("name", "a", 2),
            ("join", "b:1 c:2", 3),
            ("roles", "master agent", 4),
            ("insecure", "true", 5),
            ("bootstrap_expect", "3", 6),
        ];
        let expected = expected.map(|(key, text, line)| (key, text.to_owned(), line));
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_and_neighbour() {
        let list = problems("name = \"a\"\n\n  gosip = \"127.0.0.1:7946\"\nzookeeper = 1\n");
        assert_eq!(list.len(), 2);
        let text = list[0].to_string();
        assert!(
            text.starts_with("shoal.toml:3:3: 'gosip' is no key"),
            "{text}"
        );
        assert!(text.ends_with("did you mean gossip?"), "{text}");
        assert!(list[1].hint.contains("config reference"), "{}", list[1]);
        let table = &problems("[node]\nname = \"a\"\n")[0];
        assert!(
            table.hint.contains("top level") || table.hint.contains("name"),
            "{table}"
        );
    }

    #[test]
    fn a_wrong_type_is_refused_where_it_stands() {
        for (text, column, word) in [
            ("insecure = \"yes\"", 12, "true or false, not a text"),
            ("bootstrap_expect = \"3\"", 20, "a whole number, not a text"),
            ("http = 5050", 8, "a text in quotes, not a whole number"),
            ("join = [1]", 8, "list of texts"),
            ("name = 1979-05-27", 8, "not a date"),
        ] {
            let list = problems(text);
            let Origin::File(place) = &list[0].origin else {
                panic!("no place: {list:?}");
            };
            assert_eq!(place.column, column, "{text}");
            assert!(list[0].error.contains(word), "{text}: {}", list[0]);
        }
    }

    #[test]
    fn what_is_no_toml_is_refused_and_never_half_read() {
        for text in [
            "name = ",
            "name",
            "= 1",
            "name = \"a\nb\"",
            "name = \"a\"\nname = \"b\"",
            "\u{0}",
        ] {
            let list = problems(text);
            assert!(list[0].error.contains("no TOML"), "{text:?}: {}", list[0]);
        }
        let deep = format!("join = {}", "[".repeat(100_000));
        assert!(problems(&deep)[0].error.contains("no TOML"));
    }

    #[test]
    fn of_many_mistakes_the_first_are_told() {
        for line in ["x\n", "x1 = 1\n"] {
            let text: String = (0..20_000)
                .map(|n| line.replace('1', &n.to_string()))
                .collect();
            let list = problems(&text);
            assert_eq!(list.len(), CONFIG_PROBLEMS);
            assert!(
                list[0].to_string().starts_with("shoal.toml:1:"),
                "{}",
                list[0]
            );
        }
    }

    #[test]
    fn no_damage_is_more_than_refused() {
        let text = "name = \"ä\"\njoin = [\"b:1\", \"c:2\"]\ninsecure = true\nbootstrap_expect = 3\n\
                    [x]\ny = { z = 1979-05-27T07:32:00Z, \"w\" = 0x1F }\n";
        let whole = text.as_bytes();
        let mut refused = 0;
        for at in 0..whole.len() {
            for byte in [0, b'"', b'[', b'}', b'=', b'\n', b'.', 0xff] {
                let changed = [&whole[..at], &[byte], &whole[at + 1..]].concat();
                let cut = [&whole[..at], &[byte]].concat();
                for bytes in [changed, cut] {
                    let text = String::from_utf8_lossy(&bytes);
                    let (entries, problems) = parse(Path::new("f"), &text);
                    assert!(entries.len() <= KEYS.len(), "{text}");
                    refused += usize::from(!problems.is_empty());
                }
            }
        }
        assert!(refused > whole.len(), "{refused} of many are refused");
    }
}
