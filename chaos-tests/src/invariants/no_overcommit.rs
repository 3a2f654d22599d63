//! Source: design section 5: resources stay allocated until the agent confirms the end of their
//! task, so what really runs on an agent fits into what it has.

use shoal_api::Resources;

use super::{Fact, Invariant};

/// What it says.
pub const NAME: &str = "what runs on an agent fits into it";

#[derive(Debug)]
pub(super) struct NoOvercommit;

impl Invariant for NoOvercommit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Started {
            node,
            task,
            held,
            total,
        } = fact
        else {
            return Ok(());
        };
        let mut sum = Resources::new();
        for part in *held {
            sum.add(part)
                .map_err(|error| format!("node {node} starts {task}: {error}"))?;
        }
        if total.contains(&sum) {
            Ok(())
        } else {
            Err(format!(
                "node {node} has {total}, with {task} {sum} runs there"
            ))
        }
    }
}
