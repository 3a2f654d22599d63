//! `/tasks`: tasks of all frameworks, sorted, filtered and cut.

use bytes::Bytes;
use shoal_api::Timestamp;

use super::stream::Stream;
use super::{Source, TaskEntry, Tasks, entry};

/// Which tasks are wanted. Source: Mesos' `/tasks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    /// At most so many; `None` is all.
    pub limit: Option<usize>,
    /// So many are left out first.
    pub offset: usize,
    /// The oldest first, where the newest are first by default.
    pub ascending: bool,
    /// Of this framework.
    pub framework: Option<String>,
    /// With this id.
    pub task: Option<String>,
}

impl Default for TaskQuery {
    fn default() -> TaskQuery {
        TaskQuery {
            limit: Some(100),
            offset: 0,
            ascending: false,
            framework: None,
            task: None,
        }
    }
}

impl TaskQuery {
    /// Reads the values of a query. Numbers that are none are taken as if they were not there, as
    /// Mesos takes them; a limit of -1 is none.
    pub fn parse(value: impl Fn(&str) -> Option<String>) -> TaskQuery {
        let number = |key| value(key).and_then(|text| text.parse::<i64>().ok());
        let default = TaskQuery::default();
        TaskQuery {
            limit: match number("limit") {
                Some(-1) => None,
                Some(limit) => usize::try_from(limit).ok().or(default.limit),
                None => default.limit,
            },
            offset: number("offset")
                .and_then(|offset| usize::try_from(offset).ok())
                .unwrap_or(0),
            ascending: value("order").as_deref() == Some("asc"),
            framework: value("framework_id"),
            task: value("task_id"),
        }
    }

    fn wants(&self, task: &TaskEntry<'_>) -> bool {
        self.task
            .as_deref()
            .is_none_or(|wanted| task.spec.id.as_str() == wanted)
    }
}

/// The body of `/tasks`, in pieces.
pub fn tasks(query: &TaskQuery, source: &dyn Source, sink: &mut dyn FnMut(Bytes)) {
    let frameworks: Vec<_> = source
        .frameworks()
        .chain(source.completed_frameworks())
        .filter(|framework| {
            let wanted = query.framework.as_deref();
            wanted.is_none_or(|wanted| framework.id.as_str() == wanted)
        })
        .collect();
    let mut found: Vec<(Timestamp, TaskEntry<'_>)> = Vec::new();
    for framework in &frameworks {
        for group in [Tasks::Live, Tasks::Unreachable, Tasks::Completed] {
            let wanted = source.tasks(framework.id, group).filter(|t| query.wants(t));
            found.extend(wanted.map(|task| (first_word(&task), task)));
        }
    }
    match query.ascending {
        true => found.sort_by_key(|(at, _)| *at),
        false => found.sort_by_key(|(at, _)| std::cmp::Reverse(*at)),
    }
    let mut out = Stream::new(sink);
    out.open('{');
    out.key("tasks");
    out.open('[');
    let limit = query.limit.unwrap_or(usize::MAX);
    for (_, task) in found.iter().skip(query.offset).take(limit) {
        entry::task(&mut out, task);
    }
    out.close(']');
    out.close('}');
    out.finish();
}

/// When a task was first heard of. Source: Mesos sorts by the time of the first status.
fn first_word(task: &TaskEntry<'_>) -> Timestamp {
    let first = task.statuses.first();
    first.map_or(task.launched, |status| status.timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> TaskQuery {
        TaskQuery::parse(|key| {
            let found = pairs.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_query_has_mesos_defaults() {
        assert_eq!(parse(&[]), TaskQuery::default());
        assert_eq!(parse(&[("limit", "-1")]).limit, None);
        assert_eq!(parse(&[("limit", "0")]).limit, Some(0));
        for nonsense in ["x", "", "-7", "99999999999999999999"] {
            let query = parse(&[("limit", nonsense), ("offset", nonsense), ("order", "up")]);
            assert_eq!(query, TaskQuery::default(), "{nonsense}");
        }
        let query = parse(&[("offset", "3"), ("order", "asc"), ("task_id", "t")]);
        assert_eq!((query.offset, query.ascending), (3, true));
        assert_eq!(query.task.as_deref(), Some("t"));
    }
}
