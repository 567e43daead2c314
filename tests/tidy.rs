//! Holds the repository to the map in `CONTRIBUTING.md`: no import leads upwards, none closes a circle, each file is on the map,
//! and none is too long to be read.

#![cfg(not(any(loom, shuttle)))]

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/kit.rs"]
mod kit;
#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/seeded.rs"]
mod seeded;
#[path = "tidy/sources.rs"]
mod sources;

use map::Map;
use sources::Sources;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file that is read with ease.
const MOST_LINES: usize = 450;

/// What is on the map file by file, or folder by folder.
const MAPPED: [&str; 4] = ["src", "benches", "examples", "tests"];

/// Where recordings and configurations of others are.
const DATA: &str = "tests/data";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder, by their paths from the root.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(root().join(folder)) else {
        return files;
    };
    for entry in entries {
        let entry = entry.expect("a folder can be read");
        let path = folder.join(entry.file_name());
        if entry.file_type().expect("an entry has a type").is_dir() {
            files.extend(files_in(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn read(path: &Path) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "rs")
}

fn sources() -> Sources {
    let files = MAPPED.iter().flat_map(|folder| files_in(Path::new(folder)));
    let rust = files.filter(|path| is_rust(path));
    rust.map(|path| (path.clone(), read(&path))).collect()
}

/// The library, and each program and bench: what is compiled by itself.
fn roots(sources: &Sources) -> Vec<&PathBuf> {
    let is_root = |path: &&PathBuf| {
        let path = path.to_string_lossy();
        let is_of_folder = |folder| path.starts_with(folder) && path.ends_with("/main.rs");
        path == "src/lib.rs"
            || is_of_folder("src/bin/")
            || is_of_folder("benches/")
            || (path.starts_with("benches/") && path.matches('/').count() == 1)
    };
    sources.keys().filter(is_root).collect()
}

fn the_map() -> Map {
    // What a published package leaves out is not missed.
    let is_left_out = |path: &Path| {
        let left_out = [".ci", "scripts", "watch", DATA];
        let folder = left_out.iter().find(|folder| path.starts_with(folder));
        folder.is_some_and(|folder| !root().join(folder).exists())
    };
    Map::read(&read(Path::new("CONTRIBUTING.md")), |path| {
        root().join(path).exists() || is_left_out(path)
    })
}

#[test]
fn no_import_closes_a_circle() {
    let sources = sources();
    let roots = roots(&sources);
    let all = roots
        .iter()
        .flat_map(|root| circles::of(&imports::of(&sources, root)));
    let found: BTreeSet<BTreeSet<PathBuf>> = all.collect();
    assert!(found.is_empty(), "these import each other: {found:#?}");
}

#[test]
fn no_import_leads_upwards() {
    let imports = imports::of(&sources(), Path::new("src/lib.rs"));
    let upward = the_map().upward(&imports);
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn each_file_is_on_the_map_and_each_entry_of_the_map_is_there() {
    let map = the_map();
    assert!(map.missing.is_empty(), "no such files: {:#?}", map.missing);
    let files = MAPPED.iter().flat_map(|folder| files_in(Path::new(folder)));
    let files: Vec<_> = files.collect();
    let unlisted = map.unlisted(&files);
    assert!(unlisted.is_empty(), "not on the map: {unlisted:#?}");
}

#[test]
fn no_file_is_too_long() {
    let sources = sources();
    let lines = |text: &String| text.lines().count();
    let long = sources.iter().filter(|(_, text)| lines(text) > MOST_LINES);
    let long: Vec<_> = long.map(|(path, text)| (path, lines(text))).collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:#?}");
}

#[test]
fn what_the_kit_offers_is_used_by_a_suite() {
    let tests = files_in(Path::new("tests")).into_iter();
    let (kit, suites): (Vec<_>, Vec<_>) = tests
        .filter(|path| is_rust(path))
        .partition(|path| path.starts_with("tests/kit"));
    let kit: Vec<String> = kit.iter().map(|path| read(path)).collect();
    let suites: Vec<String> = suites.iter().map(|path| read(path)).collect();
    let used: BTreeSet<&str> = suites.iter().flat_map(|text| kit::words(text)).collect();
    let offered: Vec<&str> = kit.iter().flat_map(|text| kit::offered(text)).collect();
    assert!(offered.len() > 50, "{offered:?}");
    let unused: Vec<_> = offered
        .iter()
        .filter(|name| !used.contains(*name))
        .collect();
    assert!(unused.is_empty(), "used by no suite: {unused:?}");
}
