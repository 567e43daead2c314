//! The parts of a model that has a folder for each: what `model_index.json` says of a diffusion pipeline, or whatever
//! folders hold weights.

use super::file;
use super::listing::{Entry, Listing, is_read_by_mlx};
use super::sets;
use crate::print::{Bytes, Name};
use crate::train::estimate::Problem;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How deep folders are looked into.
const DEEPEST: usize = 8;
/// How many folders are looked into.
const MOST_FOLDERS: usize = 1_000;

/// A folder with weights, or one that should have some.
pub(super) struct Folder {
    /// The path from the model's folder; empty for that itself.
    pub(super) name: String,
    pub(super) listing: Listing,
}

/// All folders below that hold weights.
pub(super) fn below(path: &Path, root: &Listing, problems: &mut Vec<Problem>) -> Vec<Folder> {
    let root_path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut walk = Walk {
        above: vec![root_path],
        looked_at: 0,
        is_cut: false,
        found: Vec::new(),
        problems,
    };
    for folder in &root.folders {
        walk.visit(folder, String::new(), 1);
    }
    if walk.is_cut {
        walk.problems.push(Problem::error(
            "many-folders",
            format!(
                "there are more than {MOST_FOLDERS} folders in it, or more than {DEEPEST} one in another, and the rest \
                 was not looked at"
            ),
            "name the folder of one model",
        ));
    }
    walk.found
}

struct Walk<'a> {
    /// The folders that a folder is in, by the paths that links lead to: a link may lead back.
    above: Vec<PathBuf>,
    looked_at: usize,
    is_cut: bool,
    found: Vec<Folder>,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn visit(&mut self, folder: &Entry, above: String, depth: usize) {
        let path = folder.path.canonicalize();
        let path = path.unwrap_or_else(|_| folder.path.clone());
        if self.above.iter().any(|above| above.starts_with(&path)) {
            return;
        }
        if self.looked_at == MOST_FOLDERS || depth > DEEPEST {
            self.is_cut = true;
            return;
        }
        self.looked_at += 1;
        let name = above + &folder.name;
        let listing = match Listing::of(&folder.path) {
            Ok(listing) => listing,
            Err(unread) => {
                self.problems.push(Problem::error(
                    "unread-folder",
                    format!("{} {}", Name::new(&name), unread.why()),
                    "give its reader access, or move it away if it is no part of the model",
                ));
                return;
            }
        };
        self.above.push(path);
        for folder in &listing.folders {
            self.visit(folder, format!("{name}/"), depth + 1);
        }
        self.above.pop();
        let is_unread = |(_, why): &(_, file::Unread)| !matches!(why, file::Unread::Folder);
        let is_part = !listing.weights.is_empty()
            || !listing.indexes.is_empty()
            || listing.unread.iter().any(is_unread);
        if is_part {
            self.found.push(Folder { name, listing });
        } else {
            self.problems.extend(formats(&name, &listing, true));
        }
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
    let mut by_end: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in &listing.others {
        let end = entry.name.rsplit('.').next().unwrap_or_default();
        let bytes = by_end.entry(end).or_default();
        *bytes = bytes.saturating_add(entry.bytes);
    }
    let bytes = by_end.values().copied().fold(0, u64::saturating_add);
    let text = format!("not read: {} ({})", sets::some(&names), Bytes(bytes));
    // Another form of the same weights has 32 bits a number where these have 4, at most.
    let counted = listing.weights.iter().map(|entry| entry.bytes);
    let most = counted.fold(0, u64::saturating_add).saturating_mul(8);
    let is_more = most > 0 && by_end.values().any(|bytes| *bytes > most);
    Some(match (has_weights, read.is_empty() && !is_more) {
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
        (!has_weights && !is_without_weights(&folder.path)).then(|| without_weights(name))
    });
    missing.collect()
}

fn without_weights(name: &str) -> Problem {
    Problem::error(
        "missing-part",
        format!("part {} has no *.safetensors", Name::new(name)),
        "fetch its weights, in this format",
    )
}

/// Whether it is a scheduler, a tokenizer or the like: these have configurations of names of their own.
fn is_without_weights(folder: &Path) -> bool {
    let there = |name: &str| folder.join(name).exists();
    let own = ["scheduler", "tokenizer", "preprocessor", "processor"];
    !there("config.json") && own.iter().any(|name| there(&format!("{name}_config.json")))
}

/// Parts without weights, where no index names the parts: networks by their `config.json`, and links to nothing.
pub(super) fn lacking(root: &Listing, found: &[Folder]) -> Vec<Problem> {
    let is_found = |name: &str| {
        let mut found = found.iter();
        found.any(|folder| folder.name.split('/').next() == Some(name))
    };
    let lacking = root.folders.iter().filter(|folder| {
        let Some(Ok(text)) = super::file::small(&folder.path.join("config.json")) else {
            return false;
        };
        let fields = serde_json::from_slice::<Map<String, Value>>(&text);
        let has = |key| fields.as_ref().is_ok_and(|it| it.contains_key(key));
        let has_others = || Listing::of(&folder.path).is_ok_and(|it| !it.others.is_empty());
        !is_found(&folder.name) && (has("_class_name") || has("architectures") || has_others())
    });
    let dangling = root.dangling.iter().map(|link| {
        Problem::error(
            "missing-part",
            format!("{} is a link to nothing", link.shown()),
            "fetch what it led to, or move it away if it is no part of the model",
        )
    });
    let lacking = lacking.map(|folder| without_weights(&folder.name));
    lacking.chain(dangling).collect()
}
