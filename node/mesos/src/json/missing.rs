//! Which required fields are absent, and where.

use crate::limits;

/// Collects paths such as `accept.operations[0].launch.task_infos[1].name`, at most
/// [`limits::MISSING_FIELDS`] of them.
#[derive(Debug, Default)]
pub struct Missing {
    path: Vec<(&'static str, Option<usize>)>,
    found: Vec<String>,
}

impl Missing {
    /// The field of that name is absent from the message that was entered last.
    pub fn absent(&mut self, name: &str) {
        if self.found.len() == limits::MISSING_FIELDS {
            return;
        }
        let mut text = String::new();
        for (name, index) in &self.path {
            text.push_str(name);
            if let Some(index) = index {
                text.push('[');
                text.push_str(itoa::Buffer::new().format(*index));
                text.push(']');
            }
            text.push('.');
        }
        text.push_str(name);
        self.found.push(text);
    }

    /// Goes into the message of a field, or of an item of a list.
    pub fn enter(&mut self, name: &'static str, index: Option<usize>) {
        self.path.push((name, index));
    }

    /// Comes out again.
    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// The paths, in the order in which Mesos names them; empty if nothing is missing.
    pub fn into_fields(self) -> Vec<String> {
        debug_assert!(self.path.is_empty(), "a message was entered and not left");
        self.found
    }
}
