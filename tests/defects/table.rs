//! Holds `docs/DEFECTS.md` to the tests that it names.

use super::documents::{root, tests};
use std::fs;

fn document() -> String {
    fs::read_to_string(root().join("docs/DEFECTS.md")).expect("the table is there")
}

/// A row's number, what happens here, and the links that show it.
struct Row {
    number: String,
    here: String,
    links: Vec<(String, String)>,
}

fn rows(document: &str) -> Vec<Row> {
    let cells = document.lines().filter_map(|line| {
        let cells: Vec<&str> = line
            .strip_prefix('|')?
            .strip_suffix('|')?
            .split('|')
            .collect();
        let number = cells[0].trim();
        let numbered = number.ends_with(|c: char| c.is_ascii_digit());
        numbered.then(|| (number.to_owned(), cells))
    });
    cells
        .map(|(number, cells)| {
            assert_eq!(cells.len(), 6, "row {number} has other columns");
            Row {
                number,
                here: cells[4].trim().to_owned(),
                links: links(cells[5]),
            }
        })
        .collect()
}

/// The Markdown links of a cell: text and target.
fn links(cell: &str) -> Vec<(String, String)> {
    let parts = cell.split('[').skip(1);
    parts
        .map(|part| {
            let (text, rest) = part.split_once("](").expect("a link has a target");
            let (target, _) = rest.split_once(')').expect("a target ends");
            (text.trim_matches('`').to_owned(), target.to_owned())
        })
        .collect()
}

#[test]
fn every_defect_of_the_list_has_a_row() {
    let rows = rows(&document());
    let found: Vec<&str> = rows.iter().map(|row| row.number.as_str()).collect();
    let expected: Vec<String> = (1..=38)
        .map(|n| n.to_string())
        .chain((1..=13).map(|n| format!("a{n}")))
        .chain((1..=9).map(|n| format!("b{n}")))
        .chain((1..=8).map(|n| format!("c{n}")))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_row_names_a_test_or_says_why_not() {
    for row in rows(&document()) {
        let excused = ["**trainer's kit**", "**not ours**"]
            .iter()
            .any(|excuse| row.here.starts_with(excuse));
        assert!(excused || !row.links.is_empty(), "row {}", row.number);
    }
}

#[test]
fn every_test_named_in_the_table_exists() {
    let document = document();
    let mut checked = 0;
    for line in document.lines().filter(|line| line.starts_with('|')) {
        for (name, target) in links(line) {
            let place = format!("{name} in {target}");
            if target == "#unwritable" {
                let heading = format!("\n### {name}\n\n```compile_fail\n");
                let (_, program) = document.split_once(&heading).expect(&place);
                let section = program.split("\n### ").next().unwrap_or(program);
                assert!(
                    section.contains("\n```\n\n```\n"),
                    "{place}: no counterpart"
                );
            } else if name.contains('/') {
                assert!(root().join("docs").join(&target).exists(), "{place}");
            } else {
                let file = fs::read_to_string(root().join("docs").join(&target));
                assert!(tests(&file.expect(&place)).contains(&name), "{place}");
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} links: is the table read?");
}
