//! The blocks of commands in the documents: what is to be run, and what is shown to come out.
//!
//! A block of `console` has commands after `$ `, continued after `> `, each with what it prints; a
//! block of `sh` is a script that must succeed. Words behind the language say how it is run.

/// How a block is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In the session of the document, to its end.
    Foreground,
    /// Beside it, until the document ends; what is shown comes before the next block is run.
    Background,
    /// As [`Way::Foreground`], where there is a Python with pymesos.
    Pymesos,
    /// Not here: a script of `.ci` runs these tests itself, and `.ci/run` runs them all.
    ByCi,
}

/// One command and the lines that are shown below it; none are shown of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Where it stands, counted from 1.
    pub line: usize,
    /// For the shell.
    pub text: String,
    /// What it prints, if that is shown.
    pub shown: Option<Vec<String>>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// How it is run.
    pub way: Way,
    /// Its commands, in order.
    pub commands: Vec<Command>,
}

/// All blocks of commands in a document.
///
/// # Errors
/// A word behind the language that means nothing, with its line.
pub fn blocks(document: &str) -> Result<Vec<Block>, String> {
    let mut found = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(words) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let inside: Vec<(usize, &str)> = lines
            .by_ref()
            .take_while(|(_, line)| line.trim_start() != "```")
            .map(|(at, line)| (at + 1, line))
            .collect();
        let mut words = words.split_whitespace();
        let language = words.next().unwrap_or_default();
        if ["bash", "shell", "sh", "console", "shell-session"].contains(&language) {
            let way = way(words.next()).map_err(|why| format!("line {}: {why}", at + 1))?;
            let by_ci = |(_, line): &(usize, &str)| line.starts_with(".ci/");
            let way = if inside.iter().all(by_ci) {
                Way::ByCi
            } else {
                way
            };
            let commands = match language {
                "console" => console(&inside),
                "sh" => script(&inside),
                other => return Err(format!("line {}: write sh or console, not {other}", at + 1)),
            };
            found.push(Block { way, commands });
        }
    }
    Ok(found)
}

fn way(word: Option<&str>) -> Result<Way, String> {
    match word {
        None => Ok(Way::Foreground),
        Some("background") => Ok(Way::Background),
        Some("pymesos") => Ok(Way::Pymesos),
        Some(other) => Err(format!("'{other}' is no way to run a block")),
    }
}

fn script(lines: &[(usize, &str)]) -> Vec<Command> {
    let text: Vec<&str> = lines.iter().map(|(_, line)| *line).collect();
    vec![Command {
        line: lines.first().map_or(0, |(at, _)| *at),
        text: text.join("\n"),
        shown: None,
    }]
}

fn console(lines: &[(usize, &str)]) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for (at, line) in lines {
        if let Some(text) = line.strip_prefix("$ ") {
            commands.push(Command {
                line: *at,
                text: text.to_owned(),
                shown: Some(Vec::new()),
            });
            continue;
        }
        let command = commands
            .last_mut()
            .expect("a block of console begins with a command");
        let shown = command
            .shown
            .as_mut()
            .expect("it has room for what is shown");
        match line.strip_prefix("> ") {
            Some(more) if shown.is_empty() => {
                command.text.push('\n');
                command.text.push_str(more);
            }
            Some(_) | None => shown.push((*line).to_owned()),
        }
    }
    commands
}

/// Whether lines came out as they are shown. `…` within a line is any text, alone it is any lines;
/// the widths of columns do not count.
pub fn matches(shown: &[String], came: &[String]) -> bool {
    match shown.split_first() {
        None => came.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=came.len()).any(|skip| matches(rest, &came[skip..]))
        }
        Some((first, rest)) => match came.split_first() {
            Some((line, others)) => line_matches(first, line) && matches(rest, others),
            None => false,
        },
    }
}

fn line_matches(shown: &str, came: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, came) = (words(shown), words(came));
    let mut pieces = shown.split('…').map(str::trim);
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = came.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn documents_are_taken_apart() {
    let text = "a\n```console\n$ ls \\\n> -l\nx\n…\n$ true\n```\n```toml\na = 1\n```\n```sh\n.ci/a\n.ci/b\n```\n";
    let found = blocks(text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].way, found[1].way), (Way::Foreground, Way::ByCi));
    let [list, nothing] = &found[0].commands[..] else {
        panic!("{found:?}")
    };
    assert_eq!((list.line, list.text.as_str()), (3, "ls \\\n-l"));
    assert_eq!(list.shown, Some(vec!["x".to_owned(), "…".to_owned()]));
    assert_eq!(nothing.shown, Some(Vec::new()));
    assert_eq!(found[1].commands[0].text, ".ci/a\n.ci/b");
    assert!(blocks("```sh somehow\na\n```\n").is_err());
    assert!(blocks("```bash\na\n```\n").is_err());
}

#[test]
fn what_comes_out_is_compared() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same = |shown: &str, came: &str| matches(&lines(shown), &lines(came));
    assert!(same(
        "NAME STATUS\nagent1 …",
        "NAME    STATUS\nagent1  connected x"
    ));
    assert!(same("a … b … c", "a 1 b 2 c"));
    assert!(same("…\nlast", "1\n2\nlast"));
    assert!(same("first\n…", "first"));
    assert!(!same("a … c", "a 1 b"));
    assert!(!same("a", "a b"));
    assert!(!same("a", "a\nb"));
    assert!(!same("a\nb", "a"));
}
