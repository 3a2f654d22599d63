//! Every command in the documents is run as it stands there, in order, and shows what is shown.
//!
//! Each document has a folder, a shell and ports of its own. `shoal dev` listens where nobody else
//! does; the ports of the documents are replaced on the way in, and put back on the way out.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::blocks::{self, Block, Way, matches};
use crate::machine::{self, Turn};
use crate::process::{self, ProcessId};
use crate::wait::{check, seconds, until};

/// How long one command may take, on a busy machine.
const PATIENCE: Duration = seconds(90);
/// What ends the output of a command.
const END: &str = "@@end ";
/// Ports of the documents, and by how much each is off the first.
const PORTS: [(&str, u16); 4] = [("5050", 0), ("5051", 1), ("7946", 2896), ("7947", 2897)];
/// What documents find in the clone that they are read in.
const OF_THE_CLONE: [&str; 3] = ["chaos-tests", "dashboards", "docs"];

#[test]
fn every_command_in_the_documents_does_what_is_shown() {
    let mut ran = 0;
    for path in documents() {
        let text = fs::read_to_string(root().join(&path)).expect("a document can be read");
        let found = blocks::blocks(&text);
        let found = found.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if found.iter().any(|block| block.way != Way::ByCi) {
            ran += run(&path, &found);
        }
    }
    assert!(ran > 30, "only {ran} commands were run");
}

#[test]
fn the_readme_names_every_command() {
    let output = Command::new(machine::shoal())
        .arg("-h")
        .output()
        .expect("shoal can be run");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.map_while(|line| line.strip_prefix("  "));
    let names = listed.filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.len() > 10, "the commands are found in {help}");
    let readme = fs::read_to_string(root().join("README.md")).expect("the README can be read");
    let named = |name: &str| readme.contains(&format!("`shoal {name}"));
    let unnamed: Vec<&str> = names.into_iter().filter(|name| !named(name)).collect();
    assert!(unnamed.is_empty(), "the README says nothing of {unnamed:?}");
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the workspace is above").to_path_buf()
}

/// The documents for users: the README, and everything below `docs`.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder can be listed") {
            let entry = entry.expect("a folder can be listed");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Runs a document; gives how many commands were run.
fn run(path: &Path, blocks: &[Block]) -> usize {
    let mut session = Session::start(path);
    let mut ran = 0;
    for block in blocks {
        match block.way {
            Way::ByCi => continue,
            Way::Pymesos => {
                if let Err(why) = machine::pymesos() {
                    let test = "every_command_in_the_documents_does_what_is_shown";
                    machine::skip(test, &format!("{}: {why}", path.display()));
                    continue;
                }
            }
            Way::Foreground | Way::Background => {}
        }
        for command in &block.commands {
            match block.way {
                Way::Background => session.beside(command),
                Way::Foreground | Way::Pymesos | Way::ByCi => session.run(command),
            }
            ran += 1;
        }
    }
    session.end();
    ran
}

/// The shell of one document.
struct Session {
    document: PathBuf,
    folder: TempDir,
    port: u16,
    shell: Child,
    input: ChildStdin,
    output: Receiver<String>,
    beside: Vec<Child>,
    _turn: Turn,
}

