//! Texts that people write: resources, attributes, ids, a configuration file.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use shoal_api::id::{
    AgentId, ClusterId, FrameworkId, Name, OfferId, Principal, Role, StreamId, TaskId,
};
use shoal_api::{NodeId, Resources};
use shoal_mesos::resources::{Dialect, from_wire, to_wire};
use shoal_node::config::attributes::Attributes;

use super::PLAIN;
use crate::target::{Memory, Target, Verdict};

pub(super) const RESOURCES: Target = Target {
    name: "resources-text",
    covers: "resources as an operator writes them, and as Mesos messages",
    run: resources,
    seeds: || {
        texts(&[
            "cpus:4;mem:1024.5;ports:[31000-32000,33000-33001];names:{a,b}",
            "cpus:0.001;gpus:0;x:[0-18446744073709551615]",
            "disk:9007199254740.991",
            "names:{};ports:[]",
        ])
    },
    memory: PLAIN,
};

pub(super) const ATTRIBUTES: Target = Target {
    name: "attributes-text",
    covers: "an agent's attributes as an operator writes them",
    run: |input| match std::str::from_utf8(input) {
        Ok(text) => Verdict::of(Attributes::parse(text).ok()),
        Err(_) => Verdict::Refused,
    },
    seeds: || texts(&["rack:a;ssd:true;bays:[1-4];weight:1.5", "x:[0-1,5-9]"]),
    memory: PLAIN,
};

pub(super) const IDS: Target = Target {
    name: "ids-text",
    covers: "ids of all kinds, as they stand in paths, headers and messages",
    run: ids,
    seeds: || {
        texts(&[
            "11111111-2222-3333-4444-555555555555",
            "11111111-2222-3333-4444-555555555555-S12",
            "11111111-2222-3333-4444-555555555555-O7",
            "web/prod",
            "task.1",
        ])
    },
    memory: PLAIN,
};

pub(super) const CONFIGURATION: Target = Target {
    name: "configuration",
    covers: "a configuration file, until it is settings, and the settings as flags",
    run: |input| match std::str::from_utf8(input) {
        Ok(text) => Verdict::of(shoal_node::fuzzing::configuration(text).then_some(())),
        Err(_) => Verdict::Refused,
    },
    seeds: || texts(shoal_node::fuzzing::CONFIGURATIONS),
    memory: Memory {
        fixed: 1024 * 1024,
        per_byte: 512,
    },
};

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn resources(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let Ok(read) = Resources::parse(text) else {
        return Verdict::Refused;
    };
    let written = read.to_string();
    let again = Resources::parse(&written);
    assert_eq!(again.as_ref(), Ok(&read), "{written} is what {text} means");
    assert!(read.contains(&read), "{written} fits itself");
    let mut rest = read.clone();
    assert_eq!(
        rest.subtract(&read),
        Ok(()),
        "{written} can be taken from itself"
    );
    assert!(
        rest.is_empty(),
        "{rest} is left of {written} without itself"
    );
    for refined in [false, true] {
        let dialect = Dialect {
            allocation_info: refined,
            reservations: refined,
        };
        let wire = to_wire(&read, "web", dialect);
        let role = (refined && !read.is_empty()).then_some("web");
        assert_eq!(
            from_wire(&wire),
            Ok((read.clone(), role)),
            "{written} as messages"
        );
    }
    Verdict::Accepted
}

fn ids(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else {
        return Verdict::Refused;
    };
    let all = [
        id::<NodeId>(text),
        id::<ClusterId>(text),
        id::<AgentId>(text),
        id::<OfferId>(text),
        id::<StreamId>(text),
        id::<FrameworkId>(text),
        id::<TaskId>(text),
        id::<Role>(text),
        id::<Principal>(text),
        id::<Name>(text),
    ];
    all.into_iter().fold(Verdict::Refused, Verdict::or)
}

fn id<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Verdict
where
    T::Err: Debug,
{
    let Ok(id) = text.parse::<T>() else {
        return Verdict::Refused;
    };
    let written = id.to_string();
    assert_eq!(
        written.parse::<T>().ok().as_ref(),
        Some(&id),
        "{written} for {text}"
    );
    Verdict::Accepted
}
