//! The types of the gossip's keys.

use std::fmt;
use std::time::Duration;

use shoal_membership::Profile;

/// A profile, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GossipProfile(pub Profile);

impl GossipProfile {
    /// Reads it.
    ///
    /// # Errors
    /// It is no profile.
    pub fn parse(text: &str) -> Result<GossipProfile, String> {
        match text {
            "lan" => Ok(GossipProfile(Profile::Lan)),
            "wan" => Ok(GossipProfile(Profile::Wan)),
            "local" => Ok(GossipProfile(Profile::Local)),
            _ => Err(format!(
                "'{text}' is no profile, expected lan, wan or local"
            )),
        }
    }
}

impl fmt::Display for GossipProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Local => "local",
        })
    }
}

/// A short time, in whole milliseconds: 10 to ten minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub u32);

impl Millis {
    const MOST: u32 = 600_000;

    /// Reads it.
    ///
    /// # Errors
    /// It is no whole number, or out of range.
    pub fn parse(text: &str) -> Result<Millis, String> {
        match text.parse() {
            Ok(number) if (10..=Millis::MOST).contains(&number) => Ok(Millis(number)),
            Ok(_) | Err(_) => Err(format!(
                "'{text}' is no number of milliseconds from 10 to {}",
                Millis::MOST
            )),
        }
    }

    /// As a time.
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A small number, 1 to 20.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Few(pub u32);

impl Few {
    /// Reads it.
    ///
    /// # Errors
    /// It is no whole number, or out of range.
    pub fn parse(text: &str) -> Result<Few, String> {
        match text.parse() {
            Ok(number) if (1..=20).contains(&number) => Ok(Few(number)),
            Ok(_) | Err(_) => Err(format!("'{text}' is no number from 1 to 20")),
        }
    }
}

impl fmt::Display for Few {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert!(
            ["9", "600001", "1.5", "-1", ""]
                .iter()
                .all(|bad| Millis::parse(bad).is_err())
        );
        assert!(["0", "21", "x"].iter().all(|bad| Few::parse(bad).is_err()));
        assert!(GossipProfile::parse("LAN").is_err());
        for word in ["lan", "wan", "local"] {
            let profile = GossipProfile::parse(word).expect("a profile");
            assert_eq!(profile.to_string(), word);
        }
    }
}
