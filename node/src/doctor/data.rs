//! The data directory: whose it is, who uses it, whether a node could start on it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use shoal_disk::DataDirectory;

use super::{Finding, note, ok, wrong};

/// The process of the node that runs on this directory, if one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
}

/// Looks at the directory; says which process has it.
pub fn look(folder: &Path, findings: &mut Vec<Finding>) -> Option<Running> {
    let shown = folder.display();
    let Ok(about) = fs::metadata(folder) else {
        findings.push(missing(folder));
        return None;
    };
    if !about.is_dir() {
        findings.push(wrong(
            "data",
            format!("{shown} is no folder"),
            "choose another one by --data",
        ));
        return None;
    }
    match DataDirectory::look(folder) {
        Ok(Some(identity)) => {
            let cluster = identity
                .cluster
                .map_or_else(|| "no cluster yet".to_owned(), |id| format!("cluster {id}"));
            let what = format!(
                "{shown}: node {}, generation {}, {cluster}",
                identity.node, identity.generation
            );
            findings.push(ok("data", what));
        }
        Ok(None) => findings.push(ok("data", format!("{shown} is of no node yet"))),
        Err(error) => findings.push(wrong("data", error.to_string(), "")),
    }
    let running = holder(folder).map(|pid| Running { pid });
    match running {
        Some(Running { pid }) => {
            findings.push(ok("node", format!("runs as process {pid}{}", program(pid))));
        }
        None => findings.push(note(
            "node",
            format!("no node runs on {shown}"),
            "start it with `shoal node`",
        )),
    }
    owner(folder, &about, running, findings);
    running
}

/// A directory that is not there is made at the first start, if that is allowed.
fn missing(folder: &Path) -> Finding {
    let above = folder.ancestors().skip(1).find(|above| above.exists());
    let above = above.unwrap_or(Path::new("/"));
    match rustix::fs::access(above, rustix::fs::Access::WRITE_OK) {
        Ok(()) => note(
            "data",
            format!(
                "{} is not there; the first start makes it",
                folder.display()
            ),
            "",
        ),
        Err(error) => wrong(
            "data",
            format!(
                "{} is not there, and this user cannot make it in {}: {error}",
                folder.display(),
                above.display()
            ),
            "make the folder and give it to the user of the node",
        ),
    }
}

fn owner(
    folder: &Path,
    about: &fs::Metadata,
    running: Option<Running>,
    findings: &mut Vec<Finding>,
) {
    let user = running
        .and_then(|running| fs::metadata(format!("/proc/{}", running.pid)).ok())
        .map_or_else(
            || rustix::process::geteuid().as_raw(),
            |process| process.uid(),
        );
    let (owner, mode) = (about.uid(), about.permissions().mode() & 0o7777);
    let shown = folder.display();
    if owner != user && user != 0 {
        findings.push(wrong(
            "data owner",
            format!("{shown} belongs to user {owner}, and the node runs as user {user}"),
            format!("chown -R {user} {shown}, or run the node as user {owner}"),
        ));
    } else if mode & 0o002 != 0 {
        findings.push(wrong(
            "data owner",
            format!("everybody may write to {shown} (mode {mode:04o})"),
            format!("chmod o-w {shown}: who writes there owns the node"),
        ));
    } else {
        findings.push(ok("data owner", format!("user {owner}, mode {mode:04o}")));
    }
}

/// Which process has the directory's lock, as the kernel lists it. Taking the lock to see would keep
/// a node that starts just then from starting.
fn holder(folder: &Path) -> Option<u32> {
    let about = fs::metadata(DataDirectory::lock_of(folder)).ok()?;
    let (major, minor) = (
        rustix::fs::major(about.dev()),
        rustix::fs::minor(about.dev()),
    );
    let file = format!("{major:02x}:{minor:02x}:{}", about.ino());
    find_lock(&fs::read_to_string("/proc/locks").ok()?, &file)
}

fn find_lock(list: &str, file: &str) -> Option<u32> {
    list.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "FLOCK", _, "WRITE", pid, place, ..] if *place == file => pid.parse().ok(),
            _ => None,
        }
    })
}

/// The name of a process' program, in brackets.
pub fn program(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.map_or_else(|_| String::new(), |name| format!(" ({})", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let list = "1: POSIX  ADVISORY  WRITE 1 fe:00:9 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 5267 fe:00:7454741 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 77 fe:00:7454741 0 EOF\n";
        assert_eq!(find_lock(list, "fe:00:7454741"), Some(5267));
        assert_eq!(find_lock(list, "fe:00:9"), None);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(holder(folder.path()), None);
        let mint = || {
            Ok(shoal_disk::Minted {
                node: shoal_api::NodeId(1),
                raft: shoal_api::RaftId(1),
            })
        };
        let open = DataDirectory::open(folder.path(), mint).unwrap();
        assert_eq!(holder(folder.path()), Some(std::process::id()));
        drop(open);
        assert_eq!(holder(folder.path()), None);
    }

    #[test]
    fn a_folder_that_all_may_write_to_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let look = || {
            let mut findings = Vec::new();
            look(folder.path(), &mut findings);
            let owner = findings
                .into_iter()
                .find(|finding| finding.check == "data owner");
            owner.unwrap().status
        };
        assert_eq!(look(), Status::Ok);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(look(), Status::Wrong);
    }
}
