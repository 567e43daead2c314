//! What the checks find, on small crates that are made up.

use crate::circles;
use crate::imports::{self, Imports};
use crate::map::{LAYERS, Map};
use crate::sources::Sources;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(files: &[(&str, &str)]) -> Sources {
    let files = files.iter();
    files
        .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
        .collect()
}

fn imports_of(files: &[(&str, &str)]) -> Imports {
    imports::of(&sources(files), Path::new("src/lib.rs"))
}

/// The files that one imports.
#[track_caller]
fn imported(files: &[(&str, &str)], by: &str) -> Vec<String> {
    let imports = imports_of(files);
    let paths = imports[Path::new(by)].iter();
    paths.map(|path| path.display().to_string()).collect()
}

fn set(paths: &[&str]) -> BTreeSet<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

#[test]
fn a_path_is_an_import_in_code_types_macros_and_groups() {
    let crate_of = |low| {
        [
            ("src/lib.rs", "mod high; mod low;"),
            (
                "src/low.rs",
                "pub fn f() {} pub struct S; pub mod inner { pub const C: u8 = 1; }",
            ),
            ("src/high.rs", low),
        ]
    };
    let ways = [
        "use crate::low::S;",
        "use crate::{low::{self, S as T}};",
        "fn g() { crate::low::f() }",
        "fn g() -> Vec<crate::low::S> { Vec::new() }",
        "fn g() { println!(\"{}\", crate::low::inner::C) }",
        "impl Clone for super::low::S { fn clone(&self) -> Self { todo!() } }",
        "use super::low; fn g() { low::f() }",
    ];
    for way in ways {
        assert_eq!(
            imported(&crate_of(way), "src/high.rs"),
            ["src/low.rs"],
            "{way}"
        );
    }
    let none = [
        "use std::fmt;",
        "use crate::low;",
        "/// [`S`](crate::low::S)\nfn g() {}",
        "#[cfg(test)] use crate::low::S;",
        "#[cfg(test)] mod tests { use crate::low::S; }",
        "#[cfg(all(test, unix))] mod tests { use crate::low::S; }",
        "#[test] fn g() {} #[cfg(test)] fn h() { crate::low::f() }",
    ];
    for way in none {
        assert!(imported(&crate_of(way), "src/high.rs").is_empty(), "{way}");
    }
}

#[test]
fn what_is_exported_again_is_imported_from_where_it_is() {
    let files = [
        ("src/lib.rs", "mod room; mod user; pub use room::Thing;"),
        (
            "src/room.rs",
            "mod desk; pub use desk::{Thing, make as thing};",
        ),
        ("src/room/desk.rs", "pub struct Thing; pub fn make() {}"),
        (
            "src/user.rs",
            "use crate::Thing; fn f() { crate::room::thing() }",
        ),
    ];
    assert_eq!(imported(&files, "src/user.rs"), ["src/room/desk.rs"]);
    assert!(imported(&files, "src/room.rs").is_empty());
    assert!(imported(&files, "src/lib.rs").is_empty());
    // What another room has is imported, whoever exports it again.
    let files = [
        ("src/lib.rs", "mod front; mod room;"),
        ("src/front.rs", "pub use crate::room::Thing;"),
        ("src/room.rs", "pub struct Thing;"),
    ];
    assert_eq!(imported(&files, "src/front.rs"), ["src/room.rs"]);
}

#[test]
fn a_choice_by_cfg_imports_each_of_what_it_may_choose() {
    let files = [
        ("src/lib.rs", "mod chosen; mod user;"),
        (
            "src/chosen.rs",
            "mod a; mod b; #[cfg(loom)] use a as it; #[cfg(not(loom))] use b as it; pub use it::Lock;",
        ),
        ("src/chosen/a.rs", "pub struct Lock;"),
        ("src/chosen/b.rs", "pub use other::Lock;"),
        ("src/user.rs", "use crate::chosen::Lock;"),
    ];
    assert_eq!(
        imported(&files, "src/user.rs"),
        ["src/chosen/a.rs", "src/chosen/b.rs"]
    );
}

