//! Users by name, from the machine's own files.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use shoal_keeper::protocol::Identity;

/// The numbers of a user; `None` if there is none of that name.
///
/// # Errors
/// The files cannot be read. Source of their form: passwd(5), group(5).
pub fn find(name: &str) -> io::Result<Option<Identity>> {
    let users = fs::read_to_string("/etc/passwd")?;
    let groups = fs::read_to_string("/etc/group")?;
    Ok(parse(name, &users, &groups))
}

fn parse(name: &str, users: &str, groups: &str) -> Option<Identity> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let mut all = vec![gid];
    for line in groups.lines() {
        let mut fields = line.split(':').skip(2);
        let number = fields.next().and_then(|number| number.parse().ok());
        let member = fields
            .next()
            .is_some_and(|members| members.split(',').any(|member| member == name));
        if let Some(number) = number
            && member
            && !all.contains(&number)
        {
            all.push(number);
        }
    }
    Some(Identity {
        uid,
        gid,
        groups: all,
    })
}

/// The names of users and groups by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Names {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Names {
    /// Reads the machine's own files; what cannot be read names nobody.
    pub fn read() -> Names {
        let table = |path| fs::read_to_string(path).map(|text| by_number(&text));
        Names {
            users: table("/etc/passwd").unwrap_or_default(),
            groups: table("/etc/group").unwrap_or_default(),
        }
    }

    /// The name of a user, or its number as a text.
    pub fn user(&self, uid: u32) -> String {
        let name = self.users.get(&uid).cloned();
        name.unwrap_or_else(|| uid.to_string())
    }

    /// The name of a group, or its number as a text.
    pub fn group(&self, gid: u32) -> String {
        let name = self.groups.get(&gid).cloned();
        name.unwrap_or_else(|| gid.to_string())
    }
}

fn by_number(text: &str) -> BTreeMap<u32, String> {
    let lines = text.lines().rev().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((number, name.to_owned()))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_users_with_their_groups() {
        let users = "root:x:0:0::/root:/bin/sh\nann:x:1000:100:Ann,,:/srv/ann:/bin/sh\nbad:x:a\n";
        let groups = "root:x:0:\nusers:x:100:ann\naudio:x:29:bob,ann\nvideo:x:44:annette\n";
        assert_eq!(
            parse("ann", users, groups),
            Some(Identity {
                uid: 1000,
                gid: 100,
                groups: vec![100, 29]
            })
        );
        assert_eq!(parse("bad", users, groups), None);
        assert_eq!(parse("nobody", users, groups), None);
        assert_eq!(by_number(users).get(&1000).map(String::as_str), Some("ann"));
        assert_eq!(
            by_number(groups).get(&29).map(String::as_str),
            Some("audio")
        );
    }
}
