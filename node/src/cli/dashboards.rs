//! `shoal dashboards`: the files that an operator imports into Grafana and Prometheus.

use std::fs;
use std::path::Path;

use super::exit::{Exit, Failure};
use super::flags::DashboardsFlags;
use super::output::print_text;

/// Writes all files and tells their paths.
///
/// # Errors
/// [`Exit::Failed`] if the folder cannot be written.
pub fn write(flags: &DashboardsFlags) -> Result<(), Failure> {
    for file in shoal_dashboards::files(&flags.runbooks) {
        let path = flags.dir.join(&file.path);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
        fs::write(&path, &file.text).map_err(|error| cannot("write", &path, &error))?;
        print_text(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let error = format!("cannot {what} {}: {error}", path.display());
    Failure::new(
        Exit::Failed,
        error,
        "choose another --dir, or make room there",
    )
}