#[test]
fn circles_are_found_between_files() {
    let files = |b| {
        [
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b::B; pub struct A;"),
            ("src/b.rs", b),
            ("src/c.rs", "use crate::a::A; pub struct C;"),
        ]
    };
    let without = imports_of(&files("pub struct B;"));
    assert!(circles::of(&without).is_empty());
    let with = imports_of(&files("use crate::c::C; pub struct B;"));
    let found = circles::of(&with);
    assert!(
        found.contains(&set(&["src/a.rs", "src/b.rs", "src/c.rs"])),
        "{found:?}"
    );
}

#[test]
fn circles_are_found_between_folders_and_with_a_parent() {
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "mod high; mod low;"),
        ("src/a/high.rs", "use crate::b::B;"),
        ("src/a/low.rs", "pub struct Low;"),
        ("src/b.rs", "use crate::a::low::Low; pub struct B;"),
    ];
    assert_eq!(
        circles::of(&imports_of(&files)),
        BTreeSet::from([set(&["src/a", "src/b"])])
    );
    let files = [
        ("src/lib.rs", "mod a;"),
        ("src/a.rs", "mod child; use child::Child; pub struct A;"),
        ("src/a/child.rs", "use super::A; pub struct Child;"),
    ];
    let found = circles::of(&imports_of(&files));
    assert_eq!(
        found,
        BTreeSet::from([set(&["src/a.rs", "src/a/child.rs"])])
    );
}

fn map(layers: &[&str]) -> Map {
    let layers = layers
        .iter()
        .map(|row| format!("### {row}\n\n| {row} | what it is |\n"));
    let text = format!(
        "# Map\n{LAYERS}\n{}## Around\n| `tests/` | tests |\n",
        layers.collect::<String>()
    );
    let there = [
        "src/a.rs",
        "src/b.rs",
        "src/b/c.rs",
        "src/b/d.rs",
        "src/b",
        "tests",
    ];
    Map::read(&text, |path| {
        there.iter().any(|other| Path::new(other) == path)
    })
}

#[test]
fn an_import_upwards_is_found() {
    let files = |c| {
        [
            ("src/lib.rs", ""),
            ("src/a.rs", "pub struct A;"),
            ("src/b.rs", "mod c;"),
            ("src/b/c.rs", c),
        ]
    };
    let imports = |c| {
        let mut files = files(c);
        files[0].1 = "mod a; mod b;";
        let mut imports = imports_of(&files);
        imports.remove(Path::new("src/lib.rs"));
        imports
    };
    let map = map(&["`src/a.rs`", "`src/b.rs`, `b/`"]);
    assert!(map.upward(&imports("pub struct C;")).is_empty());
    let upward = map.upward(&imports("use crate::a::A;"));
    let told: Vec<_> = upward.iter().map(String::as_str).collect();
    assert_eq!(
        told,
        ["src/b/c.rs (`src/b.rs`, `b/`) imports src/a.rs (`src/a.rs`)"]
    );
}

#[test]
fn a_file_that_is_on_no_row_is_found_and_a_row_without_a_file() {
    let there = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
    let files = there(&[
        "src/a.rs",
        "src/b.rs",
        "src/b/c.rs",
        "src/b/d.rs",
        "tests/x.rs",
    ]);
    let all = map(&["`src/a.rs`", "`src/b.rs`, `b/c.rs`, `d.rs`"]);
    assert!(all.missing.is_empty() && all.unlisted(&files).is_empty());
    let some = map(&["`src/a.rs`", "`src/b.rs`, `b/c.rs`, `gone.rs`"]);
    assert_eq!(some.unlisted(&files), [&PathBuf::from("src/b/d.rs")]);
    assert_eq!(some.missing, ["gone.rs"]);
}
