//! What the tables in `docs/` are held to: the files of this repository, and the tests in them.

use std::collections::BTreeSet;
use std::path::Path;

/// The folder that the package is in.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the functions of a Rust file that are tests.
pub(crate) fn tests(text: &str) -> BTreeSet<String> {
    let mut attributed = false;
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line == "#[test]" {
            attributed = true;
        } else if let Some(name) = line.strip_prefix("fn ") {
            let end = name.find('(').unwrap_or(name.len());
            if std::mem::take(&mut attributed) {
                names.insert(name[..end].to_owned());
            }
        }
    }
    names
}
