//! Where values come from: flags before the environment before a file before the defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::file::{self, split};
use super::flags::NodeFlags;
use super::key::{Key, Setting, Shape, Standard};
use super::problem::{Origin, Problem, nearest};
use super::settings::KEYS;

/// The file that is read when nobody names another one, if it is there.
pub const DEFAULT_FILE: &str = "/etc/shoal/shoal.toml";
/// The variable that names the file.
pub const FILE_VARIABLE: &str = "SHOAL_CONFIG";
/// Variables of the same prefix that are not keys of a node.
const OTHER_VARIABLES: [&str; 2] = [FILE_VARIABLE, "SHOAL_ADDR"];

/// What was said about each key, the strongest word only.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    said: BTreeMap<&'static str, Said>,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What was said and cannot be understood.
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    texts: Vec<String>,
    origin: Origin,
}

impl Layers {
    /// Everything that counts for a node that is started with these flags in this environment.
    pub fn gather(flags: &NodeFlags, environment: impl Fn(&str) -> Option<OsString>) -> Layers {
        let file = match (&flags.config, environment(FILE_VARIABLE)) {
            (Some(file), _) => (!file.as_os_str().is_empty()).then(|| file.clone()),
            (None, Some(file)) if !file.is_empty() => Some(PathBuf::from(file)),
            (None, Some(_)) => None,
            (None, None) => {
                let standard = Path::new(DEFAULT_FILE);
                standard.exists().then(|| standard.to_owned())
            }
        };
        let mut layers = match file {
            Some(file) => Layers::of_file(&file),
            None => Layers::default(),
        };
        for key in KEYS {
            let variable = key.variable();
            let Some(value) = environment(&variable).filter(|value| !value.is_empty()) else {
                continue;
            };
            match value.into_string() {
                Ok(text) => layers.say(key, text_of(key, &text), Origin::Variable(variable)),
                Err(_) => layers.problems.push(Problem {
                    origin: Origin::Variable(variable),
                    key: Some(key.name),
                    error: "the value is not UTF-8".to_owned(),
                    hint: format!("{} is {}", key.name, key.range),
                }),
            }
        }
        for (name, texts) in &flags.given {
            let key = KEYS.iter().find(|key| key.name == *name);
            let key = key.expect("a flag is made of a key");
            let texts = match key.shape {
                Shape::List => texts.iter().flat_map(|text| split(text)).collect(),
                Shape::Text | Shape::Number | Shape::Switch => texts.clone(),
            };
            layers.say(key, texts, Origin::Flag(key.flag()));
        }
        layers
    }

    /// What a file says, and nothing else.
    pub fn of_file(file: &Path) -> Layers {
        Layers::of_entries(file, file::read(file))
    }

    /// What was found in a file.
    pub(crate) fn of_entries(
        file: &Path,
        (entries, problems): (Vec<file::Entry>, Vec<Problem>),
    ) -> Layers {
        let said = entries.into_iter().map(|entry| {
            let said = Said {
                texts: entry.texts,
                origin: Origin::File(entry.place),
            };
            (entry.key, said)
        });
        Layers {
            said: said.collect(),
            file: Some(file.to_owned()),
            problems,
        }
    }

    fn say(&mut self, key: &Key, texts: Vec<String>, origin: Origin) {
        self.said.insert(key.name, Said { texts, origin });
    }

    /// Where a key's value comes from.
    pub fn origin(&self, key: &str) -> Origin {
        let said = self.said.get(key);
        said.map_or(Origin::Default, |said| said.origin.clone())
    }

