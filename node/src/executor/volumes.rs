//! Persistent volumes on disk: `volumes/roles/ROLE/ID/NUMBER` below the agent's data or the disk's root,
//! with a link to each in the sandbox of a task that uses it. A role's slashes are spaces here, which no
//! role has.
//!
//! A folder is made with the first task that uses the volume, and removed when the ledger says that the
//! volume was destroyed, never because it is missing from a list.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::PoisonError;

use shoal_api::{Resources, Terms};
use shoal_keeper::protocol::Identity;

use super::sandbox::{Sandboxes, component};

impl Sandboxes {
    /// Where a volume's data is; nothing if these are no terms of a volume.
    pub(super) fn volume(&self, terms: &Terms) -> Option<PathBuf> {
        let (volume, role) = (terms.volume()?, terms.role()?);
        let source = terms.disk.as_ref().and_then(|disk| disk.source.as_ref());
        let base = match source {
            Some(source) => PathBuf::from(&**source.root.as_ref()?),
            None => self.root.clone(),
        };
        let role = role.as_str().replace('/', " ");
        let id = base
            .join("volumes/roles")
            .join(role)
            .join(component(&volume.id));
        Some(id.join(volume.created.to_string()))
    }

    /// Makes the volumes that a task uses, where they are new, and links them into its sandbox.
    ///
    /// # Errors
    /// The disk's, or a path that is not one in a sandbox.
    pub(super) fn link_volumes(
        &self,
        sandbox: &Path,
        resources: &Resources,
        owner: Option<&Identity>,
    ) -> io::Result<()> {
        for terms in resources
            .iter()
            .filter_map(|resource| resource.terms.as_ref())
        {
            let (Some(volume), Some(folder)) = (terms.volume(), self.volume(terms)) else {
                continue;
            };
            let inside = inside(&volume.container_path)?;
            self.make_volume(&folder, owner)?;
            let first = inside.components().next().map(Component::as_os_str);
            let first = sandbox.join(first.unwrap_or_default());
            // The task may own what stands there by now, and it was linked before that.
            if fs::symlink_metadata(&first).is_ok() {
                continue;
            }
            let link = sandbox.join(&inside);
            if let Some(parent) = link.parent() {
                fs::create_dir_all(parent)?;
            }
            symlink(&folder, &link)?;
        }
        Ok(())
    }

    fn make_volume(&self, folder: &Path, owner: Option<&Identity>) -> io::Result<()> {
        let _held = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.is_dir() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        builder.create(folder)?;
        match owner {
            Some(owner) => chown(folder, Some(owner.uid), Some(owner.gid)),
            None => Ok(()),
        }
    }

    /// Removes a volume with its data; one that no task ever used has none.
    ///
    /// # Errors
    /// The disk's: some of it may be left.
    pub(super) fn remove_volume(&self, terms: &Terms) -> io::Result<()> {
        let Some(folder) = self.volume(terms) else {
            return Ok(());
        };
        let _held = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if let Some(id) = folder.parent() {
            // Another volume of that id may have its own in there.
            let _kept = fs::remove_dir(id);
        }
        Ok(())
    }
}

/// A path in a sandbox: relative, without `..`.
fn inside(path: &str) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                let why = format!("'{path}' is no path in a sandbox");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
    }
    if inside.as_os_str().is_empty() {
        let why = format!("'{path}' is the sandbox itself");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shoal_api::{Amount, Disk, Reservation, Resource, Role, Value, Volume};

    use super::*;

    fn volume(path: &str, created: u64) -> Resources {
        let terms = Terms {
            reservations: vec![Reservation::fixed(Role::new("a/b").unwrap())],
            disk: Some(Disk {
                source: None,
                volume: Some(Volume {
                    id: Arc::from("v"),
                    principal: None,
                    container_path: Arc::from(path),
                    created,
                }),
            }),
            ..Terms::default()
        };
        let value = Value::Scalar(Amount(1_000));
        Resources::from_list([Resource::on(Arc::from("disk"), value, terms)]).unwrap()
    }

    fn terms(resources: &Resources) -> Terms {
        (**resources.iter().next().unwrap().terms.as_ref().unwrap()).clone()
    }

    #[test]
    fn data_is_found_by_the_next_task_and_goes_with_its_volume_only() {
        let folder = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(folder.path());
        let run = |name: &str, resources: &Resources| {
            let sandbox = folder.path().join(name);
            fs::create_dir(&sandbox).unwrap();
            sandboxes.link_volumes(&sandbox, resources, None).unwrap();
            sandboxes.link_volumes(&sandbox, resources, None).unwrap();
            sandbox
        };
        let one = volume("in/data", 7);
        let first = run("first", &one);
        fs::write(first.join("in/data/file"), "kept").unwrap();
        fs::remove_dir_all(&first).unwrap();
        let second = run("second", &one);
        assert_eq!(
            fs::read_to_string(second.join("in/data/file")).unwrap(),
            "kept"
        );
        let other = run("other", &volume("data", 8));
        assert!(
            !other.join("data/file").exists(),
            "another volume of that id is empty"
        );
        sandboxes.remove_volume(&terms(&one)).unwrap();
        sandboxes.remove_volume(&terms(&one)).unwrap();
        assert!(!second.join("in/data/file").exists());
        assert!(folder.path().join("volumes/roles/a b/v/8").is_dir());
    }

    #[test]
    fn a_path_that_leads_out_of_the_sandbox_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(folder.path());
        for bad in ["/etc", "../x", "a/../../x", ".", ""] {
            let linked = sandboxes.link_volumes(folder.path(), &volume(bad, 1), None);
            assert!(linked.is_err(), "{bad}");
        }
    }
}
