//! What people look at: the pages that nodes serve, dashboards for Grafana, alert rules for Prometheus.
//!
//! Dashboards and rules are made from the constants of the catalogue of metrics. What deliberately
//! does not live here: anything that counts, and anything that computes when a page is looked at.

pub mod alert;
pub mod alerts;
pub mod boards;
pub mod grafana;
pub mod panel;
pub mod query;
pub mod rules;
pub mod runbooks;

use include_dir::{Dir, include_dir};

static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/static");

/// Where the runbooks are, unless the user says otherwise.
pub const RUNBOOKS: &str = "http://127.0.0.1:5050/runbooks";

/// The bytes of an embedded file, by its path below `static/`.
pub fn page(path: &str) -> Option<&'static [u8]> {
    PAGES.get_file(path).map(include_dir::File::contents)
}

/// One file for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder that the user chose.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// All files that an operator imports. Links to runbooks begin with `base`.
pub fn files(base: &str) -> Vec<File> {
    let groups = alerts::all();
    let mut files: Vec<File> = boards::all()
        .iter()
        .map(|board| File {
            path: format!("grafana/shoal-{}.json", board.name),
            text: grafana::render(board),
        })
        .collect();
    let mut file = |path: &str, text| {
        let path = path.to_owned();
        files.push(File { path, text });
    };
    file("prometheus/shoal.rules.yml", rules::rules(&groups, base));
    file(
        "prometheus/shoal.rules.test.yml",
        rules::tests(&groups, base),
    );
    file("runbooks.md", runbooks::markdown(&groups));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_page_is_there() {
        assert!(page("index.html").is_some_and(|page| page.starts_with(b"<!doctype html>")));
        assert!(page("../Cargo.toml").is_none());
    }
}
