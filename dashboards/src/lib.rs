//! What people look at: static pages, embedded in the binary.
//!
//! What deliberately does not live here: anything that computes. Pages ask the API.

use include_dir::{Dir, include_dir};

static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/static");

/// The bytes of an embedded file, by its path below `static/`.
pub fn page(path: &str) -> Option<&'static [u8]> {
    PAGES.get_file(path).map(include_dir::File::contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_page_is_there() {
        assert!(page("index.html").is_some_and(|page| page.starts_with(b"<!doctype html>")));
        assert!(page("../Cargo.toml").is_none());
    }
}