    /// A key's value; a wrong one is remembered as a problem.
    pub fn value<T: Setting>(&self, name: &'static str, problems: &mut Vec<Problem>) -> Option<T> {
        let key = KEYS.iter().find(|key| key.name == name);
        let key = key.expect("a setting is made of a key");
        let said = self.said.get(name);
        let standard = match key.default {
            Standard::Value(text) => vec![text.to_owned()],
            Standard::Unset(_) => Vec::new(),
        };
        let texts = said.map_or(&standard, |said| &said.texts);
        match T::read(texts) {
            Ok(value) => Some(value),
            Err(why) => {
                problems.push(Problem {
                    origin: self.origin(name),
                    key: Some(key.name),
                    error: match T::SECRET {
                        true => format!("{name} cannot be that: {why}"),
                        false => format!("{name} cannot be '{}': {why}", texts.join(",")),
                    },
                    hint: format!("{name} is {}", key.range),
                });
                None
            }
        }
    }
}

fn text_of(key: &Key, text: &str) -> Vec<String> {
    match key.shape {
        Shape::List => split(text),
        Shape::Text | Shape::Number | Shape::Switch => vec![text.to_owned()],
    }
}

/// Variables that look like keys of a node and are none, each with what may have been meant.
pub fn misspelt(variables: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let strange = variables.filter(|name| {
        name.starts_with("SHOAL_")
            && !known.contains(name)
            && !OTHER_VARIABLES.contains(&name.as_str())
    });
    strange
        .filter_map(|name| {
            let bare = |text: &str| text.trim_start_matches("SHOAL_").to_owned();
            let keys: Vec<String> = known.iter().map(|text| bare(text)).collect();
            let near = nearest(&bare(&name), keys.iter().map(String::as_str))?;
            let near = format!("SHOAL_{near}");
            Some((name, near))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Problems;
    use crate::config::settings::Settings;

    fn gather(
        arguments: &[&str],
        variables: &[(&str, &str)],
        text: &str,
    ) -> Result<(Layers, Settings), Problems> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shoal.toml");
        std::fs::write(&file, text).unwrap();
        let mut flags = NodeFlags::of(arguments);
        flags.config = Some(file);
        let layers = Layers::gather(&flags, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        });
        let settings = Settings::of(&layers).map_err(Problems)?;
        Ok((layers, settings))
    }

    #[test]
    fn the_strongest_word_counts() {
        let text = "http = \"127.0.0.3:1\"\npeer = \"127.0.0.3:2\"\ngossip = \"127.0.0.3:3\"\n";
        let variables = [("SHOAL_HTTP", "127.0.0.2:1"), ("SHOAL_PEER", "127.0.0.2:2")];
        let (layers, settings) = gather(&["--http", "127.0.0.1:1"], &variables, text).unwrap();
        assert_eq!(settings.http.to_string(), "127.0.0.1:1");
        assert_eq!(settings.peer.to_string(), "127.0.0.2:2");
        assert_eq!(settings.gossip.to_string(), "127.0.0.3:3");
        assert_eq!(settings.agent_http.to_string(), "127.0.0.1:5051");
        let kinds = ["http", "peer", "gossip", "agent_http"].map(|key| layers.origin(key).kind());
        assert_eq!(kinds, ["flag", "variable", "file", "default"]);
    }

    #[test]
    fn every_key_is_a_flag_a_variable_and_a_line() {
        let samples = [
            ("name", "n"),
            ("data", "/d"),
            ("roles", "master"),
            ("join", "a:1,b:2"),
            ("gossip", "127.0.0.1:1"),
            ("peer", "127.0.0.1:2"),
            ("http", "127.0.0.1:3"),
            ("agent_http", "127.0.0.1:4"),
            ("advertise_gossip", "127.0.0.1:5"),
            ("advertise_peer", "a:6"),
            ("advertise_http", "a:7"),
            ("advertise_agent_http", "a:8"),
            ("bootstrap_expect", "3"),
            ("replace_dead", "77"),
            ("offer_timeout", "78"),
            ("resources", "cpus:1"),
            ("attributes", "rack:a"),
            ("cluster", "c"),
            ("gossip_profile", "wan"),
            ("gossip_probe_interval", "2000"),
            ("gossip_probe_timeout", "400"),
            ("gossip_suspicion", "3000"),
            ("gossip_interval", "150"),
            ("gossip_fanout", "5"),
            ("gossip_retransmit", "9"),
            ("gossip_sync_interval", "20000"),
            ("gossip_reconnect_interval", "5000"),
            ("gossip_keep_failed", "3600"),
            ("gossip_keep_left", "3601"),
            ("gossip_encryption", "outgoing"),
            ("gossip_key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
            ("gossip_key_file", "/k"),
            ("insecure", "true"),
            ("tags", "db=mongo,rack=a"),
            ("event_handlers", "user:deploy=/bin/true"),
            ("replay_events", "true"),
            ("rejoin_after_leave", "true"),
            ("log_level", "debug"),
            ("log_format", "json"),
        ];
        assert_eq!(samples.map(|(key, _)| key).to_vec(), names());
        for (key, (name, value)) in KEYS.iter().zip(samples) {
            let line = match key.shape {
                Shape::Text | Shape::List => format!("{name} = \"{value}\"\n"),
                Shape::Number | Shape::Switch => format!("{name} = {value}\n"),
            };
            let flag = format!("--{}={value}", key.flag());
            let variable = key.variable();
            let by_flag = gather(&[&flag], &[], "").unwrap().1.texts();
            let by_variable = gather(&[], &[(&variable, value)], "").unwrap().1.texts();
            let by_file = gather(&[], &[], &line).unwrap().1.texts();
            assert_eq!(by_flag, by_variable, "{name}");
            assert_eq!(by_flag, by_file, "{name}");
            assert_ne!(by_flag, Settings::default().texts(), "{name}");
        }
    }

    fn names() -> Vec<&'static str> {
        KEYS.iter().map(|key| key.name).collect()
    }

    #[test]
    fn a_wrong_value_names_its_origin() {
        let error = gather(&["--http", "nonsense"], &[], "").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("--http: http cannot be 'nonsense'"),
            "{error}"
        );
        let error = gather(&[], &[("SHOAL_HTTP", "a:b")], "").unwrap_err();
        assert!(error.to_string().starts_with("SHOAL_HTTP: "), "{error}");
        let error = gather(&[], &[], "\nhttp = \"a:b\"\npeer = \"c\"\nx = 1").unwrap_err();
        assert_eq!(error.0.len(), 3, "all are told at once: {error}");
        assert!(
            error
                .to_string()
                .contains("shoal.toml:2:1: http cannot be 'a:b'"),
            "{error}"
        );
        let (_, settings) = gather(&[], &[("SHOAL_HTTP", "")], "").unwrap();
        assert_eq!(
            settings.http.to_string(),
            "127.0.0.1:5050",
            "an empty variable says nothing"
        );
    }

    #[test]
    fn a_secret_is_never_repeated() {
        let almost = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==";
        let line = format!("gossip_key = \"{almost}\"\n");
        let by_flag = gather(&["--gossip-key", almost], &[], "");
        for wrong in [
            by_flag,
            gather(&[], &[("SHOAL_GOSSIP_KEY", almost)], ""),
            gather(&[], &[], &line),
        ] {
            let error = wrong.unwrap_err().to_string();
            assert!(error.contains("has 32 bytes"), "{error}");
            assert!(!error.contains(&almost[..9]), "{error}");
        }
        let whole = format!("{}x8=", &almost[..41]);
        let (_, settings) = gather(&["--gossip-key", &whole], &[], "").unwrap();
        let shown = format!("{settings:?} {:?}", settings.texts());
        assert!(shown.contains("(key "), "{shown}");
        assert!(!shown.contains(&whole[..9]), "{shown}");
    }

    #[test]
    fn misspelt_variables_are_noticed() {
        let all = [
            "SHOAL_GOSIP",
            "SHOAL_ADDR",
            "SHOAL_HTTP",
            "SHOAL_BIN",
            "PATH",
        ];
        let found = misspelt(all.into_iter().map(str::to_owned));
        assert_eq!(
            found,
            [("SHOAL_GOSIP".to_owned(), "SHOAL_GOSSIP".to_owned())]
        );
    }
}
