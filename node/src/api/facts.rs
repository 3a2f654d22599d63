//! How the node was started, by the names that Mesos has for it: `/flags` and GET_FLAGS.
//!
//! Only what is true of this node is told; a flag of Mesos that has no counterpart here is left out.

use std::path::Path;

use shoal_api::{Attribute, AttributeValue, Value};

use crate::config::{Listen, NodeConfig};

/// What does not change while the node runs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The cluster's name; may be empty.
    pub cluster: String,
    /// Of a master, in order of name.
    pub master_flags: Vec<(&'static str, String)>,
    /// Of an agent, in order of name.
    pub agent_flags: Vec<(&'static str, String)>,
}

impl Facts {
    /// Of a node with this configuration.
    pub fn of(config: &NodeConfig) -> Facts {
        let no = || "false".to_owned();
        let mut master_flags = common(&config.http, &config.data);
        master_flags.extend([
            ("authenticate_agents", no()),
            ("authenticate_frameworks", no()),
            ("authenticate_http_frameworks", no()),
            ("cluster", config.cluster.as_str().to_owned()),
        ]);
        let mut agent_flags = common(&config.agent_http, &config.data.join("agent"));
        let is_root = rustix::process::getuid().is_root();
        agent_flags.extend([
            ("attributes", attributes(&config.attributes)),
            ("launcher", "posix".to_owned()),
            ("resources", config.resources.to_string()),
            ("switch_user", is_root.to_string()),
        ]);
        master_flags.sort_unstable();
        agent_flags.sort_unstable();
        Facts {
            cluster: config.cluster.as_str().to_owned(),
            master_flags,
            agent_flags,
        }
    }
}

/// What both have.
fn common(listen: &Listen, work: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("authenticate_http_readonly", "false".to_owned()),
        ("authenticate_http_readwrite", "false".to_owned()),
        ("hostname", listen.advertise.host.to_string()),
        ("ip", listen.bind.ip().to_string()),
        ("port", listen.bind.port().to_string()),
        ("work_dir", work.display().to_string()),
    ]
}

/// As `--attributes` takes them.
fn attributes(list: &[Attribute]) -> String {
    let texts = list.iter().map(|attribute| {
        let value = match &attribute.value {
            AttributeValue::Scalar(amount) => Value::Scalar(*amount).to_string(),
            AttributeValue::Ranges(ranges) => Value::Ranges(ranges.clone()).to_string(),
            AttributeValue::Text(text) => text.to_string(),
        };
        format!("{}:{value}", attribute.name)
    });
    texts.collect::<Vec<_>>().join(";")
}
