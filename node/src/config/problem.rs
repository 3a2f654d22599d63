//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::cli::{Exit, Failure};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(String),
    /// The environment.
    Variable(String),
    /// A file.
    File(Place),
    /// Nobody said anything.
    Default,
}

impl Origin {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Origin::Flag(_) => "flag",
            Origin::Variable(_) => "variable",
            Origin::File(_) => "file",
            Origin::Default => "default",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "--{flag}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::File(place) => place.fmt(f),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Place {
    /// Of a byte of the file's text.
    pub fn of(file: &Path, text: &str, byte: usize) -> Place {
        let mut end = byte.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; [`Origin::Default`] if it is nowhere in particular.
    pub origin: Origin,
    /// Of which key, if it is one key's.
    pub key: Option<&'static str>,
    /// What is wrong, and why.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        f.write_str(&self.error)?;
        if !self.hint.is_empty() {
            write!(f, "\nhint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        match <[Problem; 1]>::try_from(problems.0) {
            Ok([single]) => {
                let bare = Problem {
                    hint: String::new(),
                    ..single.clone()
                };
                Failure::new(Exit::Usage, bare.to_string(), single.hint)
            }
            Err(many) => Failure::new(
                Exit::Usage,
                format!(
                    "{} things are wrong with the configuration\n{}",
                    many.len(),
                    Problems(many)
                ),
                "",
            ),
        }
    }
}

/// The known word that is nearest to a wrong one, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', '.'], "");
    let wrong = plain(wrong);
    known
        .map(|word| (distance(&wrong, &plain(word)), word))
        .min()
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 5)
        .map(|(_, word)| word)
}

/// How many characters must be changed, added or removed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for at in 0..other.len() {
            let change = diagonal + usize::from(letter != other[at]);
            diagonal = row[at + 1];
            row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let text = "a = 1\nß = 2\n";
        let at = |byte| {
            let place = Place::of(Path::new("f"), text, byte);
            (place.line, place.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(6), (2, 1));
        assert_eq!(at(8), (2, 2));
        assert_eq!(at(7), (2, 1), "inside of a character");
        assert_eq!(at(1000), (3, 1));
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["gossip", "peer", "agent_http", "advertise_gossip"];
        let find = |wrong| nearest(wrong, known.into_iter());
        assert_eq!(find("gosip"), Some("gossip"));
        assert_eq!(find("agent-http"), Some("agent_http"));
        assert_eq!(find("AgentHttp"), Some("agent_http"));
        assert_eq!(find("advertise_gosspi"), Some("advertise_gossip"));
        assert_eq!(find("zookeeper"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
