//! The cache folders of the Hugging Face hub: `models--NAME/snapshots/COMMIT/` with links into `blobs/`.

use super::file;
use super::listing::{self, Entry, Listing};
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

pub(super) fn detect(path: &Path, listing: &Listing) -> Cache {
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

/// Files of a folder that the hub's programs have begun to fetch. They are for a file that may lack here.
pub(super) fn unfinished(folder: &Path) -> Option<Problem> {
    let names = std::fs::read_dir(folder).ok()?.flatten();
    let names = names.map(|entry| listing::text(&entry.file_name()));
    let begun = names.filter(|name| name.ends_with(".incomplete")).count();
    (begun > 0).then(|| {
        Problem::error(
            "download-unfinished",
            format!(
                "{} of the hub's did not end",
                sets::count(begun, "download")
            ),
            "fetch the model again, or remove the `*.incomplete` if it is whole",
        )
    })
}

/// The snapshot that `refs/main` names; else the only one.
fn choose(model: &Path, snapshots: &Path) -> Cache {
    let there = match Listing::of(snapshots) {
        Ok(listing) => listing.folders,
        Err(unread) => {
            return Cache::Nothing(Problem::error(
                "unread-folder",
                format!("snapshots {}", unread.why()),
                "give its reader access",
            ));
        }
    };
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
            let (path, only) = (only.path.clone(), only.shown());
            let problem = match &main {
                // What loaders ask for is not there.
                Some(main) => Problem::error(
                    "snapshot",
                    format!("refs/main is {}, and only {only} is there", Name::new(main)),
                    "fetch the model, or name that snapshot's folder to have it counted",
                ),
                None => Problem::note(
                    "snapshot",
                    format!("there is no refs/main; the only snapshot, {only}, is read"),
                    "fetch the model again if another one is meant",
                ),
            };
            Cache::Snapshot(path, vec![problem])
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
