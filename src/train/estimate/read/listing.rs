//! What is in a folder, by the names and kinds of its entries.

use super::file::{self, Unread};
use crate::print::Name;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How many entries of a folder are looked at.
const MOST_ENTRIES: usize = 100_000;
/// Formats whose weights are not read: their names' ends.
const OTHER_FORMATS: [&str; 7] = ["gguf", "npz", "pt", "pth", "ckpt", "h5", "onnx"];
/// What follows `.safetensors` while a file is on its way, by the hub, browsers and other programs.
const UNFINISHED: [&str; 6] = [
    "incomplete",
    "part",
    "partial",
    "crdownload",
    "download",
    "aria2",
];

/// A file that may matter, with its name as it may be printed.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// The name as text, for comparisons: with replacement characters where it is none.
    pub(super) name: String,
    pub(super) bytes: u64,
}

impl Entry {
    pub(super) fn shown(&self) -> String {
        Name::new(&self.name).to_string()
    }
}

/// The entries of one folder.
#[derive(Default)]
pub(super) struct Listing {
    /// `*.safetensors`.
    pub(super) weights: Vec<Entry>,
    /// `*.safetensors.index.json`.
    pub(super) indexes: Vec<Entry>,
    /// Weights in formats that are not read.
    pub(super) others: Vec<Entry>,
    pub(super) folders: Vec<Entry>,
    /// Named like weights or an index, and no regular file: the reason.
    pub(super) unread: Vec<(Entry, Unread)>,
    /// Links to nothing with names as folders have them.
    pub(super) dangling: Vec<Entry>,
    /// There are more than were looked at.
    pub(super) is_cut: bool,
}

impl Listing {
    /// Lists a folder, sorted by name.
    pub(super) fn of(path: &Path) -> Result<Self, Unread> {
        let mut listing = Self::default();
        for (n, entry) in fs::read_dir(path)?.enumerate() {
            if n == MOST_ENTRIES {
                listing.is_cut = true;
                break;
            }
            listing.add(path, entry?.file_name());
        }
        let all = [
            &mut listing.weights,
            &mut listing.indexes,
            &mut listing.others,
            &mut listing.folders,
        ];
        for entries in all {
            entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(listing)
    }

    /// Hidden entries are no model's: among them are what macOS leaves beside files, and Git's own.
    fn add(&mut self, folder: &Path, name: OsString) {
        let path = folder.join(&name);
        let name = text(&name);
        if name.starts_with('.') {
            return;
        }
        let entry = |bytes| Entry {
            path: path.clone(),
            name: name.clone(),
            bytes,
        };
        let is_weights = name.ends_with(".safetensors");
        let is_index = name.contains(".safetensors.index.") && name.ends_with(".json");
        match file::metadata(&path) {
            Ok(is) if is.is_dir() => {
                if is_weights {
                    self.unread.push((entry(0), Unread::Folder));
                }
                if is_index {
                    let error = ErrorKind::IsADirectory.into();
                    self.unread.push((entry(0), Unread::Other(error)));
                }
                self.folders.push(entry(0));
            }
            Ok(is) if is.is_file() => {
                let entry = entry(is.len());
                if is_weights {
                    self.weights.push(entry);
                } else if is_index {
                    self.indexes.push(entry);
                } else if is_unfinished(&name) {
                    self.unread.push((entry, Unread::Unfinished));
                } else if is_other_format(&name) {
                    self.others.push(entry);
                }
            }
            Ok(_) if is_weights || is_index => self.unread.push((entry(0), Unread::Special)),
            Err(unread) if is_weights || is_index => self.unread.push((entry(0), unread)),
            Err(Unread::Dangling) if !name.contains('.') => self.dangling.push(entry(0)),
            _ => {}
        }
    }

    pub(super) fn folder(&self, name: &str) -> Option<&Entry> {
        self.folders.iter().find(|folder| folder.name == name)
    }
}

/// Whether the name is that of weights on their way.
fn is_unfinished(name: &str) -> bool {
    let parts = name.split_once(".safetensors.");
    parts.is_some_and(|(_, rest)| UNFINISHED.iter().any(|end| rest.ends_with(end)))
}

fn is_other_format(name: &str) -> bool {
    let Some((stem, end)) = name.rsplit_once('.') else {
        return false;
    };
    OTHER_FORMATS.contains(&end) || end == "bin" && stem.contains("model")
}

/// Whether MLX reads such files, other than safetensors.
pub(super) fn is_read_by_mlx(name: &str) -> bool {
    name.ends_with(".gguf") || name.ends_with(".npz")
}

pub(super) fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
