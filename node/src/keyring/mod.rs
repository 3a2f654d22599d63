//! The gossip's keys of this node: where they come from, where they are kept, how they change.
//!
//! What lives here gives the machine its keys and keeps what it was told on disk, so that a node
//! that starts again has the keys that it had. What deliberately does not: sealing, which is the
//! machine's, and how other nodes change theirs.

pub mod cluster;
pub mod file;
pub mod text;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shoal_membership::{Key, KeyId, Keyring, KeyringError, Policy, Secrecy};

use crate::cli::{Exit, Failure};
use crate::gossip::Gossip;

/// Where a node keeps its keys, below its data.
pub const FILE: &str = "keyring.json";

/// What the configuration says about keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Who must have one.
    pub policy: Policy,
    /// A key.
    pub key: Option<Key>,
    /// A file with keys.
    pub file: Option<PathBuf>,
}

/// Keys, and whether they are not kept so far.
#[derive(Clone, Debug)]
pub struct Found {
    /// Them.
    pub secrecy: Secrecy,
    fresh: bool,
}

impl Found {
    /// Keeps them below the node's data, if they are not kept so far.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep(self, data: &Path) -> Result<Secrecy, Failure> {
        if let (true, Some(ring)) = (self.fresh, self.secrecy.keyring()) {
            file::store(&data.join(FILE), ring)?;
        }
        Ok(self.secrecy)
    }
}

/// The keys that a node begins with: those it kept, or those it is given. Writes nothing.
///
/// # Errors
/// Keys cannot be read, or there are none and the gossip is to be encrypted.
pub fn find(data: &Path, given: &Given) -> Result<Found, Failure> {
    let kept = data.join(FILE);
    let told = told(given)?;
    let (ring, fresh) = match (file::load(&kept)?, told) {
        (Some(ring), told) => {
            if told.is_some_and(|told| !ring.has(told.primary())) {
                tracing::warn!(
                    file = %kept.display(),
                    "the key of the configuration is not among those that this node keeps, and is not used"
                );
            }
            (Some(ring), false)
        }
        (None, Some(ring)) => (Some(ring), true),
        (None, None) => (None, false),
    };
    if ring.is_some() && given.policy == Policy::Off {
        tracing::warn!(
            "there is a key, but gossip_encryption is off: gossip is sent in plain text"
        );
    }
    let secrecy = Secrecy::new(given.policy, ring).map_err(|_| no_key())?;
    Ok(Found { secrecy, fresh })
}

/// The keys of the configuration.
fn told(given: &Given) -> Result<Option<Keyring>, Failure> {
    match (&given.key, &given.file) {
        (Some(key), _) => Ok(Some(Keyring::new(key.clone()))),
        (None, Some(path)) => file::read_given(path).map(Some),
        (None, None) => Ok(None),
    }
}

fn no_key() -> Failure {
    Failure::new(
        Exit::Usage,
        "gossip is encrypted, and this node has no key",
        "make one by `shoal keyring generate` and give it to every node by --gossip-key-file \
         (gossip_key_file) or SHOAL_GOSSIP_KEY; --gossip-encryption off does without, and whoever \
         reaches the gossip port is a member then",
    )
}

/// Why keys do not change. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The keyring refuses.
    #[error(transparent)]
    Refused(#[from] KeyringError),
    /// There is no keyring to change.
    #[error("gossip is not encrypted here: this node has no keyring")]
    NoKeyring,
    /// The disk refuses.
    #[error("{0}")]
    Disk(String),
}

/// What is done to a keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Open with this key, too.
    Install(Key),
    /// Seal with the key of that id.
    Use(KeyId),
    /// Forget the key of that id.
    Remove(KeyId),
}

fn apply(ring: &mut Keyring, change: &Change) -> Result<bool, KeyringError> {
    let of = |ring: &Keyring, id: KeyId| {
        let found = ring.keys().iter().find(|key| key.id() == id);
        found.cloned()
    };
    match change {
        Change::Install(key) => ring.install(key.clone()),
        Change::Use(id) => match of(ring, *id) {
            Some(key) => ring.use_key(&key),
            None => Err(KeyringError::Unknown { id: *id }),
        },
        Change::Remove(id) => match of(ring, *id) {
            Some(key) => ring.remove(&key),
            None => Ok(false),
        },
    }
}

/// The keys of a running node.
#[derive(Debug)]
pub struct Keys {
    file: PathBuf,
    secrecy: Mutex<Secrecy>,
    gossip: Gossip,
}

impl Keys {
    /// Those that the gossip was started with.
    pub fn new(data: &Path, secrecy: Secrecy, gossip: Gossip) -> Keys {
        Keys {
            file: data.join(FILE),
            secrecy: Mutex::new(secrecy),
            gossip,
        }
    }

    /// As they are.
    pub fn secrecy(&self) -> Secrecy {
        self.lock().clone()
    }

    /// Changes the keyring, on disk first; says whether that made a difference.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn change(&self, change: &Change) -> Result<bool, ChangeError> {
        let mut secrecy = self.lock();
        let mut ring = secrecy.keyring().cloned().ok_or(ChangeError::NoKeyring)?;
        let changed = apply(&mut ring, change)?;
        if changed {
            file::store(&self.file, &ring).map_err(|why| ChangeError::Disk(why.error))?;
            tracing::info!(primary = %ring.primary().id(), keys = ring.keys().len(), "keyring changed");
            let new = Secrecy::new(secrecy.policy(), Some(ring)).expect("it has a key");
            self.gossip.set_secrecy(new.clone());
            *secrecy = new;
        }
        Ok(changed)
    }

    /// Whether a change could be made.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, change: &Change) -> Result<(), ChangeError> {
        let ring = self.secrecy().keyring().cloned();
        apply(&mut ring.ok_or(ChangeError::NoKeyring)?, change)?;
        Ok(())
    }

    /// The ids of its keys, the one that seals first.
    pub fn ids(&self) -> Vec<String> {
        let secrecy = self.secrecy();
        let keys = secrecy.keyring().map_or(&[][..], Keyring::keys);
        keys.iter().map(|key| key.id().to_string()).collect()
    }

    /// Takes another policy, and keys if there were none.
    ///
    /// # Errors
    /// As of [`find`] and [`Found::keep`]; everything stays as it was.
    pub fn reload(&self, given: &Given) -> Result<(), Failure> {
        let data = self.file.parent().expect("it is below the data");
        let mut secrecy = self.lock();
        let new = find(data, given)?.keep(data)?;
        if new != *secrecy {
            tracing::info!(
                encryption = text::policy(new.policy()),
                "gossip's encryption changed"
            );
            self.gossip.set_secrecy(new.clone());
            *secrecy = new;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Secrecy> {
        // It is whole at any time: it is replaced, never changed in place.
        self.secrecy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
