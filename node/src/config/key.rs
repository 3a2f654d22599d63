//! What a key of the configuration is, and the types that a value can have.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use shoal_api::agent::HostPort;
use shoal_api::{Name, Resources};
use shoal_membership::{Key as Secret, Label, Policy};

use super::attributes::Attributes;
use super::gossip::{Few, GossipProfile, Millis};
use crate::cli::flags::parse_host_port;
use crate::keyring::text;
use crate::log::{LogFilter, LogFormat};
use crate::roles::NodeRole;

/// One key: everything that is the same for its flag, its variable and its line in a file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it stands in a file, words joined by `_`.
    pub name: &'static str,
    /// What a value of it looks like.
    pub shape: Shape,
    /// Unit and legal range, for people.
    pub range: &'static str,
    /// How a value is called in a usage line.
    pub placeholder: &'static str,
    /// What holds when nobody says anything.
    pub default: Standard,
    /// Whether a running node takes a new value.
    pub reload: Reload,
    /// What it is for: a sentence without its full stop.
    pub help: &'static str,
}

impl Key {
    /// Its flag, without the dashes in front.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its variable in the environment.
    pub fn variable(&self) -> String {
        format!("SHOAL_{}", self.name.to_uppercase())
    }
}

/// What holds when nobody says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// This value.
    Value(&'static str),
    /// No value, which means this.
    Unset(&'static str),
}

/// Whether a running node takes a new value when it is told to read its file again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// At once.
    Live,
    /// At its next start.
    Restart,
}

/// How a value is written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text in quotes.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// A list of texts, or one text with commas.
    List,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shape::Text => "a text in quotes",
            Shape::Number => "a whole number",
            Shape::Switch => "true or false",
            Shape::List => "a list of texts",
        })
    }
}

/// A type that a value can have.
pub trait Setting: Sized {
    /// How it is written in a file.
    const SHAPE: Shape;
    /// Unit and legal range, for people.
    const RANGE: &'static str;
    /// How a value is called in a usage line.
    const PLACEHOLDER: &'static str;
    /// Whether what was written must not be repeated to anybody.
    const SECRET: bool = false;

    /// Reads what was written: one text, or the items of a list.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(texts: &[String]) -> Result<Self, String>;

    /// The texts that [`Setting::read`] makes this value of; none if nothing is set.
    fn texts(&self) -> Vec<String>;
}

/// A value as JSON, from its texts: a list as such, `null` if nothing is set.
pub fn json(shape: Shape, texts: &[String]) -> serde_json::Value {
    match (shape, texts) {
        (Shape::List, texts) => texts.into(),
        (Shape::Text | Shape::Number | Shape::Switch, []) => serde_json::Value::Null,
        (Shape::Text, texts) => texts.join(",").into(),
        (Shape::Number, texts) => texts[0]
            .parse::<u64>()
            .map_or(serde_json::Value::Null, Into::into),
        (Shape::Switch, texts) => (texts[0] == "true").into(),
    }
}

/// The one text of a value that is no list.
fn single(texts: &[String]) -> Result<&str, String> {
    match texts {
        [text] => Ok(text),
        [] => Err("the value is missing".to_owned()),
        [_, _, ..] => Err("there is more than one value".to_owned()),
    }
}

impl<T: Setting> Setting for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const RANGE: &'static str = T::RANGE;
    const PLACEHOLDER: &'static str = T::PLACEHOLDER;
    const SECRET: bool = T::SECRET;

    fn read(texts: &[String]) -> Result<Self, String> {
        match texts {
            [] => Ok(None),
            texts => T::read(texts).map(Some),
        }
    }

    fn texts(&self) -> Vec<String> {
        self.as_ref().map(T::texts).unwrap_or_default()
    }
}

/// Types whose values are one text each.
macro_rules! texts {
    ($($type:ty: $shape:ident, $placeholder:literal, $range:literal, $read:expr;)*) => {$(
        impl Setting for $type {
            const SHAPE: Shape = Shape::$shape;
            const RANGE: &'static str = $range;
            const PLACEHOLDER: &'static str = $placeholder;

            fn read(texts: &[String]) -> Result<Self, String> {
                let read: fn(&str) -> Result<$type, String> = $read;
                read(single(texts)?)
            }

            fn texts(&self) -> Vec<String> {
                vec![self.to_string()]
            }
        }
    )*};
}

