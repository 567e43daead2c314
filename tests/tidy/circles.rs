//! Circles of imports, between files and between folders.

use crate::imports::Imports;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Graph = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// What reaches itself: each time all that it reaches and that reaches it, between files and then between the entries of each
/// folder.
pub(crate) fn of(imports: &Imports) -> BTreeSet<BTreeSet<PathBuf>> {
    let folders: BTreeSet<&Path> = imports.keys().filter_map(|file| file.parent()).collect();
    let between = folders.into_iter().map(|folder| between(imports, folder));
    let mut circles = in_graph(imports);
    circles.extend(between.flat_map(|graph| in_graph(&graph)));
    circles
}

/// The imports between the entries of a folder: its files and its folders, where `x.rs` and `x/` are one.
fn between(imports: &Imports, folder: &Path) -> Graph {
    let entry = |file: &Path| {
        let within = file.strip_prefix(folder).ok()?;
        let first = within.components().next()?;
        Some(folder.join(first).with_extension(""))
    };
    let mut graph = Graph::new();
    for (from, to) in imports {
        let Some(from) = entry(from) else { continue };
        let others = to.iter().filter_map(|to| entry(to));
        let others: Vec<_> = others.filter(|to| *to != from).collect();
        graph.entry(from).or_default().extend(others);
    }
    graph
}

fn in_graph(graph: &Graph) -> BTreeSet<BTreeSet<PathBuf>> {
    let reached: BTreeMap<_, _> = graph
        .keys()
        .map(|from| (from, reach(graph, from)))
        .collect();
    let mut circles = BTreeSet::new();
    for (from, ahead) in &reached {
        let leads_back = |to: &&PathBuf| reached.get(to).is_some_and(|back| back.contains(from));
        let circle: BTreeSet<_> = ahead.iter().copied().filter(leads_back).cloned().collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles
}

fn reach<'a>(graph: &'a Graph, from: &Path) -> BTreeSet<&'a PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&PathBuf> = graph[from].iter().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(graph.get(next).into_iter().flatten());
        }
    }
    reached
}
