//! Checks and health checks of a task: whether they make sense.

use crate::proto::v1;
use crate::proto::v1::check_info::Type as CheckType;
use crate::proto::v1::health_check::Type as HealthType;

/// Sets the type of a health check that names none but says how.
pub fn infer_type(task: &mut v1::TaskInfo) {
    if let Some(check) = &mut task.health_check
        && check.r#type.is_none()
    {
        if check.command.is_some() && check.http.is_none() {
            check.set_type(HealthType::Command);
        } else if check.http.is_some() && check.command.is_none() {
            check.set_type(HealthType::Http);
        }
    }
}

/// Checks a check.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(info: &v1::CheckInfo) -> Result<(), String> {
    if info.r#type.is_none() {
        return Err("CheckInfo must specify 'type'".to_owned());
    }
    match info.r#type() {
        CheckType::Unknown => return Err("'UNKNOWN' is not a valid check type".to_owned()),
        CheckType::Command => {
            let command = info
                .command
                .as_ref()
                .ok_or_else(|| expecting("command", "COMMAND check"))?;
            let command = command.command.as_ref();
            something_to_run(command, "Command check")?;
        }
        CheckType::Http => {
            let http = info
                .http
                .as_ref()
                .ok_or_else(|| expecting("http", "HTTP check"))?;
            path(http.path.as_deref(), "HTTP check")?;
        }
        CheckType::Tcp => {
            info.tcp
                .as_ref()
                .ok_or_else(|| expecting("tcp", "TCP check"))?;
        }
    }
    not_negative("delay_seconds", info.delay_seconds())?;
    not_negative("interval_seconds", info.interval_seconds())?;
    not_negative("timeout_seconds", info.timeout_seconds())
}

/// Checks a health check.
///
/// # Errors
/// The first thing that is wrong.
pub fn health_check(info: &v1::HealthCheck) -> Result<(), String> {
    if info.r#type.is_none() {
        return Err("HealthCheck must specify 'type'".to_owned());
    }
    match info.r#type() {
        HealthType::Unknown => {
            return Err("'UNKNOWN' is not a valid health check type".to_owned());
        }
        HealthType::Command => {
            let command = info.command.as_ref();
            let command = command.ok_or_else(|| expecting("command", "COMMAND health check"))?;
            something_to_run(Some(command), "Command health check")?;
        }
        HealthType::Http => {
            let http = info
                .http
                .as_ref()
                .ok_or_else(|| expecting("http", "HTTP health check"))?;
            if let Some(scheme) = http
                .scheme
                .as_deref()
                .filter(|s| *s != "http" && *s != "https")
            {
                return Err(format!("Unsupported HTTP health check scheme: '{scheme}'"));
            }
            path(http.path.as_deref(), "HTTP health check")?;
        }
        HealthType::Tcp => {
            info.tcp
                .as_ref()
                .ok_or_else(|| expecting("tcp", "TCP health check"))?;
        }
    }
    not_negative("delay_seconds", info.delay_seconds())?;
    not_negative("interval_seconds", info.interval_seconds())?;
    not_negative("timeout_seconds", info.timeout_seconds())?;
    not_negative("grace_period_seconds", info.grace_period_seconds())
}

fn expecting(field: &str, what: &str) -> String {
    format!("Expecting '{field}' to be set for {what}")
}

fn something_to_run(command: Option<&v1::CommandInfo>, what: &str) -> Result<(), String> {
    if command.is_some_and(|c| c.value.is_some()) {
        return Ok(());
    }
    let shell = command.is_none_or(v1::CommandInfo::shell);
    let needed = if shell {
        "shell command"
    } else {
        "executable path"
    };
    Err(format!("{what} must contain '{needed}'"))
}

fn path(path: Option<&str>, what: &str) -> Result<(), String> {
    match path {
        Some(path) if !path.starts_with('/') => {
            Err(format!("The path '{path}' of {what} must start with '/'"))
        }
        Some(_) | None => Ok(()),
    }
}

fn not_negative(field: &str, value: f64) -> Result<(), String> {
    if value >= 0.0 {
        return Ok(());
    }
    Err(format!("Expecting '{field}' to be non-negative"))
}
