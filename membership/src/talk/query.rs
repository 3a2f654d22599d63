//! Queries: a question to all members, or some of them, that each may answer once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use regex::{Regex, RegexBuilder};
use shoal_api::member::{Member, Tags};
use shoal_api::{Instant, Name, NodeId};
use thiserror::Error;

use super::lamport::LamportTime;
use super::user_event::{EventError, EventName};
use super::wire;
use crate::limits;

/// Why the filter of a query, or of a list of members, is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// Too many conditions.
    #[error("{count} names and tags are asked for, at most {limit} are allowed", limit = limits::FILTERS)]
    Count { count: usize },
    /// No regular expression, or one that takes too much memory.
    #[error("the value asked of tag '{key}' is no regular expression: {why}")]
    Expression { key: Arc<str>, why: String },
}

/// Why a query is refused. Nobody was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] EventError),
    /// Its filter is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Name, payload and filter are too long together.
    #[error("name, payload and filter take {bytes} bytes, at most {limit} are allowed", limit = limits::QUERY_BYTES)]
    Length { bytes: usize },
    /// It would wait too long, or not at all.
    #[error("timeout {timeout:?} is not between 1 ms and {limit:?}", limit = limits::QUERY_TIMEOUT)]
    Timeout { timeout: Duration },
    /// Too many members would pass on each answer.
    #[error("relay factor {relay} is above {limit}", limit = limits::RELAYS)]
    Relay { relay: u8 },
    /// An answer is too long.
    #[error("answer has {bytes} bytes, at most {limit} are allowed", limit = limits::ANSWER_BYTES)]
    Answer { bytes: usize },
}

/// Which members are meant: those with one of the names, if any is given, whose tags match all the
/// expressions. An expression has to match all of a value; a tag that is missing has the empty one.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    names: Vec<Name>,
    tags: Vec<(Arc<str>, Regex)>,
}

impl Filter {
    /// Takes the conditions if they can be checked.
    ///
    /// # Errors
    /// [`FilterError`] says which cannot.
    pub fn new(names: Vec<Name>, tags: &[(Arc<str>, Arc<str>)]) -> Result<Filter, FilterError> {
        let count = names.len() + tags.len();
        if count > limits::FILTERS {
            return Err(FilterError::Count { count });
        }
        let tags = tags.iter().map(|(key, expression)| {
            let whole = format!("^(?:{expression})$");
            let built = RegexBuilder::new(&whole)
                .size_limit(limits::EXPRESSION_BYTES)
                .nest_limit(limits::EXPRESSION_NESTS)
                .build();
            match built {
                Ok(regex) => Ok((Arc::clone(key), regex)),
                Err(error) => Err(FilterError::Expression {
                    key: Arc::clone(key),
                    why: error.to_string(),
                }),
            }
        });
        Ok(Filter {
            names,
            tags: tags.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a member is meant.
    pub fn matches(&self, member: &Member) -> bool {
        let named = self.names.is_empty()
            || (member.name.as_ref()).is_some_and(|name| self.names.contains(name));
        named && self.matches_tags(&member.tags)
    }

    fn matches_tags(&self, tags: &Tags) -> bool {
        (self.tags.iter())
            .all(|(key, regex)| regex.is_match(tags.get(key).map_or("", |value| value)))
    }
}

/// How a query is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// Ask only members with these names; all if there are none.
    pub nodes: Vec<Name>,
    /// Ask only members whose tags match these expressions, see [`Filter`].
    pub tags: Vec<(Arc<str>, Arc<str>)>,
    /// Let every member that was asked say at once that it heard of it.
    pub acks: bool,
    /// How long answers count, 1 ms to [`limits::QUERY_TIMEOUT`]. None: what gossip needs in a
    /// cluster of this size, sixteen rounds for each tenfold.
    pub timeout: Option<Duration>,
    /// Through how many other members each answer comes too, at most [`limits::RELAYS`].
    pub relay: u8,
}

/// A query that can be asked. Name, payload and filter take at most [`limits::QUERY_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRequest {
    pub(crate) name: EventName,
    pub(crate) payload: Bytes,
    pub(crate) options: QueryOptions,
}

impl QueryRequest {
    /// Takes them if they are within their bounds.
    ///
    /// # Errors
    /// [`QueryError`] says which bound they break.
    pub fn new(
        name: EventName,
        payload: Bytes,
        options: QueryOptions,
    ) -> Result<QueryRequest, QueryError> {
        if options.relay > limits::RELAYS {
            let relay = options.relay;
            return Err(QueryError::Relay { relay });
        }
        if let Some(timeout) = options.timeout
            && !(Duration::from_millis(1)..=limits::QUERY_TIMEOUT).contains(&timeout)
        {
            return Err(QueryError::Timeout { timeout });
        }
        Filter::new(options.nodes.clone(), &options.tags)?;
        let request = QueryRequest {
            name,
            payload,
            options,
        };
        let bytes = wire::Query::of(&request).encoded_len();
        if bytes > limits::QUERY_BYTES {
            return Err(QueryError::Length { bytes });
        }
        Ok(request)
    }
}

/// The number by which the shell knows a query of its own again. The shell chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryToken(pub u64);

/// Which query, in the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryKey {
    /// Later than all queries that its asker had heard of.
    pub ltime: LamportTime,
    /// Drawn by its asker.
    pub id: u64,
}