impl Session {
    fn start(document: &Path) -> Session {
        let turn = Turn::take();
        let folder = TempDir::with_prefix("shoal-document-").expect("a folder can be made");
        let port = machine::free_api_port(10);
        prepare(folder.path(), port);
        let mut shell = shell(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("bash can be run");
        let input = shell.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(shell.stdout.take().expect("stdout is piped")).lines();
        let (tell, output) = channel();
        // The thread ends with the shell, or with the session that listens to it.
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line))
        });
        Session {
            document: document.to_path_buf(),
            folder,
            port,
            shell,
            input,
            output,
            beside: Vec::new(),
            _turn: turn,
        }
    }

    /// Runs a command in the shell; it must succeed, and print what is shown.
    fn run(&mut self, command: &blocks::Command) {
        let text = self.here(&command.text);
        let script = format!("{{ {text}\n}} 2>&1 </dev/null; printf '\\n{END}%s\\n' \"$?\"\n");
        self.input
            .write_all(script.as_bytes())
            .expect("the shell reads");
        let mut came = Vec::new();
        let code = loop {
            let line = self.output.recv_timeout(PATIENCE);
            let line =
                line.unwrap_or_else(|_| panic!("{} does not end: {came:?}", self.at(command)));
            match line.strip_prefix(END) {
                Some(code) => break code.to_owned(),
                None => came.push(self.there(&line)),
            }
        };
        while came.last().is_some_and(String::is_empty) {
            came.pop();
        }
        assert_eq!(code, "0", "{} fails: {came:#?}", self.at(command));
        if let Some(shown) = &command.shown {
            let at = self.at(command);
            assert!(
                matches(shown, &came),
                "{at} shows {shown:#?} and prints {came:#?}"
            );
        }
    }

    /// Starts a command beside the shell and waits until it has printed what is shown.
    fn beside(&mut self, command: &blocks::Command) {
        let path = self
            .folder
            .path()
            .join(format!("beside-{}", self.beside.len()));
        let output = File::create(&path).expect("a file can be made");
        let errors = output.try_clone().expect("a file can be shared");
        let child = shell(self.folder.path())
            .arg("-c")
            .arg(self.here(&command.text))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("bash can be run");
        self.beside.push(child);
        let shown = command.shown.as_deref().unwrap_or_default();
        until(&self.at(command), PATIENCE, || {
            let came = fs::read_to_string(&path).unwrap_or_default();
            let came: Vec<String> = came.lines().map(|line| self.there(line)).collect();
            // It goes on printing while it is looked at.
            let enough = (0..=came.len()).any(|end| matches(shown, &came[..end]));
            check(enough, || {
                format!("it shows {shown:#?} and prints {came:#?}")
            })
        });
    }

    fn at(&self, command: &blocks::Command) -> String {
        format!(
            "{}:{}: `{}`",
            self.document.display(),
            command.line,
            command.text
        )
    }

    /// A text of the document with the ports of this session.
    fn here(&self, text: &str) -> String {
        PORTS.iter().fold(text.to_owned(), |text, (port, off)| {
            text.replace(&format!(":{port}"), &format!(":{}", self.port + off))
        })
    }

    /// A text of this session with the ports and folders of the documents.
    fn there(&self, text: &str) -> String {
        let text = PORTS.iter().fold(text.to_owned(), |text, (port, off)| {
            text.replace(&format!(":{}", self.port + off), &format!(":{port}"))
        });
        text.replace(&format!("dev-{}", self.port), "dev-5050")
            .replace(&*self.folder.path().to_string_lossy(), "~")
    }

    /// Ends what runs beside the shell, as Ctrl-C would, and looks that nothing is left.
    fn end(mut self) {
        for child in &self.beside {
            ProcessId(i32::try_from(child.id()).expect("a pid fits")).signal(Signal::TERM);
        }
        let mut running = std::mem::take(&mut self.beside);
        for child in &mut running {
            until("a command in the background ends", PATIENCE, || {
                let status = child.try_wait().map_err(|why| why.to_string())?;
                check(status.is_some(), || "it runs".to_owned())
            });
        }
        self.input.write_all(b"exit\n").expect("the shell reads");
        until("the shell ends", PATIENCE, || {
            let status = self.shell.try_wait().map_err(|why| why.to_string())?;
            check(status.is_some(), || "it runs".to_owned())
        });
        // Keepers outlive the nodes that a document ends, on purpose; they are of no use to it.
        for (process, _) in process::in_folder(self.folder.path()) {
            process.signal(Signal::KILL);
        }
        until("no process is left", PATIENCE, || {
            let left = process::in_folder(self.folder.path());
            check(left.is_empty(), || format!("these live: {left:?}"))
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Empty after an end in good order; otherwise the test has failed.
        for child in &mut self.beside {
            let (_, _) = (child.kill(), child.wait());
        }
        let (_, _) = (self.shell.kill(), self.shell.wait());
        for (process, line) in process::in_folder(self.folder.path()) {
            eprintln!("left over: {} {line}", process.0);
        }
    }
}

/// A shell that works in the folder and finds `shoal` first.
fn shell(folder: &Path) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env_remove("SHOAL_ADDR");
    shell
}

/// What a reader has: the clone, and a `shoal` that was built.
fn prepare(folder: &Path, port: u16) {
    for name in OF_THE_CLONE {
        symlink(root().join(name), folder.join(name)).expect("a link can be made");
    }
    symlink(machine::target(), folder.join("target")).expect("a link can be made");
    let bin = folder.join("bin");
    fs::create_dir(&bin).expect("a folder can be made");
    let script = format!(
        "#!/bin/sh\n\
         export SHOAL_ADDR=\"${{SHOAL_ADDR:-127.0.0.1:{port}}}\"\n\
         if [ \"$1\" = dev ]; then shift; set -- dev --http 127.0.0.1:{port} \"$@\"; fi\n\
         exec {} \"$@\"\n",
        machine::shoal().display()
    );
    let shoal = bin.join("shoal");
    fs::write(&shoal, script).expect("a script can be written");
    fs::set_permissions(&shoal, fs::Permissions::from_mode(0o755)).expect("it can be made to run");
}