fn parse_resources(text: &str) -> Result<Resources, String> {
    if text.trim_start().starts_with('[') {
        return shoal_mesos::resources::parse(text);
    }
    Resources::parse(text).map_err(|error| error.to_string())
}

texts! {
    Name: Text, "NAME", "1 to 128 letters, digits, `-`, `_` and `.`",
        |text| Name::new(text).map_err(|error| error.to_string());
    SocketAddr: Text, "IP:PORT", "IP:PORT or [IPv6]:PORT",
        socket_address;
    HostPort: Text, "HOST:PORT", "HOST:PORT, a name or an address",
        parse_host_port;
    QuorumSize: Number, "N", "1, 3 or 5 masters",
        QuorumSize::parse;
    Seconds: Number, "SECONDS", "seconds, 1 to 31536000",
        Seconds::parse;
    Resources: Text, "RESOURCES", "`cpus:N;mem:MB;disk:MB;ports:[BEGIN-END]`, three decimals; `NAME(ROLE):…` is reserved for a role; or a JSON list of Mesos' Resource messages",
        parse_resources;
    Attributes: Text, "NAME:VALUE;…", "`name:value;…`, a value is a number, `[BEGIN-END]` or a word",
        Attributes::parse;
    bool: Switch, "BOOL", "true or false",
        switch;
    GossipProfile: Text, "PROFILE", "`lan`, `wan` or `local`",
        GossipProfile::parse;
    Millis: Number, "MILLISECONDS", "milliseconds, 10 to 600000",
        Millis::parse;
    Few: Number, "N", "1 to 20",
        Few::parse;
    LogFilter: Text, "FILTER", "a level, then `TARGET=LEVEL` by comma; levels are off, error, warn, info, debug, trace",
        LogFilter::parse;
    Encryption: Text, "MODE", "`required`, `outgoing` (takes plain gossip, too), `incoming` (sends plain gossip, takes both) or `off`",
        |text| text::parse_policy(text).map(Encryption);
    KeyFile: Text, "FILE", "a path; the file has a key in base64 on each line",
        KeyFile::parse;
    LogFormat: Text, "FORMAT", "`text` or `json`",
        LogFormat::parse;
}

/// Who must have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encryption(pub Policy);

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text::policy(self.0))
    }
}

/// A file with keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile(pub PathBuf);

