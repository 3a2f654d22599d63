//! PromQL out of the constants of the catalogue: what is not counted cannot be asked for.

use shoal_catalogue::{Kind, Metric};

/// One condition on a label: a value, or several with `|` or `.*` in between.
pub type Matcher<'a> = (&'a str, &'a str);

/// The samples of a metric, as a rule sees them: of every cluster.
///
/// # Panics
/// When the metric has no such label.
pub fn select(metric: &Metric, matchers: &[Matcher<'_>]) -> String {
    selector(metric, metric.name, matchers.to_vec())
}

/// The samples of a metric, as a panel sees them: of the chosen cluster and nodes.
///
/// # Panics
/// When the metric has no such label.
pub fn shown(metric: &Metric, matchers: &[Matcher<'_>]) -> String {
    chosen(metric, metric.name, matchers)
}

fn chosen(metric: &Metric, name: &str, matchers: &[Matcher<'_>]) -> String {
    let mut all = vec![("job", "~$job"), ("instance", "~$instance")];
    all.extend(matchers);
    selector(metric, name, all)
}

fn selector(metric: &Metric, name: &str, matchers: Vec<Matcher<'_>>) -> String {
    let conditions: Vec<String> = matchers
        .into_iter()
        .map(|(label, value)| {
            let known = ["job", "instance"].contains(&label) || metric.labels.contains(&label);
            assert!(known, "{} has no label {label}", metric.name);
            match value.strip_prefix('~') {
                Some(pattern) => format!("{label}=~\"{pattern}\""),
                None => format!("{label}=\"{value}\""),
            }
        })
        .collect();
    match conditions.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{}}}", conditions.join(",")),
    }
}

/// How fast a counter grows, in a panel.
pub fn rate(metric: &Metric, matchers: &[Matcher<'_>]) -> String {
    format!("rate({}[$__rate_interval])", shown(metric, matchers))
}

/// The largest value over all masters: each shows the same ledger, one that lags shows less of it.
pub fn ledger(metric: &Metric, matchers: &[Matcher<'_>]) -> String {
    format!("max({})", shown(metric, matchers))
}

/// Such a quantile of a histogram over a panel's time, by these labels.
///
/// # Panics
/// When the metric is no histogram.
pub fn quantile(of: f64, metric: &Metric, by: &[&str]) -> String {
    assert!(matches!(metric.kind, Kind::Histogram(_)), "{}", metric.name);
    let by = [&["le"], by].concat().join(", ");
    let bucket = chosen(metric, &format!("{}_bucket", metric.name), &[]);
    format!("histogram_quantile({of}, sum by ({by}) (rate({bucket}[$__rate_interval])))")
}

/// The mean of a histogram over a panel's time, by these labels.
pub fn mean(metric: &Metric, by: &[&str]) -> String {
    let part = |part: &str| {
        let name = chosen(metric, &format!("{}_{part}", metric.name), &[]);
        format!(
            "sum by ({}) (rate({name}[$__rate_interval]))",
            by.join(", ")
        )
    };
    format!("{} / {}", part("sum"), part("count"))
}

/// How fast the sum of a histogram grows, in a panel.
///
/// # Panics
/// When the metric is no histogram.
pub fn total(metric: &Metric) -> String {
    assert!(matches!(metric.kind, Kind::Histogram(_)), "{}", metric.name);
    let sum = chosen(metric, &format!("{}_sum", metric.name), &[]);
    format!("rate({sum}[$__rate_interval])")
}

/// The metrics that an expression asks for, in order, each once.
///
/// # Errors
/// A name that looks like one of ours and is none.
pub fn metrics_in(expression: &str) -> Result<Vec<&'static Metric>, String> {
    let mut found: Vec<&'static Metric> = Vec::new();
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':');
    for name in expression.split(word) {
        if !(name.starts_with("shoal_") || name.starts_with("process_")) {
            continue;
        }
        let metric = by_name(name).ok_or_else(|| format!("no metric is called {name}"))?;
        if !found.contains(&metric) {
            found.push(metric);
        }
    }
    Ok(found)
}

fn by_name(name: &str) -> Option<&'static Metric> {
    let all = shoal_catalogue::CATALOGUE;
    all.iter().find(|metric| match metric.kind {
        Kind::Histogram(_) => {
            let part = name.strip_prefix(metric.name);
            part.is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part))
        }
        Kind::Counter | Kind::Gauge | Kind::Scraped => metric.name == name,
    })
}

#[cfg(test)]
mod tests {
    use shoal_catalogue as catalogue;

    use super::*;

    #[test]
    fn expressions_are_made_of_the_catalogue() {
        assert_eq!(select(&catalogue::RAFT_TERM, &[]), "shoal_raft_term");
        assert_eq!(
            select(&catalogue::MEMBERS, &[("status", "~alive|left")]),
            "shoal_members{status=~\"alive|left\"}"
        );
        let panel = rate(&catalogue::LEDGER_ENTRIES, &[]);
        assert_eq!(metrics_in(&panel).unwrap(), [&catalogue::LEDGER_ENTRIES]);
        let panel = quantile(0.99, &catalogue::DISK_SECONDS, &["instance"]);
        assert_eq!(metrics_in(&panel).unwrap(), [&catalogue::DISK_SECONDS]);
        assert!(metrics_in("rate(shoal_nothing_total[5m])").is_err());
        assert!(metrics_in("shoal_disk_persist_duration_seconds").is_err());
    }

    #[test]
    #[should_panic(expected = "has no label")]
    fn a_label_must_exist() {
        select(&catalogue::RAFT_TERM, &[("status", "alive")]);
    }
}
