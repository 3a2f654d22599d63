//! What a task runs: Mesos' `CommandInfo`.

use std::sync::Arc;

use shoal_api::Command;

use crate::proto::v1;
use crate::proto::v1::environment::variable::Type;

/// The command itself.
///
/// # Errors
/// There is nothing to run.
pub fn command(info: &v1::CommandInfo) -> Result<Command, String> {
    let value = info.value().trim();
    if info.shell() {
        if value.is_empty() {
            return Err("Shell command is not specified".to_owned());
        }
        return Ok(Command::Shell(Arc::from(info.value())));
    }
    if value.is_empty() {
        return Err("Executable path is not specified".to_owned());
    }
    Ok(Command::Exec {
        program: Arc::from(info.value()),
        arguments: info
            .arguments
            .iter()
            .map(|a| Arc::from(a.as_str()))
            .collect(),
    })
}

/// The environment's plain variables, in order.
pub fn variables(info: &v1::CommandInfo) -> Vec<(Arc<str>, Arc<str>)> {
    let all = info.environment.iter().flat_map(|e| &e.variables);
    all.filter(|v| v.r#type() == Type::Value)
        .map(|v| (Arc::from(v.name()), Arc::from(v.value())))
        .collect()
}

/// Checks the environment.
///
/// # Errors
/// The first variable that contradicts itself.
pub fn environment(info: &v1::CommandInfo) -> Result<(), String> {
    for variable in info.environment.iter().flat_map(|e| &e.variables) {
        let name = variable.name();
        let fail = |why: &str| Err(format!("Environment variable '{name}' {why}"));
        match variable.r#type() {
            Type::Unknown => {
                return Err("Environment variable of type 'UNKNOWN' is not allowed".to_owned());
            }
            Type::Value if variable.value.is_none() => {
                return fail("of type 'VALUE' must have a value set");
            }
            Type::Value if variable.secret.is_some() => {
                return fail("of type 'VALUE' must not have a secret set");
            }
            Type::Secret if variable.secret.is_none() => {
                return fail("of type 'SECRET' must have a secret set");
            }
            Type::Secret if variable.value.is_some() => {
                return fail("of type 'SECRET' must not have a value set");
            }
            Type::Secret if has_nul(variable) => {
                return fail("specifies a secret containing null bytes, which is not allowed");
            }
            Type::Value if name.is_empty() || name.contains(['=', '\0']) => {
                return fail("does not have a name that an environment can hold");
            }
            Type::Value if variable.value().contains('\0') => {
                return fail("contains a null byte, which is not allowed");
            }
            Type::Value | Type::Secret => {}
        }
    }
    Ok(())
}

fn has_nul(variable: &v1::environment::Variable) -> bool {
    let value = variable.secret.as_ref().and_then(|s| s.value.as_ref());
    value.is_some_and(|v| v.data().contains(&0))
}

/// What the command asks for that cannot be given yet.
pub fn unsupported(info: &v1::CommandInfo) -> Vec<&'static str> {
    let mut found = Vec::new();
    if !info.uris.is_empty() {
        found.push("URIs to fetch");
    }
    let mut all = info.environment.iter().flat_map(|e| &e.variables);
    if all.any(|v| v.r#type() == Type::Secret) {
        found.push("secrets");
    }
    found
}
