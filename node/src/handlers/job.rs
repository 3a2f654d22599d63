//! One run of a script: the variables and the input that Serf's scripts expect.

use std::fmt::Write;

use shoal_api::member::Member;
use shoal_membership::{Query, QueryKey, UserEvent};

use super::role;

/// What scripts run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Something happened to members, by one of Serf's words.
    Members(&'static str, Vec<Member>),
    /// Somebody told an event.
    Event(UserEvent),
    /// Somebody asks.
    Query(Query),
}

impl Occasion {
    /// Serf's word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Occasion::Members(word, _) => word,
            Occasion::Event(_) => "user",
            Occasion::Query(_) => "query",
        }
    }

    /// The name of an event or a query.
    pub fn name(&self) -> Option<&str> {
        match self {
            Occasion::Members(..) => None,
            Occasion::Event(event) => Some(event.name.as_str()),
            Occasion::Query(query) => Some(query.name.as_str()),
        }
    }
}

/// What one run of a script is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Variables beside those of the node's own environment.
    pub variables: Vec<(String, String)>,
    /// Standard input, all of it.
    pub input: Vec<u8>,
    /// The query that its output answers.
    pub answers: Option<QueryKey>,
}

impl Job {
    /// For a node, on an occasion.
    pub fn of(me: &Member, occasion: &Occasion) -> Job {
        let name = me.name.as_ref().map_or("", |name| name.as_str());
        let mut variables = vec![
            ("SERF_EVENT".to_owned(), occasion.word().to_owned()),
            ("SERF_SELF_NAME".to_owned(), name.to_owned()),
            ("SERF_SELF_ROLE".to_owned(), role(me).to_owned()),
        ];
        for (key, value) in &me.tags {
            variables.push((format!("SERF_TAG_{}", variable(key)), value.to_string()));
        }
        let mut put = |name: &str, value: String| variables.push((name.to_owned(), value));
        let (input, answers) = match occasion {
            Occasion::Members(_, members) => {
                (members.iter().map(line).collect::<String>().into(), None)
            }
            Occasion::Event(event) => {
                put("SERF_USER_EVENT", event.name.as_str().to_owned());
                put("SERF_USER_LTIME", event.ltime.to_string());
                (ended(&event.payload), None)
            }
            Occasion::Query(query) => {
                put("SERF_QUERY_NAME", query.name.as_str().to_owned());
                put("SERF_QUERY_LTIME", query.key.ltime.to_string());
                (ended(&query.payload), Some(query.key))
            }
        };
        Job {
            variables,
            input,
            answers,
        }
    }
}

/// A payload, ended by a line's end so that a shell's `read` takes it.
fn ended(payload: &[u8]) -> Vec<u8> {
    let mut input = payload.to_vec();
    if !input.is_empty() && input.last() != Some(&b'\n') {
        input.push(b'\n');
    }
    input
}

/// The key of a tag as part of a variable's name.
fn variable(key: &str) -> String {
    let upper = key.chars().flat_map(char::to_uppercase);
    upper
        .map(|c| match c {
            'A'..='Z' | '0'..='9' | '_' => c,
            _ => '_',
        })
        .collect()
}

/// A member as Serf writes it: name, address, role and tags, with tabs between.
fn line(member: &Member) -> String {
    let name = member.name.as_ref().map_or("", |name| name.as_str());
    let mut line = format!("{name}\t{}\t{}\t", member.gossip.ip(), clean(role(member)));
    for (number, (key, value)) in member.tags.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        write!(line, "{comma}{}={}", clean(key), clean(value)).expect("a text takes all");
    }
    line.push('\n');
    line
}

fn clean(text: &str) -> String {
    text.replace('\t', "\\t").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shoal_api::member::MemberStatus;
    use shoal_api::{Generation, Name, NodeId};
    use shoal_membership::{EventName, LamportTime};

    use super::*;

    fn member() -> Member {
        Member {
            id: NodeId(1),
            generation: Generation(1),
            name: Some(Name::new("db-1").expect("a name")),
            gossip: "10.0.0.7:7946".parse().expect("an address"),
            status: MemberStatus::Alive,
            tags: [("role", "db"), ("x.y", "a b")]
                .map(|(key, value)| (key.into(), value.into()))
                .into(),
        }
    }

    #[test]
    fn scripts_get_what_serf_gives_them() {
        let joined = Occasion::Members("member-join", vec![member(), member()]);
        let job = Job::of(&member(), &joined);
        let line = "db-1\t10.0.0.7\tdb\trole=db,x.y=a b\n";
        assert_eq!(String::from_utf8_lossy(&job.input), line.repeat(2));
        let pairs = [
            ("SERF_EVENT", "member-join"),
            ("SERF_SELF_NAME", "db-1"),
            ("SERF_SELF_ROLE", "db"),
            ("SERF_TAG_ROLE", "db"),
            ("SERF_TAG_X_Y", "a b"),
        ];
        assert_eq!(
            job.variables,
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        let told = Occasion::Event(UserEvent {
            ltime: LamportTime(7),
            name: EventName::new("deploy").expect("a name"),
            payload: Bytes::from("1.4"),
            coalesce: false,
        });
        let job = Job::of(&member(), &told);
        assert_eq!(job.input, b"1.4\n");
        let last: Vec<_> = job.variables[5..]
            .iter()
            .map(|(k, v)| (&**k, &**v))
            .collect();
        assert_eq!(
            last,
            [("SERF_USER_EVENT", "deploy"), ("SERF_USER_LTIME", "7")]
        );
    }
}
