//! The parts of a model that has a folder for each: what `model_index.json` says of a diffusion pipeline, or whatever
//! folders hold weights.

use super::file;
use super::listing::{Entry, Listing, is_read_by_mlx};
use super::sets;
use crate::print::{Bytes, Name};
use crate::train::estimate::Problem;
use serde_json::{Map, Value};
use std::path::Path;

/// How deep folders are looked into.
const DEEPEST: usize = 3;
/// How many folders are looked into.
const MOST_FOLDERS: usize = 1_000;

/// A folder with weights, or one that should have some.
pub(super) struct Folder {
    /// The path from the model's folder; empty for that itself.
    pub(super) name: String,
    pub(super) listing: Listing,
}

/// All folders below that hold weights.
pub(super) fn below(root: &Listing, problems: &mut Vec<Problem>) -> Vec<Folder> {
    let mut found = Vec::new();
    let mut left = MOST_FOLDERS;
    for folder in &root.folders {
        visit(folder, String::new(), 1, &mut left, &mut found, problems);
    }
    if left == 0 {
        problems.push(Problem::error(
            "many-folders",
            format!(
                "there are more than {MOST_FOLDERS} folders in it, and the rest was not looked at"
            ),
            "name the folder of one model",
        ));
    }
    found
}

fn visit(
    folder: &Entry,
    above: String,
    depth: usize,
    left: &mut usize,
    found: &mut Vec<Folder>,
    problems: &mut Vec<Problem>,
) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    let name = above + &folder.name;
    let listing = match Listing::of(&folder.path) {
        Ok(listing) => listing,
        Err(unread) => {
            problems.push(Problem::error(
                "unread-folder",
                format!("{} {}", Name::new(&name), unread.why()),
                "give its reader access, or move it away if it is no part of the model",
            ));
            return;
        }
    };
    if depth < DEEPEST {
        for folder in &listing.folders {
            visit(folder, format!("{name}/"), depth + 1, left, found, problems);
        }
    }
    let is_unread = |(_, why): &(_, file::Unread)| !matches!(why, file::Unread::Folder);
    let is_part = !listing.weights.is_empty()
        || !listing.indexes.is_empty()
        || listing.unread.iter().any(is_unread);
    if !is_part {
        problems.extend(formats(&name, &listing, true));
    } else {
        found.push(Folder { name, listing });
    }
}

/// What is in a folder in formats that are not read. Beside weights that are, it is most often another form of them; but
/// what MLX itself reads a program may load as well, so not all is known then.
pub(super) fn formats(folder: &str, listing: &Listing, has_weights: bool) -> Option<Problem> {
    if listing.others.is_empty() {
        return None;
    }
    let path = |entry: &Entry| match folder {
        "" => entry.name.clone(),
        folder => format!("{folder}/{}", entry.name),
    };
    // Those that matter more are told first.
    let (read, others): (Vec<&Entry>, Vec<&Entry>) = listing
        .others
        .iter()
        .partition(|entry| is_read_by_mlx(&entry.name));
    let names: Vec<String> = read
        .iter()
        .chain(&others)
        .map(|entry| path(entry))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bytes = listing.others.iter().map(|entry| entry.bytes);
    let bytes = Bytes(bytes.fold(0, u64::saturating_add));
    let text = format!("not read: {} ({bytes})", sets::some(&names));
    Some(match (has_weights, read.is_empty()) {
        (true, true) => Problem::warning(
            "other-format",
            text,
            "only the *.safetensors are counted; add the bytes of whatever else the program loads",
        ),
        (true, false) => Problem::error(
            "other-format",
            text,
            "only the *.safetensors are counted; move what the program does not load away, or name the file that it does",
        ),
        (false, _) => Problem::error(
            "other-format",
            text,
            "only *.safetensors are read: convert them, or fetch the model in that format",
        ),
    })
}

/// The parts that a pipeline's index names.
pub(super) fn of_pipeline(path: &Path) -> Option<Result<Vec<String>, Problem>> {
    let bytes = match file::read(&path.join("model_index.json"), 1 << 20) {
        Ok(bytes) => bytes,
        Err(file::Unread::Gone) => return None,
        Err(unread) => return Some(Err(broken(&unread.why()))),
    };
    let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(&bytes) else {
        return Some(Err(broken("is no JSON object")));
    };
    let is_part = |value: &Value| {
        let pair = value.as_array().map(Vec::as_slice);
        matches!(pair, Some([Value::String(_), Value::String(_)]))
    };
    let parts = fields
        .into_iter()
        .filter(|(name, value)| !name.starts_with('_') && is_part(value));
    Some(Ok(parts.map(|(name, _)| name).collect()))
}

/// Whether a folder holds a model that writes text, by its `config.json`.
pub(super) fn is_model(folder: &Path) -> bool {
    let text = file::read(&folder.join("config.json"), 1 << 20).ok();
    let fields = text.and_then(|text| serde_json::from_slice::<Map<String, Value>>(&text).ok());
    let classes = fields
        .as_ref()
        .and_then(|fields| fields.get("architectures")?.as_array());
    classes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|class| class.ends_with("ForCausalLM"))
}

fn broken(why: &str) -> Problem {
    Problem::error(
        "malformed-file",
        format!("model_index.json {why}"),
        "fetch it again: which parts the model has is not known without it",
    )
}

/// What is missing of the parts that a pipeline's index names.
pub(super) fn missing(named: &[String], root: &Listing, found: &[Folder]) -> Vec<Problem> {
    let missing = named.iter().filter_map(|name| {
        let shown = Name::new(name);
        let Some(folder) = root.folder(name) else {
            return Some(Problem::error(
                "missing-part",
                format!("model_index.json names {shown}, and there is no such folder"),
                "fetch it: a download was cut off",
            ));
        };
        let has_weights = found.iter().any(|folder| folder.name == *name);
        // Schedulers, tokenizers and the like have files of other names.
        let is_network = folder.path.join("config.json").exists();
        (is_network && !has_weights).then(|| {
            Problem::error(
                "missing-part",
                format!("part {shown} has a config.json and no *.safetensors"),
                "fetch its weights, in this format",
            )
        })
    });
    missing.collect()
}
