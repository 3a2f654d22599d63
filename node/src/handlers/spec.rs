//! What stands in the configuration: `[TYPE[:NAME][,TYPE…]=]SCRIPT`.

use std::sync::Arc;

use super::job::Occasion;
use crate::config::key::{Setting, Shape};
use crate::limits;

/// Serf's words for what a script can be run on.
const WORDS: &[&str] = &[
    "*",
    "member-join",
    "member-leave",
    "member-failed",
    "member-update",
    "member-reap",
    "user",
    "query",
];

/// A script, and on what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerSpec {
    /// Type and name, as `user:deploy`; everything if there is none.
    on: Vec<Arc<str>>,
    /// Given to `/bin/sh -c`.
    pub script: Arc<str>,
}

impl HandlerSpec {
    /// Reads one.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<HandlerSpec, String> {
        let (filter, script) = match text.split_once('=') {
            Some((filter, script)) if filter.split(',').all(looks_like_type) => {
                (Some(filter), script)
            }
            // A script may well have a sign of equality in it.
            Some(_) | None => (None, text),
        };
        if script.trim().is_empty() {
            return Err(format!(
                "'{text}' has no script, expected [TYPE[:NAME]=]SCRIPT"
            ));
        }
        let mut on = Vec::new();
        for kind in filter.into_iter().flat_map(|filter| filter.split(',')) {
            if !is_type(kind) {
                return Err(format!(
                    "'{kind}' is nothing that a script runs on, expected one of {}, user:NAME, \
                     query:NAME",
                    WORDS.join(", ")
                ));
            }
            on.push(Arc::from(kind));
        }
        Ok(HandlerSpec {
            on,
            script: Arc::from(script),
        })
    }

    /// Whether it runs on that.
    pub fn wants(&self, occasion: &Occasion) -> bool {
        self.on.is_empty()
            || self.on.iter().any(|kind| match kind.split_once(':') {
                Some((kind, name)) => kind == occasion.word() && Some(name) == occasion.name(),
                None => &**kind == "*" || &**kind == occasion.word(),
            })
    }
}

/// Whether a text means a type, if a wrong one.
fn looks_like_type(text: &str) -> bool {
    let kind = text.split(':').next().unwrap_or_default();
    is_type(text) || (!kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
}

fn is_type(text: &str) -> bool {
    match text.split_once(':') {
        Some((kind, name)) => {
            matches!(kind, "user" | "query") && !name.is_empty() && !name.contains('=')
        }
        None => WORDS.contains(&text),
    }
}

impl Setting for Vec<HandlerSpec> {
    const SHAPE: Shape = Shape::List;
    const RANGE: &'static str =
        "at most 32 times `[TYPE[:NAME]=]SCRIPT`, as Serf reads it; a script has no comma";
    const PLACEHOLDER: &'static str = "SPEC";

    fn read(texts: &[String]) -> Result<Self, String> {
        let mut specs = Vec::new();
        let mut types = String::new();
        for text in texts {
            // `a,b=script` is one specification, though lists are split at commas.
            if is_type(text) {
                types += text;
                types.push(',');
                continue;
            }
            specs.push(HandlerSpec::parse(&format!("{types}{text}"))?);
            types.clear();
        }
        if !types.is_empty() {
            return Err(format!("'{}' has no script", types.trim_end_matches(',')));
        }
        if specs.len() > limits::HANDLERS {
            let most = limits::HANDLERS;
            return Err(format!("{} handlers, at most {most} are run", specs.len()));
        }
        Ok(specs)
    }

    fn texts(&self) -> Vec<String> {
        let text = |spec: &HandlerSpec| match spec.on.is_empty() {
            true => spec.script.to_string(),
            false => format!("{}={}", spec.on.join(","), spec.script),
        };
        self.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<Vec<HandlerSpec>, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Vec::<HandlerSpec>::read(&texts)
    }

    #[test]
    fn serfs_specifications_are_read() {
        let specs = read(&[
            "handle.sh",
            "member-join",
            "member-leave=members.sh",
            "user:deploy=deploy.sh --to=x",
            "*=all.sh",
            "FOO=1 ./run",
        ])
        .expect("they are good");
        let texts = specs.texts();
        assert_eq!(
            texts,
            [
                "handle.sh",
                "member-join,member-leave=members.sh",
                "user:deploy=deploy.sh --to=x",
                "*=all.sh",
                "FOO=1 ./run",
            ]
        );
        for bad in [
            "membr-join=x",
            "user:=x",
            "member-join:a=x",
            "user=",
            "",
            "query",
        ] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
        assert!(read(&vec!["x"; limits::HANDLERS + 1]).is_err());
    }
}
