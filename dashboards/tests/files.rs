//! The dashboards and rules as a whole: they are current, they ask for what exists, each alert is
//! explained and proven.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use shoal_dashboards::query::metrics_in;
use shoal_dashboards::{RUNBOOKS, alerts, boards, files, rules, runbooks};

/// Set, it makes the test write what it otherwise compares.
const WRITE: &str = "SHOAL_WRITE_DASHBOARDS";

#[test]
fn the_files_in_the_repository_are_current() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in files(RUNBOOKS) {
        let path = here.join(&file.path);
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(path.parent().expect("a file is in a folder"))
                .expect("it can be made");
            fs::write(&path, &file.text).expect("it can be written");
        }
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == file.text,
            "dashboards/{} is not current: {WRITE}=1 cargo test -p shoal-dashboards",
            file.path
        );
    }
}

#[test]
fn everything_that_is_asked_for_is_counted() {
    let mut queries = 0;
    for board in boards::all() {
        for panel in board.rows.iter().flat_map(|row| &row.panels) {
            assert!(!panel.queries.is_empty(), "{} shows nothing", panel.title);
            for query in &panel.queries {
                let metrics = metrics_in(&query.expression);
                let metrics = metrics.unwrap_or_else(|why| panic!("{}: {why}", panel.title));
                assert!(!metrics.is_empty(), "{} asks for nothing", panel.title);
                queries += 1;
            }
        }
    }
    assert!(queries > 60, "the walk finds the queries");
    for alert in alerts::all().iter().flat_map(|group| &group.alerts) {
        let up = alert.expression.starts_with("up{");
        let metrics = metrics_in(&alert.expression);
        let metrics = metrics.unwrap_or_else(|why| panic!("{}: {why}", alert.name));
        assert!(up == metrics.is_empty(), "{} asks for nothing", alert.name);
        for (series, _) in alert.fires.0.iter().chain(alert.quiet) {
            metrics_in(series).unwrap_or_else(|why| panic!("{}: {why}", alert.name));
        }
    }
}

#[test]
fn every_alert_is_explained_and_its_link_leads_there() {
    let groups = alerts::all();
    let page = runbooks::html(&groups);
    let mut names = BTreeSet::new();
    for alert in groups.iter().flat_map(|group| &group.alerts) {
        assert!(names.insert(alert.name), "{} stands twice", alert.name);
        assert!(!alert.summary.is_empty() && !alert.meaning.is_empty());
        assert!(
            !alert.look.is_empty() && !alert.act.is_empty(),
            "{}",
            alert.name
        );
        assert!(
            !alert.fires.0.is_empty() && !alert.quiet.is_empty(),
            "{}",
            alert.name
        );
        let link = rules::runbook(RUNBOOKS, alert);
        let anchor = link
            .rsplit_once("/runbooks#")
            .expect("it is a link to the page")
            .1;
        assert!(
            page.contains(&format!("<section id=\"{anchor}\">")),
            "{link}"
        );
    }
    assert!(names.len() >= 30, "there are {} alerts", names.len());
}

#[test]
fn dashboards_and_panels_that_runbooks_name_exist() {
    let known: BTreeSet<String> = boards::all()
        .into_iter()
        .flat_map(|board| {
            let rows = board.rows.into_iter().flat_map(|row| {
                let panels = row.panels.into_iter().map(|panel| panel.title.to_owned());
                std::iter::once(row.title.to_owned()).chain(panels.collect::<Vec<_>>())
            });
            std::iter::once(board.name.to_owned()).chain(rows.collect::<Vec<_>>())
        })
        .chain(
            alerts::all()
                .into_iter()
                .flat_map(|group| group.alerts)
                .map(|alert| alert.name.to_owned()),
        )
        .collect();
    for alert in alerts::all().iter().flat_map(|group| &group.alerts) {
        for sentence in alert.look.iter().chain(alert.act) {
            let prose: String = sentence.split('`').step_by(2).collect();
            for name in prose.split('*').skip(1).step_by(2) {
                // A title may be given up to its colon or comma.
                let found = known.iter().any(|title| {
                    title == name
                        || title.starts_with(&format!("{name}:"))
                        || title.starts_with(&format!("{name},"))
                });
                assert!(found, "{}: nothing is called {name}", alert.name);
            }
        }
    }
}
