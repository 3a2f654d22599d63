//! Which lines are logged: a level for all, and others for single parts of the node.

use std::fmt;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Short names of parts of a node, each with the module whose lines they are.
pub const PARTS: &[(&str, &str)] = &[
    ("api", "shoal_node::api"),
    ("config", "shoal_node::config"),
    ("drive", "shoal_node::drive"),
    ("executor", "shoal_node::executor"),
    ("gossip", "shoal_node::gossip"),
    ("node", "shoal_node::node"),
    ("peer", "shoal_node::peer"),
];

/// A filter, with the text that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    text: String,
    all: LevelFilter,
    parts: Vec<(String, LevelFilter)>,
}

impl LogFilter {
    /// Reads `info` or `warn,gossip=debug,shoal_node::api=off`. A part is one of [`PARTS`] or the
    /// path of a module; the longest one that fits a line counts.
    ///
    /// # Errors
    /// Which word is wrong.
    pub fn parse(text: &str) -> Result<LogFilter, String> {
        let mut all = LevelFilter::INFO;
        let mut parts = Vec::new();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            match word.split_once('=') {
                None => all = level(word)?,
                Some((part, wanted)) => parts.push((target(part.trim())?, level(wanted.trim())?)),
            }
        }
        if text.trim().is_empty() {
            return Err("an empty text says no level".to_owned());
        }
        Ok(LogFilter {
            text: text.to_owned(),
            all,
            parts,
        })
    }

    pub(super) fn targets(&self) -> Targets {
        Targets::new()
            .with_default(self.all)
            .with_targets(self.parts.iter().cloned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn level(word: &str) -> Result<LevelFilter, String> {
    match word {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        other => Err(format!("'{other}' is no level")),
    }
}

/// The module that a part's name means. A name that fits nothing would be a silent filter, so only a
/// path of modules is taken as it is.
fn target(part: &str) -> Result<String, String> {
    if let Some((_, module)) = PARTS.iter().find(|(short, _)| *short == part) {
        return Ok((*module).to_owned());
    }
    let path = part.split("::").all(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    match path && (part.contains("::") || part.starts_with("shoal_")) {
        true => Ok(part.to_owned()),
        false => {
            let known: Vec<&str> = PARTS.iter().map(|(short, _)| *short).collect();
            Err(format!(
                "'{part}' is no part of a node; parts are {} and paths of modules",
                known.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn the_longest_part_counts() {
        let filter = LogFilter::parse("warn, gossip=debug,shoal_node::gossip::drive=off").unwrap();
        let targets = filter.targets();
        assert!(targets.would_enable("shoal_node::gossip", &Level::DEBUG));
        assert!(!targets.would_enable("shoal_node::gossip::drive", &Level::ERROR));
        assert!(!targets.would_enable("shoal_node::api", &Level::INFO));
        assert!(targets.would_enable("shoal_node::api", &Level::WARN));
        let only = LogFilter::parse("gossip=trace").unwrap().targets();
        assert!(only.would_enable("shoal_node::api", &Level::INFO));
    }

    #[test]
    fn a_wrong_word_is_refused() {
        for bad in [
            "",
            " ",
            "infoo",
            "INFO",
            "gosip=debug",
            "gossip=loud",
            "=info",
            "a b=info",
            "::=info",
        ] {
            assert!(LogFilter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_part_is_a_module() {
        let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for (short, module) in PARTS {
            assert_eq!(*module, format!("shoal_node::{short}"));
            let file = source.join(format!("{short}.rs"));
            assert!(
                file.exists() || source.join(short).join("mod.rs").exists(),
                "{short}"
            );
        }
    }
}