/// A query that this node is asked, and may answer once until its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which one; the answer names it.
    pub key: QueryKey,
    /// What it is called.
    pub name: EventName,
    /// Whatever its asker put in.
    pub payload: Bytes,
    /// Who asks.
    pub from: NodeId,
    /// Until when an answer counts.
    pub deadline: Instant,
}

/// An answer that fits: at most [`limits::ANSWER_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerBody(Bytes);

impl AnswerBody {
    /// Takes the bytes if they are few enough.
    ///
    /// # Errors
    /// [`QueryError::Answer`] when they are too many.
    pub fn new(bytes: Bytes) -> Result<AnswerBody, QueryError> {
        if bytes.len() > limits::ANSWER_BYTES {
            let bytes = bytes.len();
            return Err(QueryError::Answer { bytes });
        }
        Ok(AnswerBody(bytes))
    }

    /// The bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// What came back of a query. Of each member, one acknowledgement and one answer at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// From whom.
    pub node: NodeId,
    /// Its name, if that is known.
    pub name: Option<Name>,
    /// The answer; none if it says only that it heard of the query.
    pub answer: Option<Bytes>,
}

/// Why no more answers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryEnd {
    /// Its time is over.
    Deadline,
    /// Too many queries of this node wait for answers: this one was not asked. Ask again later.
    TooMany,
    /// This node leaves, or has left.
    Leaving,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EventName {
        EventName::new(text).expect("a name")
    }

    fn request(payload: usize, options: QueryOptions) -> Result<QueryRequest, QueryError> {
        QueryRequest::new(name("load"), vec![0; payload].into(), options)
    }

    #[test]
    fn queries_are_bounded() {
        let plain = QueryOptions::default;
        assert!(request(limits::QUERY_BYTES - 100, plain()).is_ok());
        let long = request(1 << 20, plain());
        assert!(matches!(long, Err(QueryError::Length { .. })));
        let relay = QueryOptions {
            relay: 99,
            ..plain()
        };
        assert_eq!(request(0, relay), Err(QueryError::Relay { relay: 99 }));
        for timeout in [Duration::ZERO, Duration::MAX] {
            let options = QueryOptions {
                timeout: Some(timeout),
                ..plain()
            };
            assert_eq!(request(0, options), Err(QueryError::Timeout { timeout }));
        }
        let bytes = vec![0; limits::ANSWER_BYTES + 1];
        assert!(AnswerBody::new(bytes.into()).is_err());
    }

    #[test]
    fn expressions_are_bounded_and_match_whole_values() {
        let tag = |expression: &str| [(Arc::from("db"), Arc::from(expression))];
        let matches = |expression: &str, value: &str| {
            let filter = Filter::new(Vec::new(), &tag(expression)).expect("an expression");
            filter.matches_tags(&[(Arc::from("db"), Arc::from(value))].into())
        };
        assert!(matches("mongo", "mongo") && !matches("mongo", "mongodb"));
        assert!(matches("mongo|my.*", "mysql") && matches(".*", ""));
        let missing = Filter::new(Vec::new(), &tag("x?")).expect("an expression");
        assert!(missing.matches_tags(&Tags::new()));
        for bad in ["(", "(((a{99}){99}){99}){99}", &"(".repeat(300)] {
            let error = Filter::new(Vec::new(), &tag(bad)).expect_err("it is refused");
            assert!(matches!(error, FilterError::Expression { .. }), "{bad}");
        }
        let many: Vec<_> = (0..=limits::FILTERS).map(|_| tag("x")[0].clone()).collect();
        assert!(Filter::new(Vec::new(), &many).is_err());
    }
}
