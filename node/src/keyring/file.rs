//! Keys in files: those that a node keeps, a JSON list as in Serf, and those that it is given.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shoal_disk::atomic_write_private;
use shoal_membership::{Key, Keyring};

use super::text;
use crate::cli::{Exit, Failure};
use crate::limits::KEY_FILE_BYTES;

/// The keys that were kept, the one to seal with first; none if there is no such file.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn load(path: &Path) -> Result<Option<Keyring>, Failure> {
    let content = match read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let damaged = |why: String| {
        Failure::new(
            Exit::Failed,
            format!("the keyring {} is damaged: {why}", path.display()),
            "move it away and give the node a key again by --gossip-key-file",
        )
    };
    // What serde_json says may repeat what it read.
    let texts: Vec<String> = serde_json::from_str(&content)
        .map_err(|_| damaged("it is no JSON list of texts".to_owned()))?;
    ring(texts.iter().map(String::as_str))
        .map(Some)
        .map_err(damaged)
}

/// Keeps keys: the file is readable by its owner only, and replaced as a whole.
///
/// # Errors
/// The disk refuses; what was kept before is still there.
pub fn store(path: &Path, ring: &Keyring) -> Result<(), Failure> {
    let texts: Vec<String> = ring.keys().iter().map(text::secret).collect();
    let content = serde_json::to_vec(&texts).expect("texts can be written");
    atomic_write_private(path, &content).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot keep the keyring in {}: {error}", path.display()),
            "",
        )
    })
}

/// The keys of a file that somebody wrote for this node: one a line, the one to seal with first.
/// Empty lines and those that begin with `#` count for nothing.
///
/// # Errors
/// It cannot be read, or holds no keys.
pub fn read_given(path: &Path) -> Result<Keyring, Failure> {
    let content = read(path).map_err(|error| unreadable(path, &error))?;
    if is_open(path) {
        tracing::warn!(file = %path.display(), "other users can read this key: chmod 600");
    }
    let lines = content.lines().map(str::trim);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    ring(keys).map_err(|why| {
        Failure::new(
            Exit::Usage,
            format!("gossip_key_file {}: {why}", path.display()),
            "`shoal keyring generate` prints a key; the file holds one a line",
        )
    })
}

/// Whether others than the owner can read a file.
pub fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.mode() & 0o077 != 0)
}

fn ring<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Keyring, String> {
    let keys = (1..)
        .zip(texts)
        .map(|(line, text)| text::parse(text).map_err(|why| format!("key {line}: {why}")));
    let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
    Keyring::of(keys).map_err(|error| error.to_string())
}

fn read(path: &Path) -> io::Result<String> {
    let mut content = String::new();
    let file = std::fs::File::open(path)?;
    file.take(KEY_FILE_BYTES + 1).read_to_string(&mut content)?;
    if content.len() as u64 > KEY_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it has more than {KEY_FILE_BYTES} bytes"
        )));
    }
    Ok(content)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("cannot read the keys in {}: {error}", path.display()),
        "",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyring.json");
        assert_eq!(load(&path).unwrap(), None);
        let ring = Keyring::of([text::generate(), text::generate()]).unwrap();
        std::fs::write(path.with_extension("tmp"), "left by a crash").unwrap();
        store(&path, &ring).unwrap();
        assert_eq!(load(&path).unwrap(), Some(ring));
        assert!(!is_open(&path));
    }

    #[test]
    fn no_damage_is_more_than_refused_and_none_is_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let key = text::secret(&text::generate());
        for wrong in [
            "",
            "[]",
            "{}",
            &format!("[\"{key}"),
            &format!("[\"{}\"]", &key[1..]),
            &"x".repeat(100_000),
        ] {
            std::fs::write(&path, wrong).unwrap();
            let failure = load(&path).unwrap_err().to_string();
            assert!(!failure.contains(&key[1..20]), "{failure}");
            if wrong != "[]" && wrong != "{}" {
                let failure = read_given(&path).unwrap_err().to_string();
                assert!(!failure.contains(&key[1..20]), "{failure}");
            }
        }
        std::fs::write(&path, format!("# ours\n\n {key}\n")).unwrap();
        assert_eq!(read_given(&path).unwrap().keys().len(), 1);
    }
}
