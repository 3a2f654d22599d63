//! Which events a client wants: every condition that is given must hold.

use shoal_api::{AgentId, FrameworkId};
use shoal_master::What;

/// The conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these kinds; empty is all.
    pub kinds: Vec<&'static str>,
    /// About a task of this id.
    pub task: Option<String>,
    /// About this agent.
    pub agent: Option<AgentId>,
    /// About this framework, or about a task or an offer of it.
    pub framework: Option<FrameworkId>,
}

impl Filter {
    /// Whether the client wants it.
    pub fn wants(&self, what: &What) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&what.name()))
            && self
                .task
                .as_deref()
                .is_none_or(|id| what.task() == Some(id))
            && self.agent.is_none_or(|id| what.agent() == Some(id))
            && (self.framework.as_ref()).is_none_or(|id| what.framework() == Some(id))
    }

    /// Reads a list of kinds, separated by commas.
    ///
    /// # Errors
    /// The first word that is none.
    pub fn kinds(text: &str) -> Result<Vec<&'static str>, String> {
        let words = text.split(',').map(str::trim).filter(|w| !w.is_empty());
        words
            .map(|word| {
                let known = What::NAMES.iter().find(|name| **name == word);
                known.copied().ok_or_else(|| word.to_owned())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use shoal_api::UpdateId;

    #[test]
    fn all_conditions_must_hold() {
        let framework = FrameworkId::new("f").unwrap();
        let what = What::TaskAcknowledged {
            framework: framework.clone(),
            task: Arc::from("t"),
            update: UpdateId(1),
        };
        let all = Filter::default();
        assert!(all.wants(&what));
        let mut filter = Filter {
            kinds: Filter::kinds("task_status, task_acknowledged").unwrap(),
            task: Some("t".to_owned()),
            agent: None,
            framework: Some(framework),
        };
        assert!(filter.wants(&what));
        filter.task = Some("other".to_owned());
        assert!(!filter.wants(&what));
        filter.task = None;
        filter.kinds = vec!["offer_made"];
        assert!(!filter.wants(&what));
        assert_eq!(Filter::kinds("a"), Err("a".to_owned()));
        assert_eq!(Filter::kinds(""), Ok(Vec::new()));
    }
}
