//! The page of all keys, made of the table. `docs/configuration.md` holds it, and a test compares.

use super::key::{Reload, Shape, Standard};
use super::settings::KEYS;
use crate::log::PARTS;

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(include_str!("reference.md"));
    page.push_str(
        "| key | flag | variable | value | default | a running node takes it | what it is |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for key in KEYS {
        let default = match key.default {
            Standard::Value(value) => format!("`{value}`"),
            Standard::Unset(meaning) => meaning.to_owned(),
        };
        let reload = match key.reload {
            Reload::Live => "at once",
            Reload::Restart => "at its next start",
        };
        let value = match key.shape {
            Shape::Switch => key.range.to_owned(),
            Shape::Text | Shape::Number | Shape::List => format!("{}: {}", key.shape, key.range),
        };
        page.push_str(&format!(
            "| `{}` | `--{}` | `{}` | {value} | {default} | {reload} | {} |\n",
            key.name,
            key.flag(),
            key.variable(),
            key.help
        ));
    }
    let parts: Vec<String> = PARTS
        .iter()
        .map(|(short, _)| format!("`{short}`"))
        .collect();
    page.push_str(&include_str!("reference_end.md").replace("{parts}", &parts.join(", ")));
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_people_is_this_one() {
        let file =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == page(),
            "docs/configuration.md is not what `shoal config reference` prints: write that into it"
        );
    }

    #[test]
    fn the_example_of_the_page_is_a_good_file() {
        let page = page();
        let example = page
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shoal.toml");
        std::fs::write(&file, example.expect("there is an example")).unwrap();
        crate::config::load_file(&file).unwrap();
    }
}
