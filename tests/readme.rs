//! Holds the README, the crate's page and the pages of `docs/` to what they are about: the program to its file, the table of
//! policies to its one source, the outputs to what the library says, the figures to the pictures, and links to files.

#[path = "kit/mod.rs"]
mod kit;

use kit::{GIB, MIB, Rig, on, quiet};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::train::{Limit, Run};
use mlx_wired::{Error, OwnedGuard, SumPolicy, Wait};
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::time::Duration;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// What follows `begin`, up to `end`.
#[track_caller]
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("no {begin:?}"));
    rest.split_once(end)
        .unwrap_or_else(|| panic!("no {end:?}"))
        .0
}

#[test]
fn the_program_is_the_examples_and_has_25_lines() {
    let example = read("examples/quickstart.rs");
    let program = &example[example.find("use mlx_wired").expect("its first line")..];
    assert_eq!(between(&read("README.md"), "```rust\n", "```"), program);
    assert_eq!(program.lines().count(), 25);

    let page = read("src/lib.rs");
    let on_the_page = between(&page, "//! ```\n", "//! ```");
    let lines = on_the_page
        .lines()
        .map(|line| line.trim_start_matches("//!"));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert_eq!(lines.join("\n"), program.trim_end());
}

#[test]
fn what_a_newcomer_wants_comes_first() {
    let readme = read("README.md");
    let first: String = readme.lines().take(55).collect::<Vec<_>>().join("\n");
    for part in [
        "docs/without-tickets.svg",
        "docs/with-tickets.svg",
        "--example train -- --pictures",
        "fn main()",
        "**Install**: `cargo add mlx-wired`",
        "**Not for you**",
    ] {
        assert!(first.contains(part), "not among the first lines: {part}");
    }
}

#[test]
fn the_table_of_policies_has_one_source() {
    let table = read("docs/POLICIES.md");
    assert!(
        read("README.md").contains(&table),
        "the README has another table"
    );
    for page in ["src/lib.rs", "src/docs/policies.rs"] {
        let text = read(page);
        assert!(
            text.contains("docs/POLICIES.md\")]"),
            "{page} does not include it"
        );
    }
    for policy in ["Sum", "Max", "Peak", "Fixed", "Budget"] {
        let name = format!("`{policy}Policy");
        assert!(table.contains(&name), "no row for {name}");
    }
}

#[test]
fn each_feature_has_a_row() {
    let manifest = read("Cargo.toml");
    let features = between(&manifest, "[features]\n", "\n[dependencies]");
    let names = features.lines().filter(|line| !line.starts_with('#'));
    let names = names.filter_map(|line| Some(line.split_once(" = ")?.0));
    let names: Vec<&str> = names.filter(|name| *name != "default").collect();
    assert!(names.len() > 4, "{names:?}");
    let readme = read("README.md");
    let table = between(&readme, "## Features\n", "\n## ");
    let page = read("src/lib.rs");
    for name in names {
        assert!(
            table.contains(&format!("\n| `{name}` |")),
            "no row for {name}"
        );
        assert!(
            page.contains(&format!("//! * `{name}`")),
            "nothing of {name} on the page"
        );
    }
}

#[track_caller]
fn refused(refused: Result<OwnedGuard, Error>) -> String {
    refused.expect_err("it is refused").to_string()
}

#[test]
fn the_errors_read_so() -> Result<(), Error> {
    // A Mac of 64 GiB that recommends 48.
    let rig = Rig::new(quiet())?;
    let mut said = Vec::new();
    said.push(refused(
        rig.ticket(&SumPolicy::new(), 49 * GIB).acquire_owned(),
    ));

    let policy = SumPolicy::capped(48 * GIB);
    let large = rig.ticket(&policy, 40 * GIB);
    let held = large.acquire()?;
    let waits = Wait::new().timeout(Duration::from_secs(5));
    let late = rig.queued_with(&rig.ticket(&policy, 20 * GIB), waits);
    rig.clock.advance(Duration::from_secs(5));
    said.push(refused(late.result()));
    said.push(refused(rig.ticket(&policy, 20 * GIB).acquire_owned()));
    drop(held);

    let policy = SumPolicy::capped(600 * MIB);
    let weights = rig.ticket(&policy, 200 * MIB).reservation();
    let _weights = weights.acquire_owned()?;
    said.push(refused(rig.ticket(&policy, 500 * MIB).acquire_owned()));

    let readme = read("README.md");
    for error in said {
        assert!(
            readme.contains(&format!("\n{error}\n")),
            "not in the README: {error}"
        );
    }
    Ok(())
}

