//! Users by name, from the machine's own files.

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
    }
}
