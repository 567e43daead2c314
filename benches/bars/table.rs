//! Runs as the tables of `benches/README.md`.

use crate::failure::Failure;
use crate::report::{Row, Run, Verdict, shown};
use std::collections::BTreeSet;
use std::path::PathBuf;

const BASE: &str = "base";

pub(crate) fn print(runs: &[PathBuf]) -> Result<(), Failure> {
    let runs: Vec<Run> = runs
        .iter()
        .map(|run| Run::read(run))
        .collect::<Result<_, _>>()?;
    for run in &runs {
        println!("{}\n", heading(run));
        pairs(run);
        println!();
    }
    others(&runs);
    Ok(())
}

fn heading(run: &Run) -> String {
    let machine = &run.machine;
    format!(
        "{}, {} cores, {}, {}",
        machine.cpu, machine.cores, machine.system, machine.date
    )
}

/// The name and the number of threads of a row of pairs.
fn pair(row: &Row) -> Option<(&str, usize)> {
    match row.name.split('/').collect::<Vec<_>>()[..] {
        ["pairs", name, threads] => Some((name, threads.parse().ok()?)),
        _ => None,
    }
}

/// A line for each subject, a column for each number of threads.
fn pairs(run: &Run) {
    let measured = |row: &&Row| row.verdict != Verdict::Skip;
    let rows = || run.rows.iter().filter(measured).filter_map(pair);
    let threads: BTreeSet<usize> = rows().map(|(_, threads)| threads).collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let heads = threads.iter().map(usize::to_string);
    line(["threads".to_owned()].into_iter().chain(heads));
    line((0..=threads.len()).map(|_| "---".to_owned()));
    for name in names {
        let cells = threads.iter().map(|threads| {
            let row = run
                .rows
                .iter()
                .find(|row| pair(row) == Some((name, *threads)));
            let time = row.and_then(|row| row.nanoseconds).filter(|_| name == BASE);
            let time = time.map(|time| format!("{time:.0}"));
            time.unwrap_or_else(|| row.map_or_else(String::new, cell))
        });
        line([label(name)].into_iter().chain(cells));
    }
}

/// BASE is the one that is told as a time.
fn label(name: &str) -> String {
    if name == BASE {
        "BASE, ns".to_owned()
    } else {
        name.to_owned()
    }
}

/// All other rows, a column for each run. Rows that must be 0 share a line for each kind.
fn others(runs: &[Run]) {
    let heads = ["", "bar"].map(str::to_owned);
    let cores = |run: &Run| format!("{} cores", run.machine.cores);
    line(heads.into_iter().chain(runs.iter().map(cores)));
    line((0..runs.len() + 2).map(|_| "---".to_owned()));
    let mut told = Vec::new();
    for row in runs.iter().flat_map(|run| &run.rows) {
        let name = family(row);
        if row.name.starts_with("pairs/") || told.contains(&name) {
            continue;
        }
        told.push(name);
        let cells = runs.iter().map(|run| {
            let same = run.rows.iter().filter(|other| family(other) == name);
            let worst = same.max_by(|one, other| {
                let value = |row: &Row| row.value.unwrap_or(f64::INFINITY);
                value(one).total_cmp(&value(other))
            });
            worst.map_or_else(String::new, cell)
        });
        let bar = row.bar.map_or_else(String::new, shown);
        line([name.to_owned(), bar].into_iter().chain(cells));
    }
}

/// What stands for the row in the table.
fn family(row: &Row) -> &str {
    let alike = row.bar == Some(0.0) || row.name.starts_with("live/");
    let first = row.name.split('/').next().filter(|_| alike);
    first.unwrap_or(&row.name)
}

fn cell(row: &Row) -> String {
    match (row.value, row.verdict) {
        (Some(value), Verdict::Short) => format!("**{}**", shown(value)),
        (Some(value), _) => shown(value),
        (None, _) => "skip".to_owned(),
    }
}

fn line(cells: impl Iterator<Item = String>) {
    println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
}
