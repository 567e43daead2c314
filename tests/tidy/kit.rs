//! Whether all of the kit that the tests share is used. The compiler is told not to look: each suite uses a part.

use std::collections::BTreeSet;

/// The words of a Rust file.
pub(crate) fn words(text: &str) -> BTreeSet<&str> {
    split(text).collect()
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty())
}

/// What a file of the kit offers: functions, types, constants and macros.
pub(crate) fn offered(text: &str) -> Vec<&str> {
    let offer = |line| match split(line).take(4).collect::<Vec<_>>()[..] {
        ["pub", "crate", "fn" | "struct" | "type" | "const", name] => Some(name),
        ["macro_rules", name, ..] => Some(name),
        _ => None,
    };
    text.lines().filter_map(offer).collect()
}
