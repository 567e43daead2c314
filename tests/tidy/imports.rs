//! Which file imports which. An import is a path to an item of another file. A module's declaration is none, nor is what a
//! file exports again from its own folder: a path that leads through it imports the file that has the item.

use crate::sources::{Crate, Segments, Sources};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// For each file those that it imports.
pub(crate) type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// The imports within the crate whose root is `root`.
pub(crate) fn of(sources: &Sources, root: &Path) -> Imports {
    let read = Crate::read(sources, root);
    let mut imports = Imports::new();
    for (at, module) in read.modules.iter().enumerate() {
        let of = imports.entry(module.file.clone()).or_default();
        for path in &module.paths {
            of.extend(read.files(at, path));
        }
        for path in &module.exports {
            let files = read.files(at, path).into_iter();
            of.extend(files.filter(|file| !file.starts_with(&module.folder)));
        }
        of.remove(&module.file);
    }
    imports
}

impl Crate {
    /// The files that have the item that `path` names in a module; none if that is another crate's, a module, or a
    /// local name.
    fn files(&self, module: usize, path: &Segments) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        self.find(module, path, 0, &mut found);
        found
    }

    /// Adds the files that have the item; says whether the path leads anywhere.
    fn find(
        &self,
        module: usize,
        path: &[String],
        depth: usize,
        found: &mut BTreeSet<PathBuf>,
    ) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return true;
        };
        match first.as_str() {
            "crate" => self.within(0, rest, depth, found),
            "self" => self.within(module, rest, depth, found),
            "super" => {
                let parent = self.modules[module].parent.expect("`super` has a parent");
                match rest.first().map(String::as_str) {
                    Some("super") => self.find(parent, rest, depth, found),
                    _ => self.within(parent, rest, depth, found),
                }
            }
            _ => self.within(module, path, depth, found),
        }
    }

    /// As [`find`](Self::find), for a path that begins with one of the module's names.
    fn within(
        &self,
        module: usize,
        path: &[String],
        depth: usize,
        found: &mut BTreeSet<PathBuf>,
    ) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return true;
        };
        // A name that stands for itself, as in `use model as chosen` beside `use loom as model`.
        if depth > 16 {
            return false;
        }
        let here = &self.modules[module];
        let child = here.children.get(first);
        // A function may have a child module's name, and be exported under it.
        let is_module = child.is_some() && !rest.is_empty();
        if !is_module && here.items.contains(first) {
            found.insert(here.file.clone());
            return true;
        }
        let mut leads = false;
        for &child in child.into_iter().flatten() {
            leads |= self.within(child, rest, depth, found);
        }
        let names = here.names.get(first).filter(|_| !is_module);
        for name in names.into_iter().flatten() {
            let whole = [name.as_slice(), rest].concat();
            let is_crate = child.is_none() && name.first() == Some(first);
            if is_crate || !self.find(module, &whole, depth + 1, found) {
                // Another crate's, which this module offers.
                found.insert(here.file.clone());
            }
            leads = true;
        }
        leads
            || here.globs.iter().any(|glob| {
                let whole = [glob.as_slice(), path].concat();
                self.find(module, &whole, depth + 1, found)
            })
    }
}