#[test]
fn a_step_reads_so() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let work = |up: u64, down: u64| {
        backend.update_memory(|counters| {
            counters.active += up;
            counters.recorded_peak = counters.recorded_peak.max(counters.active);
            counters.active -= down;
        });
    };
    work(2048 * MIB, 0);
    backend.update_memory(|counters| counters.cache = 410 * MIB);
    backend.set_footprint(Some((2048 + 410 + 307) * MIB));
    let run = Run::builder()
        .manager(&manager)
        .outside_every(Duration::ZERO);
    let run = run.cache_limit(Limit::Keep).budget(4096 * MIB);
    let run = run.start().expect("no other run");
    let step = |up, down| {
        let done = run.step(|| {
            run.carried_is_evaluated("ema", false);
            work(up, down);
            Ok::<(), Infallible>(())
        });
        let Ok(((), report)) = done;
        report
    };
    let mut said = vec![step(1127 * MIB, 1127 * MIB).line().to_string()];
    let mut reports = (0..10).map(|_| step(5 * MIB, 0));
    let growth = reports.find_map(|report| report.growth);
    said.push(growth.expect("within ten steps").to_string());
    let readme = read("README.md");
    for line in said {
        assert!(
            readme.contains(&format!("\n{line}\n")),
            "not in the README: {line}"
        );
    }
}

/// The pictures say what the text says, and have one scale.
#[test]
fn the_figures_are_those_of_the_pictures() {
    let pictures = [
        read("docs/without-tickets.svg"),
        read("docs/with-tickets.svg"),
    ];
    let figure =
        |picture: &str, name: &str| between(picture, &format!("{name} "), " MiB").to_owned();
    let [without, with] = pictures.each_ref().map(|picture| figure(picture, "peak"));
    let budgets = pictures.each_ref().map(|picture| figure(picture, "budget"));
    assert_eq!(budgets[0], budgets[1]);
    for text in [read("README.md"), read("docs/NUMBERS.md")] {
        for figure in [&without, &with, &budgets[0]] {
            assert!(text.contains(figure.as_str()), "the pictures have {figure}");
        }
    }
    let number = |text: &str| text.parse::<f64>().expect("a number");
    assert!(number(&with) <= number(&budgets[0]) && number(&without) > number(&budgets[0]));
    // What stands beside the axes.
    let marks = pictures.map(|picture| {
        let marks = picture
            .lines()
            .filter(|line| line.ends_with(" s") || line.parse::<u32>().is_ok());
        marks.map(str::to_owned).collect::<Vec<_>>()
    });
    assert!(marks[0].len() > 6, "{marks:?}");
    assert_eq!(marks[0], marks[1]);
}

/// Links to files of the repository lead to files.
#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let blob = "https://github.com/mlx-wired/mlx-wired/blob/main/";
    for page in [
        "README.md",
        "docs/NUMBERS.md",
        "docs/SETUP.md",
        "docs/TRAINING.md",
        "docs/MIGRATING.md",
    ] {
        let text = read(page);
        let folder = root.join(page);
        let folder = folder.parent().expect("it is in a folder");
        for link in text.split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap_or_default();
            let path = match link.strip_prefix(blob) {
                Some(path) => root.join(path),
                None if link.is_empty() || link.contains("://") => continue,
                None => folder.join(link),
            };
            // What a published package does not have is not missed.
            let is_left_out =
                path.starts_with(root.join("scripts")) && !root.join("scripts").exists();
            assert!(is_left_out || path.exists(), "{page} links to {link}");
        }
    }
}
