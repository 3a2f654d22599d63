//! On what terms a resource is used: for whom it is reserved, as which volume, shared, revocable.
//!
//! Source: Mesos, facts 8.4 to 8.10. Whether terms make sense is checked where they come in.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Principal, Role};

/// What distinguishes a resource beyond its name. Amounts combine only on equal terms.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// From the bottom up; each role is below the one before. The last one's may use it.
    pub reservations: Vec<Reservation>,
    /// Which disk, or which volume on it; absent on the agent's own disk without a volume.
    pub disk: Option<Disk>,
    /// Whether it may be taken back at any time.
    pub revocable: bool,
    /// Whether several tasks may use it at once: a volume only.
    pub shared: bool,
    /// The resource provider it comes from; absent for what is the agent's own.
    pub provider: Option<Arc<str>>,
}

/// Labels of a reservation or a disk: sorted.
pub type Labels = Vec<(Arc<str>, Option<Arc<str>>)>;

/// One reservation of a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reservation {
    /// Who can undo it.
    pub kind: ReservationKind,
    /// For whom; never `*`.
    pub role: Role,
    /// Who made it, if that was said.
    pub principal: Option<Principal>,
    /// What its maker wrote on it.
    pub labels: Labels,
}

impl Reservation {
    /// A static one.
    pub fn fixed(role: Role) -> Reservation {
        Reservation {
            kind: ReservationKind::Static,
            role,
            principal: None,
            labels: Labels::new(),
        }
    }
}

/// How a reservation came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReservationKind {
    /// By the agent's configuration: it stays.
    Static,
    /// By an operation, which another one undoes.
    Dynamic,
}

/// A disk, or a volume on one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Disk {
    /// Which disk; absent for the one that has the agent's data directory.
    pub source: Option<DiskSource>,
    /// The persistent volume that it is.
    pub volume: Option<Volume>,
}

/// A disk other than the one of the agent's data directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiskSource {
    /// How it can be used.
    pub kind: DiskKind,
    /// Where it is mounted, of PATH and MOUNT.
    pub root: Option<Arc<str>>,
    /// Its name, if it has one.
    pub id: Option<Arc<str>>,
    /// What its provider wrote on it.
    pub metadata: Labels,
    /// Its profile.
    pub profile: Option<Arc<str>>,
    /// Its vendor.
    pub vendor: Option<Arc<str>>,
}

/// How a disk can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DiskKind {
    /// A folder, cut as one likes.
    Path,
    /// A file system of its own, taken as a whole.
    Mount,
    /// A device.
    Block,
    /// Neither formatted nor mounted.
    Raw,
}

/// A persistent volume: it outlives the tasks that use it.
///
/// Within an agent and a role an id stands for one volume. What its directory is called has
/// `created`, too, so that a volume never shows what another one of its id left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Volume {
    /// Chosen by whoever created it.
    pub id: Arc<str>,
    /// Who created it, if that was said.
    pub principal: Option<Principal>,
    /// Where tasks see it: a path in their sandbox.
    pub container_path: Arc<str>,
    /// Assigned by the ledger when it is created, never twice; 0 in what a client wrote.
    pub created: u64,
}

impl Terms {
    /// For whom it is reserved at the top of the stack.
    pub fn role(&self) -> Option<&Role> {
        self.reservations.last().map(|top| &top.role)
    }

    /// The volume that it is.
    pub fn volume(&self) -> Option<&Volume> {
        self.disk.as_ref()?.volume.as_ref()
    }

    /// Whether a dynamic reservation is on top, which an operation can take off.
    pub fn is_dynamic(&self) -> bool {
        let top = self.reservations.last();
        top.is_some_and(|top| top.kind == ReservationKind::Dynamic)
    }

    /// Whether a framework with this role may be offered it: its own, or one reserved above it.
    pub fn is_for(&self, role: &Role) -> bool {
        match self.role() {
            None => true,
            Some(own) => own == role || is_below(role, own),
        }
    }

    /// Whether it is neither cut nor joined. Source: Mesos, volumes, MOUNT, BLOCK and named RAW disks.
    pub fn is_whole(&self) -> bool {
        let Some(disk) = &self.disk else {
            return false;
        };
        let whole = disk
            .source
            .as_ref()
            .is_some_and(|source| match source.kind {
                DiskKind::Mount | DiskKind::Block => true,
                DiskKind::Raw => source.id.is_some(),
                DiskKind::Path => false,
            });
        whole || disk.volume.is_some()
    }

    /// The same, of a volume as a client writes it.
    #[must_use]
    pub fn as_written(&self) -> Terms {
        let mut terms = self.clone();
        if let Some(volume) = terms.disk.as_mut().and_then(|disk| disk.volume.as_mut()) {
            volume.created = 0;
        }
        terms
    }

    /// The same without the volume.
    #[must_use]
    pub fn without_volume(&self) -> Terms {
        let mut terms = self.clone();
        terms.shared = false;
        terms.disk = terms.disk.and_then(|disk| {
            let source = disk.source?;
            Some(Disk {
                source: Some(source),
                volume: None,
            })
        });
        terms
    }

    /// The same without the reservation on top, if there is one.
    #[must_use]
    pub fn without_top(&self) -> Terms {
        let mut terms = self.clone();
        terms.reservations.pop();
        terms
    }

    /// What an agent's configuration said of it, before any operation.
    #[must_use]
    pub fn as_configured(&self) -> Terms {
        let mut terms = self.without_volume();
        terms
            .reservations
            .retain(|r| r.kind == ReservationKind::Static);
        terms
    }
}

/// Whether a role is strictly below another.
pub fn is_below(role: &Role, above: &Role) -> bool {
    let rest = role.as_str().strip_prefix(above.as_str());
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// As Mesos writes it between name and value.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reservations.is_empty() {
            f.write_str("(reservations: [")?;
            for (i, reservation) in self.reservations.iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                write!(f, "{comma}{reservation}")?;
            }
            f.write_str("])")?;
        }
        if let Some(disk) = &self.disk {
            write!(f, "[{disk}]")?;
        }
        if self.revocable {
            f.write_str("{REV}")?;
        }
        if self.shared {
            f.write_str("<SHARED>")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ReservationKind::Static => "STATIC",
            ReservationKind::Dynamic => "DYNAMIC",
        };
        write!(f, "({kind},{}", self.role)?;
        if let Some(principal) = &self.principal {
            write!(f, ",{principal}")?;
        }
        if !self.labels.is_empty() {
            f.write_str(",{")?;
            for (i, (key, value)) in self.labels.iter().enumerate() {
                let comma = if i > 0 { ", " } else { "" };
                write!(f, "{comma}{key}")?;
                if let Some(value) = value {
                    write!(f, ": {value}")?;
                }
            }
            f.write_str("}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{}", source.kind)?;
            if let Some(root) = &source.root {
                write!(f, ":{root}")?;
            }
            if let Some(id) = &source.id {
                write!(f, "({id})")?;
            }
            if self.volume.is_some() {
                f.write_str(",")?;
            }
        }
        match &self.volume {
            Some(volume) => write!(f, "{}:{}", volume.id, volume.container_path),
            None => Ok(()),
        }
    }
}

impl fmt::Display for DiskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskKind::Path => "PATH",
            DiskKind::Mount => "MOUNT",
            DiskKind::Block => "BLOCK",
            DiskKind::Raw => "RAW",
        })
    }
}
