//! The cluster's keys: which one seals, which ones open, and who must have one.

use std::fmt;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use thiserror::Error;

use crate::limits;

/// Bytes in a key.
pub const KEY_BYTES: usize = 32;
/// Of no datagram: those begin with a bit that is 0.
const ID_NONCE: [u8; 12] = [0xff; 12];

/// Names a key without telling it: four bytes that follow from it, never zero. It is sent in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A key of the cluster: 32 secret bytes for ChaCha20-Poly1305 (RFC 8439). Shown as its id only, and
/// erased from memory when it is dropped.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    cipher: ChaCha20Poly1305,
    bytes: zeroize::Zeroizing<[u8; KEY_BYTES]>,
}

impl Key {
    /// The key of these bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Key {
        let bytes = zeroize::Zeroizing::new(bytes);
        let cipher = ChaCha20Poly1305::new((&*bytes).into());
        let tag = cipher
            .encrypt_inout_detached(&ID_NONCE.into(), b"shoal key id", (&mut [][..]).into())
            .expect("an empty text is short enough");
        let [a, b, c, d, ..] = <[u8; 16]>::from(tag);
        let id = KeyId(u32::from_be_bytes([a, b, c, d]).max(1));
        Key { id, cipher, bytes }
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The secret itself.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Encrypts in place; the tag proves what was encrypted and what stands around it. A nonce must
    /// never be used twice with one key.
    pub(crate) fn seal(&self, nonce: [u8; 12], around: &[u8], text: &mut [u8]) -> [u8; 16] {
        let sealed = self
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), around, text.into());
        sealed.expect("a datagram is short enough").into()
    }

    /// Decrypts in place, if everything is as it was sealed.
    pub(crate) fn open(
        &self,
        nonce: [u8; 12],
        around: &[u8],
        text: &mut [u8],
        tag: [u8; 16],
    ) -> bool {
        let (nonce, tag) = (Nonce::from(nonce), Tag::from(tag));
        self.cipher
            .decrypt_inout_detached(&nonce, around, text.into(), &tag)
            .is_ok()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        // Ids follow from the bytes, so that only equal ones look at them.
        self.id == other.id && self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Why a keyring does not change. It is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// It has all the keys that it may have.
    #[error("keyring has {limit} keys already, at most {limit} are allowed", limit = limits::KEYS)]
    Full,
    /// The key must be installed before it can be used.
    #[error("keyring has no key {id}")]
    Unknown {
        /// Which one.
        id: KeyId,
    },
    /// What this node sends is sealed with it.
    #[error("key {id} is the primary key, which this node seals with")]
    Primary {
        /// Which one.
        id: KeyId,
    },
    /// No key at all.
    #[error("keyring is empty")]
    Empty,
}

/// The keys of one node: it seals with the primary one, and opens with any of them.
///
/// 1 to [`limits::KEYS`] keys, none twice. Source: Serf's keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    /// The primary one first.
    keys: Vec<Key>,
}

impl Keyring {
    /// A keyring of one key.
    pub fn new(primary: Key) -> Keyring {
        Keyring {
            keys: vec![primary],
        }
    }

    /// A keyring of these keys, the primary one first; a key that stands there twice counts once.
    ///
    /// # Errors
    /// [`KeyringError::Empty`] or [`KeyringError::Full`].
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Result<Keyring, KeyringError> {
        let mut keys = keys.into_iter();
        let mut ring = Keyring::new(keys.next().ok_or(KeyringError::Empty)?);
        keys.try_for_each(|key| ring.install(key).map(drop))?;
        Ok(ring)
    }

    /// The key that seals.
    pub fn primary(&self) -> &Key {
        &self.keys[0]
    }

