//! The cache folders of the Hugging Face hub: `models--NAME/snapshots/COMMIT/` with links into `blobs/`.

use super::file;
use super::listing::{Entry, Listing};
use super::sets;
use crate::print::Name;
use crate::train::estimate::Problem;
use std::path::{Path, PathBuf};

/// What a folder is to the hub's cache.
pub(super) enum Cache {
    /// Not of it.
    No,
    /// The cache of this model alone.
    Model(PathBuf),
    /// One model's: the snapshot that counts, and what is to be said.
    Snapshot(PathBuf, Vec<Problem>),
    /// It cannot be said which snapshot counts.
    Nothing(Problem),
}

pub(super) fn look(path: &Path, listing: &Listing) -> Cache {
    if !listing.weights.is_empty() || !listing.indexes.is_empty() {
        return Cache::No;
    }
    if let Some(snapshots) = listing.folder("snapshots")
        && (listing.folder("refs").is_some() || listing.folder("blobs").is_some())
    {
        return choose(path, &snapshots.path);
    }
    let models: Vec<&Entry> = listing
        .folders
        .iter()
        .filter(|folder| folder.name.starts_with("models--"))
        .collect();
    match models.as_slice() {
        [] => Cache::No,
        [model] => Cache::Model(model.path.clone()),
        all => Cache::Nothing(Problem::error(
            "many-models",
            format!(
                "this is the hub's cache of {}: {}",
                sets::count(all.len(), "model"),
                sets::some(
                    &all.iter()
                        .map(|model| model.name.as_str())
                        .collect::<Vec<_>>()
                )
            ),
            "name one of its folders",
        )),
    }
}

/// The snapshot that `refs/main` names; else the only one.
fn choose(model: &Path, snapshots: &Path) -> Cache {
    let there = Listing::of(snapshots)
        .map(|listing| listing.folders)
        .unwrap_or_default();
    let main = file::read(&model.join("refs").join("main"), 256).ok();
    let main = main.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let named = main
        .as_ref()
        .map(|main| there.iter().find(|folder| folder.name == *main));
    match (named, there.as_slice()) {
        (Some(Some(snapshot)), [_]) => Cache::Snapshot(snapshot.path.clone(), Vec::new()),
        (Some(Some(snapshot)), all) => {
            let text = format!(
                "{} snapshots are there, and refs/main is {}",
                all.len(),
                snapshot.shown()
            );
            let note = Problem::note(
                "snapshot",
                text,
                "name another snapshot's folder to have that one read",
            );
            Cache::Snapshot(snapshot.path.clone(), vec![note])
        }
        (_, [only]) => {
            let text = match &main {
                Some(main) => format!(
                    "refs/main is {}, and only {} is there",
                    Name::new(main),
                    only.shown()
                ),
                None => format!(
                    "there is no refs/main; the only snapshot, {}, is read",
                    only.shown()
                ),
            };
            let note = Problem::note(
                "snapshot",
                text,
                "fetch the model again if another one is meant",
            );
            Cache::Snapshot(only.path.clone(), vec![note])
        }
        (_, []) => Cache::Nothing(Problem::error(
            "no-snapshot",
            "the hub's cache has no snapshot of this model".to_owned(),
            "fetch the model: a download was cut off",
        )),
        (_, all) => Cache::Nothing(Problem::error(
            "many-snapshots",
            format!(
                "{} snapshots are there, and refs/main names none of them",
                all.len()
            ),
            "name one of the folders in `snapshots`",
        )),
    }
}
