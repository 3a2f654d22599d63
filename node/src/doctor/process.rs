//! What the kernel allows the node's process.

use std::fs;

use super::data::Running;
use super::{Finding, note, ok, wrong};
use crate::limits::{DOCTOR_FILES, DOCTOR_FILES_MIN, DOCTOR_PROCESSES};

/// Looks at the limits of the running node, or of this process, from which one would inherit them.
pub fn look(running: Option<Running>, findings: &mut Vec<Finding>) {
    // A node raises its limit of files to the hard one when it starts.
    let (path, whose, column) = match running {
        Some(Running { pid }) => (format!("/proc/{pid}/limits"), "the node", Column::Soft),
        None => ("/proc/self/limits".to_owned(), "a node", Column::Hard),
    };
    let table = match fs::read_to_string(&path) {
        Ok(table) => table,
        Err(error) => {
            findings.push(note("limits", format!("{path}: {error}"), "run it as root"));
            return;
        }
    };
    let files = limit(&table, "Max open files", column);
    let what = format!("{whose} may open {} files", text(files));
    let remedy =
        format!("raise it to {DOCTOR_FILES} or more: LimitNOFILE= in a unit, or ulimit -Hn");
    findings.push(match files {
        Some(files) if files < DOCTOR_FILES_MIN => wrong("limit files", what, remedy),
        Some(files) if files < DOCTOR_FILES => note("limit files", what, remedy),
        Some(_) | None => ok("limit files", what),
    });
    let processes = limit(&table, "Max processes", Column::Soft);
    let what = format!("{whose} may have {} processes", text(processes));
    findings.push(match processes {
        Some(processes) if processes < DOCTOR_PROCESSES => note(
            "limit processes",
            what,
            "raise it on an agent, whose tasks count too: LimitNPROC= in a unit, or ulimit -u",
        ),
        Some(_) | None => ok("limit processes", what),
    });
}

fn text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "any number of".to_owned(), |limit| limit.to_string())
}

/// Which of the two limits of a kind.
#[derive(Clone, Copy, Debug)]
enum Column {
    Soft,
    Hard,
}

/// The limit of that name; `None` if there is none.
fn limit(table: &str, name: &str, column: Column) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = line.split_whitespace();
    let word = match column {
        Column::Soft => words.next(),
        Column::Hard => words.nth(1),
    };
    word?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let table = "Limit                     Soft Limit           Hard Limit           Units\n\
                     Max processes             unlimited            unlimited            processes\n\
                     Max open files            1024                 524288               files\n";
        assert_eq!(limit(table, "Max open files", Column::Soft), Some(1024));
        assert_eq!(limit(table, "Max open files", Column::Hard), Some(524_288));
        assert_eq!(limit(table, "Max processes", Column::Hard), None);
    }
}