impl KeyFile {
    fn parse(text: &str) -> Result<KeyFile, String> {
        match text.is_empty() || text.contains('\0') {
            true => Err("that is no name of a file".to_owned()),
            false => Ok(KeyFile(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A key of the cluster, whose text is shown to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipKey(pub Secret);

impl Setting for GossipKey {
    const SHAPE: Shape = Shape::Text;
    const RANGE: &'static str = "32 bytes in base64, as `shoal keyring generate` prints";
    const PLACEHOLDER: &'static str = "KEY";
    const SECRET: bool = true;

    fn read(texts: &[String]) -> Result<Self, String> {
        text::parse(single(texts)?).map(GossipKey)
    }

    /// Its id: a process gets the key itself by a file.
    fn texts(&self) -> Vec<String> {
        vec![format!("(key {})", self.0.id())]
    }
}

impl Setting for PathBuf {
    const SHAPE: Shape = Shape::Text;
    const RANGE: &'static str = "a folder, from the working directory if relative";
    const PLACEHOLDER: &'static str = "DIR";

    fn read(texts: &[String]) -> Result<Self, String> {
        match single(texts)? {
            "" => Err("an empty text is no folder".to_owned()),
            text if text.contains('\0') => Err("a folder has no NUL in its name".to_owned()),
            text => Ok(PathBuf::from(text)),
        }
    }

    fn texts(&self) -> Vec<String> {
        vec![self.display().to_string()]
    }
}

impl Setting for Label {
    const SHAPE: Shape = Shape::Text;
    const RANGE: &'static str = "at most 64 bytes";
    const PLACEHOLDER: &'static str = "LABEL";

    fn read(texts: &[String]) -> Result<Self, String> {
        Label::new(single(texts)?).map_err(|error| error.to_string())
    }

    fn texts(&self) -> Vec<String> {
        vec![self.as_str().to_owned()]
    }
}

impl Setting for Vec<HostPort> {
    const SHAPE: Shape = Shape::List;
    const RANGE: &'static str = "at most 64 times HOST:PORT, names or addresses";
    const PLACEHOLDER: &'static str = "HOST:PORT";

    fn read(texts: &[String]) -> Result<Self, String> {
        let limit = shoal_membership::limits::SEEDS;
        if texts.len() > limit {
            return Err(format!(
                "{} addresses, at most {limit} are used",
                texts.len()
            ));
        }
        texts.iter().map(|text| parse_host_port(text)).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.iter().map(HostPort::to_string).collect()
    }
}

impl Setting for Vec<NodeRole> {
    const SHAPE: Shape = Shape::List;
    const RANGE: &'static str = "`master`, `agent`, both or none";
    const PLACEHOLDER: &'static str = "ROLE";

    fn read(texts: &[String]) -> Result<Self, String> {
        let role = |text: &String| match text.as_str() {
            "master" => Ok(NodeRole::Master),
            "agent" => Ok(NodeRole::Agent),
            other => Err(format!("'{other}' is no role, expected master or agent")),
        };
        texts.iter().map(role).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.iter().map(|role| role.as_str().to_owned()).collect()
    }
}

/// How many masters a quorum has: 1, 3 or 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumSize(pub u8);

impl QuorumSize {
    /// Reads it.
    ///
    /// # Errors
    /// It is another number, or none.
    pub fn parse(text: &str) -> Result<QuorumSize, String> {
        match text {
            "1" => Ok(QuorumSize(1)),
            "3" => Ok(QuorumSize(3)),
            "5" => Ok(QuorumSize(5)),
            _ => Err(format!("a quorum has 1, 3 or 5 masters, not '{text}'")),
        }
    }
}

impl fmt::Display for QuorumSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time to wait, in whole seconds: 1 to a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Seconds {
    const MOST: u32 = 365 * 24 * 3600;

    /// Reads it.
    ///
    /// # Errors
    /// It is no whole number, or out of range.
    pub fn parse(text: &str) -> Result<Seconds, String> {
        match text.parse() {
            Ok(number) if (1..=Seconds::MOST).contains(&number) => Ok(Seconds(number)),
            Ok(_) | Err(_) => Err(format!(
                "'{text}' is no number of seconds from 1 to {}",
                Seconds::MOST
            )),
        }
    }

    /// As a time.
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false")),
    }
}

/// An address to listen on: never a name, since a name may mean another address tomorrow.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match parse_host_port(text) {
        Ok(named) => format!(
            "'{}' is no IP address, and a node listens on an address: expected IP:PORT",
            named.host
        ),
        Err(why) => why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        fn round<T: Setting>(list: &[&str]) {
            let value = T::read(&texts(list)).expect("a good value");
            assert_eq!(value.texts(), texts(list));
        }
        round::<Name>(&["a-1"]);
        round::<SocketAddr>(&["[::1]:5"]);
        round::<Vec<HostPort>>(&["a:1", "[::1]:2"]);
        round::<Vec<NodeRole>>(&["master", "agent"]);
        round::<Option<QuorumSize>>(&["3"]);
        round::<Option<QuorumSize>>(&[]);
        round::<bool>(&["true"]);
        round::<PathBuf>(&["/var/lib/shoal"]);
        round::<Attributes>(&["rack:a;ssd:true"]);
        round::<Label>(&[""]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let bad = SocketAddr::read(&texts(&["localhost:5050"])).unwrap_err();
        assert!(bad.contains("'localhost' is no IP address"), "{bad}");
        let bad = SocketAddr::read(&texts(&["127.0.0.1"])).unwrap_err();
        assert!(bad.contains("no port"), "{bad}");
        let bad = SocketAddr::read(&texts(&["127.0.0.1:99999"])).unwrap_err();
        assert!(bad.contains("65535"), "{bad}");
        assert!(QuorumSize::read(&texts(&["2"])).is_err());
        for bad in ["0", "-1", "1.5", "31536001", "99999999999"] {
            assert!(Seconds::read(&texts(&[bad])).is_err(), "{bad}");
        }
        assert!(Vec::<NodeRole>::read(&texts(&["maste"])).is_err());
        assert!(bool::read(&texts(&["yes"])).is_err());
        assert!(bool::read(&texts(&["true", "false"])).is_err());
        let many: Vec<String> = (0..65).map(|n| format!("a:{}", n + 1)).collect();
        assert!(Vec::<HostPort>::read(&many).is_err());
    }
}
