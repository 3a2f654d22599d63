//! What is made of the command line's definition: completions for shells, manual pages.

use std::fs;
use std::io;
use std::path::Path;

use super::examples;
use super::exit::{Exit, Failure};
use super::flags::{CompletionsFlags, ManFlags};
use super::output::print_text;

/// `shoal completions`.
///
/// # Errors
/// Standard output is gone.
pub fn completions(flags: &CompletionsFlags) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(flags.shell, &mut examples::command(), "shoal", &mut text);
    print_text(&String::from_utf8_lossy(&text))
}

/// `shoal man`.
///
/// # Errors
/// [`Exit::Failed`] if the folder cannot be written.
pub fn man(flags: &ManFlags) -> Result<(), Failure> {
    let count = write(&flags.dir).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!(
                "cannot write manual pages to {}: {error}",
                flags.dir.display()
            ),
            "name a folder that this user may write to",
        )
    })?;
    let dir = flags.dir.display();
    print_text(&format!(
        "{count} pages in {dir}; `man -l {dir}/shoal.1` shows the first\n"
    ))
}

fn write(dir: &Path) -> io::Result<usize> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(examples::command(), dir)?;
    let pages = fs::read_dir(dir)?.filter_map(Result::ok);
    let pages = pages.filter(|entry| entry.file_name().to_string_lossy().starts_with("shoal"));
    Ok(pages.count())
}