    /// All keys, the primary one first.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether it has that key.
    pub fn has(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// Takes one more key to open with; says whether it is new.
    ///
    /// # Errors
    /// [`KeyringError::Full`].
    pub fn install(&mut self, key: Key) -> Result<bool, KeyringError> {
        if self.has(&key) {
            return Ok(false);
        }
        if self.keys.len() == limits::KEYS {
            return Err(KeyringError::Full);
        }
        self.keys.push(key);
        Ok(true)
    }

    /// Seals with that key from here on; says whether it did not before.
    ///
    /// # Errors
    /// [`KeyringError::Unknown`] if it is not installed.
    pub fn use_key(&mut self, key: &Key) -> Result<bool, KeyringError> {
        let at = self.keys.iter().position(|known| known == key);
        let at = at.ok_or(KeyringError::Unknown { id: key.id() })?;
        let chosen = self.keys.remove(at);
        self.keys.insert(0, chosen);
        Ok(at > 0)
    }

    /// Forgets a key; says whether it had it.
    ///
    /// # Errors
    /// [`KeyringError::Primary`]: another one must be used first.
    pub fn remove(&mut self, key: &Key) -> Result<bool, KeyringError> {
        match self.keys.iter().position(|known| known == key) {
            Some(0) => Err(KeyringError::Primary { id: key.id() }),
            Some(at) => {
                self.keys.remove(at);
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// Who must have a key: what this node sends, and what it takes. The ones between [`Policy::Off`]
/// and [`Policy::Required`] are the steps from a plain cluster to an encrypted one. Source: Serf's
/// flags for incoming and outgoing gossip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Sends plain and takes plain: whoever reaches the port is a member.
    #[default]
    Off,
    /// Sends plain and takes both: the first step, on every node.
    Incoming,
    /// Sends sealed and takes both: the second step, on every node.
    Outgoing,
    /// Sends sealed and takes sealed only.
    Required,
}

impl Policy {
    /// Whether what is sent is sealed.
    pub fn seals(self) -> bool {
        matches!(self, Policy::Outgoing | Policy::Required)
    }

    /// Whether what is not sealed is taken.
    pub fn takes_plain(self) -> bool {
        !matches!(self, Policy::Required)
    }
}

/// A policy that needs a key stands without one. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("encrypted gossip needs a key")]
pub struct NoKey;

/// A policy, and the keys that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrecy {
    policy: Policy,
    keyring: Option<Keyring>,
}

impl Secrecy {
    /// Checks that there are keys unless the policy is [`Policy::Off`]; that one opens with the keys
    /// it is given all the same.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn new(policy: Policy, keyring: Option<Keyring>) -> Result<Secrecy, NoKey> {
        match (policy, &keyring) {
            (Policy::Off, _) | (_, Some(_)) => Ok(Secrecy { policy, keyring }),
            (Policy::Incoming | Policy::Outgoing | Policy::Required, None) => Err(NoKey),
        }
    }

    /// Everything sealed, nothing plain.
    pub fn required(keyring: Keyring) -> Secrecy {
        Secrecy {
            policy: Policy::Required,
            keyring: Some(keyring),
        }
    }

    /// The policy.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The keys.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// The key that seals what is sent, if it is sealed.
    pub(crate) fn sealing(&self) -> Option<&Key> {
        let ring = self.keyring.as_ref().filter(|_| self.policy.seals());
        ring.map(Keyring::primary)
    }

    /// The keys of that id: one, but for a freak of chance.
    pub(crate) fn opening(&self, id: u32) -> impl Iterator<Item = &Key> {
        let keys = self.keyring.as_ref().map_or(&[][..], Keyring::keys);
        keys.iter().filter(move |key| key.id().0 == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; KEY_BYTES])
    }

    #[test]
    fn a_key_is_not_shown() {
        let shown = format!("{:?} {}", Keyring::new(key(0xab)), key(0xab).id());
        assert!(!shown.contains("ab, ") && !shown.contains("171"), "{shown}");
        assert!(shown.contains("Key("), "{shown}");
        assert_ne!(key(1).id(), key(2).id());
    }

    #[test]
    fn a_keyring_rotates_and_keeps_its_primary() {
        let mut ring = Keyring::new(key(1));
        assert_eq!(
            ring.use_key(&key(2)),
            Err(KeyringError::Unknown { id: key(2).id() })
        );
        assert_eq!(ring.install(key(2)), Ok(true));
        assert_eq!(ring.install(key(2)), Ok(false));
        assert_eq!(ring.primary(), &key(1));
        assert_eq!(
            ring.remove(&key(1)),
            Err(KeyringError::Primary { id: key(1).id() })
        );
        assert_eq!(ring.use_key(&key(2)), Ok(true));
        assert_eq!(ring.use_key(&key(2)), Ok(false));
        assert_eq!(ring.remove(&key(1)), Ok(true));
        assert_eq!(ring.remove(&key(1)), Ok(false));
        assert_eq!(ring.keys(), [key(2)]);
    }

    #[test]
    fn a_keyring_is_bounded() {
        let mut ring = Keyring::of((1..=limits::KEYS as u8).map(key)).expect("they fit");
        assert_eq!(ring.install(key(200)), Err(KeyringError::Full));
        assert_eq!(ring.install(key(1)), Ok(false), "it is there");
        assert_eq!(Keyring::of([]), Err(KeyringError::Empty));
    }

    #[test]
    fn only_plain_gossip_needs_no_key() {
        assert!(Secrecy::new(Policy::Off, None).is_ok());
        for policy in [Policy::Incoming, Policy::Outgoing, Policy::Required] {
            assert_eq!(Secrecy::new(policy, None), Err(NoKey));
            assert!(Secrecy::new(policy, Some(Keyring::new(key(1)))).is_ok());
        }
    }
}
