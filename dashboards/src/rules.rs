//! The alerts as the rules that Prometheus loads, and as the tests that promtool runs on them.

use std::fmt::Write as _;

use crate::alert::{Alert, Labels, Series};
use crate::alerts::Group;

/// When a test looks at what fires.
const LOOK: &str = "40m";

/// A text as YAML: JSON's strings are strings of YAML too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written")
}

/// Where the text about an alert is.
pub fn runbook(base: &str, alert: &Alert) -> String {
    format!("{base}#{}", alert.name)
}

/// The rules. `base` is where the nodes' page of runbooks is.
pub fn rules(groups: &[Group], base: &str) -> String {
    let mut text =
        String::from("# Alert rules of Shoal for Prometheus; written by `shoal dashboards`.\n");
    text.push_str("groups:\n");
    for group in groups {
        writeln!(text, "  - name: {}\n    rules:", group.name).expect("a string takes all");
        for alert in &group.alerts {
            rule(&mut text, alert, base).expect("a string takes all");
        }
    }
    text
}

fn rule(text: &mut String, alert: &Alert, base: &str) -> std::fmt::Result {
    writeln!(text, "      - alert: {}", alert.name)?;
    writeln!(text, "        expr: {}", quoted(&alert.expression))?;
    writeln!(text, "        for: {}", alert.hold)?;
    writeln!(text, "        labels:")?;
    writeln!(text, "          severity: {}", alert.severity.as_str())?;
    writeln!(text, "        annotations:")?;
    for (name, value) in annotations(alert, base) {
        writeln!(text, "          {name}: {}", quoted(&value))?;
    }
    Ok(())
}

fn annotations(alert: &Alert, base: &str) -> [(&'static str, String); 3] {
    [
        ("summary", alert.summary.to_owned()),
        ("description", alert.meaning.to_owned()),
        ("runbook_url", runbook(base, alert)),
    ]
}

/// The tests: for each alert a cluster in which it fires, and one in which it does not.
pub fn tests(groups: &[Group], base: &str) -> String {
    let mut text =
        String::from("# Tests for `promtool test rules`; written by `shoal dashboards`.\n");
    text.push_str("rule_files: [shoal.rules.yml]\nevaluation_interval: 15s\ntests:\n");
    for alert in groups.iter().flat_map(|group| &group.alerts) {
        case(
            &mut text,
            alert,
            "fires",
            alert.fires.0,
            Some(alert.fires.1),
            base,
        )
        .expect("a string takes all");
        case(&mut text, alert, "is quiet", alert.quiet, None, base).expect("a string takes all");
    }
    text
}

fn case(
    text: &mut String,
    alert: &Alert,
    what: &str,
    series: Series,
    fires: Option<Labels>,
    base: &str,
) -> std::fmt::Result {
    writeln!(text, "  - name: {} {what}", alert.name)?;
    writeln!(text, "    interval: 15s\n    input_series:")?;
    for (series, values) in series {
        writeln!(text, "      - series: {}", quoted(series))?;
        writeln!(text, "        values: {}", quoted(values))?;
    }
    writeln!(text, "    alert_rule_test:")?;
    writeln!(
        text,
        "      - eval_time: {LOOK}\n        alertname: {}",
        alert.name
    )?;
    let Some(labels) = fires else {
        return writeln!(text, "        exp_alerts: []");
    };
    writeln!(text, "        exp_alerts:\n          - exp_labels:")?;
    writeln!(text, "              severity: {}", alert.severity.as_str())?;
    for (name, value) in labels {
        writeln!(text, "              {name}: {}", quoted(value))?;
    }
    writeln!(text, "            exp_annotations:")?;
    for (name, value) in annotations(alert, base) {
        let mut value = value;
        for (label, known) in labels {
            value = value.replace(&format!("{{{{ $labels.{label} }}}}"), known);
        }
        writeln!(text, "              {name}: {}", quoted(&value))?;
    }
    Ok(())
}
