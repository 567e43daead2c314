//! The map in `CONTRIBUTING.md`: which files there are, and which stand above which.
//!
//! Each row of a table names files and folders in its first column, in backticks: from the folder of the one before, from
//! that of the row's first, or from the repository's root. A folder, which ends in `/`, stands for all that is in it and has
//! no row of its own. Under the heading [`LAYERS`], each heading of the next
//! level begins a layer, the topmost first.

use crate::imports::Imports;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The heading of the part that has the layers.
pub(crate) const LAYERS: &str = "## The library, from the top down";

/// Places on the map, with the layers of those that have one.
#[derive(Default)]
pub(crate) struct Map {
    places: BTreeMap<PathBuf, Option<usize>>,
    /// The headings of the layers.
    layers: Vec<String>,
    /// Entries that are no file and no folder, as the map writes them.
    pub(crate) missing: Vec<String>,
}

impl Map {
    /// Reads the map. `exists` tells of a path from the root whether it is there, or need not be.
    pub(crate) fn read(text: &str, exists: impl Fn(&Path) -> bool) -> Self {
        let mut map = Self::default();
        let mut is_layered = false;
        for line in text.lines() {
            if line.starts_with("# ") || line.starts_with("## ") {
                is_layered = line == LAYERS;
            } else if let (true, Some(layer)) = (is_layered, line.strip_prefix("### ")) {
                map.layers.push(layer.to_owned());
            } else if let Some(row) = line.strip_prefix("| ") {
                let places = row.split(" | ").next().unwrap_or_default();
                let layer = map.layers.len().checked_sub(1).filter(|_| is_layered);
                map.add(places, layer, &exists);
            }
        }
        map
    }

    fn add(&mut self, places: &str, layer: Option<usize>, exists: impl Fn(&Path) -> bool) {
        let mut first: Option<PathBuf> = None;
        let mut before = PathBuf::new();
        for name in places.split('`').skip(1).step_by(2) {
            let folder = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
            let from_first = first.as_deref().map(folder).unwrap_or_default();
            let folders = [folder(&before), from_first, PathBuf::new()];
            let candidates = folders.map(|folder| folder.join(name));
            match candidates.into_iter().find(|path| exists(path)) {
                Some(path) => {
                    first.get_or_insert_with(|| path.clone());
                    before.clone_from(&path);
                    self.places.insert(path, layer);
                }
                None => self.missing.push(name.to_owned()),
            }
        }
    }

    /// The entry for a file: its own, or that of the innermost folder around it.
    fn entry(&self, file: &Path) -> Option<(&PathBuf, Option<usize>)> {
        let mut around = file.ancestors();
        around.find_map(|path| {
            self.places
                .get_key_value(path)
                .map(|(path, at)| (path, *at))
        })
    }

    /// The files that are on no row.
    pub(crate) fn unlisted<'a>(
        &self,
        files: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Vec<&'a PathBuf> {
        let files = files.into_iter();
        files.filter(|file| self.entry(file).is_none()).collect()
    }

    /// The imports that lead from a layer into one above it, and those of files that have no layer.
    pub(crate) fn upward(&self, imports: &Imports) -> BTreeSet<String> {
        let layer = |file: &Path| self.entry(file).and_then(|(_, layer)| layer);
        let name = |layer: Option<usize>| layer.map_or("no layer", |layer| &self.layers[layer]);
        let all = imports
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
        let upward = all.filter_map(|(from, to)| {
            let (low, high) = (layer(from), layer(to));
            let is_down = low.is_some() && high >= low;
            (!is_down).then(|| {
                let (low, high) = (name(low), name(high));
                format!(
                    "{} ({low}) imports {} ({high})",
                    from.display(),
                    to.display()
                )
            })
        });
        upward.collect()
    }
}
