//! R37: what the texts of the crate name as cures.

use std::fs;
use std::path::{Path, PathBuf};

/// The crate's texts: documents, and the sources with their documentation and messages.
fn texts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in ["src", "docs", "examples", "benches"] {
        collect(&root.join(folder), &mut files);
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        (path, text)
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
        let path = entry.expect("it is listed").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs" || it == "md") {
            files.push(path);
        }
    }
}

/// What people read: of a source its comments and quoted texts, line breaks and marks apart.
fn prose(path: &Path, text: &str) -> String {
    let is_source = path.extension().is_some_and(|it| it == "rs");
    let lines = text.lines().map(str::trim).filter(|line| {
        !is_source || line.starts_with("//") || line.contains('"') || line.ends_with('\\')
    });
    let words = lines.flat_map(|line| line.trim_start_matches('/').split_whitespace());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A pool's `install`, or a pool of its own, for the inner work is no cure: a worker that waits so takes other jobs of its
/// pool meanwhile, one of which may wait for what the worker holds.
#[test]
fn r37_no_text_names_a_cure_that_hangs() {
    let cures = [
        "pool of its own",
        "pool of their own",
        "pool of your own",
        "own pool",
        "separate pool",
        "second pool",
        "pool.install",
        "pool::install",
        "`install`",
        "`install(",
        "install()",
    ];
    let texts = texts();
    assert!(texts.len() > 100, "the texts are found");
    for (path, text) in &texts {
        let prose = prose(path, text);
        for cure in cures {
            let found = prose.find(cure);
            let around = found.map(|at| prose[..at].chars().rev().take(80).collect::<Vec<_>>());
            let around = around.map(|it| it.into_iter().rev().collect::<String>());
            assert_eq!(around, None, "{path:?} names {cure:?} after this");
        }
    }
}

/// Both cures that work are named wherever somebody looks.
#[test]
fn r37_the_cures_that_work_are_named() {
    let texts = texts();
    for name in [
        "README.md",
        "src/lib.rs",
        "src/error.rs",
        "src/error/print.rs",
    ] {
        let (path, text) = texts
            .iter()
            .find(|(path, _)| path.ends_with(name))
            .unwrap_or_else(|| panic!("{name} is among the texts"));
        let prose = prose(path, text);
        for cure in [
            "acquire before the work is split",
            "`spawn`",
            "block on a channel",
        ] {
            assert!(prose.contains(cure), "{name} does not name {cure:?}");
        }
    }
}
