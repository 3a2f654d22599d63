//! Keys and policies as people write them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shoal_membership::{KEY_BYTES, Key, KeyId, Policy};

use crate::entropy;

/// A key from its text; the text never shows up in the error.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Key, String> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| {
        format!("a key is {KEY_BYTES} bytes in base64, as `shoal keyring generate` prints, and this is no base64")
    })?;
    let count = bytes.len();
    let bytes = <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| {
        format!("a key has {KEY_BYTES} bytes, as `shoal keyring generate` prints them, and this has {count}")
    })?;
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err("this is the same byte again and again, which anybody can guess".to_owned());
    }
    Ok(Key::new(bytes))
}

/// A key's text: whoever sees it can join.
pub fn secret(key: &Key) -> String {
    STANDARD.encode(key.bytes())
}

/// A fresh key.
pub fn generate() -> Key {
    let mut bytes = [0; KEY_BYTES];
    bytes[..16].copy_from_slice(&entropy::bits().to_be_bytes());
    bytes[16..].copy_from_slice(&entropy::bits().to_be_bytes());
    Key::new(bytes)
}

/// A key's id from its text: eight hexadecimal digits.
///
/// # Errors
/// It is none.
pub fn parse_id(text: &str) -> Result<KeyId, String> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u32::from_str_radix(text, 16) {
        Ok(id) if digits => Ok(KeyId(id)),
        Ok(_) | Err(_) => {
            Err("a key's id is eight hexadecimal digits, as `shoal keyring list` shows".to_owned())
        }
    }
}

/// All policies, each with its word.
const POLICIES: [(Policy, &str); 4] = [
    (Policy::Required, "required"),
    (Policy::Outgoing, "outgoing"),
    (Policy::Incoming, "incoming"),
    (Policy::Off, "off"),
];

/// The word for a policy.
pub fn policy(policy: Policy) -> &'static str {
    let found = POLICIES.iter().find(|(known, _)| *known == policy);
    found.expect("all policies are listed").1
}

/// A policy from its word.
///
/// # Errors
/// It is none.
pub fn parse_policy(text: &str) -> Result<Policy, String> {
    let found = POLICIES.iter().find(|(_, word)| *word == text);
    let found = found.map(|(policy, _)| *policy);
    found.ok_or_else(|| format!("'{text}' is neither required, outgoing, incoming nor off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_a_wrong_one_is_not_repeated() {
        let key = generate();
        assert_eq!(parse(&format!(" {}\n", secret(&key))), Ok(key.clone()));
        assert_ne!(generate(), key);
        for wrong in ["", "c2hvcnQ=", "no-base-64-at-all!", &"A".repeat(44)] {
            let error = parse(wrong).unwrap_err();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
        assert_eq!(parse_id(&key.id().to_string()), Ok(key.id()));
        assert!(parse_id("+1234567").is_err() && parse_id("12").is_err());
    }

    #[test]
    fn every_policy_has_its_word() {
        for (one, word) in POLICIES {
            assert_eq!((policy(one), parse_policy(word)), (word, Ok(one)));
        }
        assert!(parse_policy("on").is_err());
    }
}
